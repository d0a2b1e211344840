"""What one run of an application has shown, to hold a run with printobs beside one without."""

import logging
import re
from collections import defaultdict
from collections.abc import Awaitable, Callable
from typing import Any

from websockets.frames import Close

_FRAME = re.compile(r"[<>] (TEXT|BINARY|CONT|CLOSE|PING|PONG)\b")
_RANDOM = re.compile(r"(PING|PONG) .*\[(binary|text), 4 bytes\]")  # as the library's own payload is

# Whoever carries this is handled in a span where printobs is at work.
CARRYING = (
    '{"traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01","baggage":"correlation.id=order-1"}'
)


def shown(value: object) -> object:
    """``value`` as it can be compared with that of another run; of an exception all but its traceback."""
    if isinstance(value, BaseExceptionGroup):
        return (type(value), [shown(each) for each in value.exceptions])
    if isinstance(value, OSError) and value.errno is not None:
        return (type(value), value.errno)  # its text has a port
    if isinstance(value, BaseException):
        more = [(name, str(more)) for name, more in vars(value).items() if isinstance(more, str | int | Close)]
        return (type(value), str(value), more, _kind(value.__cause__), _kind(value.__context__))
    return value


def _kind(error: BaseException | None) -> type:
    # What the kernel reports of a peer that is gone, and whether, is a matter of luck.
    return type(None) if isinstance(error, ConnectionError) else type(error)


class Run:
    """The values and exceptions that each of several observers has seen, in their order, and the frames on the wire."""

    def __init__(self) -> None:
        self.seen: dict[str, list[object]] = defaultdict(list)
        self._frames: dict[tuple[str, str], list[str]] = defaultdict(list)
        self.in_order = True

    def note(self, who: str, *values: object) -> None:
        """``who`` has seen these."""
        self.seen[who] += [shown(value) for value in values]

    async def tried(self, who: str, call: Awaitable[Any]) -> Any:
        """What ``call`` gives or raises is seen; what it gives is given."""
        try:
            value = await call
        except BaseException as error:
            self.note(who, error)
            return None
        self.note(who, value)
        return value

    def called(self, who: str, call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """The same of a function."""
        try:
            value = call(*args, **kwargs)
        except BaseException as error:
            self.note(who, error)
            return None
        self.note(who, value)
        return value

    def logger(self, side: str) -> logging.Logger:
        """A logger for one side of connections of the ``websockets`` library, which tells it every frame."""
        logger = logging.Logger(side, logging.DEBUG)
        logger.addHandler(_Frames(self, side))
        return logger

    def result(self) -> dict[str, object]:
        """All of it; connections are in no order among each other, nor frames where ``in_order`` is false."""
        if not self.in_order:
            for lines in self._frames.values():
                lines.sort()
        return {**self.seen, "frames": sorted((side, *lines) for (side, _), lines in self._frames.items())}


class _Frames(logging.Handler):
    def __init__(self, run: Run, side: str) -> None:
        super().__init__()
        self._run = run
        self._side = side

    def emit(self, record: logging.LogRecord) -> None:
        line = record.getMessage()
        if record.levelno >= logging.ERROR:
            error = record.exc_info[1] if record.exc_info else None
            self._run.note(f"{self._side} log", (line, type(error)))
        elif _FRAME.match(line):
            # What is sent and what is received have an order of their own each.
            connection = str(record.__dict__["websocket"].id)
            self._run._frames[f"{self._side} {line[0]}", connection].append(_RANDOM.sub(r"\1 ?", line))
