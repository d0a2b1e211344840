"""``python -m examples.agent``: it says on standard output when it has registered, as JSON; logs to standard error."""

from __future__ import annotations

import asyncio
import signal

import printobs
from examples import logs
from examples.agent.connection import Connection, Refused
from examples.agent.settings import Settings
from examples.environment import stop

PATIENCE = 4.0  # seconds that a receipt has to come to its end when the agent is stopped


async def _serve(settings: Settings) -> None:
    connection = Connection(settings)
    serving = asyncio.create_task(connection.run())
    asked = asyncio.Event()
    loop = asyncio.get_running_loop()
    for each in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(each, asked.set)
    stopping = asyncio.create_task(asked.wait())
    await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if serving.done():
        await serving  # raises why
    else:
        await connection.stop(PATIENCE)
        serving.cancel()


def main() -> None:
    """Serve until SIGTERM or SIGINT; status 2 where the service does not take this agent."""
    settings = Settings.from_environment()
    logs.to_standard_error()
    telemetry = printobs.configure(service_name="agent", resource_attributes={"branch.name": settings.branch})
    printobs.instrument()
    try:
        asyncio.run(_serve(settings))
    except Refused as refused:
        stop(str(refused))
    finally:
        telemetry.shutdown()


if __name__ == "__main__":
    main()
