"""The branches of the group: each has its clients, its agent and its printers."""

from __future__ import annotations

from typing import Final

BRANCHES: Final = tuple(f"branch-{number}" for number in range(12))
