"""What configure() gives back flushes and ends what it has, and nobody waits longer than he wants."""

import threading

import pytest
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider

from printobs.assembly.handle import Handle


class Slow(SpanProcessor):
    """One whose flush lasts until it is let go."""

    def __init__(self) -> None:
        self.flushes = 0
        self.let_go = threading.Event()

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        self.flushes += 1
        return self.let_go.wait(30)


def test_a_flush_that_hangs_is_waited_for_again_and_not_followed_by_another() -> None:
    slow, provider, handle = Slow(), TracerProvider(), Handle()
    provider.add_span_processor(slow)
    handle.made(traces=provider)
    assert [handle.force_flush(0.05) for _ in range(4)] == [False] * 4
    slow.let_go.set()
    assert handle.force_flush(10)
    assert slow.flushes in (1, 2), "the last may find the first at its end, and ask once more"
    flushed = slow.flushes
    assert handle.force_flush(10)
    assert slow.flushes == flushed + 1
    handle.shutdown(10)


def test_what_is_undone_before_the_end_may_fail_and_is_undone_once(caplog: pytest.LogCaptureFixture) -> None:
    handle, undone = Handle(), []

    def fail() -> None:
        undone.append("first")
        raise LookupError("table nine")

    handle.before_shutdown(fail)
    handle.before_shutdown(lambda: undone.append("second"))
    handle.shutdown(1)
    handle.shutdown(1)
    assert undone == ["first", "second"]
    assert "table nine" not in caplog.text
