"""What the rows share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.providers import Providers
from benchmarks.rows import Rows
from printobs.core import telemetry


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--pause", type=float, default=10.0, help="seconds before another look at a row over its limit")


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
