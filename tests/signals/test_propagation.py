"""In-band context: what a message carries, and what is left exactly as it is."""

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import baggage, context, propagate, trace
from opentelemetry.context import Context
from opentelemetry.propagators.textmap import DefaultGetter
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags

from printobs.signals import correlation
from printobs.signals.propagation import Readable, extract, inject, may_carry, readable

TRACE, SPAN = 0x0AF7651916CD43DD8448EB211C80319C, 0xB7AD6B7169203331
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
def current() -> Iterator[None]:
    span = NonRecordingSpan(SpanContext(TRACE, SPAN, False, TraceFlags(1)))
    token = context.attach(correlation.with_id("order-4711", trace.set_span_in_context(span)))
    yield
    context.detach(token)


def ids(incoming: object) -> tuple[int, int, str | None] | None:
    found = extract(incoming)
    if found is None:
        return None
    span = trace.get_current_span(found).get_span_context()
    return span.trace_id, span.span_id, correlation.correlation_id(found)


@pytest.mark.usefixtures("current")
@pytest.mark.parametrize("payload", [{"a": 1}, '{"a":1}', b'{"a":1}', " \n{ }", "{}", '{"a":"é"}'.encode(), {}])
def test_what_is_injected_is_extracted_and_the_rest_stays(payload: Any) -> None:
    sent = inject(payload)
    assert type(sent) is type(payload)
    assert ids(sent) == (TRACE, SPAN, "order-4711")
    before = payload if isinstance(payload, dict) else json.loads(payload)
    after = sent if isinstance(sent, dict) else json.loads(sent)
    assert {key: value for key, value in after.items() if key not in ("traceparent", "baggage")} == before


@pytest.mark.usefixtures("current")
def test_a_mapping_is_copied_not_changed() -> None:
    payload: dict[str, object] = {"a": 1}
    assert inject(payload) is not payload
    assert payload == {"a": 1}


@pytest.mark.usefixtures("current")
@pytest.mark.parametrize(
    "payload",
    ["", "2 x Ramen", "[1]", '"{}"', '{"a":1}\n{"a":2}', '{"a":', "\ufeff{}", b"\xef\xbb\xbf{}", b"\xff{}", b"\x00",
     "{" * 100_000, '{"a":' * 200_000 + "1" + "}" * 200_000, None, 7, 1.5, ["x"], bytearray(b"{}"), object()],
)  # fmt: skip
def test_everything_else_passes_untouched(payload: object) -> None:
    assert inject(payload) is payload or inject(payload) == payload
    assert type(inject(payload)) is type(payload)


@pytest.mark.usefixtures("current")
def test_a_field_that_is_there_is_never_written_over_and_never_completed() -> None:
    assert inject({"traceparent": "theirs"}) == {"traceparent": "theirs", "baggage": "correlation.id=order-4711"}
    assert "traceparent" not in inject({"tracestate": "x=1"})
    theirs = '{"traceparent":"theirs","baggage":"a=b"}'
    assert inject(theirs) == theirs


def test_nothing_is_added_where_there_is_no_context() -> None:
    assert inject('{"a":1}') == '{"a":1}'


@pytest.mark.parametrize(
    "incoming",
    [
        None,
        7,
        "",
        "[]",
        '{"traceparent":',
        '["traceparent"]',
        {"traceparent": 7, "baggage": ["correlation.id=x"]},
        {"traceparent": PARENT + "\n"},
        {"traceparent": PARENT + "0" * 10_000},
        {"traceparent": "00-" + "0" * 32 + "-b7ad6b7169203331-01"},
        {"traceparent": PARENT.upper()},
        {"baggage": "correlation.id=" + "x" * 9000},
        {"baggage": "a" * 8000},
        {"baggage": 'correlation.id="2 x Ramen"'},
        '{"a":' * 200_000 + '"traceparent"',
        b'\xff{"traceparent": "' + PARENT.encode() + b'"}',
        json.dumps({"x": "y" * 300_000, "traceparent": PARENT}),
    ],
)
def test_malformed_hostile_and_over_long_fields_are_ignored_in_silence(
    incoming: object, caplog: pytest.LogCaptureFixture
) -> None:
    assert extract(incoming) is None
    assert caplog.text == ""


def test_one_bad_field_does_not_spoil_the_others() -> None:
    assert ids({"traceparent": PARENT, "baggage": "no pairs at all", "tracestate": 1}) == (TRACE, SPAN, None)
    assert ids({"traceparent": "junk", "baggage": "correlation.id=order-1"}) == (0, 0, "order-1")


def test_a_long_message_is_searched_at_both_ends_only() -> None:
    assert may_carry('{"traceparent":1,"x":"' + "y" * 5000 + '"}')
    assert may_carry(b'{"x":"' + b"y" * 5000 + b'","traceparent":1}')
    assert not may_carry('{"x":"' + "y" * 500 + '","traceparent":1,"z":"' + "y" * 500 + '"}')
    assert ids('{"x":"' + "y" * 5000 + f'","traceparent":"{PARENT}"}}') == (TRACE, SPAN, None)


def test_what_is_current_here_is_no_part_of_what_a_message_carries(current: None) -> None:
    assert ids({"baggage": "correlation.id=order-1"}) == (0, 0, "order-1")


def test_a_propagator_that_raises_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError

    monkeypatch.setattr("opentelemetry.propagate.inject", fail)
    monkeypatch.setattr("opentelemetry.propagate.extract", fail)
    assert inject("{}") == "{}"
    assert extract({"traceparent": PARENT}) is None


# Pieces of headers, right and wrong, put together at random.
PIECES = st.lists(
    st.sampled_from(["a", "b1", "k@v", "=", ",", ";", " ", "\t", "%20", '"', "\x1b[31m", "é", "x" * 300, "y" * 5000]),
    max_size=40,
).map("".join)


def read(carrier: dict[str, str], getter: DefaultGetter) -> tuple[Any, Any]:
    found = propagate.extract(carrier, Context(), getter)
    return dict(baggage.get_all(found)), dict(trace.get_current_span(found).get_span_context().trace_state)


@given(PIECES, PIECES)
def test_of_headers_the_same_is_read_but_nothing_of_them_is_logged(entries: str, state: str) -> None:
    carrier = {"traceparent": PARENT, "baggage": entries, "tracestate": state}
    said: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: said.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("opentelemetry")
    logger.propagate = False
    try:
        theirs = read(carrier, DefaultGetter())
        logger.addHandler(handler)
        assert read(carrier, Readable(DefaultGetter())) == theirs
    finally:
        logger.removeHandler(handler)
        logger.propagate = True
    assert [line for line in said if "exceeded the maximum number of" not in line or "`" in line] == []


def test_other_headers_are_as_they_came() -> None:
    assert readable("x-request-id", ["a,b", "=;"]) == ["a,b", "=;"]
    assert Readable(DefaultGetter()).get({}, "baggage") is None
