"""The Collector's queue file: a healthy one is never touched, a corrupt one never keeps the Collector from starting."""

from __future__ import annotations

import itertools
import json
import os
import random
import struct
import subprocess
import sys
import threading
import time
import tracemalloc
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from collector.stack import binaries
from collector.stack.parts import parts
from collector.stack.ports import Ports
from collector.stack.queue import KEPT, Corrupt, InUse, _fnv, _newest, aside, check
from collector.stack.stack import Broken, Running
from tests.stack.backend import get, until

ROOT = Path(__file__).parents[2]
QUEUE = "exporter_otlp_grpc_jaeger_traces"  # the name that file_storage gives
PAGE = os.sysconf("SC_PAGESIZE")
BRANCH, LEAF = 1, 2  # kinds of pages


class Parts:
    """The Collector and Jaeger, each started when a test wants it."""

    def __init__(self, state: Path) -> None:
        self.ports = Ports.free()
        self.folder = state / "otelcol" / "queue"
        self.file = self.folder / QUEUE
        self._numbers = itertools.count(1)
        found = {each.name: each for each in parts(self.ports, state, "1s")}
        self.otelcol, self.jaeger = (
            Running(found[name], binaries.command(name), state / f"{name}.log") for name in ("otelcol", "jaeger")
        )

    def send(self, spans: int = 1, padding: int = 0) -> list[str]:
        """One request; the names of its spans once it is acknowledged."""
        now = time.time_ns()
        names = [f"span {next(self._numbers)}" for _ in range(spans)]
        body = [
            {
                "traceId": f"{random.getrandbits(128) or 1:032x}",
                "spanId": f"{random.getrandbits(64) or 1:016x}",
                "name": name,
                "kind": 1,
                "startTimeUnixNano": str(now),
                "endTimeUnixNano": str(now + 1000),
                "attributes": [{"key": "padding", "value": {"stringValue": "x" * padding}}],
            }
            for name in names
        ]
        resource = {"attributes": [{"key": "service.name", "value": {"stringValue": "queue"}}]}
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.ports.otlp_http}/v1/traces",
            json.dumps({"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": body}]}]}).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=10):
            return names

    def stored(self) -> set[str]:
        """The names of the spans that Jaeger has."""
        url = f"http://127.0.0.1:{self.ports.jaeger}/api/traces"
        found = get(url, service="queue", limit="10000", lookback="1h")["data"]
        return {span["operationName"] for trace in found for span in trace["spans"]}


