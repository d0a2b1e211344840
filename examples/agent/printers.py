"""The branch's printers: each prints one job at a time, off the event loop."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping

import printobs
from examples.agent.network import Tcp
from examples.agent.rendering import render
from examples.agent.settings import Address
from examples.jobs import receipt, wire
from examples.jobs.checks import Invalid

logger = logging.getLogger("agent")


class Printers:
    """The printers by name."""

    def __init__(self, branch: str, addresses: Mapping[str, Address]) -> None:
        self._printers = {
            name: printobs.register(Tcp(where.host, where.port), name=name, branch=branch, proof=where.proof)
            for name, where in addresses.items()
        }
        self._turns = {name: asyncio.Lock() for name in self._printers}

    async def run(self, message: wire.Print) -> wire.Done:
        """Print a receipt and say how that ended; never raises for what went wrong with it."""
        printer = self._printers.get(message.printer)
        if printer is None:
            return wire.Done(message.id, "failed", "not_found", False)
        try:
            elements = receipt.elements(message.receipt)
        except Invalid:
            return wire.Done(message.id, "failed", "rejected", False)
        async with self._turns[message.printer]:
            printer.begin(message.timeout)
            job = printobs.print_job(printer, kind=message.kind, timeout=message.timeout)
            try:
                async with job:
                    await job.run(render, printer, elements)
            except Exception as error:
                # Its text may quote the receipt.
                logger.warning("job %s on %s: %s", message.id, message.printer, type(error).__name__)
            arrived = job.outcome in (printobs.Outcome.WRITTEN, printobs.Outcome.CONFIRMED)
            await asyncio.to_thread(printer.close if arrived else printer.abort)
        return wire.Done(message.id, job.outcome.value, job.error_type or "", job.partial)
