"""``python -m collector.stack.backup FOLDER`` copies what the backend knows, ``... restore FOLDER`` brings it back.

Prometheus is copied by a snapshot while it runs, or as it lies there if it does not. A snapshot has no exemplars: they
are in its write-ahead log only, which a copy of a stopped Prometheus has. Jaeger's store (Badger) is whole only while
nothing writes to it: stop Jaeger first (what comes meanwhile waits in the Collector's queue), or leave it out with
``--without-jaeger``. Restored is into a state folder that has neither yet. Every copy is compared with its original by
size and SHA-256; ``sha256sum --check SHA256SUMS`` in the folder does it again.

What is to be copied is in STACK_STATE, Prometheus at the port of `collector.stack.ports.Ports`. Run it as the user that
the parts run as: what is restored belongs to who restores it.
"""

from __future__ import annotations

import argparse
import errno
import fcntl
import hashlib
import json
import os
import shutil
import sys
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from collector.stack.ports import Ports, Taken
from collector.stack.state import state

SUMS: Final = "SHA256SUMS"  # written last: a folder without it is no backup

# What a part keeps, below the state folder and below the backup's.
_PROMETHEUS: Final = (Path("prometheus", "data"), Path("prometheus"))
_JAEGER: Final = (Path("jaeger"), Path("jaeger"))

# Of a running or a killed process, not of its data.
_OWN: Final = {"LOCK", "lock", "queries.active", "snapshots"}

_PIECE: Final = 1 << 20
_ZEROS: Final = bytes(_PIECE)


class Refused(Exception):  # noqa: N818 - reads as what happened
    """Cannot be copied or restored; says why, and what to do."""


def backup(folder: Path, target: Path, ports: Ports, *, jaeger: bool = True) -> list[str]:
    """Copy what is in the state folder ``folder`` to ``target``, which must be empty or new; says what was copied.

    Raises `Refused`, and then leaves nothing in ``target``.
    """
    _empty(target, "name another folder")
    prometheus, traces = folder / _PROMETHEUS[0], folder / _JAEGER[0]
    if not prometheus.is_dir():
        raise Refused(f"there is nothing of Prometheus in {folder}: name the right folder in STACK_STATE")
    if jaeger and not traces.is_dir():
        raise Refused(f"there is nothing of Jaeger in {folder}: name the right folder in STACK_STATE")
    with ExitStack() as held:
        if jaeger:
            for store in (traces / "keys", traces / "values"):
                if not held.enter_context(_alone(store)):
                    raise Refused(
                        "Jaeger is running, and its store cannot be copied whole meanwhile: stop it and try again (the "
                        "Collector keeps what comes until then), or leave it out with --without-jaeger"
                    )
        if held.enter_context(_alone(prometheus / "lock", make=True)):
            source = prometheus
        else:
            source = held.enter_context(_snapshot(prometheus, ports))
        sources = {_PROMETHEUS[1]: source, **({_JAEGER[1]: traces} if jaeger else {})}
        _room(target, sources.values())
        existed = target.exists()
        try:
            sums = {
                below / name: digest
                for below, each in sources.items()
                for name, digest in _copied(each, target / below).items()
            }
            _write(target / SUMS, "".join(f"{digest}  {name}\n" for name, digest in sorted(sums.items())))
        except BaseException:
            for each in (*(target / below for below in sources), target / SUMS):
                _remove(each)
            if not existed:
                _remove(target)
            raise
    return [f"{below.name} ({_gigabytes(target / below)})" for below in sources]


def restore(source: Path, folder: Path) -> list[str]:
    """Bring back into the state folder ``folder`` what `backup` has made of another; says what. Raises `Refused`."""
    sums = _sums(source)
    parts = [
        (here, there) for here, there in (_PROMETHEUS, _JAEGER) if any(name.parts[0] == there.name for name in sums)
    ]
    if not parts:
        raise Refused(f"{source / SUMS} names nothing of Prometheus or Jaeger: it is no backup")
    for here, _ in parts:
        lock = folder / here / "lock" if here == _PROMETHEUS[0] else folder / here / "keys"
        with _alone(lock) as alone:
            if not alone:
                raise Refused(f"{folder / here} is in use: stop the stack first")
        _empty(folder / here, f"move it away, or name another folder in STACK_STATE ({folder} is this one)")
    _room(folder, [source / there for _, there in parts])
    made: list[Path] = []
    try:
        for here, there in parts:
            # Under another name until it is known to be good: what is there under its own is whole.
            made.append(folder / here.with_name(f"{here.name}.restoring"))
            _remove(made[-1])
            copied = _copied(source / there, made[-1])
            expected = {Path(*name.parts[1:]): digest for name, digest in sums.items() if name.parts[0] == there.name}
            if wrong := sorted(str(name) for name, _ in expected.items() ^ copied.items()):
                raise Refused(f"{source / there / wrong[0]} is not what was copied then: take another backup")
        for (here, _), each in zip(parts, made, strict=True):
            if (folder / here).exists():
                (folder / here).rmdir()
            each.rename(folder / here)
    except BaseException:
        for each in made:
            _remove(each)
        raise
    return [f"{there.name} ({_gigabytes(folder / here)})" for here, there in parts]


def _empty(folder: Path, advice: str) -> None:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise Refused(f"{folder} is not empty: {advice}")


@contextmanager
def _alone(path: Path, *, make: bool = False) -> Iterator[bool]:
    """Whether nobody has the lock that Prometheus takes on a file, and Badger on a folder; nobody gets it meanwhile.

    What is not there nobody has; ``make`` a file of it for the time being, that nobody comes to have it.
    """
    made = make and not path.exists()
    try:
        lock = os.open(path, os.O_RDWR | os.O_CREAT if made else os.O_RDONLY)
    except FileNotFoundError:
        yield True
        return
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        if made:
            path.unlink()
        os.close(lock)


