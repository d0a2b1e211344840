"""A loop that is held up is late; watching it keeps no loop alive and costs a timer a second."""

import asyncio
import gc
import time
import weakref
from collections.abc import Iterator

import pytest

from printobs.signals import event_loop
from printobs.signals.event_loop import watch_event_loop
from tests.conftest import Sdk

LAG = "asyncio.event_loop.lag"


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(event_loop, "INTERVAL", 0.05)
    yield
    event_loop.stop_all()


def test_a_loop_that_is_held_up_is_late(sdk: Sdk) -> None:
    async def held_up() -> None:
        watch_event_loop()
        await asyncio.sleep(0.2)
        time.sleep(0.5)  # noqa: ASYNC251 - this is what it must find
        await asyncio.sleep(0.1)

    asyncio.run(held_up())
    [point] = sdk.points(LAG)
    assert point.count >= 4
    assert 0.4 < point.max < 5
    assert point.min >= 0


def test_a_loop_has_one_timer_and_two_loops_have_two(sdk: Sdk) -> None:
    async def watched() -> None:
        watch_event_loop()
        watch_event_loop()
        await asyncio.sleep(0.22)

    asyncio.run(watched())
    assert 1 <= sdk.value(LAG) <= 4
    asyncio.run(watched())
    assert 2 <= sdk.value(LAG) <= 8


def test_it_keeps_no_loop_from_ending_or_going(sdk: Sdk) -> None:
    loop = asyncio.new_event_loop()

    async def watched() -> None:
        watch_event_loop()

    loop.run_until_complete(watched())
    loop.close()
    gone = weakref.ref(loop)
    del loop
    gc.collect()
    assert gone() is None


def test_it_stops_when_it_is_told_to(sdk: Sdk) -> None:
    async def watched() -> None:
        watch_event_loop()
        await asyncio.sleep(0.12)
        event_loop.stop_all()
        counted = sdk.value(LAG)
        await asyncio.sleep(0.2)
        assert sdk.value(LAG) == counted > 0

    asyncio.run(watched())


def test_it_needs_a_running_loop() -> None:
    with pytest.raises(RuntimeError, match="loop"):
        watch_event_loop()
