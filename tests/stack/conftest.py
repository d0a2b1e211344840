"""The backend and the deployment that sends to it, started once for the tests of a module that harm neither."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from collector.stack.ports import Ports
from collector.stack.stack import Stack
from examples.demo.stage import Stage
from tests.stack.backend import Backend, telemetry

SCRAPE = "1s"


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    state: Path = tmp_path_factory.mktemp("stack")
    with Stack(Ports.free(), state, SCRAPE) as running:
        yield running


@pytest.fixture(scope="module")
def backend(stack: Stack) -> Backend:
    return Backend(stack)


@pytest.fixture(scope="module")
def stage(backend: Backend) -> Iterator[Stage]:
    with Stage(telemetry(backend.otlp)) as running:
        yield running
