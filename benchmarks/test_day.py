"""A short day: every count exact. Whether memory is flat takes a whole one: ``python -m benchmarks.day``."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterator

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.day.run import GROWTH, Figures, growth, run
from benchmarks.rows import Rows


@pytest.fixture
def quiet() -> Iterator[None]:
    """Printers tell of their states in warnings."""
    logging.disable(logging.WARNING)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.usefixtures("quiet")
def test_day(rows: Rows, benchmark: BenchmarkFixture) -> None:
    found: Figures = benchmark.pedantic(lambda: run(200_000, 2_000, 240), rounds=1, iterations=1)
    rows.note(
        title="a day of 200,000 messages and 2,000 jobs",
        unit="s",
        figures={"the day": [found.seconds] * 3},
        done=found.done,
        exported=found.exported,
        dropped=found.dropped,
        series=found.series,
    )
    assert not found.wrong()
    for name in ("messages, server receive", "messages, client transmit", "jobs, written", "jobs, failed", "refused"):
        assert found.done[name] > 0, name
    assert sum(number for name, number in found.done.items() if name.startswith("messages")) == 200_000
    assert sum(number for name, number in found.done.items() if name.startswith("jobs")) == 2_000
    # And it would have told.
    less = {**found.said, "jobs, written": found.said["jobs, written"] - 1}
    (told,) = dataclasses.replace(found, said=less).wrong()
    assert told.startswith("jobs, written")
    (told,) = dataclasses.replace(found, dropped=found.dropped + 1).wrong()
    assert told.startswith("spans")
    (told,) = dataclasses.replace(found, open_connections=1).wrong()
    assert told.startswith("connections still open")


def test_growth() -> None:
    steady = [50_000_000 + each % 3 * 4_096 for each in range(60)]
    assert abs(growth([10_000_000, *steady[1:]])) < 10_000, "the first half is the warm-up's"
    assert growth([size + 40_000 * number for number, size in enumerate(steady)]) > GROWTH
