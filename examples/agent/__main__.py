"""``python -m examples.agent``: on standard output it says when it is ready and joins the service, as JSON lines.

Logs go to standard error. Its settings are in the file that ``AGENT_CONFIG`` names: `examples.agent.settings`.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys

import printobs
from examples import certificates, logs
from examples.agent.connection import Broken, Connection, Refused
from examples.agent.journal import Journal, Unusable
from examples.agent.settings import Settings
from examples.environment import stop

PATIENCE = 10.0  # seconds that a receipt has to come to its end when the agent is stopped


async def _serve(settings: Settings, journal: Journal) -> tuple[str, int, bool]:
    """Why it has ended, empty where it was asked to; its status; and whether nothing is left under way."""
    connection = Connection(settings, journal)
    asked = asyncio.Event()
    loop = asyncio.get_running_loop()
    # Not by the loop, whose add_signal_handler Windows does not have; SIGBREAK is Ctrl-Break and a console's end there.
    for name in ("SIGTERM", "SIGINT", "SIGBREAK"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), lambda *_: loop.call_soon_threadsafe(asked.set))
    serving = asyncio.create_task(connection.run())
    watching = asyncio.create_task(certificates.watch(settings.url))
    stopping = asyncio.create_task(asked.wait())
    await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
    ended = await connection.stop(PATIENCE)
    for task in (stopping, watching, serving):
        task.cancel()
    try:
        await serving
    except Broken as error:
        return str(error), 1, ended
    except (Refused, Unusable) as error:
        return str(error), 2, ended
    except asyncio.CancelledError:
        pass
    return "", 0, ended


def main() -> None:
    """Serve until SIGTERM or SIGINT.

    Status 2: the service does not take this agent, or the journal is no use. Status 1: a mistake, and the next one
    may do better.
    """
    settings = Settings.load()
    logs.to_standard_error()
    # python-escpos prints a line for each image: among what is said it is noise, and a closed pipe an error.
    sys.stdout = sys.stderr
    try:
        journal = Journal(settings.journal, settings.keep)
    except Unusable as unusable:
        stop(str(unusable))
    # The same after a restart, and nobody else's meanwhile: the service takes one agent of a name in a branch.
    instance = f"{settings.branch}/{settings.name}@{socket.gethostname()}"
    telemetry = printobs.configure(
        service_name="agent", resource_attributes={"branch.name": settings.branch, "service.instance.id": instance}
    )
    printobs.instrument()
    why, status, ended = "", 0, True
    try:
        why, status, ended = asyncio.run(_serve(settings, journal))
    finally:
        telemetry.shutdown()
        journal.close()
    if why:
        sys.stderr.write(why + "\n")
    if not ended:
        # A thread that waits for its printer keeps nobody: what counts is in the journal.
        sys.stderr.flush()
        os._exit(status)
    raise SystemExit(status)


if __name__ == "__main__":
    main()
