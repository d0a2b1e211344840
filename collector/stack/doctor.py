"""``python -m collector.stack.doctor``: is the backend well, and if not, what to do: a line for each check.

It ends with 0, or with the code of the first thing that is wrong, causes being looked at before what follows from them:

=====  ==================================================================================================
code   what is wrong
=====  ==================================================================================================
10     a part is down
15     the configuration: a port, a folder, a target that Prometheus cannot read, no Alertmanager
14     the disk is nearly full
12     a clock is wrong: a part's, or one of a machine that sends
11     no fresh data: nothing is collected, sent or stored any more
13     spans wait in the Collector's queue, or it refuses or gives up what it should take
=====  ==================================================================================================

Where the parts are is in the variables of `collector.stack.ports.Ports`, what they keep in STACK_STATE.
"""

from __future__ import annotations

import argparse
import http.client
import json
import re
import shutil
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, Final

from collector.stack.durations import seconds
from collector.stack.parts import ready
from collector.stack.ports import Ports, Taken
from collector.stack.state import state

DOWN: Final = 10
STALE: Final = 11
CLOCK: Final = 12
QUEUE: Final = 13
DISK: Final = 14
CONFIGURATION: Final = 15

MISSED: Final = 4  # scrapes without a sample; one is nothing, Prometheus itself forgives as many
BACKLOG: Final = 300  # seconds: a queue is empty now and then, unless Jaeger is slower than what comes
SERVICES: Final = 20  # whose spans are looked at
SECOND: Final = 1e6  # in Jaeger's times


@dataclass(frozen=True, slots=True)
class Limits:
    """What is still good. ``clock`` and ``quiet`` in seconds, ``queue`` a share of its capacity, ``disk`` in GB."""

    clock: float = 2.0
    quiet: int = 120
    queue: float = 0.5
    disk: float = 2.0


@dataclass(frozen=True, slots=True)
class Finding:
    """Of one check. ``code`` is 0 where all is well, None where something else keeps it from being told."""

    check: str
    code: int | None
    said: str
    advice: str = ""

    def __str__(self) -> str:
        mark = {0: "ok", None: "?"}.get(self.code, "WRONG")
        return f"{mark:<7}{self.check:<16}{self.said}" + (f": {self.advice}" if self.advice else "")


class Unreachable(Exception):  # noqa: N818 - reads as what it is
    """Nothing, or nothing good, came from a URL; says why."""


@dataclass(frozen=True, slots=True)
class _Answer:
    body: bytes
    skew: float  # seconds by which its Date is ahead of this machine's clock, as far as its whole seconds prove it


def examine(ports: Ports, folder: Path, limits: Limits) -> Iterator[Finding]:
    """All findings, in the order that the exit code follows."""
    yield from _Doctor(ports, folder, limits).findings()


