"""The table of job states, and reading what somebody else wrote."""

import json

import pytest

from examples.jobs import receipt, wire
from examples.jobs.checks import Invalid, parse
from examples.jobs.states import TABLE, Event, IllegalTransition, State, advance


def test_nothing_leads_out_of_a_final_state_and_every_state_is_reached() -> None:
    for state in State:
        for event in Event:
            if state.final:
                with pytest.raises(IllegalTransition):
                    advance(state, event)
    assert {*TABLE.values()} == {*State}


def test_only_an_agent_can_say_that_a_receipt_was_written_or_confirmed() -> None:
    for (state, event), after in TABLE.items():
        if after in (State.WRITTEN, State.CONFIRMED):
            assert state is State.DISPATCHED
            assert event.value == after.value
        if event in (Event.JOURNAL_LOST, Event.AGENT_LOST):
            assert after is State.UNKNOWN


def test_every_message_reads_as_it_was_written() -> None:
    identifier = "0" * 32
    for message in (
        wire.Hello("pc", "mitte", identifier, ("kitchen",), (identifier,)),
        wire.Welcome(),
        wire.Refuse("no"),
        wire.Print(identifier, "kitchen", "receipt", 3.0, receipt.sample("x")),
        wire.Done(identifier, "failed", "reset", True),
        wire.Settled(identifier),
    ):
        carried = {"traceparent": "x", "baggage": "y", **wire.dump(message)}
        assert wire.load(json.dumps(carried)) == message


def test_what_is_wrong_is_not_quoted() -> None:
    with pytest.raises(Invalid) as invalid:
        wire.load(json.dumps({**wire.dump(wire.Welcome()), "Ramen for 9": 1}))
    assert "Ramen" not in str(invalid.value)
    with pytest.raises(Invalid, match="not UTF-8"):
        parse(b'"\xff"')
