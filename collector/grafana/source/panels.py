"""How a panel looks here, by the SDK: title, description, unit, legend, colours, and the lines of its alerts."""

from __future__ import annotations

import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal, Protocol, Self, TypeVar

from grafana_foundation_sdk.builders import bargauge as bar_builder
from grafana_foundation_sdk.builders import common, piechart, prometheus, statetimeline, timeseries
from grafana_foundation_sdk.builders import dashboard as dashboards
from grafana_foundation_sdk.builders import gauge as gauge_builder
from grafana_foundation_sdk.builders import stat as stat_builder
from grafana_foundation_sdk.builders import table as table_builder
from grafana_foundation_sdk.cog import builder as cog
from grafana_foundation_sdk.cog import variants
from grafana_foundation_sdk.models import common as look
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models import piechart as pie_model
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

# From this width on a graph has room for its legend beside it.
BESIDE: Final = 10
# Of a table's columns, in pixels: nine of them fit into a small screen, which Grafana's own 150 do not.
NARROWEST: Final = 110
# A line at the very top would be half cut off.
ABOVE: Final = 1.1

# Whichever the reader chooses.
SOURCE: Final = model.DataSourceRef(type_val="prometheus", uid="${datasource}")

RED, ORANGE, YELLOW, GREEN, BLUE, GREY, NONE = "red", "orange", "yellow", "green", "blue", "text", "transparent"

Panel = cog.Builder[model.Panel]

# Colours, each from its value on; None is whatever is less than the next.
Steps = Sequence[tuple[float | None, str]]

# Of many lines, which are looked for.
Worst = Literal["highest", "lowest"]


@dataclass(frozen=True, slots=True)
class About:
    """A panel's description: what it shows, what is good, and which alerts look at it, where they begin."""

    shows: str
    good: str
    alert: str

    def __str__(self) -> str:
        return f"{self.shows}\n\n**Good:** {self.good}\n\n**Alert:** {self.alert}"


@dataclass(frozen=True, slots=True)
class Query:
    """One query; ``exemplar`` for a histogram's. With a unit ``right``, it has an axis of its own, with ``lines``."""

    expr: str
    legend: str
    exemplar: bool = False
    right: str = ""
    lines: Steps = ()


@dataclass(frozen=True, slots=True)
class Column:
    """One query of a table, which gives a column: its heading, unit, and colours. Without a heading, labels alone."""

    expr: str
    heading: str = ""
    unit: str = "short"
    steps: Steps = ()
    words: Mapping[int, tuple[str, str]] | None = None


class _Panel(Protocol):
    """What the SDK's builders of panels have in common."""

    def title(self, title: str, /) -> Self: ...
    def description(self, description: str, /) -> Self: ...
    def datasource(self, datasource: model.DataSourceRef, /) -> Self: ...
    def span(self, w: int, /) -> Self: ...
    def height(self, h: int, /) -> Self: ...
    def unit(self, unit: str, /) -> Self: ...
    def min(self, min_val: float, /) -> Self: ...
    def max(self, max_val: float, /) -> Self: ...
    def decimals(self, decimals: float, /) -> Self: ...
    def no_value(self, no_value: str, /) -> Self: ...
    def thresholds(self, thresholds: cog.Builder[model.ThresholdsConfig], /) -> Self: ...
    def color_scheme(self, color: cog.Builder[model.FieldColor], /) -> Self: ...
    def with_target(self, target: cog.Builder[variants.Dataquery], /) -> Self: ...
    def override_by_name(self, name: str, properties: list[model.DynamicConfigValue], /) -> Self: ...


_P = TypeVar("_P", bound=_Panel)


def stat(
    title: str,
    about: About,
    query: Query,
    unit: str,
    steps: Steps,
    width: int = 6,
    none: str = "–",
    decimals: int | None = None,
) -> Panel:
    """One number, as it is now. ``decimals``: Grafana chooses how many, where none are given."""
    panel = stat_builder.Panel().color_mode(look.BigValueColorMode.BACKGROUND)
    panel = panel.graph_mode(look.BigValueGraphMode.NONE).reduce_options(_now())
    panel = _common(panel, title, about, unit, width, 5, none)
    return _now_of(panel if decimals is None else panel.decimals(decimals), [query], steps)


def gauge(
    title: str, about: About, queries: Sequence[Query], steps: Steps, width: int = 6, least: float = 0, none: str = "–"
) -> Panel:
    """Shares of a whole, as they are now."""
    panel = gauge_builder.Panel().reduce_options(_now()).show_threshold_markers(True)
    panel = _common(panel, title, about, "percentunit", width, 5, none).min(least).max(1)
    return _now_of(panel, queries, steps)


