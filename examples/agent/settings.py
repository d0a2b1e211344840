"""The agent's settings: a TOML file, whose ``[agent]`` part the environment may override.

    [agent]
    service_url = "wss://till.example/ws/agent"
    token_file = "agent.token"
    branch = "mitte"
    journal = "journal.db"

    [[printers]]
    name = "mitte-kitchen"
    address = "tcp://10.0.0.9:9100"
    proof = "process_id"
    monitor = 30

Paths are relative to the file. Whatever is wrong ends the process with one line that names the key and the fix.
"""

from __future__ import annotations

import importlib
import os
import re
import socket
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, Self
from urllib.parse import parse_qsl, urlsplit

from examples.environment import Environment, stop
from examples.jobs import wire

_KEYS: Final = ("service_url", "token_file", "branch", "name", "journal", "keep_days", "ping_seconds")
_PRINTER_KEYS: Final = ("name", "address", "proof", "monitor")
_ADDRESSES: Final = "tcp://10.0.0.9:9100, serial:///dev/ttyUSB0?baudrate=38400, serial://COM3 or usb://04b8:0202"


@dataclass(frozen=True, slots=True)
class TcpAddress:
    """Where a printer listens."""

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class SerialAddress:
    """A serial port, as ``/dev/ttyUSB0`` or ``COM3``."""

    device: str
    baudrate: int


@dataclass(frozen=True, slots=True)
class UsbAddress:
    """A USB device by its vendor's and its product's number."""

    vendor: int
    product: int


Address = TcpAddress | SerialAddress | UsbAddress


@dataclass(frozen=True, slots=True)
class PrinterSettings:
    """Where a printer is, whether it can prove that it has printed, and how often it is asked how it is.

    ``monitor`` is in seconds; ``None``: it is not asked between jobs. See `printobs.register`.
    """

    address: Address
    proof: Literal["process_id"] | None
    monitor: float | None = None


@dataclass(frozen=True, slots=True)
class Settings:
    """What can be set. ``printers`` by name; ``keep`` is for how many seconds a settled job stays in the journal.

    ``ping``: seconds between two looks whether the service is still there, and for its answer.
    """

    url: str
    token: str = field(repr=False)
    branch: str
    name: str
    journal: Path
    keep: float
    ping: int
    printers: dict[str, PrinterSettings]

    @classmethod
    def load(cls) -> Self:
        """Read the file that ``AGENT_CONFIG`` names; ends the process with one line where something is wrong."""
        environment = Environment()
        path = Path(environment.text("AGENT_CONFIG"))
        environment.check()
        return cls._read(_Reader(environment, path))

    @classmethod
    def _read(cls, reader: _Reader) -> Self:
        url = reader.text("service_url", "ws://127.0.0.1:8080/ws/agent")
        if not _is_websocket(url):
            reader.refuse("service_url", "must be as wss://HOST/ws/agent")
        settings = cls(
            url,
            reader.token(),
            reader.name("branch"),
            reader.name("name", re.sub(r"[^A-Za-z0-9._-]", "-", socket.gethostname()).strip("-._")[:64] or "agent"),
            reader.path(reader.text("journal", "journal.db")),
            86_400.0 * reader.whole("keep_days", 30, 1, 3650),
            reader.whole("ping_seconds", 20, 1, 300),
            reader.printers(),
        )
        reader.check()
        return settings


