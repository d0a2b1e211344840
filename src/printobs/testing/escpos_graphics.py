"""Images as ESC/POS sends, stores and prints them."""

from printobs.testing.paper_bitmap import Bitmap, columns, raster

# Of stored images: what a printer's memory would hold.
_MEMORY = 4 << 20
_TWICE = {1: 1, 2: 2}

# ESC * m: dots down, scale across, scale down.
_BIT_IMAGES = {0: (8, 2, 3), 1: (8, 1, 3), 32: (24, 2, 1), 33: (24, 1, 1)}


def _word(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 2], "little")


class Graphics:
    """The image memories of a printer: the print buffer, downloaded images, and the non-volatile ones."""

    def __init__(self) -> None:
        self._nonvolatile: dict[bytes, Bitmap] = {}
        self.reset()

    def reset(self) -> None:
        """Only the non-volatile images are kept."""
        self._volatile: dict[bytes, Bitmap] = {}
        self.clear()

    def clear(self) -> None:
        """Drop what waits to be printed."""
        self._print_buffer: Bitmap | None = None

    def _store(self, memory: dict[bytes, Bitmap], key: bytes, bitmap: Bitmap) -> None:
        others = sum(len(stored.data) for other, stored in memory.items() if other != key)
        if others + len(bitmap.data) <= _MEMORY:
            memory[key] = bitmap

    def bit_image(self, params: bytes) -> Bitmap | None:
        """ESC * m nL nH d…: part of a line."""
        if params[0] not in _BIT_IMAGES:
            return None
        down, across_scale, down_scale = _BIT_IMAGES[params[0]]
        return columns(_word(params, 1), down, params[3:]).scaled(across_scale, down_scale)

    def raster(self, params: bytes) -> Bitmap:
        """GS v 0 m xL xH yL yH d…: x in bytes, y in dots."""
        across, down = params[0] & 1, params[0] >> 1 & 1
        return raster(8 * _word(params, 1), _word(params, 3), params[5:]).scaled(1 + across, 1 + down)

    def define_downloaded(self, params: bytes) -> None:
        """GS * x y d…: one image of 8x by 8y dots, by columns."""
        self._store(self._volatile, b"", columns(8 * params[0], 8 * params[1], params[2:]))

    def downloaded(self, params: bytes) -> Bitmap | None:
        """GS / m."""
        return _scaled(self._volatile.get(b""), params[0])

    def define_nonvolatile(self, params: bytes) -> None:
        """FS q n [xL xH yL yH d…]…: replaces all images of its kind."""
        self._nonvolatile = {key: bitmap for key, bitmap in self._nonvolatile.items() if len(key) == 2}
        at = 1
        for number in range(1, params[0] + 1):
            width, height = 8 * _word(params, at), 8 * _word(params, at + 2)
            size = width * height // 8
            self._store(self._nonvolatile, bytes([number]), columns(width, height, params[at + 4 : at + 4 + size]))
            at += 4 + size

    def nonvolatile(self, params: bytes) -> Bitmap | None:
        """FS p n m."""
        return _scaled(self._nonvolatile.get(params[:1]), params[1])

    def graphics(self, data: bytes) -> Bitmap | None:
        """GS ( L and GS 8 L, from m on: stores, or gives the image to print."""
        if len(data) < 2 or data[0] != 48:
            return None
        function, rest = data[1], data[2:]
        match function:
            case 2 | 50:
                printed, self._print_buffer = self._print_buffer, None
                return printed
            case 112 | 113:
                bitmap = _image(rest, 8, by_columns=function == 113)
                if bitmap is not None:
                    self._print_buffer = bitmap.scaled(_TWICE.get(rest[1], 1), _TWICE.get(rest[2], 1))
            case 67 | 68 | 83 | 84:
                memory = self._nonvolatile if function in (67, 68) else self._volatile
                bitmap = _image(rest, 9, by_columns=function in (68, 84))
                if bitmap is not None:
                    self._store(memory, rest[1:3], bitmap)
            case 69 | 85 if len(rest) >= 4:
                memory = self._nonvolatile if function == 69 else self._volatile
                found = memory.get(rest[:2])
                return found and found.scaled(_TWICE.get(rest[2], 1), _TWICE.get(rest[3], 1))
            case 66 | 82 if len(rest) >= 2:
                memory = self._nonvolatile if function == 66 else self._volatile
                memory.pop(rest[:2], None)
            case 65 | 81:
                memory = self._nonvolatile if function == 65 else self._volatile
                for key in [key for key in memory if len(key) == 2]:
                    del memory[key]
        return None


def _scaled(bitmap: Bitmap | None, mode: int) -> Bitmap | None:
    return bitmap and bitmap.scaled(1 + (mode & 1), 1 + (mode >> 1 & 1))


def _image(rest: bytes, start: int, *, by_columns: bool) -> Bitmap | None:
    """What to store; None where the data that begin at `start` are fewer than its size says.

    Functions 112, 113: a bx by c xL xH yL yH d…; 67, 68, 83, 84: a kc1 kc2 b xL xH yL yH [c d…]…, of several colours
    the first.
    """
    width, height = _word(rest, 4), _word(rest, 6)
    size = width * ((height + 7) // 8) if by_columns else (width + 7) // 8 * height
    if len(rest) < start + size:
        return None
    return (columns if by_columns else raster)(width, height, rest[start:])
