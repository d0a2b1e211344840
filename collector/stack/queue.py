"""``python -m collector.stack.queue FOLDER``: a queue file that would keep the Collector from starting is moved aside.

The Collector's ``file_storage`` keeps what waits for Jaeger in a file of bbolt's. When it opens one that is damaged it
panics or refuses, at every start: nothing is received any more, for the sake of what had been waiting. So this belongs
before each start of it (in a unit, as ExecStartPre). It says on standard error which file it was and how much is lost
at most, and ends with 0; with 1, and a line that says why, where the files cannot be checked or moved.

Here is of bbolt's format what its opening depends on (https://github.com/etcd-io/bbolt, in ``internal/common``:
``page.go``, ``meta.go``, ``bucket.go``), with the checks of its ``tx_check.go``: they are run, and panic, whenever a
file without a list of free pages is opened, and ``file_storage`` writes none. Values have no checksum: damage within
one is not seen here, does not stop the Collector, and costs what is stored in that value.
"""

from __future__ import annotations

import argparse
import errno
import fcntl
import os
import re
import struct
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Final

KEPT: Final = 3  # of those moved aside, of each queue: somebody may want to look at one, nobody at a hundred

_MAGIC: Final = 0xED0CDAED
_VERSION: Final = 2
_BRANCH, _LEAF, _FREELIST = 0x01, 0x02, 0x10
_BUCKET: Final = 0x01  # of a leaf's element: its value is a bucket
_NO_FREELIST: Final = 2**64 - 1

# Little-endian, as on every machine that the Collector is released for but s390x.
_PAGE: Final = struct.Struct("<QHHI")  # id, flags, count, overflow
_META: Final = struct.Struct(
    "<IIIIQQQQQQ"
)  # magic, version, page size, flags, root, sequence, freelist, end, txid, sum
_BRANCH_ELEMENT: Final = struct.Struct("<IIQ")  # position from the element's own start, key's size, page
_LEAF_ELEMENT: Final = struct.Struct("<IIII")  # flags, position from the element's own start, key's and value's size
_BUCKET_HEADER: Final = struct.Struct("<QQ")  # root page, or 0 where the only page follows; sequence

_PAGE_SIZES: Final = tuple(1024 << power for power in range(15))  # those that bbolt looks for a second meta page at

# The names that file_storage gives: the component's kind, type and name, or a hash where that would be too long.
_QUEUE: Final = re.compile(r"(?:(?:receiver|processor|exporter|extension|connector|other)_.*|[0-9a-f]{64})")
_ASIDE: Final = re.compile(r".*\.corrupt-[0-9.T]+Z|.*\.backup")

_Read = Callable[[int, int], bytes]


class Corrupt(Exception):  # noqa: N818 - reads as what it is
    """What is wrong with a file."""


class InUse(Exception):  # noqa: N818 - reads as what it is
    """A file that a running Collector has; says what to do."""


@dataclass(frozen=True, slots=True)
class _Meta:
    """What a transaction ends with: where the tree begins, and how many pages are in use."""

    page_size: int
    root: int
    freelist: int
    end: int
    transaction: int


def aside(folder: Path) -> list[str]:
    """Move what is corrupt in ``folder`` aside; a line for each file. Raises `InUse` and OSError.

    What was moved is called ``FILE.corrupt-TIME``, which no component's queue is.
    """
    if not folder.exists():
        return []
    said = []
    for path in sorted(folder.iterdir()):
        if _QUEUE.fullmatch(path.name) and not _ASIDE.fullmatch(path.name) and path.is_file():
            with _locked(path) as file:
                try:
                    check(file)
                except Corrupt as error:
                    said.append(_move(path, file, error))
    return said


def check(file: int) -> None:
    """Raises `Corrupt` if bbolt would not open what the descriptor ``file`` is of. An empty file is a new one."""
    size = os.fstat(file).st_size
    if size == 0:
        return

    def read(at: int, count: int) -> bytes:
        # Not mapped: a bad sector is then an error, not the end of this process.
        try:
            found = os.pread(file, count, at)
        except OSError as error:
            if error.errno == errno.EIO:
                raise Corrupt(f"byte {at} cannot be read: {error.strerror}") from None
            raise
        if len(found) < count:
            raise Corrupt(f"it ends at byte {size}, within what should be {count} bytes from {at} on")
        return found

    meta = _newest(read, size)
    _Tree(read, meta, size).walk()


@contextmanager
def _locked(path: Path) -> Iterator[int]:
    file = os.open(path, os.O_RDWR)
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # what bbolt itself holds
        except BlockingIOError:
            raise InUse(f"{path} is in use: a Collector is running with it; stop that one first") from None
        yield file
    finally:
        os.close(file)


