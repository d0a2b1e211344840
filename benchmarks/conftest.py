"""What the rows share."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.providers import Providers
from benchmarks.rows import Rows
from printobs.core import telemetry


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--pause", type=float, default=10.0, help="seconds before another look at a row over its limit")
    parser.addoption("--processor", type=int, help="measure on this one alone: another run may have another")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "end_to_end: several processes are measured together")
    processor = config.getoption("--processor")
    if processor is not None:
        os.sched_setaffinity(0, {processor})


@pytest.fixture
def rows(benchmark: BenchmarkFixture, request: pytest.FixtureRequest) -> Rows:
    return Rows(benchmark, request.config.getoption("--pause"))


@pytest.fixture
def providers() -> Iterator[Providers]:
    """What printobs and its peers both record with."""
    made = Providers()
    telemetry.bind(telemetry.telemetry(made.traces, made.metrics))
    yield made
    telemetry.bind(None)
    made.shutdown()
