"""A pytest plugin, loaded by itself where printobs is installed: printers and a telemetry sink as fixtures."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from printobs.testing import OtlpSink, VirtualPrinter


@pytest.fixture
def virtual_printers() -> Iterator[Callable[..., VirtualPrinter]]:
    """Makes as many printers as a test asks for, each with the arguments of `VirtualPrinter`; closed afterwards."""
    from printobs.testing import VirtualPrinter

    with ExitStack() as stack:

        def make(**arguments: Any) -> VirtualPrinter:
            return stack.enter_context(VirtualPrinter(**arguments))

        yield make


@pytest.fixture
def virtual_printer(virtual_printers: Callable[..., VirtualPrinter]) -> VirtualPrinter:
    """One printer on TCP."""
    return virtual_printers()


@pytest.fixture
def otlp_sink() -> Iterator[OtlpSink]:
    """A receiver of OTLP/HTTP in memory."""
    from printobs.testing import OtlpSink

    with OtlpSink() as sink:
        yield sink
