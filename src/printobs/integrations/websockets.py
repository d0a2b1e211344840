"""The ``websockets`` library, 15 to 17: clients and servers of its asyncio and its threading implementation.

Its ``legacy`` and ``trio`` packages are left alone, and so are connections that exist already.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Final

import websockets.asyncio.client as asyncio_client
import websockets.asyncio.connection as asyncio_connection
import websockets.asyncio.server as asyncio_server
import websockets.sync.client as sync_client
import websockets.sync.connection as sync_connection
import websockets.sync.server as sync_server

from printobs.core.telemetry import Telemetry
from printobs.integrations import websockets_endpoints as endpoints
from printobs.integrations import websockets_messages as messages
from printobs.integrations.websockets_handshake import ClientHandshake, ServerHandshake
from printobs.integrations.websockets_protocols import CountedClient, CountedServer

Function = Callable[..., Any]

_patches: Final[list[tuple[object, str, object, object]]] = []  # owner, name, theirs, ours


def instrument(telemetry: Telemetry) -> None:
    """Count the connections made from now on, with ``telemetry``; twice is once."""
    if _patches:
        return
    endpoints.bind(telemetry)
    try:
        _patch_all()
    except BaseException:
        uninstrument()
        raise


def uninstrument() -> None:
    """Undo `instrument`: every patched attribute is as it was. Open connections are counted until they close."""
    endpoints.bind(None)
    while _patches:
        owner, name, theirs, ours = _patches.pop()
        # Whoever patched after us holds ours: it does nothing more now, and theirs stays.
        if vars(owner)[name] is ours:
            setattr(owner, name, theirs)


def _patch(owner: object, name: str, make: Callable[[Any], object]) -> None:
    theirs = vars(owner)[name]
    ours = make(theirs)
    setattr(owner, name, ours)
    _patches.append((owner, name, theirs, ours))


def _patch_all() -> None:
    for client in (asyncio_client, sync_client):
        _patch(client, "ClientProtocol", lambda _theirs: CountedClient)
    for server in (asyncio_server, sync_server):
        _patch(server, "ServerProtocol", lambda _theirs: CountedServer)

    _patch(asyncio_connection, "Assembler", lambda _theirs: messages.AsyncioAssembler)
    _patch(sync_connection, "Assembler", lambda _theirs: messages.SyncAssembler)

    _patch(asyncio_server.ServerConnection, "handshake", _async_server_handshake)
    _patch(sync_server.ServerConnection, "handshake", _sync_server_handshake)

    # Awaiting, entering and iterating connect() all come here: each reconnection is an attempt. Renamed in 17.1.
    connect = asyncio_client.connect
    _patch(connect, "connect" if hasattr(connect, "connect") else "__await_impl__", _async_connect)
    if hasattr(sync_client, "reconnect"):  # 17.1
        _patch(sync_client.reconnect, "connect", _sync_connect)
    else:
        # The function may have been imported by name already: such a caller is seen from the handshake on.
        _patch(sync_client, "connect", _sync_connect_function)
        _patch(sync_client.ClientConnection, "handshake", _sync_client_handshake)


def _async_connect(theirs: Function) -> Function:
    @functools.wraps(theirs)
    async def connect(self: Any) -> Any:
        with ClientHandshake(self.uri):
            return await theirs(self)

    return connect


def _sync_connect(theirs: Function) -> Function:
    @functools.wraps(theirs)
    def connect(self: Any) -> Any:
        with ClientHandshake(self.uri):
            return theirs(self)

    return connect


def _sync_connect_function(theirs: Function) -> Function:
    @functools.wraps(theirs)
    def connect(uri: str, *args: Any, **kwargs: Any) -> Any:
        with ClientHandshake(uri):
            return theirs(uri, *args, **kwargs)

    return connect


def _sync_client_handshake(theirs: Function) -> Function:
    @functools.wraps(theirs)
    def handshake(self: Any, *args: Any, **kwargs: Any) -> Any:
        with ClientHandshake(self.protocol.uri):
            return theirs(self, *args, **kwargs)

    return handshake


def _async_server_handshake(theirs: Function) -> Function:
    @functools.wraps(theirs)
    async def handshake(self: Any, *args: Any, **kwargs: Any) -> Any:
        with ServerHandshake(self):
            return await theirs(self, *args, **kwargs)

    return handshake


def _sync_server_handshake(theirs: Function) -> Function:
    @functools.wraps(theirs)
    def handshake(self: Any, *args: Any, **kwargs: Any) -> Any:
        with ServerHandshake(self):
            return theirs(self, *args, **kwargs)

    return handshake
