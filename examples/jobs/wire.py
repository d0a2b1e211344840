"""The messages between service and agent: JSON objects with a ``type``, over one WebSocket.

An agent says ``hello``; the service welcomes it, or refuses it and closes. Then the service sends ``print``, the agent
answers ``done`` when it knows how it ended, and again after each reconnection until the service says ``settled``. A
dispatch belongs to the connection that it came by: not started by its end, it never is. Any message may carry in-band
context (``traceparent``, ``tracestate``, ``baggage``); any other unknown field is refused.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from examples.jobs.checks import Fields, Invalid, parse

NAME: Final = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
KIND: Final = r"[a-z][a-z0-9_-]{0,31}"
ID: Final = r"[0-9a-f]{32}"
WORD: Final = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}|"  # of an error type, a window, a state
BASE64: Final = r"[A-Za-z0-9+/]*={0,2}"
OUTCOMES: Final = ("confirmed", "written", "failed", "unknown")
MAX_PRINTERS: Final = 100
MAX_OPEN: Final = 1000
MAX_RAW: Final = 64 * 1024  # bytes of raw ESC/POS
MAX_TIMEOUT: Final = 600.0  # seconds
MAX_LIFETIME: Final = 86_400.0  # seconds from its submission in which a job may begin
MAX_SEQUENCE: Final = 2**63 - 1

# Close codes of this protocol (RFC 6455, section 7.4.2, private use).
PROTOCOL_ERROR: Final = 4000
REFUSED: Final = 4003
REPLACED: Final = 4009


@dataclass(frozen=True, slots=True)
class Printer:
    """A printer that an agent claims; ``serial`` is what the printer itself said, or empty."""

    id: str
    serial: str = ""


@dataclass(frozen=True, slots=True)
class Known:
    """A job in an agent's journal: ``started`` or ``done``."""

    id: str
    state: str


@dataclass(frozen=True, slots=True)
class Hello:
    """An agent presents itself.

    ``journal`` is the identity of its journal, ``sequence`` a durable counter that grows with every write to it, and
    before every hello: not higher than the last one, the journal has gone back in time. ``jobs`` are those in the
    journal that are not settled.
    """

    agent: str
    branch: str
    journal: str
    sequence: int
    printers: tuple[Printer, ...]
    jobs: tuple[Known, ...] = ()


@dataclass(frozen=True, slots=True)
class Refused:
    """A printer that the service sends nothing to."""

    id: str
    why: str


@dataclass(frozen=True, slots=True)
class Welcome:
    """The service takes the agent and its printers, except those ``refused``: each with why, for its operator."""

    refused: tuple[Refused, ...] = ()


@dataclass(frozen=True, slots=True)
class Refuse:
    """The service does not take the agent: ``why`` is for its operator."""

    why: str


@dataclass(frozen=True, slots=True)
class Print:
    """Print a receipt, or raw ESC/POS in base64: one of both, the other is empty.

    ``timeout`` in seconds, for all of it; it must have begun within ``expires_in`` seconds. ``reprint_of`` is the job
    that this may be a second copy of, or empty: such a copy is marked on paper.
    """

    id: str
    printer: str
    kind: str
    timeout: float
    expires_in: float
    receipt: dict[str, Any] = field(default_factory=dict, repr=False)
    raw: str = field(default="", repr=False)
    reprint_of: str = ""


@dataclass(frozen=True, slots=True)
class Cancel:
    """Never start this job, if it is not too late."""

    id: str


@dataclass(frozen=True, slots=True)
class Cancelled:
    """The answer to `Cancel`: true where the job has not been started and never will be, false where it is too late."""

    id: str
    cancelled: bool


@dataclass(frozen=True, slots=True)
class Done:
    """How a job ended; ``window`` is where the doubt of an *unknown* one is, and empty otherwise."""

    id: str
    outcome: str
    error_type: str = ""
    partial: bool = False
    window: str = ""


@dataclass(frozen=True, slots=True)
class Settled:
    """The service has the result: the agent may forget the job."""

    id: str


