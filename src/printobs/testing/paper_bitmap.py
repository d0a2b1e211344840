"""Bitmaps of one bit a dot, as a print head burns them, and what ESC/POS does to them."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Bitmap:
    """Rows from the top, each padded to whole bytes, most significant bit leftmost, 1 = black."""

    width: int
    height: int
    data: bytes

    @property
    def stride(self) -> int:
        """Bytes in a row."""
        return (self.width + 7) // 8

    def black(self, x: int, y: int) -> bool:
        """Whether this dot is burnt."""
        return bool(self.data[y * self.stride + x // 8] & 0x80 >> x % 8)

    def rows(self, first: int, last: int) -> "Bitmap":
        """The rows from `first` up to, not including, `last`."""
        last = min(last, self.height)
        return Bitmap(self.width, last - first, self.data[first * self.stride : last * self.stride])

    def beside(self, other: "Bitmap") -> "Bitmap":
        """This bitmap with another to its right, tops level; what the lower one lacks is white."""
        width, height = self.width + other.width, max(self.height, other.height)
        stride = (width + 7) // 8
        shift = stride * 8 - width
        rows = []
        for y in range(height):
            bits = self._bits(y) << other.width | other._bits(y)
            rows.append((bits << shift).to_bytes(stride))
        return Bitmap(width, height, b"".join(rows))

    def _bits(self, y: int) -> int:
        """A row as a number of `width` bits."""
        row = self.data[y * self.stride : (y + 1) * self.stride]
        return int.from_bytes(row) >> (self.stride * 8 - self.width)

    def cropped(self, width: int) -> "Bitmap":
        """What is left when the paper is narrower."""
        if self.width <= width:
            return self
        stride = (width + 7) // 8
        mask = 0xFF << (stride * 8 - width) & 0xFF
        rows = (self.data[y * self.stride : y * self.stride + stride] for y in range(self.height))
        return Bitmap(width, self.height, b"".join(row[:-1] + bytes([row[-1] & mask]) for row in rows))

    def scaled(self, across: int, down: int) -> "Bitmap":
        """Each dot repeated `across` times to the right and `down` times downwards."""
        if across == down == 1:
            return self
        width = self.width * across
        stride = (width + 7) // 8
        rows = []
        for y in range(self.height):
            row = self.data[y * self.stride : (y + 1) * self.stride]
            if across > 1:
                bits = f"{int.from_bytes(row):0{len(row) * 8}b}"[: self.width]
                wide = "".join(bit * across for bit in bits).ljust(stride * 8, "0")
                row = int(wide or "0", 2).to_bytes(stride)
            rows.append(row * down)
        return Bitmap(width, self.height * down, b"".join(rows))


def raster(width: int, height: int, data: bytes) -> Bitmap:
    """A bitmap from raster data (rows); what is missing is white."""
    size = (width + 7) // 8 * height
    return Bitmap(width, height, data[:size].ljust(size, b"\x00"))


def columns(width: int, height: int, data: bytes) -> Bitmap:
    """A bitmap from column data: one column after another, each from the top, padded to whole bytes."""
    deep, stride = (height + 7) // 8, (width + 7) // 8
    rows = bytearray(stride * height)
    for x, y_byte in ((index // deep, index % deep) for index in range(min(len(data), width * deep))):
        value = data[x * deep + y_byte]
        for bit in range(8):
            y = y_byte * 8 + bit
            if value & 0x80 >> bit and y < height:
                rows[y * stride + x // 8] |= 0x80 >> x % 8
    return Bitmap(width, height, bytes(rows))
