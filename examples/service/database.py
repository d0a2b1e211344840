"""The database of a running service: opened once, written by one thread, read by another."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import ParamSpec, Self, TypeVar

from examples.service import schema
from examples.service.clock import Clock
from examples.service.jobs import Jobs
from examples.service.records import Changes
from examples.service.registry import Registry
from examples.service.settings import Settings
from examples.service.views import Views
from examples.service.writer import Reader, Writer

P = ParamSpec("P")
T = TypeVar("T")


class Database:
    """``jobs`` and ``registry`` are run by `write`, ``views`` by `read`; ``committed`` is called with each change."""

    def __init__(self, settings: Settings) -> None:
        """Open it; raises `schema.Unusable`."""
        path = Path(settings.database)
        self._lock = schema.Lock(path)
        try:
            connection = schema.open_database(path)
        except BaseException:
            self._lock.release()
            raise
        self.clock = Clock()
        self.jobs = Jobs(
            connection,
            self.clock,
            limit=settings.queue_limit,
            printer_limit=settings.printer_queue_limit,
            reprinting=settings.reprint_branches,
        )
        self.registry = Registry(connection, self.clock, self.jobs)
        reading = schema.connect(path)
        self.views = Views(reading)
        self.committed: Callable[[Changes], None] = lambda _: None
        self._writer = Writer(connection, self.jobs.drain, lambda changes: self.committed(changes))
        self._reader = Reader(reading)

    async def write(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What ``function`` returns, once what it did is on the disk; raises what it raises, and `Unavailable`."""
        return await self._writer.run(function, *args, **kwargs)

    async def read(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What ``function`` returns; raises `Unavailable`."""
        return await self._reader.run(function, *args, **kwargs)

    async def probe(self) -> None:
        """Write something that outlives a power cut; raises `Unavailable`."""
        await self._writer.run(self.registry.probe)

    def close(self) -> None:
        """Finish what was begun."""
        self._reader.close()
        self._writer.close()
        self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
