"""A disk that can lose its power: what SQLite wrote and did not sync may then be there, be gone, or be there in part.

A VFS (https://sqlite.org/vfs.html) before the system's own, in the very SQLite library that Python's module `sqlite3`
uses. Everything reaches the real files as ever, and is remembered until it is synced; `Disk.cut` then says what would
have been left of each file, had the power gone in this moment, and puts that into another folder.
"""

from __future__ import annotations

import ctypes
import random
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ctypes import CFUNCTYPE, POINTER, byref, c_char_p, c_int, c_int64, c_void_p, cast
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

_OPEN_DELETE_ON_CLOSE: Final = 0x8
_OPEN_JOURNALS: Final = 0x800 | 0x4000 | 0x80000  # a journal, a super-journal, a write-ahead log
_MAIN: Final = b"printobs-power"

_XOpen = CFUNCTYPE(c_int, c_void_p, c_void_p, c_void_p, c_int, POINTER(c_int))
_XDelete = CFUNCTYPE(c_int, c_void_p, c_char_p, c_int)
_XClose = CFUNCTYPE(c_int, c_void_p)
_XWrite = CFUNCTYPE(c_int, c_void_p, c_void_p, c_int, c_int64)
_XTruncate = CFUNCTYPE(c_int, c_void_p, c_int64)
_XSync = CFUNCTYPE(c_int, c_void_p, c_int)


class _Vfs(ctypes.Structure):
    """``struct sqlite3_vfs``, version 3."""

    _fields_ = (
        ("iVersion", c_int),
        ("szOsFile", c_int),
        ("mxPathname", c_int),
        ("pNext", c_void_p),
        ("zName", c_char_p),
        ("pAppData", c_void_p),
        ("xOpen", c_void_p),
        ("xDelete", c_void_p),
        *((name, c_void_p) for name in ("xAccess", "xFullPathname", "xDlOpen", "xDlError", "xDlSym", "xDlClose")),
        *((name, c_void_p) for name in ("xRandomness", "xSleep", "xCurrentTime", "xGetLastError")),
        *((name, c_void_p) for name in ("xCurrentTimeInt64", "xSetSystemCall", "xGetSystemCall", "xNextSystemCall")),
    )


class _Methods(ctypes.Structure):
    """``struct sqlite3_io_methods``, as far as version 2: without memory mapping, whose writes nobody would see."""

    _fields_ = (
        ("iVersion", c_int),
        ("xClose", c_void_p),
        ("xRead", c_void_p),
        ("xWrite", c_void_p),
        ("xTruncate", c_void_p),
        ("xSync", c_void_p),
        *((name, c_void_p) for name in ("xFileSize", "xLock", "xUnlock", "xCheckReservedLock", "xFileControl")),
        *((name, c_void_p) for name in ("xSectorSize", "xDeviceCharacteristics")),
        *((name, c_void_p) for name in ("xShmMap", "xShmLock", "xShmBarrier", "xShmUnmap")),
    )


@dataclass(slots=True)
class _File:
    """``image`` is what a power cut leaves for certain, ``pending`` what was done since.

    ``named``: it is in its folder. ``journal``: its first sync is one of its folder too, as the system's VFS has it.
    """

    image: bytearray
    named: bool
    journal: bool
    pending: list[tuple[int, bytes | None]] = field(default_factory=list)  # where and what; None: the end is there
    before: bytearray | None = None  # of this name, and deleted, but perhaps not yet

    def sync(self) -> None:
        """All of it is on the disk."""
        for operation in self.pending:
            _apply(self.image, operation)
        self.pending.clear()

    def left(self, chance: random.Random) -> bytes | None:
        """What a power cut leaves; ``None`` where not even the name."""
        if not self.named and chance.random() < 0.5:
            return None if self.before is None else bytes(self.before)
        image = bytearray(self.image)
        # A disk writes in its own order: of each operation all is left, nothing, or a part, torn within a sector.
        odds = chance.choice([0.0, 0.5, 0.9, 1.0])
        for offset, data in self.pending:
            if chance.random() < odds:
                if data and chance.random() < 0.2:
                    data = data[: chance.randrange(len(data))]
                _apply(image, (offset, data))
        return bytes(image)


def _apply(image: bytearray, operation: tuple[int, bytes | None]) -> None:
    offset, data = operation
    if data is None:
        del image[offset:]
        return
    if len(image) < offset:
        image += bytes(offset - len(image))
    image[offset : offset + len(data)] = data


