"""A short day: every count exact. Whether memory is flat takes a whole one: ``python -m benchmarks.day``."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks import day
from benchmarks.rows import Rows


@pytest.fixture
def quiet() -> Iterator[None]:
    """Printers tell of their states in warnings."""
    logging.disable(logging.WARNING)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.usefixtures("quiet")
def test_day(rows: Rows, benchmark: BenchmarkFixture) -> None:
    found: day.Figures = benchmark.pedantic(lambda: day.run(200_000, 2_000, 240), rounds=1, iterations=1)
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
