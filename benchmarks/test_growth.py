"""How cost grows with what there is: connections, printers, attribute sets, series. An operation's must not.

Each population has telemetry of its own, so that the small ones do not share the large ones' tables.
"""

from __future__ import annotations

import asyncio
import gc
import tracemalloc
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import pytest

import printobs
from benchmarks.providers import Providers
from benchmarks.rows import Candidate, Gate, Rows, beside
from benchmarks.test_printing import WRITE, Watched
from printobs.assembly.printing import print_job, register
from printobs.core import telemetry
from printobs.core.conventions import BRANCH, WEBSOCKET_SERVER
from printobs.integrations.asgi import TelemetryMiddleware
from printobs.signals.connections import endpoint

CONNECTIONS: Final = (1, 10, 100, 1_000, 5_000)
PRINTERS: Final = (1, 10, 100, 400)
BRANCHES: Final = (1, 10, 50, 100, 200, 400)
SERIES: Final = (100, 500, 1_000, 2_000)
EXCHANGES: Final = 10_000  # a round: twice round the most connections
VISITS: Final = 200
JOBS: Final = 400
KINDS: Final = ("receipt", "kitchen", "report", "test", "label", "menu", "voucher", "drawer")
COLLECTIONS: Final = 2
LIMIT: Final = 2.5  # from one to thousands; what a processor no longer has in its caches is among it
TEXT: Final = "x" * 100
BUDGET: Final = "what an operation costs does not grow with how much there is"


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    made = asyncio.new_event_loop()
    yield made
    tasks = asyncio.all_tasks(made)
    for task in tasks:
        task.cancel()
    made.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
    made.close()


@pytest.fixture
def populations() -> Iterator[Callable[[], Providers]]:
    """Makes providers, and binds telemetry on them."""
    made: list[Providers] = []

    def population() -> Providers:
        made.append(Providers())
        telemetry.bind(telemetry.telemetry(made[-1].traces, made[-1].metrics))
        return made[-1]

    yield population
    telemetry.bind(None)
    for each in made:
        each.shutdown()


def grows(rows: Rows, title: str, axis: str, candidates: Mapping[int, Candidate], per: str, rounds: int = 31) -> None:
    """Compare the populations by their size, and keep the curve for `benchmarks.plot`."""
    names = {size: f"{size:,} {axis}" for size in candidates}
    smallest, largest = names[min(names)], names[max(names)]
    rows.note(axis=axis, per=per, sizes={name: size for size, name in names.items()})
    rows.compare(
        title,
        {names[size]: each for size, each in candidates.items()},
        [Gate("largest by smallest", beside(largest, smallest), LIMIT, BUDGET)],
        rounds=rounds,
    )


