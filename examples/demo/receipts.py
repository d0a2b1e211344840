"""The receipts of the demonstration: a logo, a few lines, a QR code, a cut; each with a number of its own."""

from __future__ import annotations

import base64
import io
import random
import re
from typing import Any, Final

from PIL import Image, ImageDraw

_DISHES: Final = ("Ramen", "Gyoza", "Edamame", "Tempura", "Onigiri", "Miso soup", "Matcha", "Sake")
_NUMBER: Final = re.compile(r"No\. (\d{4})")


def logo() -> str:
    """A picture as PNG in base64, drawn here: 192 x 64 dots."""
    picture = Image.new("1", (192, 64), 1)
    draw = ImageDraw.Draw(picture)
    draw.ellipse((4, 4, 60, 60), fill=0)
    draw.ellipse((16, 12, 52, 48), fill=1)
    for left in range(72, 188, 20):
        draw.rectangle((left, 20, left + 10, 44), fill=0)
    png = io.BytesIO()
    picture.save(png, "PNG")
    return base64.b64encode(png.getvalue()).decode()


def receipt(number: int, picture: str, chance: random.Random) -> dict[str, Any]:
    """The receipt with this number."""
    lines = [f"{chance.randint(1, 4)} x {dish:<20}{chance.uniform(3, 19):>8.2f}" for dish in chance.sample(_DISHES, 4)]
    return {
        "elements": [
            {"type": "image", "png": picture, "align": "center"},
            {"type": "text", "text": f"No. {number:04}\n", "bold": True, "align": "center", "width": 2, "height": 2},
            {"type": "text", "text": "\n".join([*lines, ""])},
            {"type": "qr", "data": f"https://till.example/r/{number:04}", "size": 4},
            {"type": "feed", "lines": 1},
            {"type": "cut"},
        ]
    }


def number_on(text: str) -> int | None:
    """The number on a receipt that came out; ``None`` where it cannot be read."""
    found = _NUMBER.search(text)
    return None if found is None else int(found[1])
