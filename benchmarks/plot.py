"""Draws what `benchmarks.test_growth` measured, as SVG."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final
from xml.sax.saxutils import escape

WIDTH: Final = 760
HEIGHT: Final = 460
LEFT: Final = 70
RIGHT: Final = 230  # the curves' names stand there
TOP: Final = 50
BOTTOM: Final = 60
GAP: Final = 32  # between two names, of two lines each

# Okabe and Ito's, which the colour-blind can tell apart; each curve has marks of its own besides.
COLOURS: Final = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00")

Curve = Mapping[float, float | Sequence[float]]


def svg(rows: Mapping[str, Curve]) -> str:
    """One plot, both axes logarithmic: for each curve the µs that one operation takes, by how much there is.

    A value may be lower quartile, median and upper quartile: the bar through a mark is from the first to the last.
    """
    if not any(rows.values()):
        raise ValueError("there is nothing to draw")
    drawn = {name: {x: _three(y) for x, y in sorted(curve.items())} for name, curve in rows.items() if curve}
    across = _decades([x for curve in drawn.values() for x in curve])
    up = _decades([y for curve in drawn.values() for three in curve.values() for y in three])

    def at_x(value: float) -> float:
        return LEFT + (math.log10(value) - across[0]) / (across[-1] - across[0]) * (WIDTH - LEFT - RIGHT)

    def at_y(value: float) -> float:
        return HEIGHT - BOTTOM - (math.log10(value) - up[0]) / (up[-1] - up[0]) * (HEIGHT - TOP - BOTTOM)

    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}"'
        ' role="img" font-family="sans-serif" font-size="12">',
        "<title>What an operation costs, by how much there is</title>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
        _text(LEFT, 24, "What an operation costs, by how much there is", size=15),
        _text(LEFT, TOP - 8, "µs an operation", colour="#555"),
        _text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 16, "how many there are", anchor="middle", colour="#555"),
    ]
    for power in across:
        x = at_x(10**power)
        lines += [_line(x, TOP, x, HEIGHT - BOTTOM), _text(x, HEIGHT - BOTTOM + 18, _label(power), anchor="middle")]
    for power in up:
        y = at_y(10**power)
        lines += [_line(LEFT, y, WIDTH - RIGHT, y), _text(LEFT - 8, y + 4, _label(power), anchor="end")]
    names = _spread({name: at_y(list(curve.values())[-1][1]) for name, curve in drawn.items()})
    for number, (name, curve) in enumerate(drawn.items()):
        colour = COLOURS[number % len(COLOURS)]
        places = [(at_x(x), at_y(three[1])) for x, three in curve.items()]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        lines.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        for (x, y), (size, (low, middle, high)) in zip(places, curve.items(), strict=True):
            lines.append(_line(x, at_y(low), x, at_y(high), colour))
            lines.append(_mark(number, x, y, colour, f"{name}: {size:,g}: {middle:.3g} µs"))
        middles = [three[1] for three in curve.values()]
        first, last = middles[0], middles[-1]
        end, y = places[-1], names[name]
        if abs(end[1] - y) > 4 or WIDTH - RIGHT - end[0] > 12:
            lines.append(_line(end[0] + 7, end[1], WIDTH - RIGHT + 8, y - 4, "#bbb", dashed=True))
        lines.append(_text(WIDTH - RIGHT + 12, y, name, colour=colour))
        lines.append(
            _text(WIDTH - RIGHT + 12, y + 14, f"{first:.3g} to {last:.3g} µs, × {last / first:.2f}", colour="#555")
        )
    return "\n".join((*lines, "</svg>")) + "\n"


def _three(value: float | Sequence[float]) -> tuple[float, float, float]:
    if isinstance(value, int | float):
        return value, value, value
    low, middle, high = value
    return low, middle, high


def _decades(values: Sequence[float]) -> range:
    """The powers of ten from the one below the least to the one above the most; two at least."""
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    return range(low, max(high, low + 1) + 1)


def _label(power: int) -> str:
    return f"{10**power:,}" if power >= 0 else f"{10.0**power:.{-power}f}"


def _spread(wanted: Mapping[str, float]) -> dict[str, float]:
    """Each name near its height, none over another."""
    placed: dict[str, float] = {}
    below = float(HEIGHT - BOTTOM - 12)
    for name, y in sorted(wanted.items(), key=lambda each: -each[1]):
        placed[name] = min(y, below)
        below = placed[name] - GAP
    return placed


def _line(x1: float, y1: float, x2: float, y2: float, colour: str = "#ddd", *, dashed: bool = False) -> str:
    dash = ' stroke-dasharray="2 3"' if dashed else ""
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}"{dash}/>'


def _text(x: float, y: float, text: str, *, anchor: str = "start", colour: str = "#222", size: int = 12) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}" font-size="{size}">{escape(text)}</text>'
    )


def _mark(number: int, x: float, y: float, colour: str, title: str) -> str:
    told = f"<title>{escape(title)}</title>"
    match number % 4:
        case 0:
            return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4.5" fill="{colour}">{told}</circle>'
        case 1:
            return f'<rect x="{x - 4:.1f}" y="{y - 4:.1f}" width="8" height="8" fill="{colour}">{told}</rect>'
        case 2:
            points = f"{x:.1f},{y - 5:.1f} {x - 5:.1f},{y + 4:.1f} {x + 5:.1f},{y + 4:.1f}"
        case _:
            points = f"{x:.1f},{y - 6:.1f} {x - 6:.1f},{y:.1f} {x:.1f},{y + 6:.1f} {x + 6:.1f},{y:.1f}"
    return f'<polygon points="{points}" fill="{colour}">{told}</polygon>'
