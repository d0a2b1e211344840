"""Candidates timed side by side: interleaved rounds, so that a noisy machine disturbs all of them alike."""

from __future__ import annotations

import gc
import random
import statistics
import time
from collections.abc import Callable, Mapping


def interleaved(candidates: Mapping[str, Callable[[], int]], rounds: int) -> dict[str, float]:
    """Microseconds per operation of each candidate.

    A candidate does a batch of work and returns how many operations that was. Each round runs every candidate once,
    in a new random order. The figure is the median over the rounds of each one's time, so that a candidate and its
    peer were measured within the same milliseconds.
    """
    times: dict[str, list[float]] = {name: [] for name in candidates}
    order = list(candidates)
    for each in order:
        candidates[each]()
    gc.collect()
    gc.disable()
    try:
        for _ in range(rounds):
            random.shuffle(order)
            for name in order:
                start = time.perf_counter()
                operations = candidates[name]()
                times[name].append((time.perf_counter() - start) / operations)
            gc.collect()
    finally:
        gc.enable()
    return {name: statistics.median(samples) * 1e6 for name, samples in times.items()}
