"""Which programs the backend consists of, in which versions: ``collector/programs/pins.toml``."""

from __future__ import annotations

import hashlib
import re
import tomllib
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Final

COLLECTOR: Final = Path(__file__).parents[1]
PROGRAMS: Final = COLLECTOR / "programs"

_VERSION: Final = re.compile(r"\bv?(\d+)\.(\d+)\.(\d+)")


@dataclass(frozen=True, slots=True)
class Pin:
    """One source and the commands that are built from it, by name. See ``pins.toml`` for what the fields are."""

    name: str
    version: str
    least: str
    commands: dict[str, str]
    module: str = ""
    sum: str = ""
    folder: str = ""
    tags: str = ""
    embedded: str = ""
    version_variable: str = ""
    on_request: bool = False
    also_named: dict[str, list[str]] = field(default_factory=dict)

    def accepts(self, said: str) -> bool:
        """Whether a program that says ``said`` of its version is one that the configuration files are for."""
        found = _VERSION.search(said)
        if found is None:
            return False
        version, least = tuple(map(int, found.groups())), tuple(map(int, self.least.split(".")))
        # Below 1.0 every release may break something: the pinned one is the newest that was tried.
        newest = tuple(map(int, self.version.split(".")))
        return least <= version and (version[0] == newest[0] if newest[0] else version[:2] <= newest[:2])

    def digest(self) -> str:
        """Changes with whatever changes the build."""
        digest = hashlib.sha256(repr((self.version, self.module, self.sum, self.tags, sorted(self.commands))).encode())
        if self.folder:
            for path in sorted((PROGRAMS / self.folder).iterdir()):
                digest.update(path.read_bytes())
        return digest.hexdigest()[:12]


@cache
def pins() -> dict[str, Pin]:
    """All of them, by name."""
    with (PROGRAMS / "pins.toml").open("rb") as file:
        return {name: Pin(name=name, **values) for name, values in tomllib.load(file).items()}


def pin_of(command: str) -> Pin:
    """The pin that brings a command."""
    return next(pin for pin in pins().values() if command in pin.commands)