@contextmanager
def running(part: Running) -> Iterator[None]:
    part.start()
    try:
        part.wait()
        yield
    finally:
        part.kill()


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A queue file with branches, and with values longer than a page, of a Collector that was killed."""
    part = Parts(tmp_path_factory.mktemp("filled"))
    with running(part.otelcol):
        for number in range(300):
            part.send(padding=3 * PAGE if number % 10 == 0 else 10)
    return part.file.read_bytes()


@pytest.fixture
def part(tmp_path: Path) -> Parts:
    found = Parts(tmp_path)
    found.folder.mkdir(parents=True)
    return found


def command(folder: Path) -> subprocess.CompletedProcess[str]:
    """What a unit runs before the Collector."""
    arguments = [sys.executable, "-m", "collector.stack.queue", str(folder)]
    return subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, check=False)


def unfinished(path: Path) -> bool:
    """A copy that a Collector was making of its file when it ended: whether it comes so far depends on the damage."""
    return path.name.startswith("tempdb")


def checked(path: Path) -> None:
    file = os.open(path, os.O_RDONLY)
    try:
        check(file)
    finally:
        os.close(file)


class Pages:
    """A queue file to be damaged."""

    def __init__(self, data: bytes) -> None:
        self.data = bytearray(data)
        meta = _newest(lambda at, count: data[at : at + count], len(data))
        self.root = meta.root

    def used(self) -> Iterator[tuple[int, int, int, int]]:
        """Number, kind, count of entries and of continuing pages, of every page in use."""
        left = [self.root]
        while left:
            page = left.pop()
            _, kind, count, overflow = struct.unpack_from("<QHHI", self.data, page * PAGE)
            yield page, kind, count, overflow
            for number in range(count):
                element = page * PAGE + 16 + number * 16
                if kind == BRANCH:
                    left.append(struct.unpack_from("<Q", self.data, element + 8)[0])
                elif struct.unpack_from("<I", self.data, element)[0] & 1:
                    position, key_size = struct.unpack_from("<II", self.data, element + 4)
                    left.append(struct.unpack_from("<Q", self.data, element + position + key_size)[0])

    def first(self, flags: int, *, continued: bool = False) -> int:
        """Where a page begins that is in use and of a kind, and has more than one entry."""
        return next(
            page * PAGE
            for page, kind, count, overflow in self.used()
            if kind == flags and bool(overflow) == continued and count > 1
        )

    def last(self) -> int:
        """Where the last page that is in use begins."""
        return max(page + overflow for page, _, _, overflow in self.used()) * PAGE

    def flip(self, at: int, mask: int = 0xFF) -> None:
        self.data[at] ^= mask


def half(pages: Pages) -> None:
    del pages.data[len(pages.data) // 2 :]


def last_page_missing(pages: Pages) -> None:
    del pages.data[pages.last() :]


def garbage(pages: Pages) -> None:
    pages.data[:] = random.Random(1).randbytes(len(pages.data))


def zeros(pages: Pages) -> None:
    pages.data[:] = bytes(len(pages.data))


def a_few_bytes(pages: Pages) -> None:
    pages.data[:] = b"no queue"


def both_metas(pages: Pages) -> None:
    pages.flip(16 + 40)
    pages.flip(PAGE + 16 + 40)


def root_of_another_kind(pages: Pages) -> None:
    pages.flip(pages.root * PAGE + 8)


def root_that_is_of_another_tree(pages: Pages) -> None:
    """What is left of a transaction whose pages were used again, once the meta page after it is damaged."""
    branch = pages.first(BRANCH) // PAGE
    for number in (0, 1):
        meta = bytearray(pages.data[number * PAGE + 16 : number * PAGE + 72])
        struct.pack_into("<Q", meta, 16, branch)
        pages.data[number * PAGE + 16 : number * PAGE + 80] = meta + struct.pack("<Q", _fnv(meta))


def zeroed_branch(pages: Pages) -> None:
    at = pages.first(BRANCH)
    pages.data[at : at + PAGE] = bytes(PAGE)


def zeroed_leaf(pages: Pages) -> None:
    at = pages.first(LEAF)
    pages.data[at : at + PAGE] = bytes(PAGE)


def branch_with_another_number(pages: Pages) -> None:
    pages.flip(pages.first(BRANCH) + 1)


def branch_with_a_child_beyond_the_end(pages: Pages) -> None:
    pages.flip(pages.first(BRANCH) + 16 + 8 + 5)


def branch_with_one_child_twice(pages: Pages) -> None:
    at = pages.first(BRANCH) + 16
    pages.data[at + 16 + 8 : at + 32] = pages.data[at + 8 : at + 16]


def leaf_of_another_kind(pages: Pages) -> None:
    pages.flip(pages.first(LEAF) + 8)


def leaf_with_a_key_elsewhere(pages: Pages) -> None:
    pages.flip(pages.first(LEAF) + 16 + 16 + 4 + 3)


def leaf_that_goes_on_beyond_the_end(pages: Pages) -> None:
    pages.flip(pages.first(LEAF, continued=True) + 14)


def leaf_with_keys_in_disorder(pages: Pages) -> None:
    element = pages.first(LEAF) + 16 + 16
    (position,) = struct.unpack_from("<I", pages.data, element + 4)
    pages.flip(element + position)


DAMAGES: list[Callable[[Pages], None]] = [
    half,
    last_page_missing,
    garbage,
    zeros,
    a_few_bytes,
    both_metas,
    root_of_another_kind,
    root_that_is_of_another_tree,
    zeroed_branch,
    zeroed_leaf,
    branch_with_another_number,
    branch_with_a_child_beyond_the_end,
    branch_with_one_child_twice,
    leaf_of_another_kind,
    leaf_with_a_key_elsewhere,
    leaf_that_goes_on_beyond_the_end,
    leaf_with_keys_in_disorder,
]


def fresh(free: list[int], flags: int = 0x10) -> bytes:
    """A file as bbolt makes it, with a list of free pages, which file_storage reads and never writes."""
    data = bytearray(4 * PAGE)
    for number in (0, 1):
        struct.pack_into("<QHHI", data, number * PAGE, number, 4, 0, 0)
        meta = struct.pack("<IIIIQQQQQ", 0xED0CDAED, 2, PAGE, 0, 3, 0, 2, 4, number)
        data[number * PAGE + 16 : number * PAGE + 80] = meta + struct.pack("<Q", _fnv(meta))
    struct.pack_into("<QHHI", data, 2 * PAGE, 2, flags, len(free), 0)
    struct.pack_into(f"<{len(free)}Q", data, 2 * PAGE + 16, *free)
    struct.pack_into("<QHHI", data, 3 * PAGE, 3, LEAF, 0, 0)
    return bytes(data)


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_a_corrupt_file_stops_the_collector_until_it_is_moved_aside(
    part: Parts, filled: bytes, damage: Callable[[Pages], None]
) -> None:
    pages = Pages(filled)
    damage(pages)
    part.file.write_bytes(pages.data)
    with pytest.raises(Corrupt):
        checked(part.file)
    with pytest.raises(Broken, match="otelcol has ended"), running(part.otelcol):
        pass
    left = part.file.read_bytes()

    done = command(part.folder)
    assert done.returncode == 0
    [line] = done.stderr.splitlines()
    assert str(part.file) in line
    assert "MB at most" in line
    [moved] = (each for each in part.folder.iterdir() if not unfinished(each))
    assert moved.name in line
    assert moved.read_bytes() == left
    with running(part.otelcol):
        part.send()
        assert moved.read_bytes() == left
        assert not any(map(unfinished, part.folder.iterdir()))


def test_a_file_with_a_list_of_free_pages_is_understood(part: Parts) -> None:
    part.file.write_bytes(fresh([]))
    assert aside(part.folder) == []
    with running(part.otelcol):
        part.send()
    assert aside(part.folder) == []
    for data in (fresh([3]), fresh([2]), fresh([4]), fresh([0]), fresh([], flags=LEAF)):
        part.file.write_bytes(data)
        with pytest.raises(Corrupt, match="page"):
            checked(part.file)
    with pytest.raises(Broken, match="otelcol has ended"), running(part.otelcol):
        pass


def test_a_newer_meta_page_that_is_torn_leaves_the_one_before(part: Parts, tmp_path: Path) -> None:
    # Of a Collector that has ended: one that was killed may have begun to write over what the one before refers to.
    other = Parts(tmp_path / "other")
    other.otelcol.start()
    other.otelcol.wait()
    for _ in range(100):
        other.send()
    other.otelcol.stop()
    settled = other.file.read_bytes()
    for number in (0, 1):
        pages = Pages(settled)
        pages.flip(number * PAGE + 16 + 40)
        part.file.write_bytes(pages.data)
        assert aside(part.folder) == []
        with running(part.otelcol):
            part.send()


def test_free_pages_at_the_end_are_not_missed(part: Parts, filled: bytes) -> None:
    pages = Pages(filled)
    del pages.data[pages.last() + PAGE :]
    assert len(pages.data) < len(filled)
    part.file.write_bytes(pages.data)
    assert aside(part.folder) == []
    with running(part.jaeger), running(part.otelcol):
        part.send()
        until(lambda: len(part.stored()) == 300)  # its name is one of theirs


def test_damage_within_a_value_is_the_collectors_to_find(part: Parts, filled: bytes) -> None:
    pages = Pages(filled)
    at = pages.first(LEAF, continued=True)
    pages.flip(at + 2 * PAGE)
    part.file.write_bytes(pages.data)
    assert aside(part.folder) == []
    with running(part.jaeger), running(part.otelcol):
        until(lambda: len(part.stored()) >= 299)


def test_a_file_that_is_new_or_none_of_its_is_left_alone(part: Parts) -> None:
    for name in (QUEUE, "tempdb123", "notes.txt", f"{QUEUE}.20261126T010203.000Z.backup"):
        (part.folder / name).write_bytes(b"" if name == QUEUE else b"something else")
    (part.folder / "exporter_folder").mkdir()
    before = sorted(part.folder.iterdir())
    assert aside(part.folder) == []
    assert aside(part.folder / "missing") == []
    assert sorted(part.folder.iterdir()) == before


def test_a_collector_that_runs_keeps_its_file(part: Parts) -> None:
    with running(part.otelcol):
        part.send()
        before = part.file.stat().st_ino
        with pytest.raises(InUse, match="a Collector is running"):
            aside(part.folder)
        done = command(part.folder)
        assert done.returncode == 1
        [line] = done.stderr.splitlines()
        assert "is in use" in line
        assert part.file.stat().st_ino == before
        part.send()


def test_what_cannot_be_checked_is_said_in_one_line(part: Parts) -> None:
    part.folder.rmdir()
    part.folder.touch()
    done = command(part.folder)
    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert "Not a directory" in line


def test_few_of_those_moved_aside_are_kept(part: Parts) -> None:
    for number in range(KEPT + 3):
        part.file.write_bytes(b"garbage %d" % number)
        [_] = aside(part.folder)
    assert [path.read_bytes() for path in sorted(part.folder.iterdir())] == [
        b"garbage %d" % number for number in range(3, KEPT + 3)
    ]


def test_a_long_file_is_not_read_whole(part: Parts, filled: bytes) -> None:
    part.file.write_bytes(filled)
    os.truncate(part.file, 8 << 30)
    tracemalloc.start()
    checked(part.file)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 << 20


def test_a_collector_killed_while_it_writes_leaves_a_healthy_file_and_delivers_it(part: Parts) -> None:
    acknowledged: list[str] = []
    chance = random.Random(1)

    def fill(stop: threading.Event) -> None:
        sizes = random.Random(2)
        while not stop.wait(0.01):  # Jaeger tells of 10,000 traces at most
            try:
                acknowledged.extend(part.send(sizes.randint(1, 4), sizes.choice((10, 2 * PAGE))))
            except OSError:
                return

    def until_killed() -> None:
        part.otelcol.start()
        part.otelcol.wait()
        stop = threading.Event()
        threads = [threading.Thread(target=fill, args=(stop,)) for _ in range(3)]
        for thread in threads:
            thread.start()
        time.sleep(0.3 + chance.random() / 2)
        part.otelcol.kill()
        stop.set()
        for thread in threads:
            thread.join()
        assert aside(part.folder) == []

    for _ in range(6):
        until_killed()
    assert len(acknowledged) > 100
    with running(part.jaeger):
        # Now it empties the queue as well, and compacts it.
        for _ in range(6):
            until_killed()
        with running(part.otelcol):
            until(
                lambda: set(acknowledged) <= part.stored(), 60, lambda: f"{len(part.stored())} of {len(acknowledged)}"
            )
