"""What the fuzzer has found is replayed, without the fuzzer."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from printobs.signals.escpos_replies import Answered, Lost, PoweredOn, Stray
from tests.fuzz import oracle

CORPUS = sorted((Path(__file__).parent / "corpus").iterdir())


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.name)
def test_the_decoder_keeps_its_promises(path: Path) -> None:
    oracle.check(path.read_bytes())


def test_the_corpus_reaches_every_kind_of_event() -> None:
    events = [event for path in CORPUS for event in oracle.play(oracle.steps(path.read_bytes()), 1).events]
    assert {oracle.form(event.question)[:4] for event in events if isinstance(event, Answered)} > {
        "real",
        "one ",
        "text",
    }
    assert {Answered, Lost, PoweredOn, Stray} <= {type(event) for event in events}


@given(st.binary(max_size=80))
def test_what_the_fuzzer_has_not_tried(data: bytes) -> None:
    oracle.check(data)
