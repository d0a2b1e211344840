"""Burn rates: each window of each objective at its limit, with too few events, and as a burst leaves it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from tests.rules.promtool import Case

_EACH: Final = 5  # minutes between two samples of what is recorded


@dataclass(frozen=True)
class Window:
    """How fast the budget burns, over ``long`` and ``short`` minutes; so many ``bad`` ones at least are too fast."""

    name: str
    long: int
    short: int
    burn: float
    severity: str
    bad: int = 3

    @property
    def evaluated(self) -> int:
        """How often, in minutes: sums of days, asked for each five minutes of days and for each fault, take minutes."""
        return 30 if self.short >= 120 else _EACH

    @property
    def kept(self) -> int:
        """Samples after which an alert that has fired is silent: one evaluation, and a quarter of an hour."""
        return (self.evaluated + max(self.evaluated, 15)) // _EACH


WINDOWS: Final = (
    Window("1h", 60, 5, 14.4, "critical"),
    Window("6h", 360, 30, 6, "critical"),
    Window("1d", 1440, 120, 3, "warning"),
    Window("3d", 4320, 360, 1, "warning"),
)
BUSY: Final = Window("30m", 30, 5, 6, "critical", bad=5)

History = Sequence[tuple[int, float]]  # (samples, events in each), one after another


@dataclass(frozen=True)
class Objective:
    """``budget``: the share that may be bad. While ``silent_while`` is 0, and a short window after, nobody is woken."""

    alert: str
    bad: str
    total: str
    budget: float
    labels: Mapping[str, str]
    silent_while: str = ""
    windows: Sequence[Window] = WINDOWS

    def cases(self) -> Iterator[Case]:
        """Of every window."""
        for window in self.windows:
            yield from self._of(window)

    def _of(self, window: Window) -> Iterator[Case]:
        long, short = window.long // _EACH, window.short // _EACH
        each = 1_000_000  # events in a sample
        limit = round(window.burn * self.budget * each)
        least = math.ceil(round(window.bad / (window.burn * self.budget), 6))
        steady = [(2 * long, each)]
        yield self._case(window, [(2 * long, limit + 1)], steady, fires=True)
        yield self._case(window, [(2 * long, limit)], steady, fires=False)
        # The one is at its limit, the other above: a burst that is over must be silent, and so must one that has begun.
        older, last = limit - short, limit + (long - short)
        yield self._case(window, [(2 * long - short, older), (short, last)], steady, fires=False)
        yield self._case(
            window, [(2 * long - short - window.kept, each), (short + window.kept, limit)], steady, fires=False
        )
        # All are bad, and too few: those of before do not count, the oldest of this window does.
        for events, fires in (((1, least - 1), True), ((0, least - 1), False)):
            those = [(long, 3.0), (1, events[0]), (long - 2, 0.0), (1, events[1])]
            yield self._case(window, those, those, fires=fires)
        nothing = [(2 * long, 0.0)]
        yield self._case(window, nothing, nothing, fires=False)
        yield self._burst(window, least)
        if self.silent_while and window.severity == "critical":
            # They were away until the short window, or into it.
            everything = [(2 * long, each)]
            for away, fires in ((short - 1, False), (short, True)):
                there = [(2 * long - away, 0.0), (away, 1.0)]
                yield self._case(window, everything, everything, fires=fires, there=there)
            if window.short == _EACH:
                yield self._back(window)

    def _back(self, window: Window) -> Case:
        """They were away until three minutes ago: the shortest window is as short as what is recorded."""
        every = "_x4 1000 " * (window.long // _EACH + 1)
        minute = window.long + _EACH - 1
        assert self.silent_while
        return Case(
            self.alert,
            {self.bad: every, self.total: every, self.silent_while: f"0x{minute - 3} 1x2"},
            silent=(f"{minute}m",),
            interval="1m",
            only=f'window="{window.name}"',
        )

    def _case(self, window: Window, bad: History, total: History, *, fires: bool, there: History = ()) -> Case:
        histories = {self.bad: bad, self.total: total, **({self.silent_while: there} if there else {})}
        # The first sample is that of the minute 0, and before every window.
        series = {name: _text([(1, history[0][1]), *history]) for name, history in histories.items()}
        at = f"{sum(samples for samples, _ in bad) * _EACH}m"
        return Case(
            self.alert,
            series,
            fires=(at,) if fires else (),
            silent=() if fires else (at,),
            labels={**self.labels, "severity": window.severity, "window": window.name},
            interval=f"{_EACH}m",
            evaluated=f"{window.evaluated}m",
            only=f'window="{window.name}"',
        )

    def _burst(self, window: Window, least: int) -> Case:
        """All of a few minutes fail, and nothing comes after them: it ends with the short window, a quarter later."""
        burst = f"_x4 {2 * least}" + " _x4 0" * (window.short // _EACH + 10)
        end = 4 + window.short  # the first minute without it
        return Case(
            self.alert,
            {self.bad: burst, self.total: burst},
            fires=("4m", f"{end - 1}m", f"{end + 13}m"),
            silent=("3m", f"{end + 15}m"),
            labels={**self.labels, "severity": window.severity, "window": window.name},
            interval="1m",
            only=f'window="{window.name}"',
        )


def _text(history: History) -> str:
    return " ".join(f"{events:g}x{samples - 1}" for samples, events in history if samples)


OBJECTIVES: Final = (
    Objective(
        "ReceiptBudgetBurn",
        'branch_name:jobs_bad:increase5m{branch_name="mitte"}',
        'branch_name:jobs:increase5m{branch_name="mitte"}',
        0.05,
        {"branch_name": "mitte"},
        'branch_name:agents_connected:sum{branch_name="mitte"}',
        (BUSY, *WINDOWS),
    ),
    Objective(
        "AvailabilityBudgetBurn",
        "cluster:http_requests_bad:increase5m",
        "cluster:http_requests:increase5m",
        0.001,
        {},
    ),
)
