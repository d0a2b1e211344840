"""Where the parts keep what they know."""

from __future__ import annotations

import os
from pathlib import Path


def state() -> Path:
    """``STACK_STATE``, or a folder of the user's (XDG base directory specification)."""
    named = os.environ.get("STACK_STATE")
    if named:
        return Path(named)
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "printobs"
