"""What the queries have in common.

They ask for the metrics themselves, never for the platform's names recorded from them: copies have no exemplars. A
ratio has a number on a quiet night too, and before anything has gone wrong once; it is never NaN.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

BRANCH: Final = 'branch_name=~"$branch"'
PRINTER: Final = f'{BRANCH},printer_name=~"$printer"'
GOOD: Final = 'printer_job_outcome=~"confirmed|written"'
BAD: Final = 'printer_job_outcome=~"failed|unknown"'
ENDED: Final = 'printer_job_outcome=~"confirmed|written|failed|unknown"'  # cancelled is neither good nor bad
RECORDED_JOBS: Final = "printer_name:jobs:rate5m"
ERROR: Final = 'http_response_status_code=~"5.."'
WELL: Final = 'quality_level=~"good|excellent"'
# A process has no branch_name. Its instance is BRANCH/NAME@HOST, unless somebody has set another.
AGENTS: Final = 'job="agent",instance=~"$branch(/.*)?"'
OTHERS: Final = 'job!="agent"'
JUDGED: Final = 'quality_level!="unknown"'  # a connection too young to be judged is in no level


def chosen(metric: str, labels: str) -> str:
    """A metric's series, or those with these labels."""
    return f"{metric}{{{labels}}}" if labels else metric


def increase(metric: str, labels: str, window: str, by: str = "") -> str:
    """How many more, in ``window``."""
    return f"{summed(by)}(increase({chosen(metric, labels)}[{window}]))"


def a_minute(metric: str, labels: str, window: str = "$__rate_interval", by: str = "") -> str:
    """How many a minute."""
    return f"60 * {summed(by)}(rate({chosen(metric, labels)}[{window}]))"


def summed(by: str) -> str:
    """The aggregation, by a label or over all."""
    return f"sum by ({by}) " if by else "sum"


def or_zero(expr: str) -> str:
    """0 where there is no series at all."""
    return f"{expr} or vector(0)"


def or_zeros(expr: str, label: str, *values: str) -> str:
    """0 for each of the values of its label that has no series yet."""
    zeros = (f'label_replace(vector(0), "{label}", "{value}", "", "")' for value in values)
    return " or ".join((expr, *zeros))


def good_share(part: str, whole: str) -> str:
    """``part`` of ``whole``, from 0 to 1; 1 where the whole is nothing, for then nothing is wrong."""
    return f"clamp_max(({part} or 0 * {whole}) / ({whole} > 0), 1) or {whole} == bool 0"


def bad_share(part: str, whole: str) -> str:
    """``part`` of ``whole``, from 0 to 1; 0 where either is nothing."""
    return f"({part} or 0 * {whole}) / ({whole} > 0) or 0 * {whole}"


def recorded_a_minute(labels: str) -> str:
    """How many jobs a minute, of the last five, by what is recorded of each printer."""
    return f"60 * sum({RECORDED_JOBS}{{{labels}}})"


def with_exemplars(expr: str, metric: str, labels: str) -> str:
    """What is recorded has no exemplars: Grafana asks for those of whatever a query names. None is of ten years ago."""
    return f"{expr} or sum({metric}_bucket{{{labels}}} offset 10y)"


def quantile(q: float, rates: str, by: str = "") -> str:
    """A quantile of buckets' rates, by a label or over all; nothing where nothing happened: then there is none."""
    group = f"le, {by}" if by else "le"
    return f"histogram_quantile({q}, sum by ({group}) ({rates})) >= 0"


def hungriest(used: Callable[[str, str], str], most: int = 3) -> str:
    """What processes use: all but the agents, and of the chosen branches' agents those that use most at the end.

    ``used`` is given labels, and a modifier of time.
    """
    agents, then = used(AGENTS, ""), used(AGENTS, " @ end()")
    return f"{used(OTHERS, '')} or ({agents} and topk({most}, {then}))"
