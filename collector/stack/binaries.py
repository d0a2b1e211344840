"""Finds the backend's programs on PATH or in the cache, or builds them from source, every module verified."""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from collector.stack.pins import PROGRAMS, Pin, pin_of, pins

GO_LEAST: Final = (1, 25)


class Missing(Exception):  # noqa: N818 - reads as what it is
    """A program that is neither here nor can be built; says what to do."""


def command(name: str) -> Path:
    """The program called ``name``, built if need be; raises `Missing`."""
    pin = pin_of(name)
    found = on_path(pin, name)
    if found is not None:
        return found
    folder = cache() / f"{pin.name}-{pin.version}-{pin.digest()}"
    if not (folder / name).exists():
        with _one_at_a_time(pin):
            if not (folder / name).exists():
                _build(pin, folder)
    return folder / name


def everything() -> dict[str, Path]:
    """All programs of the backend, by name; raises `Missing`."""
    return {name: command(name) for pin in pins().values() if not pin.on_request for name in pin.commands}


def on_path(pin: Pin, name: str) -> Path | None:
    """The first on PATH that has a version the configuration files are for."""
    for called in (name, *pin.also_named.get(name, ())):
        found = shutil.which(called)
        if found is not None and pin.accepts(_says(found)):
            return Path(found)
    return None


def _says(program: str) -> str:
    # Jaeger has a command for it, the others an option.
    for argument in ("--version", "version"):
        try:
            done = subprocess.run([program, argument], capture_output=True, text=True, timeout=20, check=False)
        except (OSError, subprocess.TimeoutExpired):
            return ""
        if done.returncode == 0:
            return done.stdout + done.stderr
    return ""


def cache() -> Path:
    """Outside the checkout, so that it outlives it."""
    named = os.environ.get("PRINTOBS_CACHE")
    if named:
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "printobs"


@contextmanager
def _one_at_a_time(pin: Pin) -> Iterator[None]:
    try:
        cache().mkdir(parents=True, exist_ok=True)
        lock = (cache() / f"{pin.name}.lock").open("w")
    except OSError as error:
        raise Missing(f"cannot write to {cache()}: {error.strerror}; name another folder in PRINTOBS_CACHE") from None
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _build(pin: Pin, folder: Path) -> None:
    go = _go(pin)
    began = time.monotonic()
    sys.stderr.write(f"building {pin.name} {pin.version} (a few minutes, once) …\n")
    with tempfile.TemporaryDirectory(dir=cache(), prefix="build-") as scratch:
        source = _fetched(go, pin, Path(scratch)) if pin.module else _copied(pin, Path(scratch))
        made = Path(scratch) / "bin"
        made.mkdir()
        flags = "-s -w" + (f" -X {pin.version_variable}=v{pin.version}" if pin.version_variable else "")
        for name, package in pin.commands.items():
            # Read-only: a module that its go.sum does not have is an error, never a new line in it.
            _run(
                [
                    go,
                    "build",
                    "-mod=readonly",
                    "-trimpath",
                    "-tags",
                    pin.tags,
                    "-ldflags",
                    flags,
                    "-o",
                    str(made / name),
                    package,
                ],
                source,
                pin,
            )
        shutil.rmtree(folder, ignore_errors=True)
        made.rename(folder)
    sys.stderr.write(f"built {pin.name} {pin.version} in {time.monotonic() - began:.0f} s\n")


def _go(pin: Pin) -> str:
    go = shutil.which("go")
    said = "" if go is None else subprocess.run([go, "version"], capture_output=True, text=True, check=False).stdout
    version = re.search(r"go(\d+)\.(\d+)", said)
    if go is None or version is None or tuple(map(int, version.groups())) < GO_LEAST:
        has = f"{said.split()[2]} is too old" if version else "Go is missing"
        raise Missing(
            f"{pin.name} is not on PATH in a version from {pin.least} on, and cannot be built: {has}. Install Go "
            f"{GO_LEAST[0]}.{GO_LEAST[1]} or newer (https://go.dev/dl), or put {' and '.join(pin.commands)} on PATH, "
            "or start a Docker engine: make stack uses it"
        )
    return go


def _copied(pin: Pin, scratch: Path) -> Path:
    return Path(shutil.copytree(PROGRAMS / pin.folder, scratch / "source"))


def _fetched(go: str, pin: Pin, scratch: Path) -> Path:
    # By its committed sum: the checksum database has not every version that is served.
    said = _run([go, "mod", "download", "-json", pin.module], scratch, pin, GONOSUMDB=pin.module.partition("@")[0])
    module = json.loads(said)
    if module["Sum"] != pin.sum:
        raise Missing(f"{pin.module} is not what was pinned: it has the sum {module['Sum']}, not {pin.sum}")
    source = Path(shutil.copytree(module["Dir"], scratch / "source"))
    for path in (source, *source.rglob("*")):
        path.chmod(path.stat().st_mode | 0o200)
    if pin.embedded:
        (source / pin.embedded).parent.mkdir(parents=True, exist_ok=True)
        (source / pin.embedded).touch()
    return source


def _run(arguments: list[str], folder: Path, pin: Pin, **environment: str) -> str:
    inherited: Mapping[str, str] = {name: value for name, value in os.environ.items() if name != "GOFLAGS"}
    done = subprocess.run(
        arguments,
        cwd=folder,
        env={**inherited, "GOWORK": "off", "CGO_ENABLED": "0", "GOTOOLCHAIN": "local", **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        last = (done.stderr or done.stdout).strip().splitlines()[-3:]
        raise Missing(f"{pin.name} {pin.version} cannot be built: {' | '.join(last)}")
    return done.stdout
