"""What TCP can say of the bytes that were sent, of sockets that are in no state to be asked."""

import errno
import socket
import struct

import pytest

from printobs.core import clock
from printobs.core.conventions import JobError
from printobs.signals.acknowledgement import unacknowledged, wait_acknowledged


def test_a_socket_that_another_thread_has_closed_is_an_os_error() -> None:
    device = socket.socket()
    device.close()
    with pytest.raises(OSError, match="descriptor") as raised:
        unacknowledged(device)
    assert raised.value.errno == errno.EBADF


def test_a_reset_ends_the_wait() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        device = socket.create_connection(listener.getsockname())
        peer, _ = listener.accept()
        with device:
            assert wait_acknowledged(device, clock.monotonic() + 5) is None
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            peer.close()
            assert wait_acknowledged(device, clock.monotonic() + 5) is JobError.RESET