class _Doctor:
    def __init__(self, ports: Ports, folder: Path, limits: Limits) -> None:
        self._ports = ports
        self._folder = folder
        self._limits = limits
        self._prometheus = f"http://127.0.0.1:{ports.prometheus}"
        self._jaeger = f"http://127.0.0.1:{ports.jaeger}"
        self._up: dict[str, _Answer] = {}

    def findings(self) -> Iterator[Finding]:
        yield from self._parts()
        checks = [
            ("targets", self._targets, {"prometheus"}),
            ("alerting", self._alerting, {"prometheus", "alertmanager"}),
            ("disk", self._disk, set[str]()),
            ("clocks", self._clocks, set[str]()),
            ("senders' clocks", self._senders, {"jaeger"}),
            ("own metrics", self._own, {"prometheus"}),
            ("applications", self._applications, {"prometheus", "otelcol"}),
            ("stored spans", self._stored, {"prometheus", "otelcol", "jaeger"}),
            ("queue", self._queue, {"otelcol"}),
            ("losses", self._losses, {"prometheus"}),
        ]
        for name, check, needed in checks:
            if missing := sorted(needed - self._up.keys()):
                yield Finding(name, None, f"cannot be told without {' and '.join(missing)}")
                continue
            try:
                yield check(name)
            except (Unreachable, ValueError, KeyError) as error:
                yield Finding(name, DOWN, f"cannot be told: {error}", "look at the log of the part that this names")

    def _parts(self) -> Iterator[Finding]:
        for name, url in ready(self._ports).items():
            try:
                self._up[name] = _get(url)
            except Unreachable as error:
                log = self._folder / "logs" / f"{name}.log"
                yield Finding(name, DOWN, f"is down: {error}", f"read the end of {log}, then start it (make stack)")
            else:
                yield Finding(name, 0, "ready")

    def _targets(self, name: str) -> Finding:
        targets = self._ask("/api/v1/targets", state="active")["activeTargets"]
        jobs = {target["labels"]["job"]: target for target in targets}
        # A part that is down has been told of.
        bad = [
            f"{job} ({target['lastError']})"
            for job, target in jobs.items()
            if target["health"] == "down" and {"printobs": "otelcol"}.get(job, job) in self._up
        ]
        bad += [f"{job} (not configured)" for job in ("printobs", *self._up) if job not in jobs]
        if bad:
            where = self._folder / "prometheus" / "etc" / "targets"
            return Finding(name, CONFIGURATION, f"not read: {', '.join(bad)}", f"compare the ports in {where}")
        return Finding(name, 0, f"{len(targets)} read by Prometheus")

    def _alerting(self, name: str) -> Finding:
        active = self._ask("/api/v1/alertmanagers")["activeAlertmanagers"]
        if not active:
            advice = "see alerting in prometheus.yml and targets/alertmanager.yml beside it"
            return Finding(name, CONFIGURATION, "Prometheus has no Alertmanager to send alerts to", advice)
        return Finding(name, 0, f"Prometheus sends alerts to {len(active)} Alertmanager")

    def _disk(self, name: str) -> Finding:
        if not self._folder.is_dir():
            return Finding(name, CONFIGURATION, f"there is no {self._folder}", "name the right folder in STACK_STATE")
        left = shutil.disk_usage(self._folder).free / 1e9
        said = f"{left:.1f} GB left for {self._folder}{self._days()}"
        if left < self._limits.disk:
            return Finding(name, DISK, said, "make room, or lower Prometheus's and Jaeger's retention")
        return Finding(name, 0, said)

    def _days(self) -> str:
        """How long that will do, once there is an hour to judge by; the Collector measures what is left."""
        mount = next(each for each in (self._folder.resolve(), *self._folder.resolve().parents) if each.is_mount())
        series = f'system_filesystem_usage_bytes{{state="free",mountpoint="{mount}"}}'
        try:
            if "prometheus" not in self._up or not self._value(f"max({series} offset 1h)"):
                return ""
            left, a_second = self._value(f"max({series})"), self._value(f"min(deriv({series}[6h]))")
        except Unreachable:
            return ""
        return f", enough for {left / -a_second / 86400:.0f} days at the present rate" if left and a_second < 0 else ""

    def _clocks(self, name: str) -> Finding:
        if not self._up:
            return Finding(name, None, "cannot be told without any part")
        skews = {part: answer.skew for part, answer in self._up.items()}
        if "prometheus" in self._up:
            before = time.time()
            exact = self._value("time()")
            skews["prometheus"] = _apart(exact, exact, before, time.time())
        return self._skewed(name, skews, "agree with this machine's")

    def _senders(self, name: str) -> Finding:
        """What proves that a clock is wrong: a span of the future, or one before its cause elsewhere."""
        skews: dict[str, float] = {}
        services = _json(f"{self._jaeger}/api/services")["data"] or []
        for service in services[:SERVICES]:
            now = time.time()
            start, end = int((now + self._limits.clock) * SECOND), int((now + 86400) * SECOND)
            for trace in self._traces(service, 5, start=start, end=end):
                ahead = max(span["startTime"] for span in _of(trace, service)) / SECOND - now
                skews[service] = max(skews.get(service, 0.0), ahead)
            for trace in self._traces(service, 20, start=int((now - 3600) * SECOND), end=int(now * SECOND)):
                behind = min((_early(trace, span) for span in _of(trace, service)), default=0.0) / SECOND
                skews[service] = min(skews.get(service, 0.0), behind) if behind < 0 else skews.get(service, 0.0)
        return self._skewed(name, skews, "no span of the last hour came before its cause")

    def _traces(self, service: str, limit: int, **span: int) -> list[dict[str, Any]]:
        query = urllib.parse.urlencode({"service": service, "limit": limit, **span})
        return _json(f"{self._jaeger}/api/traces?{query}")["data"] or []

    def _skewed(self, name: str, skews: dict[str, float], good: str) -> Finding:
        wrong = {which: skew for which, skew in skews.items() if abs(skew) > self._limits.clock}
        if not wrong:
            return Finding(name, 0, good)
        said = ", ".join(
            f"{which} is {abs(skew):.0f} s {'ahead' if skew > 0 else 'behind'}" for which, skew in wrong.items()
        )
        return Finding(name, CLOCK, said, "set that machine's clock by NTP (timedatectl set-ntp true)")

    def _own(self, name: str) -> Finding:
        """Samples that Prometheus has of the Collector itself, and of what goes through it."""
        targets = self._ask("/api/v1/targets", state="active")["activeTargets"]
        intervals = {target["labels"]["job"]: seconds(target["scrapeInterval"]) for target in targets}
        oldest = 0.0
        for job, metric in (("otelcol", "otelcol_process_uptime.*"), ("printobs", "system_cpu_load_average_1m.*")):
            interval = intervals.get(job, 15.0)
            newest = self._value(
                f'max(max_over_time(timestamp({{__name__=~"{metric}",job="{job}"}})[1h:{max(int(interval), 1)}s]))'
            )
            age = time.time() - newest
            if age > MISSED * interval + 1:
                told = f"the newest sample is {age:.0f} s old" if newest else "there is no sample of the last hour"
                return Finding(
                    name, STALE, f"of job {job} {told}", "see that the Collector runs, and the targets above"
                )
            oldest = max(oldest, age)
        return Finding(name, 0, f"the newest samples are {oldest:.0f} s old at most")

    def _applications(self, name: str) -> Finding:
        received = '{__name__=~"otelcol_receiver_accepted_metric_points(_total)?",receiver="otlp"}'
        if not self._grown(received, self._limits.quiet):
            endpoint = f"http://127.0.0.1:{self._ports.otlp_http}"
            advice = f"see that service and agents run, with OTEL_EXPORTER_OTLP_ENDPOINT={endpoint} or what leads there"
            return Finding(name, STALE, f"none has sent metrics for {self._limits.quiet} s", advice)
        # At night there are no receipts, and so no spans: silence alone is no fault.
        return Finding(name, 0, "send metrics")

    def _stored(self, name: str) -> Finding:
        # Spans wait a second for their batch, and a scrape comes after that: look at a whole window.
        if not self._grown('{__name__=~"otelcol_exporter_sent_spans(_total)?",job="otelcol",exporter=~"otlp.*"}', 300):
            return Finding(name, 0, "the Collector has sent none to Jaeger for 5 minutes")
        if not self._grown('{__name__=~"otelcol_exporter_sent_spans(_total)?",job="jaeger"}', 360):
            advice = f"read the end of {self._folder / 'logs' / 'jaeger.log'}"
            return Finding(name, STALE, "Jaeger has stored none of what the Collector sent it", advice)
        return Finding(name, 0, "Jaeger stores what it is sent")

    def _queue(self, name: str) -> Finding:
        metrics = _text(f"http://127.0.0.1:{self._ports.collector_own}/metrics")
        capacity = dict(_series(metrics, "otelcol_exporter_queue_capacity"))
        sizes = dict(_series(metrics, "otelcol_exporter_queue_size"))
        said = ", ".join(f"{sizes[labels]:.0f} of {capacity[labels]:.0f}" for labels in sizes if labels in capacity)
        advice = "see why Jaeger does not take them: its log, then the Collector's"
        if any(sizes[labels] > self._limits.queue * capacity.get(labels, float("inf")) for labels in sizes):
            return Finding(name, QUEUE, f"{said} spans wait", advice)
        if "prometheus" in self._up:
            queue = '{__name__="otelcol_exporter_queue_size",job="otelcol"}'
            if self._value(f"max(min_over_time({queue}[{BACKLOG}s]) and {queue} offset {BACKLOG}s)"):
                return Finding(name, QUEUE, f"{said} spans wait, and some have for {BACKLOG} s", advice)
        return Finding(name, 0, f"{said} spans wait")

    def _losses(self, name: str) -> Finding:
        of = {
            "refused to take": ("receiver_refused", "receiver_failed"),
            "had no room for": ("exporter_enqueue_failed",),
            "gave up": ("exporter_send_failed",),
        }
        lost = [
            f"{did} {signal.replace('_', ' ')}"
            for did, metrics in of.items()
            for signal in ("spans", "metric_points", "log_records")
            if any(
                self._grown(f'{{__name__=~"otelcol_{metric}_{signal}(_total)?",job="otelcol"}}', BACKLOG)
                for metric in metrics
            )
        ]
        if lost:
            advice = f"read the end of {self._folder / 'logs' / 'otelcol.log'}; memory and disk are the usual reasons"
            return Finding(name, QUEUE, f"in the last 5 minutes the Collector {', '.join(lost)}", advice)
        return Finding(name, 0, "the Collector refused and gave up nothing in 5 minutes")

    def _grown(self, series: str, window: int) -> bool:
        """Whether a counter grew in the last ``window`` seconds, or began with something in them."""
        new = f"sum({series} unless {series} offset {window}s)"
        return self._value(f"sum(changes({series}[{window}s])) + ({new} or vector(0))") > 0

    def _value(self, promql: str) -> float:
        """Of one series or of a scalar; 0 where there is none."""
        found = self._ask("/api/v1/query", query=promql)
        result = found["result"]
        if found["resultType"] == "scalar":
            return float(result[1])
        return float(result[0]["value"][1]) if result else 0.0

    def _ask(self, path: str, **query: str) -> dict[str, Any]:
        found: dict[str, Any] = _json(f"{self._prometheus}{path}?{urllib.parse.urlencode(query)}")["data"]
        return found