def _move(path: Path, file: int, error: Corrupt) -> str:
    status = os.fstat(file)
    most = min(status.st_size, status.st_blocks * 512)
    moved = path.with_name(f"{path.name}.corrupt-{datetime.now(UTC):%Y%m%dT%H%M%S.%f}Z")
    path.rename(moved)
    for old in sorted(path.parent.glob(f"{path.name}.corrupt-*"))[:-KEPT]:
        old.unlink()
    return (
        f"{path} is corrupt ({error}) and was moved to {moved.name}: the Collector begins with an empty queue, and "
        f"what had waited there is lost, {most / 1e6:.1f} MB at most"
    )


def _newest(read: _Read, size: int) -> _Meta:
    """Of the two meta pages, the valid one that was written last, as bbolt chooses."""
    if size < 1024:
        raise Corrupt(f"its {size} bytes are too few for a queue")
    found = [_meta(read, 0)]
    for page_size in (found[0].page_size,) if found[0] else _PAGE_SIZES:
        if page_size + _PAGE.size + _META.size <= size:
            found.append(_meta(read, page_size))
    valid = [each for each in found if each is not None]
    if not valid:
        raise Corrupt("neither of its two meta pages is valid")
    return max(valid, key=lambda each: each.transaction)


def _meta(read: _Read, at: int) -> _Meta | None:
    try:
        raw = read(at + _PAGE.size, _META.size)
    except Corrupt:
        return None
    magic, version, page_size, _, root, _, freelist, end, transaction, checksum = _META.unpack(raw)
    if magic != _MAGIC or version != _VERSION or checksum != _fnv(raw[:-8]) or page_size not in _PAGE_SIZES:
        return None
    return _Meta(page_size, root, freelist, end, transaction)


