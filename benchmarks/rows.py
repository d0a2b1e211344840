"""One row of the budget: candidates that do the same work, timed side by side, and the ratios that must hold.

All candidates of a row run in one process. Each round runs every one of them once, in a new random order, so that a
machine that is busy meanwhile is as busy for all. What gates is a ratio of lower quartiles over the rounds: whatever
else a machine does only ever adds to a time. Where that is over its limit, all is measured anew after a pause, up to
three times, and the last look counts: a neighbour that takes the caches is gone then, a slower path is not.
"""

from __future__ import annotations

import gc
import random
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pytest_benchmark.fixture import BenchmarkFixture

ROUNDS: Final = 31
LOOKS: Final = 4

Round = Mapping[str, float]  # microseconds for an operation, by candidate


@dataclass(frozen=True, slots=True)
class Candidate:
    """``run`` does a batch and gives how many operations that were.

    ``counts`` reads what it has emitted so far: each operation must emit ``each``, or it does not do what is timed.
    """

    run: Callable[[], int]
    counts: Callable[[], float] | None = None
    each: float = 1.0


@dataclass(frozen=True, slots=True)
class Gate:
    """A ratio, and what it may be at most; ``budget`` says which line of the design that is."""

    name: str
    ratio: Callable[[Round], float]
    limit: float
    budget: str = ""


def over_bare(ours: str, bare: str, peer: str) -> Callable[[Round], float]:
    """What ``ours`` takes longer than ``bare``, in times of ``peer`` (of what that takes longer, if it contains it)."""
    return lambda took: (took[ours] - took[bare]) / took[peer]


def beside(ours: str, peer: str) -> Callable[[Round], float]:
    """``ours`` in times of ``peer``."""
    return lambda took: took[ours] / took[peer]


def both_over_bare(ours: str, bare: str, peer: str) -> Callable[[Round], float]:
    """What ``ours`` takes longer than ``bare``, in times of what ``peer`` takes longer."""
    return lambda took: (took[ours] - took[bare]) / (took[peer] - took[bare])


class Rows:
    """Measures a row with pytest-benchmark, whose JSON then has its figures, ratios and what was emitted.

    ``pause``: seconds before another look.
    """

    def __init__(self, benchmark: BenchmarkFixture, pause: float) -> None:
        self._benchmark = benchmark
        self._pause = pause

    def compare(
        self,
        title: str,
        candidates: Mapping[str, Candidate],
        gates: Sequence[Gate],
        rounds: int = ROUNDS,
        settle: Callable[[], object] = lambda: None,
    ) -> None:
        """Measure, and fail where a gate does not hold, or a candidate has not emitted what it is timed for.

        ``settle`` waits for what a candidate has left to other threads: nobody else's time may pay for it.
        """
        info = self._benchmark.extra_info
        info.update(title=title, unit="µs", emitted={name: _emitted(each) for name, each in candidates.items()})
        taken: list[Round] = []
        _collect()
        gc.freeze()  # what is there already needs no look in each round
        try:
            self._benchmark.pedantic(
                lambda: taken.append(_round(candidates, settle)),
                rounds=rounds,
                iterations=1,
                warmup_rounds=1,
                setup=_collect,
            )
            looks = [taken[1:]]  # the first is the warm-up
            while len(looks) < LOOKS and _broken(gates, looks[-1]):
                time.sleep(self._pause)
                looks.append([])
                for _ in range(rounds):
                    _collect()
                    looks[-1].append(_round(candidates, settle))
        finally:
            gc.unfreeze()
        info["looks"] = len(looks)
        self.figures({name: [took[name] for took in looks[-1]] for name in candidates})
        self.ratios(gates, looks[-1])

    def elsewhere(
        self,
        title: str,
        unit: str,
        look: Callable[[int], Sequence[Round]],
        gates: Sequence[Gate] = (),
        looks: int = 2,
    ) -> None:
        """A row whose figures other processes measure: ``look(0)`` gives its rounds, and where a gate does not hold so
        does ``look(1)``, up to so many looks.
        """
        taken: Sequence[Round] = self._benchmark.pedantic(look, args=(0,), rounds=1, iterations=1)
        looked = 1
        while looked < looks and _broken(gates, taken):
            taken = look(looked)
            looked += 1
        self.note(title=title, unit=unit, looks=looked)
        self.figures({name: [took[name] for took in taken] for name in taken[0]})
        self.ratios(gates, taken)

    def figures(self, values: Mapping[str, Sequence[float]]) -> None:
        """Keep each candidate's figures: lower quartile, median, upper quartile."""
        self._benchmark.extra_info["figures"] = {name: quartiles(each) for name, each in values.items()}

    def ratios(self, gates: Sequence[Gate], rounds: Sequence[Round]) -> None:
        """Keep the ratio of each gate, and the quartiles of it in these rounds; fail where one does not hold."""
        self._benchmark.extra_info.setdefault("gates", []).extend(
            {
                "name": gate.name,
                "ratio": gate.ratio(_quiet(rounds)),
                "rounds": quartiles([gate.ratio(took) for took in rounds]),
                "limit": gate.limit,
                "budget": gate.budget,
            }
            for gate in gates
        )
        broken = _broken(gates, rounds)
        assert not broken, "over its limit: " + "; ".join(broken)

    def note(self, **facts: Any) -> None:
        """Keep ``facts`` with the row."""
        self._benchmark.extra_info.update(facts)


def quartiles(values: Sequence[float]) -> list[float]:
    """The lower quartile, the median and the upper quartile."""
    if len(values) < 2:
        return [values[0]] * 3
    return statistics.quantiles(values, n=4, method="inclusive")


def _quiet(rounds: Sequence[Round]) -> Round:
    """What each takes while the machine does little else."""
    return {name: quartiles([took[name] for took in rounds])[0] for name in rounds[0]}


def _broken(gates: Sequence[Gate], rounds: Sequence[Round]) -> list[str]:
    found = []
    for gate in gates:
        ratio = gate.ratio(_quiet(rounds))
        if ratio > gate.limit:
            found.append(f"{gate.name}: {ratio:.2f} of {gate.limit:.2f}")
    return found


def _collect() -> None:
    gc.collect()


def _round(candidates: Mapping[str, Candidate], settle: Callable[[], object]) -> Round:
    took = {}
    gc.disable()
    try:
        for name in random.sample(list(candidates), len(candidates)):
            began = time.perf_counter()
            operations = candidates[name].run()
            took[name] = (time.perf_counter() - began) / operations * 1e6
            settle()
    finally:
        gc.enable()
    return took


def _emitted(candidate: Candidate) -> float | None:
    """What one operation emits."""
    if candidate.counts is None:
        candidate.run()
        return None
    before = candidate.counts()
    operations = candidate.run()
    each = (candidate.counts() - before) / operations
    assert each == candidate.each, f"an operation emitted {each}, not {candidate.each}: this would time something else"
    return each