@dataclass(frozen=True, slots=True)
class Evidence:
    """The proof of an unknown job, come late. It is not acknowledged."""

    id: str


@dataclass(frozen=True, slots=True)
class State:
    """How a printer is now: a short name as ``ready`` or ``paper_end``; ``score`` from 0 to 100, -1 for none."""

    printer: str
    state: str
    score: int = -1


Message = Hello | Welcome | Refuse | Print | Cancel | Cancelled | Done | Settled | Evidence | State


def dump(message: Message) -> dict[str, Any]:
    """The message as a JSON object."""
    body = {"type": type(message).__name__.lower(), **asdict(message)}
    if isinstance(message, Print):
        del body["raw" if message.receipt else "receipt"]
    return body


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
        fields.integer("sequence", 0, MAX_SEQUENCE),
        tuple(map(_printer, _objects(fields, "printers", MAX_PRINTERS, 1))),
        tuple(map(_known, _objects(fields, "jobs", MAX_OPEN))),
    )


def _printer(fields: Fields) -> Printer:
    printer = Printer(fields.text("id", 64, pattern=NAME), fields.text("serial", 64, ""))
    fields.end()
    return printer


def _refused(fields: Fields) -> Refused:
    refused = Refused(fields.text("id", 64, pattern=NAME), fields.text("why", 500))
    fields.end()
    return refused


def _known(fields: Fields) -> Known:
    known = Known(fields.text("id", 32, pattern=ID), fields.choice("state", ("started", "done")))
    fields.end()
    return known


def _objects(fields: Fields, name: str, most: int, least: int = 0) -> Iterable[Fields]:
    listed = fields.items(name, most, least)
    names = [each["id"] for each in listed if isinstance(each, dict) and isinstance(each.get("id"), str)]
    if len(set(names)) != len(names):
        raise Invalid(fields.path(name), "has an item twice")
    return [Fields(each, f"{fields.path(name)}[{number}]") for number, each in enumerate(listed)]


def _print(fields: Fields) -> Print:
    message = Print(
        fields.text("id", 32, pattern=ID),
        fields.text("printer", 64, pattern=NAME),
        fields.text("kind", 32, pattern=KIND),
        fields.seconds("timeout", 0.1, MAX_TIMEOUT, 30),
        fields.seconds("expires_in", 0, MAX_LIFETIME, 300),
        fields.take("receipt", dict, {}),
        fields.text("raw", MAX_RAW * 4 // 3 + 4, "", pattern=BASE64),
        fields.text("reprint_of", 32, "", pattern=ID + "|"),
    )
    if bool(message.receipt) == bool(message.raw):
        raise Invalid("receipt", "must be there where raw is not, and only there")
    return message


def _done(fields: Fields) -> Done:
    return Done(
        fields.text("id", 32, pattern=ID),
        fields.choice("outcome", OUTCOMES),
        fields.text("error_type", 64, "", pattern=WORD),
        fields.take("partial", bool, False),
        fields.text("window", 64, "", pattern=WORD),
    )


def _identified(fields: Fields) -> str:
    return fields.text("id", 32, pattern=ID)


_READERS: Final[dict[str, Any]] = {
    "hello": _hello,
    "welcome": lambda fields: Welcome(tuple(map(_refused, _objects(fields, "refused", MAX_PRINTERS)))),
    "refuse": lambda fields: Refuse(fields.text("why", 500)),
    "print": _print,
    "cancel": lambda fields: Cancel(_identified(fields)),
    "cancelled": lambda fields: Cancelled(_identified(fields), fields.take("cancelled", bool)),
    "done": _done,
    "settled": lambda fields: Settled(_identified(fields)),
    "evidence": lambda fields: Evidence(_identified(fields)),
    "state": lambda fields: State(
        fields.text("printer", 64, pattern=NAME),
        fields.text("state", 32, pattern=r"[a-z][a-z0-9_]*"),
        fields.integer("score", -1, 100, -1),
    ),
}
