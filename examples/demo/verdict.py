"""Whether what was said of the jobs is what came out on paper. Pure: numbers in, sentences out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Told:
    """What the service says of one receipt."""

    printer: str
    outcome: str


@dataclass(slots=True)
class Verdict:
    """``wrong`` is what does not agree; ``whole`` are the receipts on paper, by printer."""

    wrong: list[str] = field(default_factory=list)
    unknown_on_paper: list[int] = field(default_factory=list)
    whole: Counter[str] = field(default_factory=Counter)


def judge(told: Mapping[int, Told], paper: Mapping[str, Iterable[int | None]], counted: Mapping[str, int]) -> Verdict:
    """Compare ``told`` (by receipt number) with the whole receipts on ``paper`` (numbers by printer), and with metrics.

    A *confirmed* or *written* receipt is on paper once; a *failed* one is not; an *unknown* one may be. ``counted`` is
    what the metrics say, by outcome.
    """
    verdict = Verdict()
    seen: Counter[tuple[str, int]] = Counter()
    for printer, numbers in paper.items():
        for number in numbers:
            if number is None:
                verdict.wrong.append(f"{printer} has printed a receipt that cannot be read")
                continue
            verdict.whole[printer] += 1
            seen[printer, number] += 1
            if number not in told or told[number].printer != printer:
                verdict.wrong.append(f"{printer} has printed No. {number}, which it was not sent")
    for number, job in sorted(told.items()):
        copies = seen[job.printer, number]
        if copies > 1:
            verdict.wrong.append(f"No. {number} is on paper {copies} times")
        elif job.outcome == "failed" and copies:
            verdict.wrong.append(f"No. {number} is said to have failed, and is on paper")
        elif job.outcome == "unknown" and copies:
            verdict.unknown_on_paper.append(number)
        elif job.outcome in ("written", "confirmed") and not copies:
            verdict.wrong.append(f"No. {number} is said to be {job.outcome}, and is not on paper")
        elif job.outcome not in ("written", "confirmed", "failed", "unknown"):
            verdict.wrong.append(f"No. {number} has no outcome: {job.outcome}")
    outcomes = Counter(job.outcome for job in told.values())
    for outcome in sorted(outcomes.keys() | counted.keys()):
        if outcomes[outcome] != counted.get(outcome, 0):
            verdict.wrong.append(
                f"{outcomes[outcome]} jobs are {outcome}, the metric printer.jobs says {counted.get(outcome, 0)}"
            )
    return verdict
