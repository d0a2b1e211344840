"""The agent's journal: what is durable, what is never forgotten, and what becomes of an old, broken or full one."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from examples.agent import journal as module
from examples.agent.journal import Journal, Unusable, Unwritable
from examples.jobs import wire
from examples.jobs.states import IllegalTransition, JournalState
from tests.nursery import ROOT

A, B, C = "a" * 32, "b" * 32, "c" * 32


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


@pytest.fixture
def journal(path: Path) -> Iterator[Journal]:
    journal = Journal(path)
    yield journal
    journal.close()


def sequence(journal: Journal) -> int:
    return journal.known()[0]


def test_a_job_is_started_once_ever(journal: Journal, path: Path) -> None:
    journal.begin(A, "kitchen", "nonce", 100)
    with pytest.raises(IllegalTransition):
        journal.begin(A, "kitchen", "nonce", 100)
    journal.end(wire.Done(A, "confirmed"), "kitchen")
    journal.settle(A)
    with pytest.raises(IllegalTransition):
        journal.begin(A, "kitchen", "nonce", 100)
    journal.close()
    again = Journal(path)
    with pytest.raises(IllegalTransition):
        again.begin(A, "kitchen", "nonce", 100)
    assert again.find(A) == wire.Done(A, "confirmed")
    again.close()


def test_an_outcome_is_given_once_and_repeated_until_it_is_settled(journal: Journal) -> None:
    failed = wire.Done(A, "failed", "not_found")
    journal.end(failed, "cellar")
    journal.begin(B, "kitchen", "nonce", 100)
    with pytest.raises(IllegalTransition):
        journal.end(wire.Done(A, "confirmed"), "cellar")
    assert journal.known()[1] == (wire.Known(A, "done"), wire.Known(B, "started"))
    assert journal.unsettled() == [failed]
    assert journal.find(B) is JournalState.STARTED
    assert journal.find(C) is JournalState.ABSENT
    for identifier in (A, B, C):
        journal.settle(identifier)
    assert journal.known()[1] == (wire.Known(B, "started"),)  # one that goes on is not settled
    assert journal.find(A) == failed


def test_what_was_started_is_unknown_when_the_journal_is_opened_again(journal: Journal, path: Path) -> None:
    journal.begin(A, "kitchen", "nonce", 100)
    journal.close()
    again = Journal(path)
    assert again.unsettled() == [wire.Done(A, "unknown", "agent_restarted", window="restart")]
    assert again.known()[1] == (wire.Known(A, "done"),)
    again.close()


def test_every_write_moves_the_sequence_on(journal: Journal, path: Path) -> None:
    seen = [sequence(journal)]
    for write in (
        journal.touch,
        lambda: journal.begin(A, "kitchen", "nonce", 1),
        lambda: journal.end(wire.Done(A, "unknown", "timeout", window="printing"), "kitchen"),
        lambda: journal.settle(A),
        lambda: journal.prove(A),
        lambda: journal.told(A),
    ):
        write()
        seen.append(sequence(journal))
    identity = journal.identity
    journal.close()
    again = Journal(path)
    seen.append(sequence(again))
    assert again.identity == identity
    assert seen == sorted(set(seen))
    again.close()


def test_a_new_file_is_another_journal(journal: Journal, tmp_path: Path) -> None:
    other = Journal(tmp_path / "other.db")
    assert other.identity != journal.identity
    assert len(other.identity) == 32
    other.close()


def test_evidence_is_kept_until_it_is_told(journal: Journal) -> None:
    for identifier, outcome in ((A, "unknown"), (B, "confirmed")):
        journal.begin(identifier, "kitchen", "nonce", 1)
        journal.end(wire.Done(identifier, outcome), "kitchen")
        journal.prove(identifier)
    assert journal.evidence() == [A]
    journal.told(A)
    assert journal.evidence() == []


def test_what_a_printer_may_not_have_printed_whole_is_known(journal: Journal) -> None:
    assert journal.torn("kitchen") is None
    for number, (size, outcome, partial, torn) in enumerate(
        (
            (50, "failed", False, None),
            (50, "failed", True, 50),
            (20, "unknown", False, 50),
            (20, "written", False, 0),
            (20, "unknown", False, 20),
        )
    ):
        identifier = f"{number:032x}"
        journal.begin(identifier, "kitchen", "nonce", size)
        journal.end(wire.Done(identifier, outcome, partial=partial), "kitchen")
        assert (journal.torn("kitchen"), journal.torn("bar")) == (torn, None)
    journal.prove(identifier)
    assert journal.torn("kitchen") == 0


def test_only_what_is_settled_and_old_is_removed(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time()
    journal = Journal(path)
    monkeypatch.setattr(module.time, "time", lambda: now - 31 * 86_400)
    for identifier in (A, B):
        journal.begin(identifier, "kitchen", "nonce", 1)
        journal.end(wire.Done(identifier, "confirmed"), "kitchen")
    journal.settle(A)
    monkeypatch.setattr(module.time, "time", lambda: now - 29 * 86_400)
    journal.begin(C, "kitchen", "nonce", 1)
    journal.end(wire.Done(C, "confirmed"), "kitchen")
    journal.settle(C)
    journal.close()
    monkeypatch.setattr(module.time, "time", lambda: now)
    journal = Journal(path)
    assert journal.find(A) is JournalState.ABSENT
    assert journal.find(B) == wire.Done(B, "confirmed")  # the service has not taken it
    assert journal.find(C) == wire.Done(C, "confirmed")
    journal.close()
    kept = Journal(path, keep=86_400.0)
    assert kept.find(C) is JournalState.ABSENT
    kept.close()


def test_it_is_synchronous_and_writes_ahead(journal: Journal) -> None:
    pragmas = {name: journal._db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous")}
    assert pragmas == {"journal_mode": "wal", "synchronous": 2}


def test_what_was_committed_survives_a_kill(path: Path) -> None:
    script = f"""
