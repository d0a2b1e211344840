"""``python -m examples.service``: one JSON line on standard output says where it listens; it logs to standard error."""

from __future__ import annotations

import os
import signal
import socket
import sys

import printobs
from examples import logs
from examples.environment import stop
from examples.service import memory
from examples.service.app import build
from examples.service.database import Database
from examples.service.schema import Unusable
from examples.service.server import server
from examples.service.settings import Settings


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    settings = Settings.from_environment()
    memory.give_back()
    logs.to_standard_error()
    try:
        database = Database(settings)
    except Unusable as unusable:
        stop(str(unusable))
    # The same after a restart, and nobody else's meanwhile: only one has a host's port.
    instance = f"{socket.gethostname()}/{settings.port or os.getpid()}"
    telemetry = printobs.configure(service_name="service", resource_attributes={"service.instance.id": instance})
    printobs.instrument()
    uvicorn = server(build(settings, database), settings)
    for each in (signal.SIGTERM, signal.SIGINT):
        # uvicorn serves to the end first and raises the signal again then: the telemetry is still to be exported.
        signal.signal(each, lambda *_: sys.exit(0))
    try:
        uvicorn.run()
    except OSError as error:
        stop(f"cannot listen on {settings.host}:{settings.port}: {error.strerror}")
    finally:
        database.close()
        telemetry.shutdown()


if __name__ == "__main__":
    main()