def bars(
    title: str, about: About, query: Query, steps: Steps, width: int, least: float = 0, decimals: int | None = None
) -> Panel:
    """A share of each of many, as they are now; the worst is the first, for no more than ten are seen."""
    query = replace(query, expr=f"sort({query.expr})")
    panel = bar_builder.Panel().reduce_options(_now()).orientation(look.VizOrientation.HORIZONTAL)
    panel = panel.display_mode(look.BarGaugeDisplayMode.BASIC)
    panel = _common(panel, title, about, "percentunit", width, 8, "–").min(least).max(1)
    return _now_of(panel if decimals is None else panel.decimals(decimals), [query], steps)


def pie(title: str, about: About, query: Query, colours: Mapping[str, str], width: int) -> Panel:
    """Parts of a whole, as they are now; ``colours`` by the parts' names."""
    legend = piechart.PieChartLegendOptions().display_mode(look.LegendDisplayMode.TABLE).show_legend(True)
    legend = legend.placement(look.LegendPlacement.RIGHT)
    legend = legend.values([pie_model.PieChartLegendValues.VALUE, pie_model.PieChartLegendValues.PERCENT])
    panel = piechart.Panel().pie_type(pie_model.PieChartType.DONUT).legend(legend).reduce_options(_now())
    panel = _common(panel, title, about, "short", width, 8, "nothing connected")
    return _asking(_coloured(panel, colours), [query], instant=True)


def graph(
    title: str,
    about: About,
    queries: Sequence[Query],
    unit: str,
    *,
    lines: Steps = (),
    colours: Mapping[str, str] | None = None,
    width: int = 12,
    most: float | None = None,
    step: str = "",
    worst: Worst | None = None,
) -> Panel:
    """Lines over time, and dashed ones where alerts begin. ``step`` is the finest that makes sense.

    ``worst``: the legend begins with them, where there may be more than it has room for.
    """
    legend = common.VizLegendOptions().display_mode(look.LegendDisplayMode.TABLE).show_legend(True)
    # Below, it has a third of the height: two rows. Beside, all of it.
    below_or_beside = look.LegendPlacement.RIGHT if width >= BESIDE else look.LegendPlacement.BOTTOM
    legend = legend.placement(below_or_beside).calcs(["lastNotNull", "max"])
    if worst:
        legend = legend.sort_by("Last *").sort_desc(worst == "highest")
    tooltip = common.VizTooltipOptions().mode(look.TooltipDisplayMode.MULTI).sort(look.SortOrder.DESCENDING)
    # The areas of many, one over another, hide the lines.
    panel = timeseries.Panel().legend(legend).tooltip(tooltip).fill_opacity(0 if worst else 8).line_width(1)
    panel = panel.show_points(look.VisibilityMode.NEVER)
    panel = _common(panel, title, about, unit, width, 8, "nothing happened").min(0)
    if most is not None:
        panel = panel.max(most)
    if step:
        panel = panel.interval(step)
    if lines:
        dashed = common.GraphThresholdsStyleConfig().mode(look.GraphThresholdsStyleMode.DASHED)
        panel = panel.thresholds(_thresholds([(None, NONE), *lines])).thresholds_style(dashed)
        panel = panel.axis_soft_max(_in_view(lines))
    for letter, query in zip(string.ascii_uppercase, queries, strict=False):
        if query.right:
            panel = panel.override_by_query(letter, _right(query))
    return _asking(_coloured(panel, colours or {}), queries, instant=False)


def states(title: str, about: About, query: Query, words: Mapping[int, tuple[str, str]], width: int = 12) -> Panel:
    """What each of many was, over time: a word and a colour for each value."""
    legend = common.VizLegendOptions().display_mode(look.LegendDisplayMode.LIST).show_legend(True)
    panel = statetimeline.Panel().legend(legend.placement(look.LegendPlacement.BOTTOM)).merge_values(True)
    panel = panel.show_value(look.VisibilityMode.NEVER).row_height(0.8).mappings([_words(words)])
    return _asking(_common(panel, title, about, "short", width, 8, "nobody known"), [query], instant=False)


