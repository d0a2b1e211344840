"""The context of a connection's handler: smaller than OpenTelemetry's own, and read as if it were one."""

from collections.abc import Callable
from typing import Any

import pytest
from opentelemetry import baggage, context, propagate, trace
from opentelemetry.context import Context
from opentelemetry.trace import SpanContext, TraceFlags, TraceState

from printobs.signals import correlation
from printobs.signals.handshake_context import HandshakeContext, links

SAMPLED = SpanContext(0xABC, 0xDEF, False, TraceFlags(1))
BASE = baggage.set_baggage("till", "4", context.set_value("tenant", "noodles"))


def entries(of: Context) -> dict[str, object]:
    return {key: of[key] for key in of}


@pytest.mark.parametrize(
    "handshake",
    [
        SAMPLED,
        SpanContext(2**128 - 1, 2**64 - 1, False, TraceFlags(0)),
        SpanContext(0xABC, 0xDEF, True, TraceFlags(1)),
        SpanContext(0xABC, 0xDEF, False, TraceFlags(1), TraceState([("vendor", "x")])),
    ],
    ids=["sampled", "the largest", "remote", "with a state"],
)
def test_the_handshake_is_what_it_was(handshake: SpanContext) -> None:
    (link,) = links(HandshakeContext(handshake, "order-1", Context()))
    assert link.context == handshake
    assert link.context.is_remote == handshake.is_remote
    assert link.context.trace_state == handshake.trace_state


def test_a_handshake_that_nobody_traces_is_no_link() -> None:
    assert links(HandshakeContext(trace.INVALID_SPAN_CONTEXT, "order-1", Context())) == []
    assert links(Context()) == []


def test_the_identifier_joins_the_baggage_that_was_there() -> None:
    within = HandshakeContext(SAMPLED, "order-1", BASE)
    assert correlation.correlation_id(within) == "order-1"
    assert dict(baggage.get_all(within)) == {"till": "4", "correlation.id": "order-1"}
    carrier: dict[str, str] = {}
    propagate.inject(carrier, within)
    assert carrier == {"baggage": "till=4,correlation.id=order-1"}
    assert dict(baggage.get_all(BASE)) == {"till": "4"}


READS: dict[str, Callable[[Any], object]] = {
    "contains": lambda held: [key in held for key in (*entries(BASE), "nothing")],
    "get": lambda held: [held.get(key) for key in (*entries(BASE), "nothing")],
    "get, by default": lambda held: held.get("nothing", 4),
    "getitem": lambda held: held["tenant"],
    "iter": lambda held: sorted(held),
    "keys": lambda held: sorted(held.keys()),
    "values": lambda held: len(held.values()),
    "items": lambda held: sorted(held.items(), key=str),
    "len": len,
    "truth": bool,
    "copy": lambda held: held.copy(),
    "a dictionary of it": dict,
    "unpacked": lambda held: {**held},
    "or": lambda held: held | {"a": 1},
    "or, from the right": lambda held: {"a": 1} | held,
    "repr": lambda held: len(repr(held)),
    "reversed": lambda held: [*reversed(held)],
    "equal": lambda held: (held == dict(held), held == {}, held != dict(held), held != {}),
}


@pytest.mark.parametrize("read", READS.values(), ids=READS)
def test_it_reads_as_the_same_entries_in_a_plain_context(read: Callable[[Any], object]) -> None:
    within = HandshakeContext(SAMPLED, "order-1", BASE)
    plain = Context(entries(within))
    assert set(plain) > set(BASE)
    assert read(within) == read(plain)


def test_what_is_set_on_top_of_it_keeps_what_it_holds() -> None:
    within = HandshakeContext(SAMPLED, "order-1", BASE)
    above = context.set_value("more", 1, trace.set_span_in_context(trace.NonRecordingSpan(SAMPLED), within))
    assert links(above)[0].context == SAMPLED
    assert correlation.correlation_id(above) == "order-1"
    assert context.get_value("tenant", above) == "noodles"
    assert context.get_value("more", within) is None
    with pytest.raises(ValueError, match=r"^$"):
        within["more"] = 1
