"""What is around the panels: name, variables, refresh, the way to the other dashboard, and who stands where."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from typing import Final

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.cog import builder as cog
from grafana_foundation_sdk.models import dashboard as model

from collector.grafana.source.panels import SOURCE, Panel

TAG: Final = "printobs"
PROVISIONED: Final = model.VariableOption(selected=True, text="Prometheus", value="printobs-prometheus")
# All that has no label at all, too: a web page's connection belongs to no branch.
ALL: Final = ".*"

# A branch before its first job, a printer that nobody serves any more: each lacks some. Both are the service's own.
_KNOWN: Final = '__name__=~"printer_served|job_outcomes_total"'


@dataclass(frozen=True, slots=True)
class Row:
    """Panels under a heading, or under none; their widths fill lines of 24."""

    panels: Sequence[Panel]
    heading: str = ""


class _Numbered(cog.Builder[model.Panel]):
    def __init__(self, panel: Panel, number: int) -> None:
        self._panel, self._number = panel, number

    def build(self) -> model.Panel:
        built = self._panel.build()
        built.id_val = self._number
        return built


def framed(
    uid: str, title: str, about: str, rows: Sequence[Row], *, refresh: str, since: str, printers: bool
) -> builders.Dashboard:
    """A dashboard of these rows. ``printers``: whether it can be narrowed to some of a branch's."""
    built = builders.Dashboard(title).uid(uid).description(about).tags([TAG]).readonly()
    built = built.refresh(refresh).time(since, "now").timezone("browser").tooltip(model.DashboardCursorSync.CROSSHAIR)
    built = built.timepicker(builders.TimePicker().refresh_intervals(["10s", "30s", "1m", "5m", "15m"]))
    others = builders.DashboardLink("Other dashboards").type(model.DashboardLinkType.DASHBOARDS).tags([TAG])
    built = built.link(others.keep_time(False).include_vars(True))
    source = builders.DatasourceVariable("datasource").label("Data source").type("prometheus").current(PROVISIONED)
    built = built.with_variable(source).with_variable(_labels("branch", "Branch", "branch_name", _KNOWN))
    if printers:
        among = f'{_KNOWN},branch_name=~"$branch"'
        built = built.with_variable(_labels("printer", "Printer", "printer_name", among))
    numbers = count(1)
    for row in rows:
        if row.heading:
            built = built.with_row(builders.Row(row.heading).id(next(numbers)))
        for panel in row.panels:
            built = built.with_panel(_Numbered(panel, next(numbers)))
    return built


def _labels(name: str, title: str, label: str, among: str) -> builders.QueryVariable:
    query = f"label_values({{{among}}}, {label})"
    variable = builders.QueryVariable(name).label(title).datasource(SOURCE)
    # As Grafana's own editor writes it: kind 1 is label_values.
    variable = variable.query({"qryType": 1, "query": query, "refId": f"{name}-values"})
    variable = variable.refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
    variable = variable.sort(model.VariableSort.ALPHABETICAL_ASC)
    variable = variable.multi(True).include_all(True).all_value(ALL)
    return variable.current(model.VariableOption(selected=True, text=["All"], value=["$__all"]))
