"""Days of a restaurant group, as its fifty branches would have left them in Prometheus; backfilled by promtool.

It has what a panel or a rule reads, with the labels that the reference deployment gives it. The last hours are as they
are scraped, every 15 s. Before them is, a minute apart, what somebody asks for further back than that. What the rules
of ``slo.yml`` record is there for all the days. It always ends at eight in the evening: the branches are busy.
"""

from __future__ import annotations

import contextlib
import hashlib
import random
import re
import runpy
import shutil
import subprocess
import tempfile
import time
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, pairwise, product, repeat
from pathlib import Path
from typing import Final

import psutil

from collector.stack.binaries import cache, command
from printobs.core import conventions

BRANCHES: Final = 50
DAY: Final = 86_400
MINUTE: Final = 60
SCRAPE: Final = 15  # seconds
FIVE_MINUTES: Final = 300  # of the recorded events
SCRAPED: Final = (
    23_400  # seconds of the last hours: six that panels and rules look back, and their longest short window
)
BLOCK: Final = 54 * 3600  # the longest that Prometheus itself makes of 30 days: a file for each is read only once

# Of a day's receipts by the hour: lunch, and a longer dinner.
HOURS: Final = (0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 8, 8, 4, 2, 2, 4, 10, 14, 14, 10, 6, 2)
EVENING: Final = 20  # the hour at which it ends
RECEIPTS: Final = 1000  # a day of one printer
TESTS: Final = 12
UNLUCKY: Final = 5  # every fifth branch has had a test that failed

# How a job ends, and of how many.
OUTCOMES: Final = {
    ("confirmed", ""): 0.955,
    ("written", ""): 0.02,
    ("failed", ""): 0.0,
    ("failed", "paper_end"): 0.012,
    ("failed", "connect_timeout"): 0.005,
    ("unknown", ""): 0.0,
    ("unknown", "timeout"): 0.002,
    ("cancelled", ""): 0.006,
}
BAD: Final = {"failed", "unknown"}
ENDED: Final = BAD | {"confirmed", "written"}

# How good twenty connections are, one after the other.
BAD_LEVELS: Final = (conventions.Level.FAIR, conventions.Level.POOR)
LEVELS: Final = (*[conventions.Level.EXCELLENT] * 15, *[conventions.Level.GOOD] * 3, *BAD_LEVELS)

# Requests a day by method, route and status.
REQUESTS: Final = {
    ("POST", "/api/v1/printing/jobs", "202"): 100_000,
    ("POST", "/api/v1/printing/jobs", "422"): 200,
    ("POST", "/api/v1/printing/jobs", "503"): 40,
    ("GET", "/api/v1/printing/jobs/{id}", "200"): 250_000,
    ("GET", "/api/v1/printing/jobs/{id}", "404"): 100,
    ("GET", "/api/v1/printing/jobs/{id}", "500"): 60,
    ("GET", "/api/v1/printing/jobs", "200"): 5_000,
    ("POST", "/api/v1/printing/jobs/{id}/cancel", "202"): 600,
    ("POST", "/api/v1/printing/jobs/{id}/reprint", "202"): 400,
    ("POST", "/api/v1/printing/jobs/{id}/release", "200"): 300,
    ("GET", "/api/v1/printing/printers", "200"): 20_000,
    ("GET", "/api/v1/printing/agents", "200"): 10_000,
    ("POST", "/api/v1/printing/printers/{id}/test", "202"): 1_200,
    ("GET", "/api/v1/printing/jobs", "401"): 300,
    ("GET", "/health/live", "200"): 8_640,
    ("GET", "/health/ready", "200"): 8_640,
}

_REFERENCE: Final = Path(__file__).parents[2] / "docs" / "reference.py"
HTTP_SECONDS: Final[Sequence[float]] = runpy.run_path(str(_REFERENCE))["OTHERS"][0].buckets
# What the days are made of.
_SOURCES: Final = (Path(__file__), Path(conventions.__file__), _REFERENCE)

Labels = Mapping[str, str]
Values = Callable[[slice], Iterable[float]]


@dataclass(frozen=True, slots=True)
class Series:
    """What it is called, when it has samples (Unix seconds), and the values of a stretch of them."""

    name: str
    times: Sequence[int]
    values: Values


@dataclass(frozen=True, slots=True)
class Part:
    """So much of what a curve counts."""

    curve: Sequence[int]
    share: float

    def __call__(self, stretch: slice) -> list[float]:
        share = self.share
        return [int(each * share) for each in self.curve[stretch]]


