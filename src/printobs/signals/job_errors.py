"""From what a driver raised to the closed list of ``error.type``."""

from __future__ import annotations

import errno
import socket
from typing import Final

from printobs.core.conventions import JobError, Stage

_UNREACHABLE: Final = frozenset({errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN, errno.ENETDOWN})
_NOT_FOUND: Final = frozenset({errno.ENOENT, errno.ENODEV, errno.ENXIO})


def classify(error: BaseException, stage: Stage) -> JobError:
    """The ``error.type`` of what was raised in ``stage``; the first cause in the chain that says something counts."""
    seen: set[int] = set()
    absent = False
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        found = _of(cause, stage)
        if found is not None:
            return found
        absent = absent or type(cause).__name__ == "DeviceNotFoundError"
        # python-escpos raises its own errors while it handles the socket's.
        cause = cause.__cause__ or cause.__context__
    return JobError.NOT_FOUND if absent else JobError.OTHER


def _of(error: BaseException, stage: Stage) -> JobError | None:
    connecting = stage is Stage.CONNECT
    if isinstance(error, ConnectionRefusedError):
        return JobError.CONNECT_REFUSED
    if isinstance(error, socket.gaierror):
        return JobError.RESOLVE
    if isinstance(error, TimeoutError) or type(error).__name__ in {"SerialTimeoutException", "USBTimeoutError"}:
        return JobError.CONNECT_TIMEOUT if connecting else JobError.WRITE_TIMEOUT
    if isinstance(error, ConnectionError):  # reset, aborted, broken pipe
        return JobError.RESET
    if isinstance(error, OSError) and error.errno in _UNREACHABLE:
        return JobError.CONNECT_UNREACHABLE
    if isinstance(error, OSError) and error.errno in _NOT_FOUND:
        return JobError.NOT_FOUND
    return None
