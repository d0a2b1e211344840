"""Whether what was sent has arrived at the peer's network interface: all that TCP can say, and no proof of print."""

from __future__ import annotations

import errno
import os
import socket
import time
from time import perf_counter

from printobs.core.conventions import JobError

try:
    import fcntl
    import select
    import termios
except ImportError:  # Windows tells nobody what is not yet acknowledged
    fcntl = None  # type: ignore[assignment]


def wait_acknowledged(device: object, deadline: float) -> JobError | None:
    """Wait until the peer's kernel has acknowledged every byte of a TCP socket; ``None`` once it has.

    Where that cannot be known (no socket, not Linux or a BSD) nothing is waited for and nothing is claimed.
    """
    if fcntl is None or not isinstance(device, socket.socket) or device.fileno() < 0:
        return None
    pause = 0.0005
    poll = select.poll()
    poll.register(device, 0)  # errors and hang-ups are always told, and stay for whoever asks next
    while True:
        try:
            left = unacknowledged(device)
            if any(event & (select.POLLERR | select.POLLHUP | select.POLLNVAL) for _, event in poll.poll(0)):
                return JobError.RESET
        except OSError:
            return JobError.RESET
        if left == 0:
            return None
        remaining = deadline - perf_counter()
        if remaining <= 0:
            return JobError.TIMEOUT
        time.sleep(min(pause, remaining))
        pause = min(pause * 2, 0.02)


def unacknowledged(device: socket.socket) -> int:
    """Bytes that were sent and are not acknowledged; 0 where nobody can tell. Raises OSError for a closed socket."""
    if (descriptor := device.fileno()) < 0:  # another thread has closed it; ioctl() would raise ValueError
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))
    return 0 if fcntl is None else int.from_bytes(fcntl.ioctl(descriptor, termios.TIOCOUTQ, bytes(4)), "little")
