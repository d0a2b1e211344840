"""How a printer is, as the service is told of it.

For now it is what the printer's last job has shown: nothing looks at a printer that has no job.
"""

from __future__ import annotations

from typing import Final

from examples.jobs import wire

UNKNOWN: Final = "unknown"

_BY_ERROR: Final = {
    "paper_end": "paper_end",
    "cover_open": "cover_open",
    "offline": "offline",
    "cutter": "error",
    "mechanical": "error",
    "unrecoverable": "error",
    "connect_refused": "unreachable",
    "connect_timeout": "unreachable",
    "connect_unreachable": "unreachable",
    "resolve": "unreachable",
    "not_found": "unreachable",
    "reset": "unreachable",
    "write_timeout": "unreachable",
}


def after(done: wire.Done, before: str) -> str:
    """The state of a printer after a job that ended as ``done``, ``before`` it if that says nothing of the printer."""
    if done.outcome in ("confirmed", "written"):
        return "ready"
    if done.error_type == "timeout":
        return UNKNOWN
    return _BY_ERROR.get(done.error_type, before)
