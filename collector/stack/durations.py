"""Durations as Prometheus and Alertmanager write them."""

from __future__ import annotations

import re
from typing import Final

_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}


def seconds(duration: str) -> float:
    """Of one as ``1d12h`` or ``300ms``; 0 of what is none."""
    return sum(float(number) * _UNITS[unit] for number, unit in re.findall(r"(\d+)(ms|[dhms])", duration))