@dataclass(frozen=True, slots=True)
class Spent:
    """Seconds that each of what a curve counts takes."""

    curve: Sequence[int]
    each: float

    def __call__(self, stretch: slice) -> list[float]:
        return [round(count * self.each, 3) for count in self.curve[stretch]]


@dataclass(frozen=True, slots=True)
class Connection:
    """1 while a connection is of one of these levels: another one every fifty receipts."""

    curve: Sequence[int]
    levels: Sequence[conventions.Level]

    def __call__(self, stretch: slice) -> list[float]:
        return [self.at(each) for each in self.curve[stretch]]

    def at(self, receipts: int) -> int:
        """Once there were so many."""
        return int(LEVELS[receipts // 50 % len(LEVELS)] in self.levels)


def _still(value: float) -> Values:
    return lambda stretch: repeat(value, stretch.stop - stretch.start)


def _named(name: str, labels: Labels) -> str:
    return name + "{" + ",".join(f'{key}="{value}"' for key, value in labels.items() if value) + "}"


class Group:
    """Branches with an agent and two printers each, and the service of fifty of them.

    ``end`` is in Unix seconds, and a multiple of five minutes.
    """

    def __init__(self, days: int, end: int, branches: int = BRANCHES) -> None:
        self._chance = random.Random(7)
        self.start, self.end = end - days * DAY, end
        live = max(self.start, end - SCRAPED)
        self.times = [*range(self.start, live, MINUTE), *range(live, end + 1, SCRAPE)]
        self.live = bisect_left(self.times, live)
        self._fives = range(self.start, end + 1, FIVE_MINUTES)
        self._at = [bisect_left(self.times, each) for each in self._fives]
        self._requests = {key: self._curve(daily) for key, daily in REQUESTS.items()}
        self.branches = [f"branch-{number:02}" for number in range(branches)]
        self._receipts = {
            branch: {place: self._curve(RECEIPTS) for place in ("kitchen", "bar")} for branch in self.branches
        }
        self._tests = {branch: {place: self._curve(TESTS) for place in ("kitchen", "bar")} for branch in self.branches}

    @cached_property
    def _busy(self) -> list[float]:
        """Of a day's events, how many are expected before each sample, and after the one before it."""
        shares = [each / sum(HOURS) / 3600 for each in HOURS]
        begun = self.end - EVENING * 3600  # midnight, there
        lengths = [0, *(after - before for before, after in pairwise(self.times))]
        return [shares[(when - begun) // 3600 % 24] * length for when, length in zip(self.times, lengths, strict=True)]

    def _curve(self, daily: float) -> list[int]:
        """A counter's values at all times."""
        chance = self._chance.random
        return list(accumulate(int(daily * each + chance()) if each else 0 for each in self._busy))

    def series(self) -> Iterator[Series]:
        """All of them."""
        yield from self._service()
        yield from self._platform()
        for branch in self.branches:
            yield from self._inventory(branch)
            yield from self._agent(branch)
            for place in ("kitchen", "bar"):
                yield from self._printer(branch, place)
        yield from self._recorded()
        yield from self._drawn()

    def _all(self, name: str, values: Values, labels: Labels) -> Series:
        """One that is asked for days later."""
        return Series(_named(name, labels), self.times, values)

    def _late(self, name: str, values: Values | float, labels: Labels) -> Series:
        """One of the last hours."""
        first = self.live
        if not callable(values):
            return Series(_named(name, labels), self.times[first:], _still(values))
        return Series(
            _named(name, labels), self.times[first:], lambda at: values(slice(at.start + first, at.stop + first))
        )

    def _histogram(
        self, name: str, counted: Part, bounds: Sequence[float], median: float, labels: Labels
    ) -> Iterator[tuple[str, Values, Labels]]:
        """What it is made of."""
        for bound in bounds:
            share = bound**3 / (bound**3 + median**3)
            yield f"{name}_bucket", Part(counted.curve, counted.share * share), {**labels, "le": f"{float(bound)}"}
        yield f"{name}_bucket", counted, {**labels, "le": "+Inf"}
        yield f"{name}_count", counted, labels
        yield f"{name}_sum", Part(counted.curve, counted.share * median), labels

    def _service(self) -> Iterator[Series]:
        here = {"job": "service", "instance": "till/8080"}
        for (method, route, status), curve in self._requests.items():
            labels = {"http_request_method": method, "http_route": route, "http_response_status_code": status, **here}
            labels |= {"network_protocol_version": "1.1", "url_scheme": "http"}
            name = "http_server_request_duration_seconds"
            for each in self._histogram(name, Part(curve, 1.0), HTTP_SECONDS, 0.02, labels):
                yield self._all(*each)
        jobs = Part(self._requests["POST", "/api/v1/printing/jobs", "202"], 1.0)
        states = {"pending": 1.0, "dispatched": 1.0, "acknowledged": 0.99, "expired": 0.01, "evicted": 0.0}
        for state, share in states.items():
            labels = {**here, "correlation_state": state}
            yield self._late("correlation_lifecycle_total", Part(jobs.curve, share), labels)
        for result, share in {"hit": 0.99, "miss": 0.01}.items():
            labels = {**here, "correlation_lookup_result": result}
            yield self._late("correlation_lookups_total", Part(jobs.curve, share), labels)
        for reason in conventions.AuthenticationFailure:
            labels = {**here, "authentication_failure_reason": reason.value}
            yield self._late("security_authentication_failures_total", Part(jobs.curve, 0.0005), labels)
        for protocol in ("http", "websocket"):
            labels = {**here, "security_origin": "https://elsewhere.example", "network_protocol_name": protocol}
            yield self._late("security_origins_refused_total", Part(jobs.curve, 0.0002), labels)
        for kind, severity in (("authentication_failure", "medium"), ("origin_refused", "low"), ("rate_limit", "low")):
            labels = {**here, "security_event_type": kind, "security_event_severity": severity}
            yield self._late("security_events_total", Part(jobs.curve, 0.001), labels)
        for kind in ("request", "handshake", "message"):
            labels = {**here, "rate_limit_kind": kind}
            yield self._late("security_rate_limit_triggers_total", Part(jobs.curve, 0.001), labels)
        yield self._late("security_rate_limit_clients", 1, here)
        web = {**here, "http_route": "/ws/client", "client_type": "web"}
        yield self._late("websocket_server_active_connections", len(LEVELS), web)
        for level in conventions.Level:
            labels = {**web, "quality_level": level.value}
            yield self._all("websocket_server_quality_level", _still(LEVELS.count(level)), labels)
        yield from self._process(here, jobs)

    def _process(self, here: Labels, work: Part) -> Iterator[Series]:
        for kind, share in {"user": 0.004, "system": 0.001}.items():
            yield self._late("process_cpu_time_seconds_total", Spent(work.curve, share), {**here, "type": kind})
        yield self._late("process_memory_usage_bytes", 80_000_000, here)
        yield self._late("printobs_clock_seconds", lambda at: self.times[at], here)
        for signal in ("span", "log", "metric_data_point"):
            name = f"otel_sdk_exporter_{signal}_exported_total"
            yield self._late(name, work, {**here, "otel_component_type": f"otlp_http_{signal}_exporter"})
        for signal in ("span", "log"):
            labels = {**here, "otel_component_type": f"batching_{signal}_processor"}
            yield self._late(f"otel_sdk_processor_{signal}_processed_total", work, labels)

    def _platform(self) -> Iterator[Series]:
        """The backend itself, in health."""
        for job in ("printobs", "otelcol", "jaeger", "prometheus", "alertmanager"):
            yield self._late("up", 1, {"job": job, "instance": f"{job}:1"})
        collector = {"job": "otelcol", "instance": "otelcol:1"}
        for name, value in {"size": 0, "capacity": 300_000}.items():
            yield self._late(f"otelcol_exporter_queue_{name}", value, {**collector, "exporter": "otlp_grpc/jaeger"})
        for signal in ("spans", "metric_points", "log_records"):
            yield self._late(f"otelcol_receiver_refused_{signal}_total", 0, {**collector, "receiver": "otlp"})
        for integration in ("pagerduty", "slack", "email", "webhook"):
            labels = {"job": "alertmanager", "instance": "alertmanager:1", "integration": integration}
            yield self._late("alertmanager_notifications_failed_total", 0, labels)
        own = {"job": "prometheus", "instance": "prometheus:1"}
        yield self._late("prometheus_notifications_alertmanagers_discovered", 1, own)
        yield self._late("prometheus_notifications_dropped_total", 0, own)
        for number in range(10):
            yield self._late("prometheus_rule_evaluation_failures_total", 0, {**own, "rule_group": f"group {number}"})
        for state, size in {"free": 60e9, "used": 30e9, "reserved": 1e9}.items():
            labels = {"job": "otelcol", "instance": "otelcol", "mountpoint": "/", "state": state}
            yield self._late("system_filesystem_usage_bytes", size, labels)

    def _inventory(self, branch: str) -> Iterator[Series]:
        """What the service tells of a branch."""
        here = {"job": "service", "instance": "till/8080", "branch_name": branch}
        for name in ("job_held", "job_queue_length", "job_queue_age_seconds"):
            yield self._late(name, 0, here)
        yield self._late("branch_open", 1, here)
        agent = {**here, "agent_name": f"{branch}-pc"}
        yield self._late("agent_connected", 1, agent)
        expires = {**agent, "security_credential_type": "token"}
        yield self._late("security_credential_expiration_seconds", self.end + 30 * DAY, expires)
        desktop = {**here, "http_route": "/ws/agent", "client_type": "desktop"}
        yield self._late("websocket_server_active_connections", 1, desktop)
        receipts = self._receipts[branch]["kitchen"]
        broken = {**desktop, "error_type": "connection_lost"}
        yield self._late("websocket_server_connection_errors_total", Part(receipts, 0.005), broken)
        for level in conventions.Level:
            labels = {**desktop, "quality_level": level.value}
            yield self._all("websocket_server_quality_level", Connection(receipts, [level]), labels)
        tests = [sum(both) for both in zip(*self._tests[branch].values(), strict=True)]
        for (outcome, _), share in self._tested(branch).items():
            labels = {**here, "printer_job_kind": "test", "printer_job_outcome": outcome}
            bounds = conventions.JOB_DURATION.buckets
            for each in self._histogram("job_duration_seconds", Part(tests, share), bounds, 0.8, labels):
                yield self._late(*each)

    def _agent(self, branch: str) -> Iterator[Series]:
        yield from self._process(_agent(branch), Part(self._receipts[branch]["kitchen"], 1.0))

    def _printer(self, branch: str, place: str) -> Iterator[Series]:
        """What service and agent tell of it."""
        where = {"branch_name": branch, "printer_name": f"{branch}-{place}"}
        here = {"job": "service", "instance": "till/8080", **where}
        for (kind, curve), ((outcome, error), share) in product(self._jobs(branch, place), OUTCOMES.items()):
            labels = {"printer_job_kind": kind, "printer_job_outcome": outcome, "error_type": error}
            yield self._all("job_outcomes_total", Part(curve, share), {**here, **labels})
        yield self._late("job_failures_consecutive", 0, here)
        yield self._late("printer_served", 1, here)
        there = {**_agent(branch), **where}
        for state in conventions.State:
            yield self._late("printer_status", int(state.value == "ready"), {**there, "printer_state": state.value})
        yield self._late("printer_quality_score", 97, there)
        bounds = conventions.PRINTER_JOB_DURATION.buckets
        for (outcome, error), share in self._tested(branch).items():
            labels = {**there, "printer_job_kind": "test", "printer_job_outcome": outcome, "error_type": error}
            tests = Part(self._tests[branch][place], share)
            for each in self._histogram("printer_job_duration_seconds", tests, bounds, 0.6, labels):
                yield self._late(*each)

    def _jobs(self, branch: str, place: str) -> list[tuple[str, list[int]]]:
        return [(place, self._receipts[branch][place]), ("test", self._tests[branch][place])]

    def _tested(self, branch: str) -> dict[tuple[str, str], float]:
        """How its test prints end, for those that are measured."""
        failed = {("failed", "paper_end"): 0.03} if self.branches.index(branch) % UNLUCKY == 0 else {}
        return {("confirmed", ""): 0.97, **failed}

    def _recorded(self) -> Iterator[Series]:
        """What slo.yml makes of the counters."""
        for branch in self.branches:
            here = {"branch_name": branch}
            jobs = [each for place in ("kitchen", "bar") for each in self._jobs(branch, place)]
            tests = [each for each in jobs if each[0] == "test"]
            for name, curves in {"jobs": jobs, "print_tests": tests}.items():
                for suffix, outcomes in {"": ENDED, "_bad": BAD}.items():
                    counted = [
                        Part(curve, share)
                        for (_, curve), ((outcome, _), share) in product(curves, OUTCOMES.items())
                        if outcome in outcomes
                    ]
                    yield from self._months(self._increases(f"branch_name:{name}{suffix}:increase5m", counted, here))
            yield from self._months(Series(_named("branch_name:connections:sum", here), self._fives, _still(1)))
            receipts, poor = self._receipts[branch]["kitchen"], Connection([], BAD_LEVELS)
            known = [poor.at(receipts[at]) for at in self._at]
            bad = Series(_named("branch_name:connections_bad:sum", here), self._fives, known.__getitem__)
            yield from self._months(bad)
            yield self._late("branch_name:agents_connected:sum", 1, here)
        yield from self._months(Series("branch_name:connections:sum", self._fives, _still(len(LEVELS))))
        yield from self._months(Series("branch_name:connections_bad:sum", self._fives, _still(len(BAD_LEVELS))))
        requests = {key: Part(curve, 1.0) for key, curve in self._requests.items()}
        bad_requests = [part for (_, _, status), part in requests.items() if status.startswith("5")]
        yield self._increases("cluster:http_requests:increase5m", requests.values(), {})
        yield self._increases("cluster:http_requests_bad:increase5m", bad_requests, {})
        buckets: dict[str, list[Part]] = {}
        for part in requests.values():
            for name, values, labels in self._histogram("", part, HTTP_SECONDS, 0.02, {}):
                if name == "_bucket" and isinstance(values, Part):
                    buckets.setdefault(labels["le"], []).append(values)
        for bound, parts in buckets.items():
            yield self._increases("le:http_requests:increase5m", parts, {"le": bound})
        slower = [Part(each.curve, 1.0 - each.share) for each in buckets["0.5"]]
        yield self._increases("cluster:http_requests_slow:increase5m", slower, {})

    def _drawn(self) -> Iterator[Series]:
        """What dashboards.yml makes of them."""
        for branch in self.branches:
            for place in ("kitchen", "bar"):
                where = {"branch_name": branch, "printer_name": f"{branch}-{place}"}
                ended: dict[str, list[Part]] = {}
                for (_, curve), ((outcome, _), share) in product(self._jobs(branch, place), OUTCOMES.items()):
                    ended.setdefault(outcome, []).append(Part(curve, share))
                for outcome, counted in ended.items():
                    labels = {**where, "printer_job_outcome": outcome}
                    yield self._rates("printer_name:jobs:rate5m", counted, MINUTE, FIVE_MINUTES, labels)
                bounds, name = conventions.PRINTER_JOB_DURATION.buckets, "printer_name_le:print_tests:rate15m"
                yield from self._buckets(name, self._tests[branch][place], bounds, 0.6, where)
            tests = [sum(both) for both in zip(*self._tests[branch].values(), strict=True)]
            bounds, name = conventions.JOB_DURATION.buckets, "branch_name_le:print_tests:rate15m"
            yield from self._buckets(name, tests, bounds, 0.8, {"branch_name": branch})
        routes: dict[tuple[str, str], list[Part]] = {}
        for (_, route, _), curve in self._requests.items():
            for part, values, labels in self._histogram("", Part(curve, 1.0), HTTP_SECONDS, 0.02, {}):
                if part == "_bucket" and isinstance(values, Part):
                    routes.setdefault((route, labels["le"]), []).append(values)
        for (route, bound), counted in routes.items():
            labels = {"http_route": route, "le": bound}
            yield self._rates("http_route_le:http_requests:rate5m", counted, MINUTE, FIVE_MINUTES, labels)

    def _months(self, recorded: Series) -> Iterator[Series]:
        """What slo.yml records, and what dashboards.yml makes of a month of it."""
        yield recorded
        name = re.sub(r":\w+(?={|$)", ":sum30d", recorded.name)
        total = sum(recorded.values(slice(0, len(recorded.times))))
        yield Series(name, recorded.times[-1:], _still(total))

    def _buckets(
        self, name: str, tests: Sequence[int], bounds: Sequence[float], median: float, labels: Labels
    ) -> Iterator[Series]:
        for part, values, known in self._histogram("", Part(tests, 0.97), bounds, median, labels):
            if part == "_bucket" and isinstance(values, Part):
                yield self._rates(name, [values], FIVE_MINUTES, 3 * FIVE_MINUTES, known)

    def _rates(self, name: str, counted: Sequence[Part], each: int, window: int, labels: Labels) -> Series:
        """How fast they have risen together over a window, in the last hours."""
        back = window // SCRAPE
        known = range(self.live + back, len(self.times), each // SCRAPE)
        risen = [
            sum(int(part.curve[at] * part.share) - int(part.curve[at - back] * part.share) for part in counted)
            for at in known
        ]
        return Series(_named(name, labels), [self.times[at] for at in known], [n / window for n in risen].__getitem__)

    def _increases(self, name: str, counted: Iterable[Part], labels: Labels) -> Series:
        """By how much they have risen together in each five minutes."""
        totals = [0] * len(self._at)
        for part in counted:
            curve, share = part.curve, part.share
            totals = [total + int(curve[at] * share) for total, at in zip(totals, self._at, strict=True)]
        risen = [0, *(after - before for before, after in pairwise(totals))]
        return Series(_named(name, labels), self._fives, risen.__getitem__)


def _agent(branch: str) -> Labels:
    return {"job": "agent", "instance": f"{branch}/{branch}-pc@pc"}


@dataclass(frozen=True, slots=True)
class Backfill:
    """What it took, and what came of it: ``memory`` is the most that promtool had of its own, in bytes."""

    series: int
    samples: int
    seconds: float
    memory: int
    stored: int


def backfill(group: Group, storage: Path) -> Backfill:
    """Put all of it into ``storage``, a block at a time; raises `subprocess.CalledProcessError`."""
    began = time.monotonic()
    every = list(group.series())
    samples = memory = 0
    importing: _Import | None = None
    for number, start in enumerate(range(group.start // BLOCK * BLOCK, group.end + 1, BLOCK)):
        # Two in turn: one is written while the other is read.
        file = storage.with_name(f"{storage.name}-{number % 2}.txt")
        samples += _write(every, start, start + BLOCK, file)
        memory = max(memory, importing.end() if importing else 0)
        importing = _Import(file, storage)
    memory = max(memory, importing.end() if importing else 0)
    return Backfill(
        series=len(every),
        samples=samples,
        seconds=time.monotonic() - began,
        memory=memory,
        stored=sum(path.stat().st_size for path in storage.rglob("*") if path.is_file()),
    )


def kept(days: int) -> tuple[Path, int]:
    """The blocks of so many days up to the present, and the Unix second in which they end.

    They are kept beside the backend's programs, since it takes more than a minute to make them, until something changes
    that they are made of; whoever starts a Prometheus on them takes a copy.
    """
    made_of = hashlib.sha256(str(command("promtool")).encode())
    for source in _SOURCES:
        made_of.update(source.read_bytes())
    folder = cache() / f"days-{days}-{made_of.hexdigest()[:12]}"
    if not folder.exists():
        end = int(time.time()) // FIVE_MINUTES * FIVE_MINUTES
        with tempfile.TemporaryDirectory(dir=cache(), prefix="build-") as scratch:
            made = Path(scratch, "made")
            made.mkdir()
            backfill(Group(days, end), made / str(end))
            for other in cache().glob(f"days-{days}-*"):
                shutil.rmtree(other)
            made.rename(folder)
    (blocks,) = folder.iterdir()
    return blocks, int(blocks.name)


class _Import:
    """A file that promtool makes a block of."""

    def __init__(self, file: Path, storage: Path) -> None:
        self._file = file
        # A block of two hours each, as it makes them else, would take it as many times to read the file.
        arguments = ("--quiet", "openmetrics", f"--max-block-duration={BLOCK // 3600}h", file, storage)
        self._process = psutil.Popen([command("promtool"), "tsdb", "create-blocks-from", *arguments])

    def end(self) -> int:
        """Wait for it; returns the most bytes that it had, without the file, which it maps."""
        most = 0
        while self._process.poll() is None:
            with contextlib.suppress(psutil.NoSuchProcess):
                told = self._process.memory_info()
                most = max(most, told.rss - told.shared)
            time.sleep(0.1)
        if self._process.returncode:
            raise subprocess.CalledProcessError(self._process.returncode, self._process.args)
        self._file.unlink()
        return most


def _write(every: Iterable[Series], start: int, end: int, file: Path) -> int:
    """Those of their samples that are in [start, end), as OpenMetrics; returns how many."""
    samples = 0
    stamps: dict[tuple[int, int], list[str]] = {}
    with file.open("w") as out:
        for each in every:
            first, last = bisect_left(each.times, start), bisect_left(each.times, end)
            if first == last:
                continue
            key = (each.times[first], last - first)
            if key not in stamps:
                stamps[key] = [f" {when}\n" for when in each.times[first:last]]
            values = zip(each.values(slice(first, last)), stamps[key], strict=True)
            out.write("".join([f"{each.name} {value}{stamp}" for value, stamp in values]))
            samples += last - first
        out.write("# EOF\n")
    return samples
