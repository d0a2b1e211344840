"""What the processes exported, read from the sink: a trace as a tree, and a metric's last values."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator

from printobs.testing.otlp_decode import MetricPoint, Span

_SHOWN = ("http.route", "printer.name", "printer.job.outcome", "error.type", "http.response.status_code")


def tree(spans: Iterable[Span]) -> Iterator[str]:
    """One line a span: when it began, how long it took, where, and what it was."""
    below: defaultdict[str, list[Span]] = defaultdict(list)
    spans = sorted(spans, key=lambda span: span.start_ns)
    known = {span.span_id for span in spans}
    for span in spans:
        below[span.parent_id if span.parent_id in known else ""].append(span)
    if not spans:
        return
    first = spans[0].start_ns

    def lines(parent: str, indent: str) -> Iterator[str]:
        for number, span in enumerate(below[parent]):
            last = number == len(below[parent]) - 1
            branch, further = ("└─ ", "   ") if last else ("├─ ", "│  ")
            if not parent:
                branch = further = ""
            details = " ".join(str(span.attributes[name]) for name in _SHOWN if name in span.attributes)
            begun, took = (span.start_ns - first) / 1e6, (span.end_ns - span.start_ns) / 1e6
            who = str(span.resource.get("service.name", "?"))
            yield f"{begun:8.1f} ms {took:8.1f} ms  {who:<8} {indent}{branch}{span.name}  {details}".rstrip()
            yield from lines(span.span_id, indent + further)

    yield from lines("", "")


def outcomes(points: Iterable[MetricPoint]) -> Counter[str]:
    """How many print jobs ended how, by all agents' last exports."""
    last: dict[tuple[str, ...], MetricPoint] = {}
    for point in points:
        if point.name == "printer.jobs":
            instance = str(point.resource.get("service.instance.id", ""))
            last[instance, *(f"{name}={value}" for name, value in sorted(point.attributes.items()))] = point
    counted: Counter[str] = Counter()
    for point in last.values():
        counted[str(point.attributes["printer.job.outcome"])] += int(point.value or 0)
    return counted


def quantile(values: Iterable[float], share: float) -> float:
    """The nearest-rank quantile; 0 of nothing."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else 0.0
