"""uvicorn as the service runs it, with what strangers could make of its WebSockets mended (as of uvicorn 0.54)."""

from __future__ import annotations

import json
import logging
import os
import socket
import sys
from contextlib import suppress
from typing import Final

import uvicorn
from starlette.types import ASGIApp
from uvicorn._types import ASGISendEvent
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.exceptions import InvalidState

from examples.service.settings import Settings

_BAD_REQUEST: Final = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


class Server(uvicorn.Server):
    """Says on standard output where it listens, once it does."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn's."""
        await super().startup(sockets)
        if not self.should_exit:
            host, port = self.servers[0].sockets[0].getsockname()[:2]
            shown = f"[{host}]" if ":" in host else host
            sys.stdout.write(json.dumps({"event": "ready", "url": f"http://{shown}:{port}"}) + "\n")
            sys.stdout.flush()


class _Protocol(WebSocketsSansIOProtocol):
    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        # A handshake that `websockets` cannot parse (uvicorn's HTTP parser lets control characters pass) would be left
        # without an answer, and open.
        if self.conn.handshake_exc is not None and not self.handshake_initiated:
            self.transport.write(_BAD_REQUEST)
            self.transport.close()

    def send_receive_event_to_app(self) -> None:
        # What came together with a close frame is not answered any more; the close is handled next.
        with suppress(InvalidState):
            super().send_receive_event_to_app()

    async def send(self, message: ASGISendEvent) -> None:
        await super().send(message)
        # Else each handshake that the application refuses with a response is called an error of the application.
        if message["type"] == "websocket.http.response.body" and not message.get("more_body"):
            self.handshake_complete = True


class _Proxied(ProxyHeadersMiddleware):
    """Keeps nothing of the headers that strangers send: uvicorn keeps the last 4,096, half a megabyte."""

    def __init__(self, app: ASGIApp) -> None:
        super().__init__(app, os.environ.get("FORWARDED_ALLOW_IPS", "127.0.0.1"))  # type: ignore[arg-type]
        self.trusted_hosts._trusts = self.trusted_hosts._compute_trust  # type: ignore[assignment]


def _one_line(record: logging.LogRecord) -> bool:
    """A caller's invalid UTF-8 is his fault: no traceback of ours."""
    if record.exc_info and isinstance(record.exc_info[1], UnicodeDecodeError):
        record.exc_info = None
        record.levelno, record.levelname = logging.WARNING, "WARNING"
    return True


def server(app: ASGIApp, settings: Settings) -> Server:
    """A server of ``app``, not started yet."""
    logging.getLogger("uvicorn.error").addFilter(_one_line)
    config = uvicorn.Config(
        _Proxied(app),
        proxy_headers=False,
        host=settings.host,
        port=settings.port,
        log_config=None,
        log_level="warning",  # below that it tells of each WebSocket, with its query: tokens have been put there
        access_log=False,
        ws=_Protocol,
        ws_max_size=1 << 20,
        ws_ping_interval=settings.ping,
        ws_ping_timeout=settings.ping,
        timeout_graceful_shutdown=5,
        server_header=False,
    )
    return Server(config)
