"""What only the application knows of a WebSocket, and what it may want to know: who that is, and how well it works."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from printobs.core.attributes import one_of
from printobs.core.conventions import Refusal
from printobs.core.guard import Guard
from printobs.signals import connections
from printobs.signals.connection_quality import UNKNOWN, ConnectionQuality
from printobs.signals.connections import FOLLOWED, Connection

_guard: Final = Guard("looking for a WebSocket")


def identify(
    websocket: object, *, client_type: str | None = None, branch: str | None = None, client: str | None = None
) -> None:
    """Say which client ``websocket`` is of, once that is known: it is counted so from now on. Never raises.

    ``websocket``: the server's end, Starlette's, an ASGI scope, or a connection of the ``websockets`` library; where it
    is not followed nothing happens. ``client_type``: ``"desktop"``, ``"web"``, anything else is ``other``. ``branch``:
    the first 500, the rest is ``_OTHER``. ``client``: who it is when it comes again, for the losses in `quality`; it is
    recorded nowhere. What is ``None`` stays as it is.
    """
    with _guard:
        connection = _followed(websocket)
        if connection is not None:
            connection.identify(connections.labels(client_type, branch), client)


def refusal(websocket: object, reason: str) -> None:
    """Say why the handshake of ``websocket`` is about to be refused, where its HTTP status says too little.

    ``reason``: one of the values of ``websocket.refusal.reason``, such as ``"origin"``; any other is ``_OTHER``. Never
    raises.
    """
    with _guard:
        connection = _followed(websocket)
        if connection is not None:
            connection.because(Refusal(one_of(Refusal, reason)))


def quality(websocket: object) -> ConnectionQuality:
    """How well ``websocket`` works, as its pings and its client's lost connections tell; never raises, asks nothing.

    Without a score, and ``unknown``, where it is not followed or no ping was answered in the last five minutes.
    """
    with _guard:
        connection = _followed(websocket)
        if connection is not None:
            return connection.quality()
    return UNKNOWN


def _followed(websocket: object) -> Connection | None:
    scope = getattr(websocket, "scope", websocket)
    if isinstance(scope, Mapping):
        found = scope.get(FOLLOWED)
    else:
        found = getattr(getattr(websocket, "protocol", None), FOLLOWED, None)
    return found if isinstance(found, Connection) else None
