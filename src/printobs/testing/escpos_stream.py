"""The ESC/POS byte stream cut into commands, whatever pieces it arrives in.

The lengths come from Epson's ESC/POS Command Reference for the TM-T88 series. No socket, no printer state: bytes
in, `Command` objects out.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

_ESC, _FS, _GS, _DLE = 0x1B, 0x1C, 0x1D, 0x10
_PREFIX_NAMES = {_ESC: "ESC", _FS: "FS", _GS: "GS", _DLE: "DLE"}
_CONTROL_NAMES = {0x09: "HT", 0x0A: "LF", 0x0C: "FF", 0x0D: "CR", 0x18: "CAN"}
_SECOND_NAMES = {0x04: "EOT", 0x05: "ENQ", 0x14: "DC4", 0x0C: "FF", 0x20: "SP"}

# A NUL-terminated command whose NUL never comes ends here, so that no stream can make the parser grow.
_LONGEST_TERMINATED = 258

REALTIME = frozenset({"DLE EOT", "DLE ENQ", "DLE DC4"})
_STATUS_REQUEST = re.compile(rb"\x10\x04[\x01-\x04]", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Command:
    """One command: its name as the manual writes it ("GS v 0", "LF", "text"), its parameters, all of its bytes.

    A "text" command is one byte of text. "unknown" is a prefix whose second byte no manual defines, "control" a
    control character that does nothing on paper.
    """

    name: str
    params: bytes
    raw: bytes


_Measure = Callable[[bytes | bytearray], int]
"""From the first bytes of a command to its length, as far as they tell: a result above what is there means "more"."""


def _fixed(params: int) -> _Measure:
    return lambda data: 2 + params


def _word(data: bytes | bytearray, at: int) -> int:
    return int.from_bytes(data[at : at + 2], "little")


def _needs(header: int) -> Callable[[_Measure], _Measure]:
    """A measure that is asked only once its header is there."""

    def decorate(measure: _Measure) -> _Measure:
        return lambda data: measure(data) if len(data) >= header else header

    return decorate


def _terminated(start: int) -> _Measure:
    def measure(data: bytes | bytearray) -> int:
        end = data.find(b"\x00", start, _LONGEST_TERMINATED)
        return end + 1 if end >= 0 else min(len(data) + 1, _LONGEST_TERMINATED)

    return measure


@_needs(5)
def _parenthesis(data: bytes | bytearray) -> int:
    return 5 + _word(data, 3)


@_needs(7)
def _long_parenthesis(data: bytes | bytearray) -> int:
    return 7 + int.from_bytes(data[3:7], "little")


@_needs(5)
def _bit_image(data: bytes | bytearray) -> int:
    bytes_a_column = {0: 1, 1: 1, 32: 3, 33: 3}.get(data[2], 0)
    return 5 + bytes_a_column * _word(data, 3)


def _tabs(data: bytes | bytearray) -> int:
    """Positions rise and end with NUL; the first that does not rise ends them as well, and at most 32 are taken."""
    last = 0
    for index in range(2, min(len(data), 34)):
        if data[index] <= last:
            return index + 1 if data[index] == 0 else index
        last = data[index]
    return 34 if len(data) >= 34 and data[33] != 0 else len(data) + 1


@_needs(5)
def _user_characters(data: bytes | bytearray) -> int:
    rows, first, last = data[2], data[3], data[4]
    length = 5
    for _ in range(first, last + 1):
        if len(data) <= length:
            return length + 1
        length += 1 + rows * data[length]
    return length


@_needs(3)
def _cut(data: bytes | bytearray) -> int:
    return 3 if data[2] in (0, 1, 48, 49) else 4


@_needs(3)
def _barcode(data: bytes | bytearray) -> int:
    if data[2] < 65:
        return _terminated(3)(data)
    return 4 + data[3] if len(data) >= 4 else 4


@_needs(8)
def _raster(data: bytes | bytearray) -> int:
    return 8 + _word(data, 4) * _word(data, 6)


@_needs(4)
def _downloaded_image(data: bytes | bytearray) -> int:
    return 4 + data[2] * data[3] * 8


@_needs(3)
def _counter(data: bytes | bytearray) -> int:
    if data[2] == ord(";"):
        end = 2
        for _ in range(6):
            end = data.find(b";", end, _LONGEST_TERMINATED) + 1
            if end == 0:
                return min(len(data) + 1, _LONGEST_TERMINATED)
        return end
    return {0x30: 5, 0x31: 9, 0x32: 5}.get(data[2], 3)


@_needs(15)
def _windows_bitmap(data: bytes | bytearray) -> int:
    return 9 + max(6, int.from_bytes(data[11:15], "little"))


@_needs(3)
def _nv_images(data: bytes | bytearray) -> int:
    length = 3
    for _ in range(data[2]):
        if len(data) < length + 4:
            return length + 4
        length += 4 + _word(data, length) * _word(data, length + 2) * 8
    return length


@_needs(10)
def _nv_memory(data: bytes | bytearray) -> int:
    return 10 + (_word(data, 8) if data[2] == 0x31 else 0)


@_needs(3)
def _status_request(data: bytes | bytearray) -> int:
    return 4 if data[2] in (7, 8, 18) else 3


@_needs(3)
def _realtime_request(data: bytes | bytearray) -> int:
    return {1: 5, 2: 5, 3: 8, 7: 4, 8: 10}.get(data[2], 3)


def _table(fixed: dict[int, str], special: dict[str, _Measure]) -> dict[int, _Measure]:
    measures = {ord(letter): _fixed(count) for count, letters in fixed.items() for letter in letters}
    return measures | {ord(letter): measure for letter, measure in special.items()}


_MEASURES: dict[int, dict[int, _Measure]] = {
    _ESC: _table(
        {0: "2@LSimv<\x0c", 1: " !%+-3=?ACEGJKMNQRTUVadegrtu{", 2: "$\\Bcf", 3: "p", 8: "W"},
        {"D": _tabs, "&": _user_characters, "*": _bit_image, "(": _parenthesis},
    ),
    _GS: _table(
        {0: ":", 1: "!BEHITabdfhjrw|/", 2: "LWP$\\", 3: "z^", 4: "g"},
        {
            "V": _cut,
            "k": _barcode,
            "v": _raster,
            "Q": _raster,
            "*": _downloaded_image,
            "(": _parenthesis,
            "8": _long_parenthesis,
            "C": _counter,
            "D": _windows_bitmap,
        }
        | {"c": _fixed(0)},
    ),
    _FS: _table(
        {0: "&.", 1: "!-CW", 2: "Sp?", 74: "2"},
        {"q": _nv_images, "g": _nv_memory, "(": _parenthesis},
    ),
    _DLE: _table({1: "\x05"}, {"\x04": _status_request, "\x14": _realtime_request}),
}

# Commands whose third byte is part of their name.
_THREE_BYTE_NAMES = {"ESC c", "ESC (", "GS (", "GS 8", "GS v", "GS Q", "GS C", "GS g", "FS (", "FS g"}

_TEXT = [Command("text", bytes([byte]), bytes([byte])) for byte in range(256)]
_CONTROLS = {
    byte: Command(_CONTROL_NAMES.get(byte, "control"), b"", bytes([byte]))
    for byte in (*range(0x20), 0x7F)
    if byte not in _PREFIX_NAMES
}


class StreamParser:
    """Cuts a stream into commands; any split of the bytes gives the same commands in the same order.

    With `realtime_in_data` a DLE EOT request seen inside another command's data is reported too (before that
    command, which keeps all its bytes), as some models answer it.
    """

    def __init__(self, *, realtime_in_data: bool = False) -> None:
        self._realtime_in_data = realtime_in_data
        self._pending = bytearray()
        self._needed = 1
        self._scanned = 1

    @property
    def pending(self) -> int:
        """The number of bytes held of a command that is not complete."""
        return len(self._pending)

    def copy(self) -> "StreamParser":
        """A parser in the same place of the stream."""
        twin = StreamParser(realtime_in_data=self._realtime_in_data)
        twin._pending = self._pending[:]
        twin._needed, twin._scanned = self._needed, self._scanned
        return twin

    def feed(self, data: bytes) -> list[Command]:
        """The commands that these bytes complete."""
        commands: list[Command] = []
        self._pending += data
        start, buffered = 0, self._pending
        while start < len(buffered):
            first = buffered[start]
            if first not in _PREFIX_NAMES:
                commands.append(_CONTROLS.get(first) or _TEXT[first])
                start += 1
                continue
            if len(buffered) - start < self._needed:
                self._scan(commands, start, len(buffered))
                break
            length = self._measure(buffered[start:] if start else buffered)
            if length > len(buffered) - start:
                self._needed = length
                self._scan(commands, start, len(buffered))
                break
            self._scan(commands, start, start + length)
            commands.append(_command(bytes(buffered[start : start + length])))
            start += length
            self._needed = self._scanned = 1
        del buffered[:start]
        return commands

    @staticmethod
    def _measure(data: bytearray) -> int:
        if len(data) < 2:
            return 2
        known = _MEASURES[data[0]].get(data[1])
        if known is not None:
            return known(data)
        # A lone FS selects the slip station; a lone prefix before another one or before a control is noise. Neither
        # may swallow the byte that follows.
        return 1 if data[0] in (_FS, _DLE) or data[1] < 0x20 else 2

    def _scan(self, commands: list[Command], start: int, end: int) -> None:
        if not self._realtime_in_data:
            return
        last = start + self._scanned
        for match in _STATUS_REQUEST.finditer(self._pending, last, end):
            commands.append(_command(match.group()))
            last = match.end()
        # Two bytes of a request may already be here.
        self._scanned = max(last, end - 2) - start


def _command(raw: bytes) -> Command:
    if len(raw) == 1:
        return Command("FS" if raw[0] == _FS else "control", b"", raw)
    if raw[1] not in _MEASURES[raw[0]]:
        return Command("unknown", raw[1:], raw)
    name = f"{_PREFIX_NAMES[raw[0]]} {_SECOND_NAMES.get(raw[1]) or chr(raw[1])}"
    if name in _THREE_BYTE_NAMES:
        return Command(f"{name} {chr(raw[2])}", raw[3:], raw)
    return Command(name, raw[2:], raw)
