"""Where the parts listen: on this machine only."""

from __future__ import annotations

import os
import socket
from contextlib import ExitStack
from dataclasses import dataclass, fields
from typing import Self


class Taken(Exception):  # noqa: N818 - reads as what it is
    """A port that something else has; says how to name another."""


@dataclass(frozen=True, slots=True)
class Ports:
    """Each can be set by a variable, as ``STACK_PROMETHEUS=9091``."""

    otlp_grpc: int = 4317
    otlp_http: int = 4318
    collector_health: int = 13133
    collector_metrics: int = 8889
    collector_own: int = 8888
    collector_zpages: int = 55679
    jaeger: int = 16686
    jaeger_grpc: int = 16685
    jaeger_otlp: int = 14317
    jaeger_health: int = 13134
    jaeger_own: int = 8887
    prometheus: int = 9090
    alertmanager: int = 9093

    @classmethod
    def from_environment(cls) -> Self:
        """The defaults, and what the variables say instead; raises `Taken` for what is no port."""
        found = {}
        for each in fields(cls):
            said = os.environ.get(_variable(each.name))
            if said:
                if not said.isdigit() or not 0 < int(said) < 65536:
                    raise Taken(f"{_variable(each.name)} is {said!r}: it must be a port from 1 to 65535")
                found[each.name] = int(said)
        return cls(**found)

    @classmethod
    def free(cls) -> Self:
        """Ports that nothing has at the moment."""
        with ExitStack() as stack:
            sockets = [stack.enter_context(socket.socket()) for _ in fields(cls)]
            for each in sockets:
                each.bind(("127.0.0.1", 0))
            return cls(*(each.getsockname()[1] for each in sockets))

    def check(self) -> None:
        """Raises `Taken` for the first that something has."""
        for each in fields(self):
            port = getattr(self, each.name)
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind(("127.0.0.1", port))
                except OSError as error:
                    raise Taken(
                        f"port {port} cannot be had ({error.strerror}): stop what listens there, or name another in "
                        f"{_variable(each.name)}"
                    ) from None


def _variable(name: str) -> str:
    return f"STACK_{name.upper()}"
