"""The rows of the database as values, and how the interfaces show them."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Self

from examples.jobs.states import State
from examples.service.totals import Total


@dataclass(frozen=True, slots=True)
class Order:
    """What a client asks for; ``request`` is the hash of what its Idempotency-Key ``key``, if any, stands for."""

    printer: str
    kind: str
    timeout: float
    lifetime: float
    content: dict[str, Any] = field(repr=False)
    owner: str
    key: str | None
    request: str
    correlation_id: str
    carrier: dict[str, str]


@dataclass(frozen=True, slots=True)
class Job:
    """One print job; times in seconds since 1970. ``carrier`` is the trace context of the request that brought it."""

    position: int
    id: str
    printer: str
    kind: str
    timeout: float
    owner: str
    request: str
    correlation_id: str
    carrier: dict[str, str]
    state: State
    journal: str
    sent: int
    cancel_asked: bool
    error_type: str
    partial: bool
    window: str
    held: bool
    evidence_at: float | None
    reprint_of: str
    created_at: float
    expires_at: float
    finished_at: float | None

    @classmethod
    def of(cls, row: sqlite3.Row) -> Self:
        """The job in a row of the table ``jobs``."""
        values = {name: row[name] for name in cls.__slots__}
        values["carrier"] = json.loads(values["carrier"])
        values["state"] = State(values["state"])
        for name in ("cancel_asked", "partial", "held"):
            values[name] = bool(values[name])
        return cls(**values)

    def describe(self) -> dict[str, Any]:
        """The job as the interfaces show it, but for ``waiting_for``, which changes without it."""
        return {
            "id": self.id,
            "state": self.state.value,
            "outcome": self.state.value if self.state.final else None,
            "error_type": self.error_type or None,
            "partial": self.partial,
            "window": self.window or None,
            "held": self.held,
            "cancel_asked": self.cancel_asked,
            "evidence_at": moment(self.evidence_at),
            "reprint_of": self.reprint_of or None,
            "printer": self.printer,
            "kind": self.kind,
            "correlation_id": self.correlation_id,
            "created_at": moment(self.created_at),
            "expires_at": moment(self.expires_at),
            "finished_at": moment(self.finished_at),
        }


@dataclass(frozen=True, slots=True)
class Happening:
    """An event for web clients: ``body`` is a job as it was then, with its trace context."""

    seq: int
    owner: str
    body: dict[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Changes:
    """What a transaction has done: what web clients are told; jobs as they are now, each with its branch; totals.

    ``events`` are jobs as they were when that happened to them: the event's name, the branch, the job. ``pruned`` are
    jobs that are no more, ``strays`` are those of results that changed nothing.
    """

    happenings: list[Happening] = field(default_factory=list)
    jobs: list[tuple[str, Job]] = field(default_factory=list)
    events: list[tuple[str, str, Job]] = field(default_factory=list)
    pruned: list[str] = field(default_factory=list)
    strays: list[str] = field(default_factory=list)
    totals: dict[Total, int] = field(default_factory=dict)


def moment(seconds: float | None) -> str | None:
    """The moment as ISO 8601, in UTC."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat()
