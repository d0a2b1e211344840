"""What is the matter with a printer, and the status bytes that say so (ESC/POS Command Reference, TM-T88 series)."""

from dataclasses import dataclass


@dataclass(slots=True)
class Status:
    """The sensors, switches and errors of a printer."""

    near_end: bool = False
    paper_out: bool = False
    cover_open: bool = False
    switched_offline: bool = False
    drawer_high: bool = False
    feed_button: bool = False
    mechanical_error: bool = False
    cutter_error: bool = False
    unrecoverable_error: bool = False
    overheated: bool = False

    @property
    def error(self) -> bool:
        """Whether an error stops the printer."""
        return self.mechanical_error or self.cutter_error or self.unrecoverable_error or self.overheated

    @property
    def offline(self) -> bool:
        """Whether the printer does not print, for whatever reason."""
        return self.paper_out or self.cover_open or self.switched_offline or self.feed_button or self.error

    def clear_errors(self) -> None:
        """What switching the power off and on mends."""
        self.mechanical_error = self.cutter_error = self.unrecoverable_error = self.overheated = False

    def realtime(self, n: int) -> bytes:
        """The answer to DLE EOT n; nothing where n is none of 1 to 4."""
        match n:
            case 1:
                bits = 0x04 * self.drawer_high | 0x08 * self.offline | 0x20 * self._waits | 0x40 * self.feed_button
            case 2:
                bits = 0x04 * self.cover_open | 0x08 * self.feed_button | 0x20 * self.paper_out | 0x40 * self.error
            case 3:
                bits = self._errors
            case 4:
                bits = 0x0C * (self.near_end or self.paper_out) | 0x60 * self.paper_out
            case _:
                return b""
        return bytes([0x12 | bits])

    def buffered(self, n: int) -> bytes:
        """The answer to GS r n (1 paper, 2 drawer); nothing where n is neither."""
        match n:
            case 1 | 49:
                return bytes([self._paper])
            case 2 | 50:
                return bytes([int(self.drawer_high)])
        return b""

    def automatic(self) -> bytes:
        """The four bytes of automatic status back."""
        first = 0x04 * self.drawer_high | 0x08 * self.offline | 0x20 * self.cover_open | 0x40 * self.feed_button
        return bytes([0x10 | first, self._errors, self._paper, 0])

    @property
    def _errors(self) -> int:
        return (
            0x04 * self.mechanical_error
            | 0x08 * self.cutter_error
            | 0x20 * self.unrecoverable_error
            | 0x40 * self.overheated
        )

    @property
    def _waits(self) -> bool:
        # These errors end with DLE ENQ, not by themselves.
        return self.mechanical_error or self.cutter_error

    @property
    def _paper(self) -> int:
        return 0x03 * (self.near_end or self.paper_out) | 0x0C * self.paper_out


# Which bits of the four bytes each bit of GS a n watches.
_WATCHED = {0x01: 0x04000000, 0x02: 0x28000000, 0x04: 0x00FF0000, 0x08: 0x0000FF00, 0x40: 0x40000000}


def watched(n: int) -> int:
    """The bits of automatic status back, as one number, whose change GS a n wants to hear of."""
    return sum(mask for bit, mask in _WATCHED.items() if n & bit)