def _of(trace: dict[str, Any], service: str) -> list[dict[str, Any]]:
    """The spans of a service."""
    return [span for span in trace["spans"] if trace["processes"][span["processID"]]["serviceName"] == service]


def _early(trace: dict[str, Any], span: dict[str, Any]) -> float:
    """By how much a span began before the one that caused it in another process: below 0, or 0."""
    parents = {each["spanID"]: each for each in trace["spans"] if each["processID"] != span["processID"]}
    causes = [ref["spanID"] for ref in span["references"] if ref["refType"] == "CHILD_OF" and ref["spanID"] in parents]
    return min((span["startTime"] - parents[cause]["startTime"] for cause in causes), default=0.0)


def _get(url: str) -> _Answer:
    before = time.time()
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            body, date = response.read(), response.headers["Date"]
    except urllib.error.HTTPError as error:
        raise Unreachable(f"{_short(url)} answers {error.code}") from None
    except (OSError, http.client.HTTPException) as error:
        why = getattr(error, "reason", error)
        why = getattr(why, "strerror", None) or why or type(error).__name__
        raise Unreachable(f"{_short(url)} does not answer ({why})") from None
    if date is None:
        return _Answer(body, 0.0)
    whole = parsedate_to_datetime(date).timestamp()
    return _Answer(body, _apart(whole, whole + 1, before, time.time()))


