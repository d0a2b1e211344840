"""Page mode: what is composed on a page until FF prints it from top to bottom."""

from collections.abc import Iterator

from printobs.testing.paper import Element, Feed

# A page that is never printed must not grow for ever.
_MOST_ELEMENTS = 5_000


class Page:
    """Elements at their vertical positions, in dots from the top of the page."""

    def __init__(self) -> None:
        self._placed: list[tuple[int, int, int, Element]] = []
        self.y = 0

    def move(self, y: int) -> None:
        """Go on composing at this height."""
        self.y = max(0, y)

    def place(self, element: Element, dots: int, x: int) -> None:
        """Put an element at the current height, and go on below it."""
        if not isinstance(element, Feed) and len(self._placed) < _MOST_ELEMENTS:
            self._placed.append((self.y, x, dots, element))
        self.y += dots

    def clear(self) -> None:
        """Take everything off the page."""
        self._placed.clear()
        self.y = 0

    def printed(self) -> Iterator[tuple[Element, int]]:
        """The elements from top to bottom with their heights, blank paper between them as a feed."""
        bottom = 0
        for y, _, dots, element in sorted(self._placed, key=lambda placed: placed[:2]):
            if y > bottom:
                yield Feed(y - bottom), y - bottom
            yield element, dots
            bottom = max(bottom, y + dots)
