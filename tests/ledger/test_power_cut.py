"""The power goes at any moment: what the service and the agent had promised by then is there afterwards."""

from __future__ import annotations

import asyncio
import random
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from examples.agent.journal import Journal
from examples.jobs import wire
from examples.jobs.states import JournalState
from examples.service.database import Database
from examples.service.jobs import TooLate
from examples.service.records import Job, Order
from examples.service.settings import Settings
from tests.ledger.disk import Disk

ROUNDS = 4  # power cuts one after the other, each on what the last one has left


class Power:
    """Goes at the ``after``-th change of the disk; what is on it then is ``left``, and goes on to be used elsewhere."""

    def __init__(self, chance: random.Random, after: int) -> None:
        self.disk = Disk(self._tick)
        self._chance = chance
        self._after = after
        self.left: dict[str, bytes] | None = None

    @property
    def on(self) -> bool:
        """Whether what is promised now counts."""
        return self.left is None

    def _tick(self) -> None:
        self._after -= 1
        if self._after == 0:
            self.go()

    def go(self) -> None:
        """It goes now, if it has not gone yet."""
        if self.left is None:
            self.left = self.disk.cut(self._chance)

    def restore(self, folder: Path) -> Path:
        """What is left, in a folder of its own."""
        folder.mkdir()
        for name, content in (self.left or {}).items():
            (folder / name).write_bytes(content)
        return folder


def with_power(chance: random.Random, most: int, use: Callable[[Power], None]) -> Power:
    """Use the disk until its power has gone, at the latest at the end."""
    power = Power(chance, chance.randint(1, most))
    with power.disk.plugged():
        use(power)
        power.go()
    return power


# -- the disk itself -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("synchronous", "keeps"), [("FULL", True), ("NORMAL", False), ("OFF", False)])
def test_the_disk_loses_what_was_not_synced_and_nothing_else(tmp_path: Path, synchronous: str, keeps: bool) -> None:
    lost = 0
    for seed in range(20):
        folder = tmp_path / str(seed)
        folder.mkdir()
        power = Power(random.Random(seed), 0)
        with power.disk.plugged():
            database = sqlite3.connect(folder / "any.db", isolation_level=None)
            database.execute("PRAGMA journal_mode = WAL")
            database.execute(f"PRAGMA synchronous = {synchronous}")
            database.execute("CREATE TABLE numbers (number INTEGER)")
            for number in range(30):
                database.execute("INSERT INTO numbers VALUES (?)", (number,))
            power.go()
            database.close()
        found = sqlite3.connect(power.restore(tmp_path / f"{seed} after") / "any.db")
        try:
            lost += found.execute("SELECT count(*) FROM numbers").fetchone() != (30,)
        except sqlite3.DatabaseError:
            lost += 1
        found.close()
    assert (lost == 0) is keeps


# -- the service -----------------------------------------------------------------------------------------------------