class Disk:
    """The files that SQLite uses while `plugged`. ``on_change`` is called before each write, sync and deletion."""

    def __init__(self, on_change: Callable[[], None]) -> None:
        self._on_change = on_change
        self._files: dict[Path, _File] = {}
        self._deleted: dict[Path, bytearray] = {}  # whose deletion may be undone
        self._open: dict[int, Path] = {}  # by sqlite3_file
        self._real: dict[int, tuple[Any, ...]] = {}  # the system's methods, by sqlite3_file
        self._ours: dict[int, _Methods] = {}  # by the address of those that they stand before
        self.syncs = 0

    # -- power -------------------------------------------------------------------------------------------------------

    def cut(self, chance: random.Random) -> dict[str, bytes]:
        """The files, by name, that are left when the power goes now."""
        left = {}
        for path, file in self._files.items():
            content = file.left(chance)
            if content is not None:
                left[path.name] = content
        for path, content in self._deleted.items():
            if path not in self._files and chance.random() < 0.5:
                left[path.name] = bytes(content)
        # Shared memory is none of what a disk keeps; SQLite makes it again.
        return {name: content for name, content in left.items() if not name.endswith("-shm")}

    # -- what SQLite does ----------------------------------------------------------------------------------------------

    def _opened(self, file: int, path: Path, existed: bool, journal: bool) -> None:
        self._open[file] = path
        if path not in self._files:
            image = bytearray(path.read_bytes()) if existed else bytearray()
            self._files[path] = _File(image, existed, journal, before=self._deleted.pop(path, None))

    def _written(self, path: Path, offset: int, data: bytes | None) -> None:
        self._on_change()
        self._files[path].pending.append((offset, data))

    def _synced(self, path: Path) -> None:
        self._on_change()
        self.syncs += 1
        file = self._files[path]
        file.sync()
        if file.journal and not file.named:
            self._folder_synced()

    def _gone(self, path: Path, durably: bool) -> None:
        self._on_change()
        file = self._files.pop(path, None)
        if durably:
            self._folder_synced()
        elif file is not None and file.named:
            self._deleted[path] = file.image

    def _folder_synced(self) -> None:
        for each in self._files.values():
            each.named, each.before = True, None
        self._deleted.clear()

    @contextmanager
    def plugged(self) -> Iterator[None]:
        """Let SQLite use this disk for every connection that is opened meanwhile."""
        library = _library()
        library.sqlite3_vfs_find.restype = POINTER(_Vfs)
        system = library.sqlite3_vfs_find(None)
        ours = _Vfs()
        ctypes.memmove(byref(ours), system, ctypes.sizeof(_Vfs))
        ours.zName, ours.pNext = _MAIN, None
        real_open, real_delete = _XOpen(system.contents.xOpen), _XDelete(system.contents.xDelete)

        def x_open(_: int, name: int, file: int, flags: int, out: Any) -> int:
            # Its name is an address: SQLite keeps more behind the text.
            path = Path(ctypes.string_at(name).decode()) if name else None
            existed = path is not None and path.exists()
            code = real_open(cast(system, c_void_p), name, file, flags, out)
            if code == 0 and path is not None and not flags & _OPEN_DELETE_ON_CLOSE:
                self._opened(file, path, existed, bool(flags & _OPEN_JOURNALS))
                self._stand_before(file)
            return code

        def x_delete(_: int, name: bytes, durably: int) -> int:
            self._gone(Path(name.decode()), bool(durably))
            return real_delete(cast(system, c_void_p), name, durably)

        kept = _XOpen(x_open), _XDelete(x_delete)
        ours.xOpen, ours.xDelete = (cast(each, c_void_p).value for each in kept)
        if library.sqlite3_vfs_register(byref(ours), 1) != 0:
            raise RuntimeError("SQLite does not take another VFS")
        try:
            yield
        finally:
            library.sqlite3_vfs_register(system, 1)
            library.sqlite3_vfs_unregister(byref(ours))

    def _stand_before(self, file: int) -> None:
        """Put methods of ours before those of an open file."""
        slot = cast(file, POINTER(c_void_p))
        address = slot[0]
        assert address is not None
        if address not in self._ours:
            self._ours[address] = self._methods(_Methods.from_address(address))
        slot[0] = ctypes.addressof(self._ours[address])

    def _methods(self, real: _Methods) -> _Methods:
        close, write = _XClose(real.xClose), _XWrite(real.xWrite)
        truncate, sync = _XTruncate(real.xTruncate), _XSync(real.xSync)

        def x_close(file: int) -> int:
            self._open.pop(file, None)
            return close(file)

        def x_write(file: int, data: int, size: int, offset: int) -> int:
            self._written(self._open[file], offset, ctypes.string_at(data, size))
            return write(file, data, size, offset)

        def x_truncate(file: int, size: int) -> int:
            self._written(self._open[file], size, None)
            return truncate(file, size)

        def x_sync(file: int, flags: int) -> int:
            code = sync(file, flags)
            self._synced(self._open[file])
            return code

        ours = _Methods()
        ctypes.memmove(byref(ours), byref(real), ctypes.sizeof(_Methods))
        ours.iVersion = min(2, real.iVersion)
        kept = _XClose(x_close), _XWrite(x_write), _XTruncate(x_truncate), _XSync(x_sync)
        ours.xClose, ours.xWrite, ours.xTruncate, ours.xSync = (cast(each, c_void_p).value for each in kept)
        self._real[id(ours)] = (ours, *kept)  # as long as this disk: SQLite has their addresses
        return ours


def _library() -> Any:
    """The SQLite library of Python's own `sqlite3`, and no other copy of it."""
    import _sqlite3

    # Linked into the module, or beside it: the module's own handle finds both.
    library = ctypes.CDLL(_sqlite3.__file__)
    try:
        library.sqlite3_libversion.restype = c_char_p
    except AttributeError:
        raise RuntimeError(f"{sys.executable} hides the functions of its SQLite: use another build of Python") from None
    assert library.sqlite3_libversion().decode() == sqlite3.sqlite_version
    return library
