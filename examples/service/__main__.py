"""``python -m examples.service``: one JSON line on standard output says where it listens; it logs to standard error."""

from __future__ import annotations

import json
import signal
import socket
import sys

import uvicorn

import printobs
from examples import logs
from examples.environment import stop
from examples.service.app import build
from examples.service.database import Database
from examples.service.schema import Unusable
from examples.service.settings import Settings


class _Server(uvicorn.Server):
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Say where it listens, once it does."""
        await super().startup(sockets)
        if not self.should_exit:
            host, port = self.servers[0].sockets[0].getsockname()[:2]
            shown = f"[{host}]" if ":" in host else host
            sys.stdout.write(json.dumps({"event": "ready", "url": f"http://{shown}:{port}"}) + "\n")
            sys.stdout.flush()


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    settings = Settings.from_environment()
    logs.to_standard_error()
    try:
        database = Database(settings)
    except Unusable as unusable:
        stop(str(unusable))
    telemetry = printobs.configure(service_name="service")
    printobs.instrument()
    config = uvicorn.Config(
        build(settings, database),
        host=settings.host,
        port=settings.port,
        log_config=None,
        log_level="warning",  # below that it tells of each WebSocket, with its query: tokens have been put there
        access_log=False,
        ws_max_size=1 << 20,
        ws_ping_interval=settings.ping,
        ws_ping_timeout=settings.ping,
        timeout_graceful_shutdown=5,
        server_header=False,
    )
    for each in (signal.SIGTERM, signal.SIGINT):
        # uvicorn serves to the end first and raises the signal again then: the telemetry is still to be exported.
        signal.signal(each, lambda *_: sys.exit(0))
    try:
        _Server(config).run()
    except OSError as error:
        stop(f"cannot listen on {settings.host}:{settings.port}: {error.strerror}")
    finally:
        database.close()
        telemetry.shutdown()


if __name__ == "__main__":
    main()
