"""Receipts with a number of their own, and the paper that they are on: what is printed is the truth."""

from __future__ import annotations

import base64
import io
import random
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import escpos.escpos
from PIL import Image as Pictures

from examples.agent.rendering import compose
from examples.jobs import wire
from printobs.testing.paper import Element, Line, Receipt
from printobs.testing.print_mechanism import Identity, Mechanism

MARK: Final = re.compile(r"\*\*\* REPRINT of ([0-9a-f]{8})")
_NUMBER: Final = re.compile(r"No\. (\d+)")


# It prints a line of its own for each image.
escpos.escpos.print = lambda *_: None


def _logo() -> str:
    file = io.BytesIO()
    Pictures.new("1", (64, 120), 0).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


_LOGO: Final = _logo()


def receipt(number: int, chance: random.Random, longest: int = 12) -> dict[str, Any]:
    """A structured receipt that begins with its number and ends with a cut."""
    elements: list[dict[str, Any]] = [{"type": "text", "text": f"No. {number}\n"}]
    if chance.random() < 0.3:
        elements.append({"type": "image", "png": _LOGO})
    for _ in range(chance.randint(1, longest)):
        text = f"{chance.randint(1, 9)} x dish {chance.getrandbits(24):06x}\n"
        elements.append({"type": "text", "text": text, "bold": chance.random() < 0.2})
    if chance.random() < 0.3:
        elements.append({"type": "qr", "data": f"https://till.example/{number}"})
    if chance.random() < 0.2:
        elements.append({"type": "feed", "lines": chance.randint(1, 3)})
    return {"elements": [*elements, {"type": "text", "text": f"Total {number}\n"}, {"type": "cut"}]}


def content(number: int, chance: random.Random, longest: int = 12) -> dict[str, Any]:
    """A job's content: a receipt, or the same as raw ESC/POS."""
    structured = receipt(number, chance, longest)
    if chance.random() < 0.8:
        return {"receipt": structured}
    data = compose(wire.Print("0" * 32, "any", "receipt", 1, 1, receipt=structured))
    return {"raw": base64.b64encode(data).decode()}


def printed(body: dict[str, Any], reprint_of: str = "") -> bytes:
    """The bytes of a job, as the agent makes them."""
    return compose(wire.Print("0" * 32, "any", "receipt", 1, 1, reprint_of=reprint_of, **body))


def whole(body: dict[str, Any], reprint_of: str = "") -> tuple[Element, ...]:
    """What is on the paper where a printer has printed all of a job."""
    printer = Mechanism(
        Identity("", "", "", ""),
        receive_buffer=1 << 20,
        speed=None,
        columns=48,
        dots=576,
        process_id=True,
        realtime_in_data=False,
    )
    printer.receive(printed(body, reprint_of))
    printer.work(0.0)
    [only] = printer.roll.receipts
    assert only.cut
    return only.elements


@dataclass(slots=True)
class Copies:
    """What is on paper of one job: how often at all, and how often whole."""

    begun: int = 0
    whole: int = 0


@dataclass(slots=True)
class Slip:
    """A job as it must look on paper; ``mark`` is the head of the ID that it is a reprint of, or empty."""

    number: int
    mark: str
    elements: tuple[Element, ...]


@dataclass(slots=True)
class Paper:
    """All pieces of paper of some printers, read as numbers, each with the mark above it or none."""

    found: dict[tuple[int, str], Copies] = field(default_factory=dict)
    order: list[tuple[int, str]] = field(default_factory=list)

    def read(self, pieces: Iterable[Receipt], slips: Sequence[Slip]) -> None:
        """Add what is on ``pieces`` of one printer."""
        by_key = {(slip.number, slip.mark): slip for slip in slips}
        for piece in pieces:
            mark = ""
            keys = []
            for element in piece.elements:
                text = element.text if isinstance(element, Line) else ""
                if marked := MARK.search(text):
                    mark = marked[1]
                elif numbered := _NUMBER.match(text):
                    key = int(numbered[1]), mark
                    keys.append(key)
                    self.order.append(key)
                    self.found.setdefault(key, Copies()).begun += 1
                    mark = ""
            # What was torn off before it may stand above it on the same piece.
            if keys and piece.cut and (slip := by_key.get(keys[-1])) is not None:
                elements = slip.elements
                if piece.elements[-len(elements) :] == elements:
                    self.found[keys[-1]].whole += 1

    def of(self, number: int, mark: str = "") -> Copies:
        """What is there of one job."""
        return self.found.get((number, mark), Copies())