class Open:
    """Connections that are open, each with the two ends that the application has of it."""

    def __init__(self) -> None:
        self._app = TelemetryMiddleware(self._serve)
        self._connected: asyncio.Future[tuple[Any, Any]] | None = None
        self.ends: list[tuple[Any, Any, asyncio.Task[None]]] = []

    async def add(self, branch: str | None = None) -> None:
        """One more."""
        left = [{"type": "websocket.connect"}]
        received = {"type": "websocket.receive", "text": TEXT}

        async def receive() -> Any:
            return left.pop() if left else received

        async def send(_: Any) -> None: ...

        scope: dict[str, Any] = {
            "type": "websocket", "path": "/ws", "headers": [], "query_string": b"", "server": ("127.0.0.1", 80),
            "branch": branch,
        }  # fmt: skip
        self._connected = asyncio.get_running_loop().create_future()
        task = asyncio.create_task(self._app(scope, receive, send))
        self.ends.append((*await self._connected, task))

    async def _serve(self, scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        if scope["branch"] is not None:
            printobs.identify(scope, client_type="desktop", branch=scope["branch"])
        assert self._connected is not None
        self._connected.set_result((receive, send))
        # Open until the end of the test; what it would do is done by `exchange`, without a switch of tasks for each.
        await asyncio.get_running_loop().create_future()

    async def exchange(self) -> int:
        """Receive and send one message on each, in turn, for a round."""
        event = {"type": "websocket.send", "text": TEXT}
        turns = EXCHANGES // len(self.ends)
        for _ in range(turns):
            for receive, send, _ in self.ends:
                await receive()
                await send(event)
        return 2 * turns * len(self.ends)


def opened(loop: asyncio.AbstractEventLoop, number: int, branch: Callable[[int], str | None]) -> Callable[[], int]:
    """Open so many; gives what exchanges a round of messages on them."""
    made = Open()

    async def add() -> None:
        for each in range(number):
            await made.add(branch(each))

    loop.run_until_complete(add())
    return lambda: loop.run_until_complete(made.exchange())


def test_connections(rows: Rows, loop: asyncio.AbstractEventLoop, populations: Callable[[], Providers]) -> None:
    def candidate(number: int) -> Candidate:
        providers = populations()
        exchanging = opened(loop, number, lambda _: None)
        assert providers.points("websocket.server.active_connections")() == number
        return Candidate(exchanging, providers.points("websocket.server.messages"))

    grows(
        rows,
        "message, by open connections",
        "open connections",
        {number: candidate(number) for number in CONNECTIONS},
        "message",
    )


def test_visits(rows: Rows, loop: asyncio.AbstractEventLoop, populations: Callable[[], Providers]) -> None:
    """A connection that comes and goes, beside those that stay."""

    async def passing(_: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await receive()

    def candidate(number: int) -> Candidate:
        providers = populations()
        kept.append(opened(loop, number, lambda _: None))
        bound, app = telemetry.current(), TelemetryMiddleware(passing)

        async def visits() -> int:
            async def send(_: Any) -> None: ...

            telemetry.bind(bound)
            for _ in range(VISITS):
                left = [{"type": "websocket.disconnect", "code": 1000}, {"type": "websocket.connect"}]

                async def receive(left: list[Any] = left) -> Any:
                    return left.pop()

                scope = {
                    "type": "websocket", "path": "/ws", "headers": [], "query_string": b"",
                    "server": ("127.0.0.1", 80),
                }  # fmt: skip
                await app(scope, receive, send)
            return VISITS

        return Candidate(lambda: loop.run_until_complete(visits()), providers.points("websocket.server.disconnections"))

    kept: list[Callable[[], int]] = []
    grows(
        rows,
        "connection opened and closed, by open connections",
        "open connections",
        {number: candidate(number) for number in CONNECTIONS},
        "connection",
    )


def test_collected_connections(
    rows: Rows, loop: asyncio.AbstractEventLoop, populations: Callable[[], Providers]
) -> None:
    """Each open connection is asked at a collection how well it works."""

    def candidate(number: int) -> Candidate:
        providers = populations()
        kept.append(opened(loop, number, lambda _: None))

        def run() -> int:
            for _ in range(COLLECTIONS):
                providers.collected()
            return COLLECTIONS * number

        return Candidate(run)

    kept: list[Callable[[], int]] = []
    grows(
        rows,
        "collection, by open connections",
        "open connections",
        {number: candidate(number) for number in CONNECTIONS if number >= 100},
        "connection of a collection",
    )


def test_attribute_sets(rows: Rows, loop: asyncio.AbstractEventLoop, populations: Callable[[], Providers]) -> None:
    def candidate(number: int) -> Candidate:
        providers = populations()
        exchanging = opened(loop, number, lambda each: f"branch-{each}")
        return Candidate(exchanging, providers.points("websocket.server.messages"))

    memory = {number: held(populations(), number) for number in BRANCHES}
    rows.note(memory_bytes={f"{number:,} attribute sets": size for number, size in memory.items()})
    # The first one brings the instruments' own tables.
    assert memory[400] / 400 <= LIMIT * memory[10] / 10, memory
    grows(
        rows,
        "message, by attribute sets",
        "attribute sets",
        {number: candidate(number) for number in BRANCHES},
        "message",
    )


def held(providers: Providers, number: int) -> int:
    """The bytes that so many branches' connections hold in cells and in what is read from them; not the connections'
    own."""
    bound = telemetry.current()
    endpoint(bound, WEBSOCKET_SERVER, {BRANCH: "first"})
    providers.collected()
    tracemalloc.start()
    try:
        gc.collect()
        before = tracemalloc.get_traced_memory()[0]
        for each in range(number):
            endpoint(bound, WEBSOCKET_SERVER, {BRANCH: f"branch-{each}"})
        providers.collected()
        gc.collect()
        return tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()


def test_printers(rows: Rows, populations: Callable[[], Providers]) -> None:
    kept = []

    def candidate(number: int) -> Candidate:
        providers = populations()
        bound = telemetry.current()
        printers = [register(Watched(), name=f"printer-{each}") for each in range(number)]
        kept.append(printers)

        def run() -> int:
            telemetry.bind(bound)
            for _ in range(JOBS // number):
                for printer in printers:
                    with print_job(printer):
                        printer._raw(WRITE)
            return JOBS

        return Candidate(run, providers.points("printer.jobs"))

    grows(
        rows,
        "print job, by registered printers",
        "registered printers",
        {number: candidate(number) for number in PRINTERS},
        "print job",
        rounds=15,
    )


def test_series(rows: Rows, loop: asyncio.AbstractEventLoop, populations: Callable[[], Providers]) -> None:
    kept: list[Any] = []
    read: list[tuple[Providers, Open]] = []  # a connection lives as long as something holds its task

    def candidate(least: int) -> tuple[int, Candidate]:
        """Branches with a till and a printer each, until there are so many series."""
        providers, made = populations(), Open()
        series = 0
        while series < least:
            # A printer's state is told by the telemetry that it was last registered with: no two have the same name.
            number = len(kept)
            loop.run_until_complete(made.add(f"branch-{number}"))
            printer = register(Watched(), name=f"printer-{number}", branch=f"branch-{number}")
            kept.append(printer)
            # Of several kinds: at 11 states each, no more than 45 printers fit into `printer.status`.
            for kind in KINDS:
                with print_job(printer, kind=kind):
                    printer._raw(WRITE)
            series = counted(providers)

        def run() -> int:
            for _ in range(COLLECTIONS):
                providers.collected()
            return COLLECTIONS * series

        read.append((providers, made))
        return series, Candidate(run)

    candidates = dict(candidate(least) for least in SERIES)
    assert [counted(providers) for providers, _ in read] == list(candidates), "each still has its own"
    grows(
        rows,
        "collection, by series",
        "series",
        candidates,
        "series of a collection",
    )


def counted(providers: Providers) -> int:
    data = providers.collected()
    assert data is not None
    return sum(
        len(metric.data.data_points)
        for resource in data.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
    )