def _fnv(data: bytes) -> int:
    """FNV-1a, 64 bits."""
    found = 0xCBF29CE484222325
    for byte in data:
        found = (found ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return found


class _Tree:
    """The pages that are reachable from a meta page: a B+tree, whose leaves have the roots of those with the values."""

    def __init__(self, read: _Read, meta: _Meta, size: int) -> None:
        self._read = read
        self._meta = meta
        self._size = size
        # A byte a page: of a file of a gigabyte, a quarter of a megabyte.
        self._seen = bytearray(meta.end)
        self._open: list[tuple[int, bytes | None, bytes | None, bool]] = []

    def walk(self) -> None:
        """Raises `Corrupt` for the first thing that bbolt would not accept."""
        if self._meta.freelist != _NO_FREELIST:
            self._freelist()
        self._open.append((self._meta.root, None, None, True))
        while self._open:
            self._page(*self._open.pop())

    def _header(self, page: int) -> tuple[int, int, int]:
        """Flags, count, and how many bytes the page and those that continue it have."""
        if not 2 <= page < self._meta.end:
            raise Corrupt(f"page {page} is not one of its {self._meta.end} pages")
        number, flags, count, overflow = _PAGE.unpack(self._read(page * self._meta.page_size, _PAGE.size))
        if number != page:
            raise Corrupt(f"page {page} says that it is page {number}")
        if page + overflow >= self._meta.end:
            raise Corrupt(f"page {page} goes on beyond the last one")
        # Only what is in use: bbolt does not miss a free page at the end either.
        if (page + overflow + 1) * self._meta.page_size > self._size:
            raise Corrupt(f"it is cut short: it ends at byte {self._size}, within or before page {page + overflow}")
        for each in range(page, page + overflow + 1):
            if self._seen[each]:
                raise Corrupt(f"page {each} is in two places")
            self._seen[each] = 1
        return flags, count, (overflow + 1) * self._meta.page_size

    def _page(self, page: int, low: bytes | None, high: bytes | None, top: bool) -> None:
        """One page of a tree, whose keys are from ``low`` to below ``high``; what is under it is left to `walk`.

        ``top``: of the tree that has all others. After a damaged meta page the one before may name a root that has
        since become a page of another tree.
        """
        flags, count, size = self._header(page)
        start = page * self._meta.page_size
        # Read at once, unless it is continued: then it may have gigabytes of values.
        cached = self._read(start, size) if size == self._meta.page_size else None

        def read(at: int, length: int) -> bytes:
            return cached[at : at + length] if cached is not None else self._read(start + at, length)

        if flags == _BRANCH:
            children, keys = self._branch(page, read, count, size)
            _ordered(page, keys, low, high)
            for number, child in enumerate(children):
                self._open.append((child, keys[number], keys[number + 1] if number + 1 < count else high, top))
        elif flags == _LEAF:
            _ordered(page, self._leaf(page, read, count, size, top), low, high)
        else:
            raise Corrupt(f"page {page} is of no kind that belongs there ({flags:#x})")

    def _branch(self, page: int, read: _Read, count: int, size: int) -> tuple[list[int], list[bytes]]:
        if count == 0:
            raise Corrupt(f"page {page} is a branch without children")
        children, keys = [], []
        end = _PAGE.size + count * _BRANCH_ELEMENT.size
        for at, (position, key_size, child) in _elements(page, read, _BRANCH_ELEMENT, count, size):
            end = _follows(page, at + position, end, key_size, 0, size)
            children.append(child)
            keys.append(read(at + position, key_size))
        return children, keys

    def _leaf(self, page: int, read: _Read, count: int, size: int, top: bool) -> list[bytes]:
        keys = []
        end = _PAGE.size + count * _LEAF_ELEMENT.size
        for at, (flags, position, key_size, value_size) in _elements(page, read, _LEAF_ELEMENT, count, size):
            end = _follows(page, at + position, end, key_size, value_size, size)
            keys.append(read(at + position, key_size))
            if bool(flags & _BUCKET) != top:
                raise Corrupt(f"page {page} has {'values' if top else 'buckets'} where none belong")
            if top:
                self._bucket(page, _within(read, at + position + key_size), value_size)
        return keys

    def _bucket(self, page: int, read: _Read, size: int) -> None:
        if size < _BUCKET_HEADER.size:
            raise Corrupt(f"page {page} has a bucket that is cut short")
        root, _ = _BUCKET_HEADER.unpack(read(0, _BUCKET_HEADER.size))
        if root:
            self._open.append((root, None, None, False))
            return
        inline = size - _BUCKET_HEADER.size
        if inline < _PAGE.size:
            raise Corrupt(f"page {page} has a bucket that is cut short")
        _, flags, count, _ = _PAGE.unpack(read(_BUCKET_HEADER.size, _PAGE.size))
        if flags != _LEAF:
            raise Corrupt(f"page {page} has a bucket of no kind that belongs there ({flags:#x})")
        keys = self._leaf(page, _within(read, _BUCKET_HEADER.size), count, inline, False)
        _ordered(page, keys, None, None)

    def _freelist(self) -> None:
        page = self._meta.freelist
        flags, count, size = self._header(page)
        if flags != _FREELIST:
            raise Corrupt(f"page {page} is not the list of free pages that it should be ({flags:#x})")
        at = page * self._meta.page_size + _PAGE.size
        room = size - _PAGE.size
        if count == 0xFFFF:  # the true count is the first entry
            (count,) = struct.unpack("<Q", self._read(at, 8))
            at, room = at + 8, room - 8
        if count * 8 > room:
            raise Corrupt(f"the list of free pages, page {page}, says {count} and has room for {room // 8}")
        for free in struct.unpack(f"<{count}Q", self._read(at, count * 8)):
            if not 2 <= free < self._meta.end or self._seen[free]:
                raise Corrupt(f"the list of free pages, page {page}, has page {free}, which is in use or none")
            self._seen[free] = 1


def _within(read: _Read, start: int) -> _Read:
    return lambda at, length: read(start + at, length)


def _elements(
    page: int, read: _Read, element: struct.Struct, count: int, size: int
) -> Iterator[tuple[int, tuple[int, ...]]]:
    """Where each begins in its page, and what it has."""
    if _PAGE.size + count * element.size > size:
        raise Corrupt(f"page {page} says that it has {count} entries, more than it has room for")
    array = read(_PAGE.size, count * element.size)
    for number, found in enumerate(element.iter_unpack(array)):
        yield _PAGE.size + number * element.size, found


def _follows(page: int, begin: int, end: int, key_size: int, value_size: int, size: int) -> int:
    """Where a key and its value end. bbolt writes them without gaps, the first right behind the entries."""
    if begin != end or key_size == 0:
        raise Corrupt(f"page {page} has entries that do not follow one another")
    if begin + key_size + value_size > size:
        raise Corrupt(f"page {page} has an entry beyond its end")
    return begin + key_size + value_size


def _ordered(page: int, keys: list[bytes], low: bytes | None, high: bytes | None) -> None:
    if any(first >= second for first, second in pairwise(keys)):
        raise Corrupt(f"the keys of page {page} are not in order")
    if keys and ((low is not None and keys[0] < low) or (high is not None and keys[-1] >= high)):
        raise Corrupt(f"page {page} has keys that belong elsewhere")


def main() -> int:
    """0 where the Collector can start, 1 where this could not be brought about."""
    parser = argparse.ArgumentParser("python -m collector.stack.queue")
    parser.add_argument("folder", type=Path, help="what file_storage has as its directory")
    try:
        for line in aside(parser.parse_args().folder):
            sys.stderr.write(f"{line}\n")
    except InUse as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except OSError as error:
        sys.stderr.write(
            f"{error.filename} cannot be checked ({error.strerror}): the Collector could not use it either\n"
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