def _apart(earliest: float, latest: float, before: float, after: float) -> float:
    """By how much a clock that showed something in between is ahead of one that went from ``before`` to ``after``."""
    return max(earliest - after, 0.0) or min(latest - before, 0.0)


def _text(url: str) -> str:
    return _get(url).body.decode(errors="replace")


def _json(url: str) -> Any:
    try:
        return json.loads(_get(url).body)
    except ValueError:
        raise Unreachable(f"{_short(url)} answers something that is not JSON") from None


def _short(url: str) -> str:
    return url.partition("?")[0]


def _series(metrics: str, name: str) -> Iterator[tuple[str, float]]:
    """Labels and value of each series of a metric, in Prometheus's text format."""
    for line in metrics.splitlines():
        found = re.fullmatch(rf"{name}(\{{.*\}})? (\S+)", line)
        if found is not None:
            yield found[1], float(found[2])


def main() -> int:
    """0, or the code of the first finding that is not good."""
    good = Limits()
    parser = argparse.ArgumentParser("python -m collector.stack.doctor")
    parser.add_argument("--clock", type=float, default=good.clock, help="seconds that clocks may differ")
    parser.add_argument("--quiet", type=int, default=good.quiet, help="seconds that applications may send no metrics")
    parser.add_argument(
        "--queue", type=float, default=good.queue, help="share of the Collector's queue that may be full"
    )
    parser.add_argument("--disk", type=float, default=good.disk, help="GB that must be left")
    options = parser.parse_args()
    try:
        ports = Ports.from_environment()
    except Taken as error:
        sys.stdout.write(f"{Finding('ports', CONFIGURATION, str(error))}\n")
        return CONFIGURATION
    first = 0
    for finding in examine(ports, state(), Limits(options.clock, options.quiet, options.queue, options.disk)):
        sys.stdout.write(f"{finding}\n")
        sys.stdout.flush()
        first = first or finding.code or 0
    return first


if __name__ == "__main__":
    sys.exit(main())
