"""What the dashboards ask: every query of the committed JSON, its variables filled in as Grafana does. Needs no SDK."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

DASHBOARDS: Final = Path(__file__).parent / "dashboards"

# All branches and printers, a graph of some hours: as a dashboard that was just opened.
VARIABLES: Final[Mapping[str, str]] = {
    "branch": ".*",
    "printer": ".*",
    "datasource": "printobs-prometheus",
    "__rate_interval": "1m15s",
}

_VARIABLE: Final = re.compile(r"\$(?:(\w+)|\{(\w+)(?::\w+)?\})")


class Asked(NamedTuple):
    """One query: the dashboard's file without its ending, the panel's title, and what Prometheus gets."""

    dashboard: str
    panel: str
    expr: str


def expressions(variables: Mapping[str, str] = VARIABLES) -> Iterator[Asked]:
    """Every query, in the dashboards' order; raises `KeyError` where a variable has no value in ``variables``."""
    for path in sorted(DASHBOARDS.glob("*.json")):
        for panel in panels(json.loads(path.read_text())):
            for target in panel["targets"]:
                yield Asked(path.stem, panel["title"], filled(target["expr"], variables))


def panels(dashboard: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The panels of a dashboard; a row is none, what is folded up in it is."""
    for panel in dashboard["panels"]:
        if panel["type"] == "row":
            yield from panel.get("panels", ())
        else:
            yield panel


def filled(expr: str, variables: Mapping[str, str] = VARIABLES) -> str:
    """A query as Prometheus gets it."""
    return _VARIABLE.sub(lambda match: variables[match[1] or match[2]], expr)
