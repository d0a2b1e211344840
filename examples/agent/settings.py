"""The agent's settings, from ``AGENT_*`` variables."""

from __future__ import annotations

import re
import socket
from dataclasses import dataclass, field
from typing import Literal, Self
from urllib.parse import urlsplit

from examples.environment import Environment
from examples.jobs import wire


@dataclass(frozen=True, slots=True)
class Address:
    """Where a printer listens, and whether it can prove that it has printed (see `printobs.register`)."""

    host: str
    port: int
    proof: Literal["process_id"] | None


@dataclass(frozen=True, slots=True)
class Settings:
    """What can be set. ``printers``: where each one listens, by its name."""

    url: str
    token: str = field(repr=False)
    branch: str
    name: str
    printers: dict[str, Address]

    @classmethod
    def from_environment(cls) -> Self:
        """Read the variables; ends the process with one line where some are wrong."""
        environment = Environment()
        url = environment.text("AGENT_SERVICE_URL", "ws://127.0.0.1:8080/ws/agent")
        if urlsplit(url).scheme not in ("ws", "wss") or not urlsplit(url).hostname:
            environment.refuse("AGENT_SERVICE_URL", "must be as ws://HOST:PORT/ws/agent")
        token = environment.text("AGENT_TOKEN")
        names = {}
        for variable, default in (("AGENT_BRANCH", None), ("AGENT_NAME", socket.gethostname() or "agent")):
            names[variable] = environment.text(variable, default)
            if names[variable] and not re.fullmatch(wire.NAME, names[variable]):
                environment.refuse(variable, f"must match {wire.NAME}")
        printers = {}
        for entry in filter(None, map(str.strip, environment.text("AGENT_PRINTERS").split(","))):
            name, _, address = entry.partition("=")
            where = _address(address)
            if not re.fullmatch(wire.NAME, name) or where is None or name in printers:
                environment.refuse(
                    "AGENT_PRINTERS", "must be as kitchen=tcp://10.0.0.9:9100?proof=process_id,bar=tcp://[fd00::7]"
                )
                break
            printers[name] = where
        environment.check()
        return cls(url, token, names["AGENT_BRANCH"], names["AGENT_NAME"], printers)


def _address(text: str) -> Address | None:
    try:
        parts = urlsplit(text)
        port = 9100 if parts.port is None else parts.port
    except ValueError:
        return None
    if parts.scheme != "tcp" or not parts.hostname or parts.path not in ("", "/") or port == 0:
        return None
    if parts.query not in ("", "proof=process_id"):
        return None
    return Address(parts.hostname, port, "process_id" if parts.query else None)