class _Reader:
    """Takes the file's keys one by one and remembers what is wrong."""

    def __init__(self, environment: Environment, path: Path) -> None:
        self._environment = environment
        self._path = path
        try:
            file = tomllib.loads(path.read_text("utf-8-sig"))
        except OSError as error:
            stop(f"AGENT_CONFIG names {path}, which cannot be read: {error.strerror}")
        except UnicodeDecodeError:
            stop(f"{path} is not UTF-8: save it as such")
        except tomllib.TOMLDecodeError as error:
            stop(f"{path} is not TOML: {error}")
        agent, printers = file.pop("agent", {}), file.pop("printers", [])
        for key in file:
            self.refuse(key, "is not known: there are [agent] and [[printers]]", "")
        if not isinstance(agent, dict):
            self.refuse("agent", "must be a table, [agent]", "")
            agent = {}
        for key in agent.keys() - set(_KEYS):
            self.refuse(key, f"is not known: there are {', '.join(_KEYS)}")
        self._agent: dict[str, Any] = agent
        self._printers: Any = printers

    def refuse(self, key: str, why: str, where: str = "agent.") -> None:
        """A key is wrong."""
        self._environment.refuse(f"{self._path}: {where}{key}", why)

    def check(self) -> None:
        """End the process where something was wrong."""
        self._environment.check()

    def text(self, key: str, default: str | None = None) -> str:
        """A text from the environment or the file."""
        value = os.environ.get(f"AGENT_{key.upper()}") or self._agent.get(key, default)
        if value is None:
            self.refuse(key, f'is missing: {key} = "…", or AGENT_{key.upper()} in the environment')
            return ""
        if not isinstance(value, str) or not value:
            self.refuse(key, f'must be text: {key} = "…"')
            return ""
        return value

    def name(self, key: str, default: str | None = None) -> str:
        """A name as the service takes it."""
        value = self.text(key, default)
        if value and not re.fullmatch(wire.NAME, value):
            self.refuse(key, f"must match {wire.NAME}")
        return value

    def whole(self, key: str, default: int, low: int, high: int) -> int:
        """A whole number from ``low`` to ``high``."""
        value = self._agent.get(key, default)
        if type(value) is not int or not low <= value <= high:
            self.refuse(key, f"must be a whole number from {low} to {high}")
            return default
        return value

    def path(self, text: str) -> Path:
        """A path, relative to the file."""
        return self._path.resolve().parent / Path(text).expanduser()

    def token(self) -> str:
        """The token itself, from the environment or from its file."""
        if token := os.environ.get("AGENT_TOKEN", "").strip():
            return token
        if "token_file" not in self._agent and not os.environ.get("AGENT_TOKEN_FILE"):
            self.refuse("token_file", 'is missing: token_file = "…", or the token itself as AGENT_TOKEN')
            return ""
        path = self.path(self.text("token_file"))
        try:
            token = path.read_text("utf-8-sig").strip()
        except OSError as error:
            self.refuse("token_file", f"names {path}, which cannot be read: {error.strerror}")
            return ""
        except UnicodeDecodeError:
            token = ""
        # Neither a line's end nor anything else that a header cannot carry.
        if not re.fullmatch(r"[\x21-\x7e]+", token):
            self.refuse("token_file", f"names {path}, which must hold one token and nothing else")
        return token

    def printers(self) -> dict[str, PrinterSettings]:
        """The printers by name."""
        listed = self._printers
        if not isinstance(listed, list) or not listed or not all(isinstance(each, dict) for each in listed):
            self.refuse("printers", "is missing: one [[printers]] for each, with name and address", "")
            return {}
        if len(listed) > wire.MAX_PRINTERS:
            self.refuse("printers", f"has more than {wire.MAX_PRINTERS}: run another agent", "")
        found: dict[str, PrinterSettings] = {}
        for number, entry in enumerate(listed):
            self._printer(f"printers[{number}].", entry, found)
        return found

    def _printer(self, where: str, entry: Mapping[str, Any], found: dict[str, PrinterSettings]) -> None:
        for key in entry.keys() - set(_PRINTER_KEYS):
            self.refuse(key, f"is not known: there are {', '.join(_PRINTER_KEYS)}", where)
        name, proof = entry.get("name"), entry.get("proof")
        if not isinstance(name, str) or not re.fullmatch(wire.NAME, name):
            self.refuse("name", f"must match {wire.NAME}", where)
            return
        if name in found:
            self.refuse("name", f"is that of another printer too: {name}", where)
        if proof not in (None, "process_id"):
            self.refuse("proof", 'must be "process_id", or absent for a printer that cannot prove', where)
        monitor = entry.get("monitor")
        if monitor is not None and not (type(monitor) in (int, float) and 1 <= monitor <= 120):
            self.refuse("monitor", "must be a number of seconds from 1 to 120, or absent", where)
            monitor = None
        address = _address(entry.get("address"))
        if address is None:
            self.refuse("address", f"must be as {_ADDRESSES}", where)
            return
        if any(address == other.address for other in found.values()):
            self.refuse("address", "is that of another printer too: two at once would mix their receipts", where)
        for kind, module, extra in ((SerialAddress, "serial", "serial"), (UsbAddress, "usb.core", "usb")):
            if isinstance(address, kind) and not _importable(module):
                self.refuse("address", f"needs another package: pip install 'python-escpos[{extra}]'", where)
        found[name] = PrinterSettings(address, "process_id" if proof else None, monitor)


def _importable(module: str) -> bool:
    try:
        importlib.import_module(module)
    except ImportError:
        return False
    return True


def _is_websocket(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in ("ws", "wss") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _address(text: object) -> Address | None:
    if not isinstance(text, str):
        return None
    try:
        parts = urlsplit(text)
        options = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)))
        port = parts.port if parts.scheme == "tcp" else None
    except ValueError:
        return None
    if parts.fragment or parts.username is not None:
        return None
    if parts.scheme == "tcp" and parts.hostname and parts.path in ("", "/") and port != 0 and not options:
        return TcpAddress(parts.hostname, 9100 if port is None else port)
    if parts.scheme == "serial":
        device, baudrate = parts.netloc or parts.path, options.pop("baudrate", "9600")
        named = re.fullmatch(r"COM[0-9]{1,3}", device, re.IGNORECASE) if parts.netloc else device.startswith("/")
        if named and not options and (not parts.netloc or parts.path in ("", "/")) and _is_baudrate(baudrate):
            return SerialAddress(device.upper() if parts.netloc else device, int(baudrate))
    if parts.scheme == "usb" and parts.path in ("", "/") and not options:
        numbers = re.fullmatch(r"([0-9a-fA-F]{4}):([0-9a-fA-F]{4})", parts.netloc)
        if numbers:
            return UsbAddress(int(numbers[1], 16), int(numbers[2], 16))
    return None


def _is_baudrate(text: str) -> bool:
    return text.isascii() and text.isdigit() and 300 <= int(text) <= 921_600
