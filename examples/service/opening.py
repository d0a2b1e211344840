"""When each branch is open, by the clock on its own wall: who is away while it is closed is not missed."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from datetime import UTC, datetime, time, tzinfo
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

DAYS: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_HOURS: Final = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-(?:([01]\d|2[0-3]):([0-5]\d)|24:00)")

Span = tuple[time, time]  # an end that is not after its beginning is on the next day
Week = tuple[tuple[Span, ...], ...]


class Unreadable(Exception):  # noqa: N818 - reads as what the file is
    """The opening hours cannot be used; says why."""


class OpeningHours:
    """Of branches whose hours are known; the others are always open. From any thread."""

    def __init__(self, branches: Mapping[str, tuple[tzinfo, Week]] | None = None) -> None:
        self._branches = branches or {}

    @classmethod
    def load(cls, path: str) -> OpeningHours:
        """From a TOML file: a table for each branch, with its ``zone`` and what it is open on each day.

        ``tuesday = ["11:30-15:00", "17:30-01:00"]``; a day that is not named is closed. Raises `Unreadable`.
        """
        try:
            tables = tomllib.loads(Path(path).read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise Unreadable(f"{path}: {error}") from None
        return cls({branch: _branch(f"{path}: [{branch}]", table) for branch, table in tables.items()})

    def open(self, branch: str, now: datetime | None = None) -> bool:
        """Whether a branch is open at ``now``, which knows its zone."""
        if branch not in self._branches:
            return True
        zone, week = self._branches[branch]
        local = (now or datetime.now(UTC)).astimezone(zone)
        at, today = local.time().replace(tzinfo=None), local.weekday()
        return any(begin <= at and (at < end or end <= begin) for begin, end in week[today]) or any(
            at < end <= begin for begin, end in week[today - 1]
        )


def _branch(where: str, table: Any) -> tuple[tzinfo, Week]:
    if not isinstance(table, dict) or (unknown := sorted(table.keys() - {"zone", *DAYS})):
        what = f"has no {', '.join(unknown)}" if isinstance(table, dict) else "must be a table"
        raise Unreadable(f"{where} {what}: there are zone, {', '.join(DAYS)}")
    try:
        zone = ZoneInfo(table["zone"])
    except (KeyError, TypeError, ValueError, ZoneInfoNotFoundError, OSError):
        raise Unreadable(f'{where} needs a zone, as zone = "Europe/Berlin"') from None
    return zone, tuple(tuple(_spans(f"{where} {day}", table.get(day, []))) for day in DAYS)


def _spans(where: str, listed: Any) -> list[Span]:
    if not isinstance(listed, list):
        raise Unreadable(f'{where} must be a list, as ["11:30-15:00", "17:30-01:00"]')
    spans = []
    for each in listed:
        found = _HOURS.fullmatch(each) if isinstance(each, str) else None
        if found is None:
            raise Unreadable(f'{where}: {each!r} must be as "17:30-01:00"')
        begin = time(int(found[1]), int(found[2]))
        spans.append((begin, time(int(found[3] or 0), int(found[4] or 0))))
    return spans
