"""An ESC/POS printer on TCP, for tests and demonstrations."""

import contextlib
import secrets
import select
import selectors
import socket
import struct
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from typing import Final, Literal, Self, TypeVar

from printobs.testing.paper import Receipt
from printobs.testing.print_mechanism import Identity, Mechanism
from printobs.testing.printer_status import Status

_T = TypeVar("_T")

_KEPT_BYTES = 16 << 20
# With the buffer full, arrivals behind unread bytes are looked for this often, in seconds.
_GLANCE: Final = 0.02
_LINGER_ZERO = struct.pack("ii", 1, 0)


class VirtualPrinter:
    """A printer that listens on TCP at once, in a thread of its own, and keeps what came out on paper.

    It behaves as a real one does: a finite receive buffer (while it is full the socket is not read, and the sender
    waits), a print head with a speed in dots per second (None: no time passes), one connection served at a time (the
    next ones wait to be accepted), real-time status answered at once, all else in the order of the stream, a process
    ID confirmed only when the paper before it has moved. Settings, buffer and half-sent commands outlive a connection.
    `process_id=False` ignores GS ( H as a clone does, `"text"` prints it. All methods may be called from any
    thread; they have taken effect when they return. `port=0` picks a free port. `serial=None` makes one up: no two
    have the same, but those on a port that was chosen. Raises OSError where it cannot listen.
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        name: str = "printer",
        model: str = "TM-T88VI",
        maker: str = "EPSON",
        firmware: str = "40.01 ESC/POS",
        serial: str | None = None,
        receive_buffer: int = 4096,
        speed: float | None = None,
        columns: int = 48,
        dots: int = 576,
        process_id: bool | Literal["text"] = True,
        realtime_in_data: bool = False,
        power_on_notice: bool = False,
    ) -> None:
        if receive_buffer < 1 or columns < 1 or dots < columns or (speed is not None and not speed > 0):
            raise ValueError("receive_buffer, columns and speed must be positive, dots at least columns")
        self.host = host
        self.name = name
        self._power_on_notice = power_on_notice
        self._notice_due = power_on_notice
        self._mechanism = Mechanism(
            Identity(firmware, maker, model, serial or f"VIRTUAL{port or secrets.token_hex(4)}"),
            receive_buffer=receive_buffer,
            speed=speed,
            columns=columns,
            dots=dots,
            process_id=process_id,
            realtime_in_data=realtime_in_data,
        )
        self._received = bytearray()
        self._received_count = 0
        self._connections = 0
        self._trap: tuple[int, Callable[[], None]] | None = None
        self._connection: socket.socket | None = None
        self._outgoing = b""
        self._glanced = 0
        self._closing = False
        self._calls: SimpleQueue[tuple[Callable[[], object], Future[object]]] = SimpleQueue()
        self._progress = threading.Condition()

        # Bound for as long as the printer exists, so that nobody else gets the port while the power is off.
        self._reservation = _bound(host, port)
        self.port: int = self._reservation.getsockname()[1]
        self._listener: socket.socket | None = None
        try:
            self._listen()
        except BaseException:
            self._reservation.close()
            raise
        self._waker, self._woken = socket.socketpair()
        self._waker.setblocking(False)
        self._woken.setblocking(False)
        self._thread = threading.Thread(target=self._run, name=f"virtual printer {name}", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Take the printer away: its connection, its port and its thread. What was printed can still be read."""
        if not self._thread.is_alive():
            return

        def stop() -> None:
            self._closing = True

        self._do(stop)
        if threading.current_thread() is not self._thread:
            self._thread.join()

    # What came of it

    @property
    def receipts(self) -> tuple[Receipt, ...]:
        """The finished receipts, oldest first: cut ones, and torn ones (`cut` false) where power was lost."""
        return self._do(lambda: self._mechanism.roll.receipts)

    @property
    def current(self) -> Receipt | None:
        """What is on the paper since the last cut; None if nothing is."""
        return self._do(lambda: self._mechanism.roll.current)

    @property
    def received(self) -> bytes:
        """All bytes read from connections, of which the last 16 MiB are kept."""
        return self._do(lambda: bytes(self._received))

    @property
    def received_count(self) -> int:
        """The number of bytes read from connections."""
        return self._do(lambda: self._received_count)

    @property
    def buffered(self) -> int:
        """The number of bytes in the receive buffer."""
        return self._do(lambda: self._mechanism.buffered)

    @property
    def connections(self) -> int:
        """How many connections were accepted."""
        return self._do(lambda: self._connections)

    @property
    def drawer_kicks(self) -> int:
        """How many times the cash drawer was opened."""
        return self._do(lambda: self._mechanism.drawer_kicks)

    @property
    def powered(self) -> bool:
        """Whether the power is on."""
        return self._do(lambda: self._mechanism.powered)

    @property
    def unrecoverable(self) -> bool:
        """Whether only switching the power off and on helps."""
        return self._do(lambda: self._mechanism.status.unrecoverable_error)

    def wait_for_receipts(self, count: int, timeout: float = 5.0) -> tuple[Receipt, ...]:
        """The receipts, once at least `count` are finished; raises TimeoutError after `timeout` seconds."""
        with self._progress:
            if not self._progress.wait_for(lambda: self._mechanism.roll.finished >= count, timeout):
                finished = self._mechanism.roll.finished
                raise TimeoutError(f"{self.name}: {finished} of {count} receipts printed in {timeout} s")
        return self.receipts

    def wait_idle(self, timeout: float = 5.0) -> None:
        """Wait until all that was sent is read and printed; raises TimeoutError after `timeout` seconds.

        A printer that is offline with work in its buffer is not idle.
        """
        deadline = time.monotonic() + timeout
        while not self._do(self._idle):
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError(f"{self.name}: not idle after {timeout} s, {self.buffered} bytes in its buffer")
            with self._progress:
                self._progress.wait(min(left, 0.01))

    # What may befall it

    def paper_out(self, *, after_dots: int | None = None) -> None:
        """The roll ends: now, in the middle of what is being printed, or after so many more dots of paper."""
        if after_dots is None:
            self._change(lambda status: _set(status, paper_out=True))
            return

        def shorten() -> None:
            self._mechanism.paper_left = after_dots

        self._do(shorten)

    def paper_in(self) -> None:
        """A new roll: printing goes on where it stopped."""

        def renew(status: Status) -> None:
            self._mechanism.paper_left = None
            _set(status, paper_out=False, near_end=False)

        self._change(renew)

    def near_end(self) -> None:
        """The near-end sensor sees little paper."""
        self._change(lambda status: _set(status, near_end=True))

    def near_end_cleared(self) -> None:
        """The near-end sensor sees enough paper."""
        self._change(lambda status: _set(status, near_end=False))

    def cover_open(self) -> None:
        """Open the cover; the printer goes offline."""
        self._change(lambda status: _set(status, cover_open=True))

    def cover_close(self) -> None:
        """Close the cover."""
        self._change(lambda status: _set(status, cover_open=False))

    def offline(self) -> None:
        """Switch the printer offline, for no cause that it would name."""
        self._change(lambda status: _set(status, switched_offline=True))

    def online(self) -> None:
        """Switch the printer online again; other causes to be offline stay."""
        self._change(lambda status: _set(status, switched_offline=False))

    def press_feed(self) -> None:
        """Hold the feed button down."""
        self._change(lambda status: _set(status, feed_button=True))

    def release_feed(self) -> None:
        """Let the feed button go."""
        self._change(lambda status: _set(status, feed_button=False))

    def drawer_sensor(self, high: bool) -> None:
        """Set drawer connector pin 3."""
        self._change(lambda status: _set(status, drawer_high=high))

    def cutter_error(self, *, at_next_cut: bool = False) -> None:
        """Jam the cutter: now, or at the next cut, which is then not made."""
        if not at_next_cut:
            self._change(lambda status: _set(status, cutter_error=True))
            return

        def jam() -> None:
            self._mechanism.jam_at_cut = True

        self._do(jam)

    def mechanical_error(self) -> None:
        """A recoverable error other than the cutter's."""
        self._change(lambda status: _set(status, mechanical_error=True))

    def overheated(self) -> None:
        """The print head is too hot, an error that goes by itself (`recover`)."""
        self._change(lambda status: _set(status, overheated=True))

    def unrecoverable_error(self) -> None:
        """An error that only switching the power off and on ends."""
        self._change(lambda status: _set(status, unrecoverable_error=True))

    def recover(self) -> None:
        """End the errors that can be recovered from; what they stopped goes on."""
        self._change(lambda status: _set(status, cutter_error=False, mechanical_error=False, overheated=False))

    def slow(self, dots_per_second: float | None) -> None:
        """Change the print head's speed from now on; None: no time passes."""
        if dots_per_second is not None and not dots_per_second > 0:
            raise ValueError("a print head's speed is above zero")

        def change() -> None:
            self._mechanism.speed = dots_per_second

        self._do(change)

    def mute(self) -> None:
        """Answer nothing any more; go on printing."""
        self._set_replies(mute=True, garbled=False)

    def unmute(self) -> None:
        """Answer again, and truly."""
        self._set_replies(mute=False, garbled=False)

    def garbage_replies(self) -> None:
        """Answer with bytes that are no valid replies: each inverted. `unmute` ends it."""
        self._set_replies(mute=False, garbled=True)

    def at_byte(self, count: int, fault: Callable[[], None]) -> None:
        """Call `fault`, one of these methods, right after `count` more bytes are read and, at speed None, printed.

        One can be laid at a time, `reset_at` and `power_off_at` among them.
        """
        self._set_trap(count, fault)

    def reset(self) -> None:
        """Reset the connection; what it sent and was read stays in the buffer."""
        self._do(self._reset)

    def reset_at(self, count: int) -> None:
        """Reset the connection right after `count` more bytes are read."""
        self._set_trap(count, self._reset)

    def power_off(self) -> None:
        """Lose buffer, settings and connections (reset), refuse new ones; what is printed is torn off."""
        self._do(self._cut_power)

    def power_off_at(self, count: int) -> None:
        """Lose power right after `count` more bytes are read and, at speed None, printed."""
        self._set_trap(count, self._cut_power)

    def power_on(self) -> None:
        """Start afresh on the same port; errors are gone, paper and cover are as they are."""

        def start() -> None:
            if not self._mechanism.powered:
                self._listen()
                self._mechanism.power_on()
                self._notice_due = self._power_on_notice

        self._do(start)

    def _change(self, change: Callable[[Status], None]) -> None:
        def apply() -> None:
            change(self._mechanism.status)
            self._mechanism.changed()

        self._do(apply)

    def _set_replies(self, *, mute: bool, garbled: bool) -> None:
        def apply() -> None:
            self._mechanism.mute = mute
            self._mechanism.garbled = garbled

        self._do(apply)

    def _set_trap(self, count: int, action: Callable[[], None]) -> None:
        if count < 1:
            raise ValueError("the first byte that can be read is number 1")

        def lay() -> None:
            self._trap = (count, action)

        self._do(lay)

    # The printer's thread: from here on everything happens in it

    def _do(self, call: Callable[[], _T]) -> _T:
        """Run a call in the printer's thread, work included, and give back what it returns."""
        if not self._thread.is_alive() or threading.current_thread() is self._thread:
            return call()
        future: Future[object] = Future()
        self._calls.put((call, future))
        with contextlib.suppress(OSError):  # Full: it is awake anyway. Closed: answered below.
            self._waker.send(b"\x00")
        while True:
            try:
                return future.result(timeout=0.5)  # type: ignore[return-value]
            except TimeoutError:
                if not self._thread.is_alive() and not future.done():
                    return call()

    def _run(self) -> None:
        try:
            with selectors.DefaultSelector() as selector:
                while not self._closing:
                    self._turn(selector)
        finally:
            for each in (self._connection, self._listener, self._reservation, self._waker, self._woken):
                if each is not None:
                    each.close()
            self._connection = self._listener = None
            with self._progress:
                self._progress.notify_all()

    def _turn(self, selector: selectors.BaseSelector) -> None:
        """Do what can be done, tell who waits, then sleep until there is more to do."""
        wake = self._mechanism.work(time.monotonic())
        self._send()
        self._answer_calls()
        if self._closing:
            return
        wake = self._mechanism.work(time.monotonic())
        self._send()
        with self._progress:
            self._progress.notify_all()
        timeout = None if wake is None else max(0.0, wake - time.monotonic())

        interests: list[tuple[socket.socket, int]] = [(self._woken, selectors.EVENT_READ)]
        connection = self._connection
        if connection is not None:
            events = selectors.EVENT_WRITE if self._outgoing else 0
            if self._mechanism.room:
                events |= selectors.EVENT_READ
            else:
                self._glance(connection)
                timeout = _GLANCE if timeout is None else min(timeout, _GLANCE)
            if events and connection is self._connection:
                interests.append((connection, events))
        elif self._listener is not None:
            interests.append((self._listener, selectors.EVENT_READ))

        for each, events in interests:
            selector.register(each, events)
        try:
            ready = [(key.fileobj, events) for key, events in selector.select(timeout)]
        finally:
            for each, _ in interests:
                selector.unregister(each)
        for readable, events in ready:
            if readable is self._woken:
                with contextlib.suppress(BlockingIOError):
                    self._woken.recv(4096)
            elif readable is self._listener:
                self._accept()
            elif readable is self._connection and events & selectors.EVENT_READ:
                self._read()

    def _answer_calls(self) -> None:
        while True:
            try:
                call, future = self._calls.get_nowait()
            except Empty:
                return
            try:
                result = call()
                # Who calls sees all that follows from it at once.
                self._mechanism.work(time.monotonic())
            except BaseException as error:  # It is the caller's.
                future.set_exception(error)
            else:
                future.set_result(result)

    def _listen(self) -> None:
        listener = _bound(self.host, self.port)
        try:
            # Inherited by connections: little waits at the interface beside the receive buffer.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            listener.listen(16)
        except BaseException:
            listener.close()
            raise
        self._listener = listener

    def _accept(self) -> None:
        assert self._listener is not None
        try:
            connection, _ = self._listener.accept()
        except OSError:  # It is gone again.
            return
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._connection = connection
        self._connections += 1
        self._outgoing = b""
        self._glanced = 0
        if self._notice_due:
            self._notice_due = False
            self._mechanism.notify_power_on()

    def _read(self) -> None:
        assert self._connection is not None
        room = self._mechanism.room
        if self._trap is not None:
            room = min(room, self._trap[0])
        try:
            data = self._connection.recv(room)
        except BlockingIOError:
            return
        except OSError:  # Reset by the host: what it had sent and nobody read is lost.
            self._disconnect()
            return
        if not data:
            self._send()
            self._disconnect()
            return
        self._glanced = 0
        self._received += data
        self._received_count += len(data)
        del self._received[: max(0, len(self._received) - _KEPT_BYTES)]
        self._mechanism.receive(data)
        if self._trap is not None:
            count, action = self._trap
            self._trap = (count - len(data), action)
            if count == len(data):
                self._trap = None
                self._mechanism.work(time.monotonic())
                self._send()
                action()

    def _glance(self, connection: socket.socket) -> None:
        """With the buffer full, answer the real-time requests that wait behind it."""
        try:
            waiting = connection.recv(1 << 16, socket.MSG_PEEK)
        except BlockingIOError:
            return
        except OSError:
            self._disconnect()
            return
        if len(waiting) > self._glanced:
            self._glanced = len(waiting)
            self._mechanism.glance(waiting)
            self._send()

    def _send(self) -> None:
        """Send what the host takes; what it does not read waits, and of the process IDs only the latest."""
        if self._connection is None:
            self._mechanism.take_replies()
            return
        if not self._outgoing:
            self._outgoing = self._mechanism.take_replies()
        while self._outgoing:
            try:
                sent = self._connection.send(self._outgoing)
            except BlockingIOError:
                return
            except OSError:
                self._disconnect()
                return
            self._outgoing = self._outgoing[sent:] or self._mechanism.take_replies()

    def _disconnect(self) -> None:
        if self._connection is not None:
            # With unread bytes in it, the kernel makes this a reset.
            self._connection.close()
            self._connection = None
        self._outgoing = b""
        self._mechanism.disconnected()

    def _reset(self) -> None:
        if self._connection is not None:
            self._connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
        self._disconnect()

    def _cut_power(self) -> None:
        self._reset()
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        self._mechanism.power_off()

    def _idle(self) -> bool:
        if not self._mechanism.idle or self._outgoing:
            return False
        waiting = self._connection or self._listener
        # An end of the connection, or somebody who waits to be served, is work too.
        return waiting is None or not select.select([waiting], [], [], 0)[0]


def _bound(host: str, port: int) -> socket.socket:
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    bound = socket.socket(family, kind, protocol)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
    except BaseException:
        bound.close()
        raise
    return bound


def _set(status: Status, **values: bool) -> None:
    for name, value in values.items():
        setattr(status, name, value)
