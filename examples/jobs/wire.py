"""The messages between service and agent: JSON objects with a ``type``, over one WebSocket.

An agent says hello; the service welcomes it, or refuses it and closes. Then the service sends ``print``, the agent
answers ``done`` when it knows how it ended, and again after each reconnection until the service says ``settled``.
Any message may carry in-band context (``traceparent``, ``tracestate``, ``baggage``).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Final

from examples.jobs.checks import Fields, Invalid, parse

NAME: Final = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
KIND: Final = r"[a-z][a-z0-9_-]{0,31}"
ID: Final = r"[0-9a-f]{32}"
OUTCOMES: Final = ("confirmed", "written", "failed", "unknown")
MAX_PRINTERS: Final = 100
MAX_OPEN: Final = 1000

# Close codes of this protocol (RFC 6455, section 7.4.2, private use).
PROTOCOL_ERROR: Final = 4000
REFUSED: Final = 4003
REPLACED: Final = 4009


@dataclass(frozen=True, slots=True)
class Hello:
    """An agent presents itself. ``journal`` names its memory; ``jobs`` are those it knows and has not settled."""

    agent: str
    branch: str
    journal: str
    printers: tuple[str, ...]
    jobs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Welcome:
    """The service takes the agent and its printers."""


@dataclass(frozen=True, slots=True)
class Refuse:
    """The service does not take the agent: ``why`` is for its operator."""

    why: str


@dataclass(frozen=True, slots=True)
class Print:
    """Print a receipt; ``timeout`` in seconds, for all of it."""

    id: str
    printer: str
    kind: str
    timeout: float
    receipt: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Done:
    """How a job ended."""

    id: str
    outcome: str
    error_type: str
    partial: bool


@dataclass(frozen=True, slots=True)
class Settled:
    """The service has the result: the agent may forget the job."""

    id: str


Message = Hello | Welcome | Refuse | Print | Done | Settled


def dump(message: Message) -> dict[str, Any]:
    """The message as a JSON object."""
    return {"type": type(message).__name__.lower(), **asdict(message)}


def load(text: str | bytes) -> Message:
    """The message that ``text`` is; raises `Invalid`."""
    fields = Fields(parse(text))
    message: Message = _READERS[fields.choice("type", _READERS)](fields)
    fields.end()
    return message


def _hello(fields: Fields) -> Hello:
    return Hello(
        fields.text("agent", 64, pattern=NAME),
        fields.text("branch", 64, pattern=NAME),
        fields.text("journal", 32, pattern=ID),
        _each(fields, "printers", MAX_PRINTERS, NAME, 1),
        _each(fields, "jobs", MAX_OPEN, ID),
    )


def _each(fields: Fields, name: str, most: int, pattern: str, least: int = 0) -> tuple[str, ...]:
    listed = fields.items(name, most, least)
    values = tuple(
        Fields({"it": each}, f"{fields.path(name)}[{number}]").text("it", 64, pattern=pattern)
        for number, each in enumerate(listed)
    )
    if len(set(values)) != len(values):
        raise Invalid(fields.path(name), "has an item twice")
    return values


def _print(fields: Fields) -> Print:
    return Print(
        fields.text("id", 32, pattern=ID),
        fields.text("printer", 64, pattern=NAME),
        fields.text("kind", 32, pattern=KIND),
        fields.seconds("timeout", 0.1, 600, 30),
        fields.take("receipt", dict),
    )


def _done(fields: Fields) -> Done:
    return Done(
        fields.text("id", 32, pattern=ID),
        fields.choice("outcome", OUTCOMES),
        fields.text("error_type", 64, ""),
        fields.take("partial", bool),
    )


_READERS: Final[dict[str, Any]] = {
    "hello": _hello,
    "welcome": lambda fields: Welcome(),
    "refuse": lambda fields: Refuse(fields.text("why", 500)),
    "print": _print,
    "done": _done,
    "settled": lambda fields: Settled(fields.text("id", 32, pattern=ID)),
}
