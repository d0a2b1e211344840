"""Whose connections are counted where: the telemetry that is bound, and the endpoint of each side."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from websockets.uri import WebSocketURI

from printobs.core.attributes import Bounded
from printobs.core.conventions import OTHER, SERVER_ADDRESS, SERVER_PORT, WEBSOCKET_CLIENT, WEBSOCKET_SERVER
from printobs.core.telemetry import Telemetry
from printobs.signals.connections import Endpoint, endpoint

# An application may take URIs from its users: so many servers have labels of their own, the rest share one.
_servers: Final = Bounded(SERVER_ADDRESS, 100, max_length=128)

_bound: Telemetry | None = None


def bind(telemetry: Telemetry | None) -> None:
    """Count new connections with ``telemetry`` from now on; ``None``: count no new ones."""
    global _bound
    _bound = telemetry


def bound() -> Telemetry | None:
    """What `bind` was last given."""
    return _bound


def where(uri: WebSocketURI) -> Mapping[str, str]:
    """The bounded ``server.address`` and ``server.port`` of a client's connections."""
    seen = _servers(f"{uri.host} {uri.port}")
    if seen == OTHER:
        return {SERVER_ADDRESS: OTHER}
    address, _, port = seen.rpartition(" ")
    return {SERVER_ADDRESS: address, SERVER_PORT: port}


def client(attributes: Mapping[str, str]) -> Endpoint | None:
    """The endpoint of client connections with these attributes; ``None`` where nothing is bound."""
    return None if _bound is None else endpoint(_bound, WEBSOCKET_CLIENT, attributes)


def server() -> Endpoint | None:
    """The endpoint of server connections: the library has no routes, and a raw path is no label."""
    return None if _bound is None else endpoint(_bound, WEBSOCKET_SERVER, {})
