"""A short version of ``make soak``: seeded runs under faults, and what the paper says of them."""

from __future__ import annotations

import random

import pytest

from tests.ledger import paper
from tests.ledger.ledger import Ledger, cells
from tests.ledger.run import ROWS

RUNS = 20


@pytest.mark.timeout(600)
def test_every_accepted_job_has_one_outcome_that_the_paper_bears_out() -> None:
    ledger = Ledger()
    ledger.play(range(RUNS), lanes=6)
    # A run that fails is played alone: python -m tests.ledger --first SEED --runs 1
    assert not ledger.failures, "\n".join(ledger.failures)
    assert ledger.runs == RUNS
    assert ledger.healthy == RUNS // 10
    # Not in vain: most of what was to be struck was struck.
    assert ledger.hits.total() >= RUNS
    assert ledger.outcomes["confirmed"] > ledger.outcomes.total() / 3


def test_seeds_in_a_row_go_through_every_fault_at_every_row() -> None:
    struck = [cell for seed in range(1000) for cell in cells(seed)]
    assert {row for row, _ in struck} == set(ROWS)
    assert min(struck.count(cell) for cell in set(struck)) >= 10
    assert sum(not cells(seed) for seed in range(1000)) == 100


def _pieces(*bodies: tuple[dict[str, object], str], cut: bool = True) -> list[paper.Receipt]:
    return [paper.Receipt(paper.whole(body, mark), cut, b"") for body, mark in bodies]


def test_the_paper_tells_a_whole_receipt_from_a_torn_one_and_a_marked_copy_from_an_unmarked_one() -> None:
    body = paper.content(7, random.Random(1))
    original, mark = "a" * 32, "a" * 8
    slips = [
        paper.Slip(7, "", paper.whole(body)),
        paper.Slip(7, mark, paper.whole(body, original)),
    ]
    read = paper.Paper()
    read.read(_pieces((body, ""), (body, original)), slips)
    assert (read.of(7), read.of(7, mark)) == (paper.Copies(1, 1), paper.Copies(1, 1))
    # Twice without a mark.
    read = paper.Paper()
    read.read(_pieces((body, ""), (body, "")), slips)
    assert read.of(7) == paper.Copies(2, 2)
    # Torn off, in the middle or before the cut; and the rest of a torn one above a whole one.
    whole = paper.whole(body)
    read = paper.Paper()
    read.read([paper.Receipt(whole[:2], False, b""), paper.Receipt(whole, False, b"")], slips)
    assert read.of(7) == paper.Copies(2, 0)
    other = paper.whole({"receipt": paper.receipt(8, random.Random(2))})
    read = paper.Paper()
    read.read([paper.Receipt(other[:2] + whole, True, b"")], slips)
    assert (read.of(7), read.of(8)) == (paper.Copies(1, 1), paper.Copies(1, 0))
