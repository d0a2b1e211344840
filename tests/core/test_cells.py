"""Cells are exact from any number of threads while they are collected, and never grow without bound."""

import os
import threading

import pytest
from opentelemetry.metrics import CallbackOptions

from printobs.core import conventions
from printobs.core.cells import Cell, Family, PairCell
from tests.conftest import Sdk

OPTIONS = CallbackOptions()


def test_a_cell_is_exact_with_eight_threads_while_it_is_collected() -> None:
    cells = Family(Cell, "test.metric")
    cell = cells.cell({"a": "1"})
    observe = cells.observe(Cell.value)
    started = threading.Barrier(9)
    done = threading.Event()
    seen: list[int] = []

    def add() -> None:
        started.wait()
        for _ in range(100_000):
            cell.add()

    def collect() -> None:
        started.wait()
        while not done.is_set():
            seen.extend(int(each.value) for each in observe(OPTIONS))

    collector = threading.Thread(target=collect)
    threads = [threading.Thread(target=add) for _ in range(8)]
    for thread in (*threads, collector):
        thread.start()
    for thread in threads:
        thread.join()
    done.set()
    collector.join()
    assert cell.value() == 800_000
    assert seen == sorted(seen), "a collected sum never goes back"


def test_a_pair_counts_both_numbers_exactly_from_threads() -> None:
    cell = Family(PairCell, "test.metric").cell({})

    def add() -> None:
        for _ in range(50_000):
            cell.add(3)
            cell.add(2, 0)

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (cell.count(), cell.size()) == (200_000, 1_000_000)


def test_one_cell_for_one_attribute_set_whatever_the_order() -> None:
    cells = Family(Cell, "test.metric")
    assert cells.cell({"a": "1", "b": "2"}) is cells.cell({"b": "2", "a": "1"})
    assert cells.cell({"a": "1"}) is not cells.cell({"a": "2"})


def test_beyond_the_cap_all_share_one_marked_cell_and_nothing_is_lost() -> None:
    cells = Family(Cell, "capped.metric", cap=3)
    for number in range(10):
        cells.cell({"n": str(number)}).add()
    points = {tuple(each.attributes.items()): each.value for each in cells.observe(Cell.value)(OPTIONS)}
    assert len(points) == 4
    assert points[(("otel.metric.overflow", True),)] == 7
    assert sum(points.values()) == 10


def test_each_attribute_set_over_the_cap_is_counted(sdk: Sdk) -> None:
    cells = Family(Cell, "counted.metric", cap=2)
    for number in range(5):
        cells.cell({"n": str(number)})
    assert sdk.value("printobs.overflows", printobs__bounded="counted.metric") == 3


def test_what_counts_them_has_a_cap_too_and_does_not_count_itself(sdk: Sdk) -> None:
    cells = Family(Cell, conventions.OVERFLOWS.name, cap=1)
    before = sdk.value("printobs.overflows")
    for number in range(3):
        cells.cell({"n": str(number)}).add()
    assert {each.value for each in cells.observe(Cell.value)(OPTIONS)} == {1, 2}
    assert sdk.value("printobs.overflows") == before


def test_an_attribute_set_made_before_the_cap_stays_its_own() -> None:
    cells = Family(Cell, "test.metric", cap=1)
    first = cells.cell({"n": "1"})
    cells.cell({"n": "2"})
    assert cells.cell({"n": "1"}) is first


@pytest.mark.parametrize("early", [True, False])
def test_the_overflow_is_not_the_cell_without_attributes(early: bool) -> None:
    cells = Family(Cell, "test.metric", cap=2)
    if early:
        cells.cell({}).add(1)
    cells.cell({"n": "1"})
    if not early:
        cells.cell({"n": "2"})
        cells.cell({"n": "3"}).add(10)
        assert cells.cell({}) is cells.cell({"n": "4"})  # it came too late: the overflow
        return
    cells.cell({"n": "2"}).add(10)
    seen = {tuple(each.attributes or {}): each.value for each in cells.observe(Cell.value)(CallbackOptions())}
    assert seen == {(): 1, ("n",): 0, ("otel.metric.overflow",): 10}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning")
def test_a_child_can_make_cells_when_the_parent_held_the_lock_at_the_fork() -> None:
    from printobs.core import cells as module

    with module._lock:
        child = os.fork()
        if child == 0:
            Family(Cell, "test.metric").cell({"n": "1"}).add()
            os._exit(0)
    deadline = threading.Event()
    for _ in range(200):
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            break
        deadline.wait(0.02)
    else:
        os.kill(child, 9)
        os.waitpid(child, 0)
        pytest.fail("the child waits for a lock that nobody holds")
    assert status == 0
