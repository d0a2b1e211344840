"""What is done, as whoever does it knows it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass
class Ledger:
    """What one thread has done; only it writes here."""

    messages: Counter[str] = field(default_factory=Counter)  # by side and direction
    payload: Counter[str] = field(default_factory=Counter)  # bytes, by the same
    opened: Counter[str] = field(default_factory=Counter)  # connections, by side
    refused: int = 0
    jobs: Counter[str] = field(default_factory=Counter)  # by outcome
    printed: int = 0  # bytes
    spans: int = 0

    def crossed(self, where: str, messages: int, payload: int) -> None:
        self.messages[where] += messages
        self.payload[where] += payload


def together(ledgers: Sequence[Ledger]) -> dict[str, int]:
    """Everything that must be in the metrics, under names of its own."""
    found: Counter[str] = Counter()
    for each in ledgers:
        for name in ("messages", "payload", "opened", "jobs"):
            found.update({f"{name}, {key}": number for key, number in getattr(each, name).items()})
        found.update({"refused": each.refused, "printed": each.printed, "spans": each.spans})
    return dict(found)