class Shop:
    """A service's database in use: every change that has returned is a promise."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self.promised: dict[str, Job] = {}
        self.keys: dict[str, str] = {}  # job by key
        self.touched: set[str] = set()  # by what was under way when the power went
        self._sequence = 0
        self._number = 0

    async def use(self, power: Power, settings: Settings) -> None:
        with Database(settings) as database:
            await self.check(database)
            session = await self._join(database)
            for _ in range(self._chance.randint(1, 60)):
                if not power.on:
                    return
                before = dict(self.promised)
                self.touched = set()
                with suppress(TooLate):
                    await self._change(database, session, power)
                if not power.on:
                    self.promised = before

    async def check(self, database: Database) -> None:
        """All that was promised is there: the same job, for the same key, in the same state."""
        for identifier, promised in list(self.promised.items()):
            job = await database.read(database.views.job, identifier)
            assert job is not None, f"an accepted job is lost: {promised.state}"
            if identifier in self.touched:
                self.promised[identifier] = job
            else:
                assert job == promised
        self.touched = set()
        for key, identifier in self.keys.items():
            if identifier in self.promised:
                job = await database.write(database.jobs.submit, self._order(key))
                assert job.id == identifier, "a key is forgotten: the receipt would be printed twice"

    async def _join(self, database: Database) -> int:
        self._sequence += 1000  # more than has been done meanwhile
        open_jobs = tuple(wire.Known(job.id, "started") for job in self.promised.values() if not job.state.final)
        printers = wire.Printer("kitchen"), wire.Printer("bar")
        hello = wire.Hello("pc", "mitte", "ab" * 16, self._sequence, printers, open_jobs)
        joined = await database.write(database.registry.join, hello)
        return int(joined.session)

    async def _change(self, database: Database, session: int, power: Power) -> None:
        jobs, chance = database.jobs, self._chance
        some = chance.choice(list(self.promised.values())) if self.promised else None
        choice = chance.random()
        if choice < 0.45 or some is None:
            self._number += 1
            key = f"key-{self._number}"
            job = await database.write(jobs.submit, self._order(key))
            if power.on:
                self.keys[key] = job.id
            self._promise(job)
        elif choice < 0.65:
            printer = chance.choice(["kitchen", "bar"])
            # Which one it would be is known: the oldest.
            waiting = [job for job in self.promised.values() if job.printer == printer and not job.state.final]
            self.touched = {job.id for job in waiting}
            if (claimed := await database.write(jobs.claim, printer, session)) is not None:
                self._promise(claimed[0])
        elif choice < 0.8:
            self.touched = {some.id}
            outcome = chance.choice(wire.OUTCOMES)
            done = wire.Done(some.id, outcome)
            self._promise(await database.write(jobs.done, some.journal, done, since_hello=True))
        elif choice < 0.9:
            self.touched = {some.id}
            self._promise(await database.write(jobs.cancel, some))
        elif choice < 0.95:
            self.touched = {some.id}
            self._promise(await database.write(jobs.release, some))
        else:
            self.touched = {some.id}
            copy = await database.write(jobs.reprint, some, self._order(None))
            self._promise(copy)
            self._promise(await database.read(database.views.job, some.id))

    def _promise(self, job: Job | None) -> None:
        if job is not None:
            self.promised[job.id] = job

    def _order(self, key: str | None) -> Order:
        number = int(key.removeprefix("key-")) if key else 0
        printer = "bar" if number % 2 else "kitchen"
        # Some are long: the write-ahead log is carried over into the database now and then.
        content = {"raw": "QQ==" * (12_000 if number % 3 == 0 else 10)}
        return Order(printer, "receipt", 30.0, 86_000.0, content, "till", key, f"hash of {key}", "", {})


@pytest.mark.parametrize("seed", range(30))
def test_what_the_service_has_answered_outlives_a_power_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    chance = random.Random(seed)
    monkeypatch.setenv("SERVICE_JWT_SECRET", "not a secret, but long enough for HS256")
    shop = Shop(chance)
    folder = tmp_path / "0"
    folder.mkdir()
    for number in range(ROUNDS):
        monkeypatch.setenv("SERVICE_DATABASE", str(folder / "service.db"))
        settings = Settings.from_environment()
        power = with_power(chance, 250, lambda power: asyncio.run(shop.use(power, settings)))  # noqa: B023 - used at once
        folder = power.restore(tmp_path / str(number + 1))
    monkeypatch.setenv("SERVICE_DATABASE", str(folder / "service.db"))

    async def look() -> None:
        with Database(Settings.from_environment()) as database:
            await shop.check(database)

    asyncio.run(look())


# -- the agent -------------------------------------------------------------------------------------------------------


class Memory:
    """A journal in use. A job is ``None`` once it has begun, or how it ended; what is settled may be told again."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self.promised: dict[str, wire.Done | None] = {}
        self.settled: set[str] = set()
        self.doubtful: str = ""  # what was under way when the power went
        self.identity = ""
        self.sequence = -1  # that the service was told

    def use(self, power: Power, path: Path) -> None:
        journal = Journal(path)
        try:
            if power.on:
                self.check(journal)
            for _ in range(self._chance.randint(1, 60)):
                if not power.on:
                    break
                self._change(journal, power)
        finally:
            journal.close()

    def check(self, journal: Journal) -> None:
        """Whatever had begun is known, so that it never begins again; how it ended is told as before."""
        if self.identity:
            assert journal.identity == self.identity
        self.identity = journal.identity
        sequence, _ = journal.known()
        assert sequence > self.sequence, "the service would take it for a journal that has gone back in time"
        self.sequence = sequence
        told = {done.id for done in journal.unsettled()}
        for job, promised in self.promised.items():
            found = journal.find(job)
            if job == self.doubtful:
                if isinstance(found, wire.Done):
                    self.promised[job] = found
                continue
            assert found is not JournalState.ABSENT, "a job that had begun is forgotten: it would be printed again"
            assert isinstance(found, wire.Done)
            if promised is None:
                assert (found.outcome, found.error_type) == ("unknown", "agent_restarted")
                self.promised[job] = found
            else:
                assert found == promised
            assert job in told or job in self.settled, "a result would never be told"
        self.doubtful = ""

    def _change(self, journal: Journal, power: Power) -> None:
        chance = self._chance
        begun = [job for job, done in self.promised.items() if done is None]
        ended = [job for job, done in self.promised.items() if done is not None and job not in self.settled]
        choice = chance.random()
        if choice < 0.4 or not self.promised:
            job = f"{chance.getrandbits(128):032x}"
            journal.begin(job, "kitchen", "n" * 32, 1000)
            if power.on:
                self.promised[job] = None
        elif choice < 0.75 and begun:
            job = chance.choice(begun)
            done = wire.Done(job, chance.choice(wire.OUTCOMES), chance.choice(["", "timeout"]))
            self.doubtful = job
            journal.end(done, "kitchen")
            if power.on:
                self.promised[job], self.doubtful = done, ""
        elif choice < 0.85:
            job = f"{chance.getrandbits(128):032x}"
            done = wire.Done(job, "failed", "expired")
            journal.end(done, "kitchen")
            if power.on:
                self.promised[job] = done
        elif ended:
            job = chance.choice(ended)
            self.settled.add(job)  # whether that is kept or not: it may be told again
            journal.settle(job)


@pytest.mark.parametrize("seed", range(40))
def test_what_the_agent_has_begun_and_told_outlives_a_power_cut(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    memory = Memory(chance)
    folder = tmp_path / "0"
    folder.mkdir()
    for number in range(ROUNDS):
        power = with_power(chance, 200, lambda power: memory.use(power, folder / "journal.db"))  # noqa: B023
        folder = power.restore(tmp_path / str(number + 1))
    journal = Journal(folder / "journal.db")
    memory.check(journal)
    journal.close()
