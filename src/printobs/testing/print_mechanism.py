"""A printer without its socket: bytes in, paper and replies out.

Between the two it has what a real one has. Bytes wait in a finite receive buffer, real-time requests among them are
answered as they arrive. Commands are *developed* in order, a little ahead of the print head, and their steps are done
at its speed. While the printer is offline both stand still. A power cut loses all but the paper.
"""

from collections import deque
from dataclasses import dataclass
from itertools import islice
from typing import Literal

from printobs.testing.escpos_stream import REALTIME, Command, StreamParser
from printobs.testing.escpos_typesetter import Typesetter
from printobs.testing.paper import Element, Feed, Image
from printobs.testing.paper_roll import Roll
from printobs.testing.paper_steps import Answer, Cut, Kick, Print, Step
from printobs.testing.printer_status import Status, watched

# How far development runs ahead of the print head: what makes GS r answer before the paper has moved.
_AHEAD_DOTS = 240
_AHEAD_STEPS = 64
_BAND_DOTS = 24
_MOST_REPLIES = 1024

# Requests and settings of the interface; no paper comes of them.
_REQUESTS = frozenset({"GS r", "GS I", "GS a", "GS ( H", "ESC v", "ESC u"})
_CLEAR_BUFFERS = b"\x08\x01\x03\x14\x01\x06\x02\x08"


@dataclass(frozen=True, slots=True)
class Identity:
    """What a printer says it is: GS I 65 to 68."""

    firmware: str
    maker: str
    model: str
    serial: str


@dataclass(slots=True)
class _Reply:
    data: bytes
    process_id: bool = False


