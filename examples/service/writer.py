"""The threads of the database: one that writes, transaction by transaction, and one that reads; none is the loop's."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

logger = logging.getLogger("service")

P = ParamSpec("P")
T = TypeVar("T")


class Unavailable(Exception):  # noqa: N818 - reads as what is wrong
    """The database did not take it: nothing has changed, and nothing may be promised."""


class Writer:
    """Runs functions one after the other, each in a durable transaction of its own.

    ``committed`` is called on the loop after each transaction, in their order and before its caller goes on, with what
    ``drain`` gave in the writing thread.
    """

    def __init__(self, connection: sqlite3.Connection, drain: Callable[[], T], committed: Callable[[T], None]) -> None:
        self._connection = connection
        self._drain = drain
        self._committed = committed
        self._thread = ThreadPoolExecutor(1, "database-writer")

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What ``function`` returns, once it is on the disk; raises what it raises, or `Unavailable`."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, lambda: self._transaction(loop, function, *args, **kwargs))

    def _transaction(
        self, loop: asyncio.AbstractEventLoop, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                result = function(*args, **kwargs)
                self._connection.execute("COMMIT")
            except BaseException:
                self._drain()
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise
        except sqlite3.Error as error:
            # SQLite's messages quote no values.
            logger.error("the database does not take a change: %s", error)
            raise Unavailable(str(error)) from None
        loop.call_soon_threadsafe(self._committed, self._drain())
        return result

    def close(self) -> None:
        """Finish what was begun, and close the database."""
        self._thread.shutdown(wait=True, cancel_futures=True)
        self._connection.close()


class Reader:
    """Runs queries, beside the writer."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        connection.execute("PRAGMA query_only = ON")
        self._connection = connection
        self._thread = ThreadPoolExecutor(1, "database-reader")

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What ``function`` returns; raises `Unavailable`."""
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, lambda: function(*args, **kwargs))
        except sqlite3.Error as error:
            logger.error("the database cannot be read: %s", error)
            raise Unavailable(str(error)) from None

    def close(self) -> None:
        """Finish, and close the connection."""
        self._thread.shutdown(wait=True, cancel_futures=True)
        self._connection.close()