from pathlib import Path
import os, signal
from examples.agent.journal import Journal
journal = Journal(Path({str(path)!r}))
journal.begin("{A}", "kitchen", "nonce", 7)
os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=False, timeout=30)
    journal = Journal(path)
    assert [done.id for done in journal.unsettled()] == [A]
    journal.close()


def test_a_schema_is_led_from_version_to_version(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = Journal(path)
    old.begin(A, "kitchen", "nonce", 1)
    identity = old.identity
    old.close()
    more = "ALTER TABLE jobs ADD COLUMN colour TEXT NOT NULL DEFAULT 'red'"
    monkeypatch.setattr(module, "_MIGRATIONS", (*module._MIGRATIONS, more + ";"))
    for _ in range(2):
        new = Journal(path)
        assert new.identity == identity
        assert new._db.execute("SELECT colour FROM jobs").fetchall() == [("red",)]
        assert new._db.execute("PRAGMA user_version").fetchone() == (2,)
        new.close()
    monkeypatch.undo()
    with pytest.raises(Unusable, match="newer agent"):
        Journal(path)


def test_a_migration_that_fails_leaves_the_old_version(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Journal(path).close()
    monkeypatch.setattr(module, "_MIGRATIONS", (*module._MIGRATIONS, "CREATE TABLE more (a); SELECT * FROM nowhere;"))
    with pytest.raises(Unusable):
        Journal(path)
    monkeypatch.undo()
    journal = Journal(path)
    assert journal._db.execute("SELECT 1 FROM sqlite_master WHERE name = 'more'").fetchone() is None
    journal.close()


def test_a_full_disk_refuses_a_write_and_takes_it_later(journal: Journal) -> None:
    pages = journal._db.execute("PRAGMA page_count").fetchone()[0]
    journal._db.execute(f"PRAGMA max_page_count = {pages}")
    begun = 0
    with pytest.raises(Unwritable, match="full"):
        for begun in range(100_000):
            journal.begin(f"{begun:032x}", "kitchen", "nonce", 1)
    refused = f"{begun:032x}"
    assert journal.find(refused) is JournalState.ABSENT
    journal._db.execute(f"PRAGMA max_page_count = {pages + 1000}")
    journal.begin(refused, "kitchen", "nonce", 1)
    assert journal.find(refused) is JournalState.STARTED


def test_damage_that_shows_later_is_no_use_either(path: Path) -> None:
    journal = Journal(path)
    for number in range(3000):
        journal.end(wire.Done(f"{number:032x}", "failed", "not_found"), "kitchen")
    journal.close()
    with path.open("r+b") as file:
        file.seek(4096 * 3)
        file.write(b"\xff" * 4096 * 20)
    with pytest.raises(Unusable, match="is damaged: move it aside"):
        Journal(path)


def test_a_database_of_somebody_else_is_left_as_it_is(path: Path) -> None:
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE theirs (a)")
    database.close()
    before = path.read_bytes()
    with pytest.raises(Unusable, match="no agent's journal"):
        Journal(path)
    assert path.read_bytes() == before