class Mechanism:
    """A printer without its socket. Times are seconds of one monotonic clock, given by the caller.

    `room` bytes may be given to `receive`; `work` does all that can be done by now and says when to call it again;
    `take_replies` gives what is to be sent. After changing `status` or `speed`, call `changed` and `work`.
    """

    def __init__(
        self,
        identity: Identity,
        *,
        receive_buffer: int,
        speed: float | None,
        columns: int,
        dots: int,
        process_id: bool | Literal["text"],
        realtime_in_data: bool,
    ) -> None:
        self.status = Status()
        self.roll = Roll(columns=columns, dots=dots)
        self.speed = speed
        self.powered = True
        self.mute = False
        self.garbled = False
        self.jam_at_cut = False
        self.paper_left: int | None = None
        self.drawer_kicks = 0
        self._identity = identity
        self._receive_buffer = receive_buffer
        self._process_id = process_id
        self._parser = StreamParser(realtime_in_data=realtime_in_data)
        self._realtime_in_data = realtime_in_data
        self._typesetter = Typesetter(columns=columns, dots=dots)
        self._clock: float | None = None
        self._replies: deque[_Reply] = deque()
        self._forget()

    def _forget(self) -> None:
        """Empty all memory that needs power."""
        self._parser = StreamParser(realtime_in_data=self._realtime_in_data)
        self._answered_ahead = 0
        self._queue: deque[Command] = deque()
        self._queued_bytes = 0
        self._steps: deque[tuple[Step, bytes]] = deque()
        self._raw = bytearray()
        self._done_dots = 0
        self._budget = 0.0
        self._replies.clear()
        self._asb = 0
        self._last_asb = b""

    # The receive buffer

    @property
    def buffered(self) -> int:
        """The number of bytes in the receive buffer."""
        return self._queued_bytes + self._parser.pending

    @property
    def room(self) -> int:
        """How many bytes the receive buffer takes in now.

        While the printer is ready and the command at the head is not complete yet, its data goes on to the print
        memory, so that a command may be longer than the buffer.
        """
        if self._queue or self._steps or self.status.offline:
            return max(0, self._receive_buffer - self.buffered)
        return self._receive_buffer

    @property
    def idle(self) -> bool:
        """Whether nothing is left to do until more bytes come."""
        return not (self._queue or self._steps)

    def receive(self, data: bytes) -> None:
        """Take bytes into the receive buffer; real-time requests among them are carried out at once."""
        for command in self._parser.feed(data):
            if command.name not in REALTIME:
                self._queue.append(command)
                self._queued_bytes += len(command.raw)
            elif self._answered_ahead:
                self._answered_ahead -= 1
            else:
                self._realtime(command)

    def glance(self, waiting: bytes) -> None:
        """Carry out the real-time requests in what waits at the interface, of which `receive` will get the first."""
        requests = [command for command in self._parser.copy().feed(waiting) if command.name in REALTIME]
        for command in islice(requests, self._answered_ahead, None):
            self._answered_ahead += 1
            self._realtime(command)

    def disconnected(self) -> None:
        """What waited at the interface will not come; what is in the buffer stays, an incomplete command too."""
        self._answered_ahead = 0
        self._replies.clear()

    # Replies

    def take_replies(self) -> bytes:
        """What is to be sent now."""
        data = b"".join(reply.data for reply in self._replies)
        self._replies.clear()
        return data

    def _reply(self, data: bytes, *, process_id: bool = False) -> None:
        if not data or self.mute or len(self._replies) >= _MOST_REPLIES:
            return
        if process_id:
            # Of the IDs that nobody has fetched yet only the latest is sent.
            for reply in [reply for reply in self._replies if reply.process_id]:
                self._replies.remove(reply)
        self._replies.append(_Reply(bytes(byte ^ 0xFF for byte in data) if self.garbled else data, process_id))

    def notify_power_on(self) -> None:
        """Send the power-on notice."""
        self._reply(b"\x3b\x31\x00")

    def changed(self) -> None:
        """The status may have changed: automatic status back says so, to whoever asked for it."""
        if not self._asb or not self.powered:
            return
        now, before = self.status.automatic(), self._last_asb
        if (int.from_bytes(now) ^ int.from_bytes(before)) & watched(self._asb):
            self._reply(now)
        self._last_asb = now

    def _realtime(self, command: Command) -> None:
        if command.name == "DLE EOT":
            self._reply(self.status.realtime(command.params[0]))
        elif command.name == "DLE ENQ" and command.params[0] in (1, 2):
            if command.params[0] == 2:
                self._clear_buffers()
            self.status.cutter_error = self.status.mechanical_error = False
            self.changed()
        elif command.name == "DLE DC4" and command.params == _CLEAR_BUFFERS:
            self._clear_buffers()
            self._reply(b"\x37\x25\x00")

    def _clear_buffers(self) -> None:
        """Waiting commands, process IDs among them, vanish; settings stay."""
        self._queue.clear()
        self._queued_bytes = 0
        self._steps.clear()
        self._raw.clear()
        self._done_dots = 0
        self._typesetter.clear()

    # Power

    def power_off(self) -> None:
        """Lose the buffers, the settings and the line that is being composed; the paper ends where it is."""
        self.powered = False
        self._forget()
        self._typesetter.reset()
        self.roll.tear()

    def power_on(self) -> None:
        """Start afresh; errors are gone, paper and cover are as they are."""
        self.powered = True
        self._clock = None
        self.jam_at_cut = False
        self.status.clear_errors()

    # Development: commands to steps

    def _develop(self) -> None:
        if not self._queue or len(self._steps) >= _AHEAD_STEPS:
            return  # Before the sum: a page is thousands of steps at once.
        ahead = sum(step.dots for step, _ in self._steps if isinstance(step, Print)) - self._done_dots
        while self._queue and ahead < _AHEAD_DOTS and len(self._steps) < _AHEAD_STEPS:
            command = self._queue.popleft()
            self._queued_bytes -= len(command.raw)
            if command.name in _REQUESTS:
                steps = self._answer(command)
            else:
                steps = self._typesetter.execute(command)
                self._raw += command.raw
                if command.name == "ESC @":
                    self._asb = 0
            for step in steps:
                self._steps.append((step, bytes(self._raw) if isinstance(step, Print | Cut) else b""))
                if isinstance(step, Print):
                    ahead += step.dots
                if isinstance(step, Print | Cut):
                    self._raw.clear()

    def _answer(self, command: Command) -> list[Step]:
        params = command.params
        match command.name:
            case "GS r":
                self._reply(self.status.buffered(params[0]))
            case "ESC v":
                self._reply(self.status.buffered(1))
            case "ESC u":
                self._reply(self.status.buffered(2))
            case "GS I":
                self._reply(self._identify(params[0]))
            case "GS a":
                self._asb = params[0]
                self._last_asb = self.status.automatic()
                if watched(self._asb):
                    self._reply(self._last_asb)
            case "GS ( H" if self._process_id == "text":
                self._raw += command.raw
                return self._typesetter.print_text(command.raw)
            case "GS ( H" if self._process_id and params[2:4] == b"00" and len(params) == 8:
                return [Answer(b"\x37\x22" + params[4:] + b"\x00")]
        return []

    def _identify(self, n: int) -> bytes:
        identity = self._identity
        texts = {65: identity.firmware, 66: identity.maker, 67: identity.model, 68: identity.serial}
        if n in texts:
            return b"_" + texts[n].encode("ascii", "replace") + b"\x00"
        return {1: b"\x20", 2: b"\x02", 3: b"\x01", 49: b"\x20", 50: b"\x02", 51: b"\x01"}.get(n, b"")

    # The print head

    def work(self, now: float) -> float | None:
        """Do what can be done by `now`; the time when more can be, None where only bytes or a change help."""
        elapsed = 0.0 if self._clock is None else now - self._clock
        self._clock = now
        if not self.powered or self.status.offline:
            self._budget = 0.0
            return None
        if self.speed is not None:
            self._budget += elapsed * self.speed
        while True:
            self._develop()
            if not self._steps:
                self._budget = 0.0
                return None
            step, raw = self._steps[0]
            missing = self._do(step, raw)
            if missing is None:
                return None
            if missing > 0:
                assert self.speed is not None
                return now + missing / self.speed

    def _do(self, step: Step, raw: bytes) -> float | None:
        """Do a step or a part of it: 0, or the dots that the head has not had the time for; None: the printer stops."""
        match step:
            case Print(element=element, dots=dots):
                return self._print(element, dots, raw)
            case Cut():
                if self.jam_at_cut:
                    self.jam_at_cut = False
                    self.status.cutter_error = True
                    self.changed()
                    return None
                self.roll.note(raw)
                self.roll.cut()
            case Kick():
                self.drawer_kicks += 1
            case _:
                self._reply(step.reply, process_id=True)
        self._steps.popleft()
        return 0.0

    def _print(self, element: Element, dots: int, raw: bytes) -> float | None:
        """Images and feeds come out band by band, all else as a whole once its last dots are out."""
        by_band = isinstance(element, Image | Feed)
        portion = dots - self._done_dots
        if by_band and self.speed is not None:
            portion = min(portion, _BAND_DOTS)
        if self.paper_left is not None and self.paper_left < portion:
            if not by_band or not self.paper_left:
                self.paper_left = None
                self.status.paper_out = True
                self.changed()
                return None
            portion = self.paper_left
        if self.speed is not None:
            if self._budget < portion:
                return portion - self._budget
            self._budget -= portion
        if self.paper_left is not None:
            self.paper_left -= portion
        self._bring_out(element, self._done_dots, portion, raw)
        self._done_dots += portion
        if self._done_dots == dots:
            self._done_dots = 0
            self._steps.popleft()
        return 0.0

    def _bring_out(self, element: Element, first: int, count: int, raw: bytes) -> None:
        if first == 0:
            self.roll.note(raw)
        match element:
            case Image(bitmap=bitmap, align=align):
                self.roll.add(Image(bitmap.rows(first, first + count), align))
            case Feed():
                self.roll.add(Feed(count))
            case _:
                self.roll.add(element)
