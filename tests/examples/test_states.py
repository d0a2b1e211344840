"""The tables of job states, and reading what somebody else wrote."""

import json
from typing import Any

import pytest

from examples.jobs import receipt, wire
from examples.jobs.checks import Invalid, parse
from examples.jobs.states import (
    AGENT,
    SERVICE,
    Event,
    IllegalTransition,
    JournalEvent,
    JournalState,
    State,
    advance,
)

ID = "0123456789abcdef" * 2


def test_nothing_leads_out_of_a_final_state_and_every_state_is_reached() -> None:
    for state in State:
        for event in Event:
            if state.final:
                with pytest.raises(IllegalTransition):
                    advance(SERVICE, state, event)
    assert {*SERVICE.values()} == {*State}
    assert {event for _, event in SERVICE} == {*Event}
    assert {state for state in State if state.final} == {*State} - {State.QUEUED, State.DISPATCHED}


def test_only_an_agent_can_say_that_a_receipt_was_written_or_confirmed() -> None:
    for (state, event), after in SERVICE.items():
        if after in (State.WRITTEN, State.CONFIRMED):
            assert state is State.DISPATCHED
            assert event.value == after.value
        if event in (Event.JOURNAL_LOST, Event.AGENT_LOST):
            assert after is State.UNKNOWN


def test_a_job_is_called_failed_only_while_it_cannot_have_come_out() -> None:
    failed = {(state, event) for (state, event), after in SERVICE.items() if after is State.FAILED}
    assert failed == {
        (State.QUEUED, Event.EXPIRED),
        (State.DISPATCHED, Event.FAILED),
        (State.DISPATCHED, Event.UNDELIVERABLE),
    }


def test_an_agent_starts_a_job_once() -> None:
    starts = [state for (state, event), after in AGENT.items() if after is JournalState.STARTED]
    assert starts == [JournalState.ABSENT]
    assert {event for _, event in AGENT} == {*JournalEvent}
    for state in (JournalState.STARTED, JournalState.DONE):
        with pytest.raises(IllegalTransition, match="started cannot happen to a job that is"):
            advance(AGENT, state, JournalEvent.STARTED)


MESSAGES = (
    wire.Hello(
        "pc", "mitte", ID, 7, (wire.Printer("kitchen", "X4AB 1"), wire.Printer("bar")), (wire.Known(ID, "started"),)
    ),
    wire.Welcome(),
    wire.Refuse("no"),
    wire.Print(ID, "kitchen", "receipt", 3.0, 0.0, receipt.sample("x"), reprint_of=ID),
    wire.Print(ID, "kitchen", "receipt", 3.0, 300.0, raw="G0A="),
    wire.Cancel(ID),
    wire.Cancelled(ID, False),
    wire.Done(ID, "unknown", "reset", True, "printing"),
    wire.Done(ID, "confirmed"),
    wire.Settled(ID),
    wire.Evidence(ID),
    wire.State("kitchen", "paper_end", 40),
    wire.State("kitchen", "unknown"),
)


def test_every_message_reads_as_it_was_written() -> None:
    assert {type(message) for message in MESSAGES} == {*wire.Message.__args__}
    for message in MESSAGES:
        carried = {"traceparent": "x", "baggage": "y", **wire.dump(message)}
        assert wire.load(json.dumps(carried)) == message


@pytest.mark.parametrize(
    ("message", "changes", "field"),
    [
        (MESSAGES[0], {"sequence": -1}, "sequence"),
        (MESSAGES[0], {"sequence": True}, "sequence"),
        (MESSAGES[0], {"journal": "x"}, "journal"),
        (MESSAGES[0], {"printers": []}, "printers"),
        (MESSAGES[0], {"printers": ["kitchen"]}, "printers[0]"),
        (MESSAGES[0], {"printers": [{"id": "bar"}, {"id": "bar", "serial": "x"}]}, "printers"),
        (MESSAGES[0], {"printers": [{"id": ["bar"]}]}, "printers[0].id"),
        (MESSAGES[0], {"printers": [{"id": "bar", "port": 1}]}, "printers[0].port"),
        (MESSAGES[0], {"jobs": [{"id": ID, "state": "absent"}]}, "jobs[0].state"),
        (MESSAGES[1], {"surprise": 1}, "surprise"),
        (MESSAGES[3], {"raw": "G0A="}, "receipt"),
        (MESSAGES[3], {"receipt": {}}, "receipt"),
        (MESSAGES[4], {"raw": "?"}, "raw"),
        (MESSAGES[3], {"reprint_of": "x"}, "reprint_of"),
        (MESSAGES[3], {"timeout": 601}, "timeout"),
        (MESSAGES[7], {"outcome": "cancelled"}, "outcome"),
        (MESSAGES[7], {"error_type": "Ramen for 9"}, "error_type"),
        (MESSAGES[11], {"score": 101}, "score"),
        (MESSAGES[11], {"state": "Paper End"}, "state"),
    ],
)
def test_a_message_that_is_not_as_agreed_is_refused_by_its_field(
    message: wire.Message, changes: dict[str, Any], field: str
) -> None:
    with pytest.raises(Invalid) as invalid:
        wire.load(json.dumps({**wire.dump(message), **changes}))
    assert invalid.value.field == field


def test_what_is_wrong_is_not_quoted() -> None:
    with pytest.raises(Invalid) as invalid:
        wire.load(json.dumps({**wire.dump(wire.Welcome()), "Ramen for 9": 1}))
    assert "Ramen" not in str(invalid.value)
    with pytest.raises(Invalid, match="not UTF-8"):
        parse(b'"\xff"')