@contextmanager
def _snapshot(data: Path, ports: Ports) -> Iterator[Path]:
    """Of a running Prometheus: hard links to its blocks, and one of what it has in memory; removed afterwards."""
    url = f"http://127.0.0.1:{ports.prometheus}/api/v1/admin/tsdb/snapshot"
    try:
        with urllib.request.urlopen(urllib.request.Request(url, method="POST"), timeout=600) as response:
            found = data / "snapshots" / json.load(response)["data"]["name"]
    except urllib.error.HTTPError as error:
        said = error.read().decode(errors="replace")
        advice = "start it with --web.enable-admin-api" if "admin API" in said else "see its log, and the disk"
        raise Refused(f"Prometheus makes no snapshot ({error.code}: {said[:200]}): {advice}") from None
    except (OSError, ValueError, KeyError) as error:
        why = getattr(error, "reason", error)
        raise Refused(
            f"Prometheus runs on {data}, but not at {url} ({why}): name its port in STACK_PROMETHEUS"
        ) from None
    if not found.is_dir():
        raise Refused(f"the Prometheus at port {ports.prometheus} is another than that of {data}: see STACK_PROMETHEUS")
    try:
        yield found
    finally:
        _remove(found)


def _room(target: Path, sources: Iterable[Path]) -> None:
    there = next(each for each in (target.absolute(), *target.absolute().parents) if each.exists())
    needed = sum(_allocated(each) for each in sources)
    free = shutil.disk_usage(there).free
    if needed > free:
        raise Refused(
            f"{target} has {free / 1e9:.2f} GB left for {needed / 1e9:.2f} GB: make room, or name another folder"
        )


def _allocated(folder: Path) -> int:
    return sum(path.stat().st_blocks * 512 for path in folder.rglob("*") if path.is_file())


def _gigabytes(folder: Path) -> str:
    return f"{_allocated(folder) / 1e9:.3f} GB"


def _copied(source: Path, target: Path) -> dict[Path, str]:
    """Copy a folder and read the copy again; the digest of each file by its name."""
    target.mkdir(parents=True)
    found = {}
    for path in sorted(source.rglob("*")):
        name = path.relative_to(source)
        if _OWN & set(name.parts):
            continue
        if path.is_dir():
            (target / name).mkdir(exist_ok=True)
            continue
        digest = _copy(path, target / name)
        if digest != _digest(target / name):
            raise Refused(
                f"{target / name} is not what was written: its disk is not to be trusted, name another folder"
            )
        found[name] = digest
    return found


def _copy(source: Path, target: Path) -> str:
    """Holes stay holes: Badger's files are of gigabytes with little in them. The digest of what was read."""
    digest = hashlib.sha256()
    with target.open("wb") as new:
        for piece in _pieces(source):
            digest.update(piece)
            if piece == _ZEROS[: len(piece)]:
                new.seek(len(piece), os.SEEK_CUR)
            else:
                new.write(piece)
        new.truncate(new.tell())
        new.flush()
        os.fsync(new.fileno())
    shutil.copystat(source, target)
    return digest.hexdigest()


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    for piece in _pieces(path):
        digest.update(piece)
    return digest.hexdigest()


def _pieces(path: Path) -> Iterator[bytes]:
    """What is in a file; its holes are not read, which would take several times as long."""
    with path.open("rb") as file:
        size, at = os.fstat(file.fileno()).st_size, 0
        while at < size:
            try:
                data = os.lseek(file.fileno(), at, os.SEEK_DATA)
            except OSError as error:
                if error.errno != errno.ENXIO:  # nothing but a hole from there on
                    raise
                data = size
            while at < data:
                yield _ZEROS[: data - at]
                at += min(_PIECE, data - at)
            hole = os.lseek(file.fileno(), at, os.SEEK_HOLE) if at < size else size
            while at < hole:
                piece = os.pread(file.fileno(), min(_PIECE, hole - at), at)
                if not piece:
                    raise Refused(f"{path} has become shorter: something writes to it; stop that, and try again")
                yield piece
                at += len(piece)


def _write(path: Path, text: str) -> None:
    with path.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _sums(source: Path) -> dict[Path, str]:
    try:
        lines = (source / SUMS).read_text().splitlines()
        return {Path(name): digest for digest, _, name in (line.partition("  ") for line in lines)}
    except OSError as error:
        raise Refused(f"{source} is no whole backup ({SUMS}: {error.strerror}): name another") from None


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def main() -> int:
    """0, or 1 with a line that says why not."""
    parser = argparse.ArgumentParser("python -m collector.stack.backup")
    parser.add_argument("restore", nargs="?", choices=("restore",), help="bring back what is in FOLDER")
    parser.add_argument("folder", type=Path, help="where the copy is")
    parser.add_argument("--without-jaeger", action="store_true", help="copy the metrics only, while everything runs")
    options = parser.parse_args()
    here = state()
    try:
        if options.restore:
            done, place = restore(options.folder, here), here
        else:
            jaeger = not options.without_jaeger
            done, place = backup(here, options.folder, Ports.from_environment(), jaeger=jaeger), options.folder
    except (Refused, Taken) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except OSError as error:
        advice = "make room" if error.errno in {errno.ENOSPC, errno.EDQUOT} else "see who may read and write there"
        sys.stderr.write(f"{error.filename or options.folder}: {error.strerror}: {advice}\n")
        return 1
    sys.stdout.write(f"{'restored' if options.restore else 'copied'} to {place}: {', '.join(done)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
