"""Flushing on an event loop: what is waiting goes out before a server ends, without holding up the loop."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import Any, Final

from opentelemetry import _logs, metrics, trace

from printobs.core.guard import Guard

_guard: Final = Guard("flushing telemetry")


async def flush(seconds: float) -> None:
    """Flush the application's global providers, all at once; gives up after so many ``seconds``; never raises."""
    providers: list[Any] = [trace.get_tracer_provider(), metrics.get_meter_provider(), _logs.get_logger_provider()]
    with _guard:
        loop = asyncio.get_running_loop()
        ends: list[asyncio.Future[None]] = []
        for provider in providers:
            if hasattr(provider, "force_flush"):  # the SDK's
                ends.append(end := loop.create_future())
                # Threads of their own: a loop that ends waits for its executor's, however long they hang.
                threading.Thread(target=_flush, args=(provider, seconds, loop, end), daemon=True).start()
        if ends:
            await asyncio.wait(ends, timeout=seconds)


def _flush(provider: Any, seconds: float, loop: asyncio.AbstractEventLoop, end: asyncio.Future[None]) -> None:
    with _guard:
        provider.force_flush(int(seconds * 1000))
    with contextlib.suppress(RuntimeError):  # too late: the loop is closed
        loop.call_soon_threadsafe(end.cancel)
