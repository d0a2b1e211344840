"""What has been committed, as named log events, each in the trace of the request that brought the job."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Final

from opentelemetry import context, propagate
from opentelemetry.context import Context

from examples import events
from examples.jobs.states import State
from examples.service.records import Job

logger = logging.getLogger("service")

_LINES: Final = {
    "job.accepted": "job %s for %s is accepted",
    "job.dispatched": "job %s for %s is given to its agent",
    "job.done": "job %s for %s: %s %s",
    "job.held": "job %s for %s may not have come out: somebody has to see to it",
}


def tell(happened: Iterable[tuple[str, str, Job]]) -> None:
    """Log what has happened to jobs."""
    for name, branch, job in happened:
        token = context.attach(propagate.extract(job.carrier, Context()))
        try:
            _log(name, branch, job)
        finally:
            context.detach(token)


def _log(name: str, branch: str, job: Job) -> None:
    values: list[object] = [job.id, job.printer]
    attributes: dict[str, str | bool | int] = {
        "job.id": job.id,
        "branch.name": branch,
        "printer.name": job.printer,
        "printer.job.kind": job.kind,
        "correlation_id": job.correlation_id,
    }
    if name == "job.accepted":
        attributes["printer.job.reprint_of"] = job.reprint_of
    if name == "job.done":
        values += [job.state.value, job.error_type]
        attributes["printer.job.outcome"] = job.state.value
        attributes["error.type"] = job.error_type
        if job.state is State.FAILED:
            attributes["printer.job.partial"] = job.partial
    if job.state is State.UNKNOWN:
        attributes["printer.job.window"] = job.window
    level = logging.WARNING if name == "job.held" else logging.INFO
    events.log(logger, name, attributes, _LINES[name], *values, level=level)