def table(title: str, about: About, columns: Sequence[Column], keys: Mapping[str, str], width: int = 24) -> Panel:
    """A row for each value of the labels ``keys``, which are given with their headings."""
    panel = _common(table_builder.Panel().min_width(NARROWEST), title, about, "short", width, 9, "–")
    renamed, hidden, order = dict(keys), {"Time": True}, {key: place for place, key in enumerate(keys)}
    for letter, column in zip(string.ascii_uppercase, columns, strict=False):
        target = prometheus.Dataquery().expr(column.expr).ref_id(letter).datasource(SOURCE).instant()
        panel = panel.with_target(target.format(PromQueryFormat.TABLE).legend_format(column.heading))
        value = f"Value #{letter}"  # as Grafana calls it, where there is more than one query
        order[value] = len(order)
        if column.heading:
            renamed[value] = column.heading
            panel = panel.override_by_name(column.heading, _cell(column))
        else:
            hidden[value] = True
    merge = model.DataTransformerConfig(id_val="merge", options={})
    arranged = {"excludeByName": hidden, "renameByName": renamed, "indexByName": order}
    organize = model.DataTransformerConfig(id_val="organize", options=arranged)
    return panel.transformations([merge, organize])


def _common(panel: _P, title: str, about: About, unit: str, width: int, height: int, none: str) -> _P:
    panel = panel.title(title).description(str(about)).datasource(SOURCE).span(width).height(height)
    return panel.unit(unit).no_value(none)


def _now_of(panel: _P, queries: Sequence[Query], steps: Steps) -> _P:
    by_value = dashboards.FieldColor().mode(model.FieldColorModeId.THRESHOLDS)
    return _asking(panel.thresholds(_thresholds(steps)).color_scheme(by_value), queries, instant=True)


def _asking(panel: _P, queries: Sequence[Query], *, instant: bool) -> _P:
    for letter, query in zip(string.ascii_uppercase, queries, strict=False):
        target = prometheus.Dataquery().expr(query.expr).legend_format(query.legend).ref_id(letter).datasource(SOURCE)
        target = target.instant() if instant else target.range()
        panel = panel.with_target(target.exemplar(True) if query.exemplar else target)
    return panel


def _now() -> common.ReduceDataOptions:
    # The queries are instant: no older value stands for one that is missing.
    return common.ReduceDataOptions().values(False).calcs(["lastNotNull"]).fields("")


def _thresholds(steps: Steps) -> dashboards.ThresholdsConfig:
    at = [model.Threshold(value=value, color=colour) for value, colour in steps]
    return dashboards.ThresholdsConfig().mode(model.ThresholdsMode.ABSOLUTE).steps(at)


def _coloured(panel: _P, colours: Mapping[str, str]) -> _P:
    for name, colour in colours.items():
        fixed = model.DynamicConfigValue(id_val="color", value={"mode": "fixed", "fixedColor": colour})
        panel = panel.override_by_name(name, [fixed])
    return panel


def _right(query: Query) -> list[model.DynamicConfigValue]:
    properties = {"custom.axisPlacement": "right", "unit": query.right, "custom.fillOpacity": 0}
    value = [model.DynamicConfigValue(id_val=name, value=value) for name, value in properties.items()]
    if query.lines:
        lines = _thresholds([(None, NONE), *query.lines]).build()
        value.append(model.DynamicConfigValue(id_val="thresholds", value=lines))
        value.append(model.DynamicConfigValue(id_val="custom.thresholdsStyle", value={"mode": "dashed"}))
        value.append(model.DynamicConfigValue(id_val="custom.axisSoftMax", value=_in_view(query.lines)))
    return value


def _in_view(lines: Steps) -> float:
    """How high an axis goes at least, so that its lowest line is seen on a day on which nothing comes near it."""
    return round(ABOVE * min(value for value, _ in lines if value is not None), 3)


def _words(words: Mapping[int, tuple[str, str]]) -> model.ValueMap:
    return model.ValueMap(
        options={
            str(value): model.ValueMappingResult(text=text, color=colour, index=place)
            for place, (value, (text, colour)) in enumerate(words.items())
        }
    )


def _cell(column: Column) -> list[model.DynamicConfigValue]:
    value = [model.DynamicConfigValue(id_val="unit", value=column.unit)]
    if column.steps:
        value.append(model.DynamicConfigValue(id_val="thresholds", value=_thresholds(column.steps).build()))
    if column.words:
        value.append(model.DynamicConfigValue(id_val="mappings", value=[_words(column.words)]))
    if column.steps or column.words:
        value.append(model.DynamicConfigValue(id_val="custom.cellOptions", value={"type": "color-text"}))
    return value
