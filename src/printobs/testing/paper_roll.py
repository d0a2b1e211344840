"""The paper in the printer: what has been printed since the last cut, and the pieces that were cut off."""

from collections import deque

from printobs.testing.paper import Element, Feed, Image, Receipt
from printobs.testing.paper_bitmap import Bitmap

_KEPT = 10_000


class Roll:
    """Elements in, receipts out. `finished` counts all receipts, of which the last 10,000 are kept."""

    def __init__(self, *, columns: int, dots: int) -> None:
        self._columns = columns
        self._dots = dots
        self._receipts: deque[Receipt] = deque(maxlen=_KEPT)
        self._elements: list[Element] = []
        self._rows: list[bytes] = []
        self._raw = bytearray()
        self.finished = 0

    @property
    def receipts(self) -> tuple[Receipt, ...]:
        """The finished receipts, cut or torn off, oldest first."""
        return tuple(self._receipts)

    @property
    def current(self) -> Receipt | None:
        """What is on the paper since the last cut; None if nothing is."""
        return self._receipt(cut=False) if self._elements else None

    def note(self, raw: bytes) -> None:
        """Bytes that belong to this piece of paper."""
        self._raw += raw

    def add(self, element: Element) -> None:
        """Print one more element under the last."""
        last = self._elements[-1] if self._elements else None
        if isinstance(element, Feed) and isinstance(last, Feed):
            self._elements[-1] = Feed(last.dots + element.dots)
            return
        if isinstance(element, Image) and isinstance(last, Image) and _touch(last, element):
            # Joined when somebody looks: a long image comes in many bands.
            self._rows.append(element.data)
            return
        self._join()
        self._elements.append(element)

    def cut(self) -> None:
        """Cut what is printed off. Where nothing moved since the last cut, nothing falls."""
        self._finish(cut=True)

    def tear(self) -> None:
        """What is printed ends here, without a cut."""
        self._finish(cut=False)

    def _finish(self, *, cut: bool) -> None:
        if self._elements:
            self._receipts.append(self._receipt(cut=cut))
            self.finished += 1
            self._elements.clear()
        self._raw.clear()

    def _receipt(self, *, cut: bool) -> Receipt:
        self._join()
        return Receipt(tuple(self._elements), cut, bytes(self._raw), self._columns, self._dots)

    def _join(self) -> None:
        last = self._elements[-1] if self._elements else None
        if self._rows and isinstance(last, Image):
            data = b"".join((last.data, *self._rows))
            height = len(data) // last.bitmap.stride
            self._elements[-1] = Image(Bitmap(last.width, height, data), last.align)
        self._rows.clear()


def _touch(upper: Image, lower: Image) -> bool:
    return upper.width == lower.width > 0 and upper.align == lower.align
