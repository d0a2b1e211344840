"""The context of a handled message: lost now and then, never given to the wrong work."""

import asyncio
import json
import random
import threading

import pytest
from opentelemetry import baggage, context, trace
from opentelemetry.context import Context
from opentelemetry.trace import SpanContext, StatusCode, TraceFlags

from printobs.signals import correlation
from printobs.signals.handshake_context import HandshakeContext
from printobs.signals.message_scope import Messages, message
from tests.conftest import Sdk

HANDSHAKE = SpanContext(0xABC, 0xDEF, False, TraceFlags(1))
WITHIN = HandshakeContext(HANDSHAKE, "order-0", Context())


def text(number: int, sampled: bool = True) -> str:
    return json.dumps(
        {
            "traceparent": f"00-{number:032x}-{number:016x}-{'01' if sampled else '00'}",
            "baggage": f"correlation.id=order-{number}",
        }
    )


def here() -> tuple[int, str | None]:
    return trace.get_current_span().get_span_context().trace_id, correlation.correlation_id()


NOTHING = (0, None)


@pytest.mark.anyio
async def test_the_work_of_a_message_is_inside_its_span_until_the_next_receive(sdk: Sdk) -> None:
    messages = Messages(sdk.telemetry, WITHIN)
    messages.taken(text(1))
    assert here() == (1, "order-1")
    with sdk.telemetry.tracer.start_as_current_span("work"):
        pass
    messages.over()
    assert here() == NOTHING
    scope, work = sdk.span("websocket message"), sdk.span("work")
    assert scope.parent is not None
    assert scope.parent.span_id == 1
    assert work.parent is not None
    assert work.parent.span_id == scope.context.span_id
    assert scope.attributes is not None
    assert scope.attributes["correlation.id"] == "order-1"
    assert scope.attributes["websocket.message.type"] == "text"
    assert scope.links[0].context == HANDSHAKE


@pytest.mark.anyio
async def test_an_unsampled_message_carries_its_context_on_without_a_span(sdk: Sdk) -> None:
    messages = Messages(sdk.telemetry)
    messages.taken(text(1, sampled=False))
    assert here() == (1, "order-1")
    messages.over()
    assert here() == NOTHING
    assert sdk.spans() == []


@pytest.mark.anyio
async def test_a_message_without_context_costs_nothing_unless_asked(sdk: Sdk) -> None:
    Messages(sdk.telemetry).taken("hello")
    assert here() == NOTHING
    every = Messages(sdk.telemetry, WITHIN, every=True)
    every.taken("hello")
    assert here()[0] != 0
    every.over(ValueError("2 x Ramen"))
    span = sdk.span("websocket message")
    assert span.parent is None
    assert span.links[0].context == HANDSHAKE
    assert span.status.status_code is StatusCode.ERROR
    assert "Ramen" not in span.to_json()


@pytest.mark.anyio
async def test_an_ended_message_reads_as_none_wherever_the_task_kept_it(sdk: Sdk) -> None:
    messages = Messages(sdk.telemetry)
    messages.taken(text(1))
    kept = context.get_current()
    with sdk.telemetry.tracer.start_as_current_span("work"):
        messages.taken("no context")
    # The work's end put back what was current before it.
    assert here() == NOTHING
    assert correlation.correlation_id(kept) is None
    assert dict(baggage.get_all(kept)) == {}
    assert not baggage.get_all(baggage.set_baggage("a", "b", kept)).get("correlation.id")


@pytest.mark.anyio
async def test_what_a_handler_says_of_its_message_is_on_the_span_which_it_cannot_end(sdk: Sdk) -> None:
    messages = Messages(sdk.telemetry)
    messages.taken(text(1))
    span = trace.get_current_span()
    assert span.is_recording()
    span.update_name("seat guests")
    span.set_attribute("table", 9)
    span.set_attributes({"seats": 4})
    span.add_event("seated", {"by": "door"})
    span.add_link(HANDSHAKE)
    span.record_exception(ValueError("no chair"))
    span.set_status(StatusCode.ERROR, "no chair")
    span.end()
    assert sdk.spans() == []
    messages.over()
    assert not span.is_recording()
    only = sdk.span("seat guests")
    assert only.attributes is not None
    assert (only.attributes["table"], only.attributes["seats"]) == (9, 4)
    assert [event.name for event in only.events] == ["seated", "exception"]
    assert [link.context for link in only.links] == [HANDSHAKE]
    assert (only.status.status_code, only.status.description) == (StatusCode.ERROR, "no chair")


@pytest.mark.anyio
async def test_tasks_and_threads_started_meanwhile_keep_their_message(sdk: Sdk) -> None:
    messages = Messages(sdk.telemetry)
    go, found = asyncio.Event(), []

    async def later() -> None:
        await go.wait()
        found.append(here())
        found.append(await asyncio.to_thread(here))

    messages.taken(text(1))
    task = asyncio.create_task(later())
    await asyncio.sleep(0)
    messages.taken(text(2))
    go.set()
    await task
    assert found == [(1, "order-1"), (1, "order-1")]
    assert here() == (2, "order-2")
    messages.over()


@pytest.mark.anyio
async def test_no_message_is_ever_given_another_ones_context(sdk: Sdk) -> None:
    """Connections served by one select loop and by tasks, in random order: right or nothing, never wrong."""
    rng = random.Random(7)
    wrong: list[object] = []
    right = 0

    async def select_loop(first: int) -> None:
        nonlocal right
        connections = [Messages(sdk.telemetry) for _ in range(3)]
        for number in range(first, first + 100):
            messages = rng.choice(connections)
            messages.over()
            carries = rng.random() < 0.7
            messages.taken(text(number, rng.random() < 0.5) if carries else "plain")
            for _ in range(rng.randrange(3)):
                await asyncio.sleep(0)
                seen = here()
                if carries and seen not in ((number, f"order-{number}"), NOTHING):
                    wrong.append((number, seen))
                right += carries and seen != NOTHING
        for messages in connections:
            messages.over()
        if here() != NOTHING:
            wrong.append("left over")

    await asyncio.gather(*(select_loop(1000 * n + 1) for n in range(10)))
    assert wrong == []
    assert right > 300


def test_threads_have_their_own_messages(sdk: Sdk) -> None:
    messages, found = Messages(sdk.telemetry), []

    def work() -> None:
        messages.taken(text(3))
        found.append(here())
        messages.over()
        found.append(here())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [(3, "order-3"), NOTHING]
    assert here() == NOTHING


def test_the_explicit_form_continues_or_roots_a_trace(sdk: Sdk) -> None:
    with message(json.loads(text(5))) as span:
        assert here() == (5, "order-5")
        assert span.is_recording()
    assert here() == NOTHING
    token = context.attach(WITHIN)
    with pytest.raises(ZeroDivisionError), message("plain"):
        assert correlation.correlation_id() is not None
        raise ZeroDivisionError("2 x Ramen")
    context.detach(token)
    continued, root = sdk.spans("websocket message")
    assert continued.parent is not None
    assert root.parent is None
    assert root.links[0].context == HANDSHAKE
    assert root.attributes is not None
    assert root.attributes["error.type"] == "ZeroDivisionError"
    assert "Ramen" not in root.to_json()
