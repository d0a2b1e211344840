"""A backup, brought back elsewhere, answers as the original did; what cannot be copied or restored says why."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pytest

from collector.stack import backup as module
from collector.stack import binaries
from collector.stack.backup import SUMS, Refused, backup, restore
from collector.stack.parts import parts
from collector.stack.ports import Ports
from collector.stack.stack import Running, Stack
from tests.stack.backend import Backend, get, until

ROOT = Path(__file__).parents[2]
TRACES = 300


@dataclass(frozen=True, slots=True)
class Before:
    """A stack that has ended, the backups made of it, and what it knew."""

    state: Path
    cold: Path  # a backup while nothing ran
    warm: Path  # while Jaeger was stopped
    metrics_only: Path  # while everything ran
    at: float
    numbers: dict[str, Any]
    traces: dict[str, Any]
    exemplars: list[Any]


def command(state: Path, ports: Ports, *arguments: str | Path) -> tuple[int, str]:
    """The exit code and the only line of the command."""
    said = {f"STACK_{name.upper()}": str(port) for name, port in asdict(ports).items()}
    done = subprocess.run(
        [sys.executable, "-m", "collector.stack.backup", *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, **said, "STACK_STATE": str(state)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    [line] = (done.stdout + done.stderr).splitlines()
    return done.returncode, line


def send(otlp: str, seed: int) -> list[str]:
    """Spans of two services, whose metrics the Collector makes; their trace IDs."""
    chance = random.Random(seed)
    traces, spans = [], []
    now = time.time_ns()
    for number in range(TRACES):
        traces.append(f"{chance.getrandbits(128):032x}")
        for service, parent, identity in (("service", "", "1" * 16), ("agent", "1" * 16, "2" * 16)):
            told = {
                "traceId": traces[-1],
                "spanId": identity,
                "parentSpanId": parent,
                "name": f"receipt {number % 7}",
                "kind": 2,
                "startTimeUnixNano": str(now),
                "endTimeUnixNano": str(now + chance.randint(10**6, 10**9)),
            }
            resource = {"attributes": [{"key": "service.name", "value": {"stringValue": service}}]}
            spans.append({"resource": resource, "scopeSpans": [{"spans": [told]}]})
    request = urllib.request.Request(
        f"{otlp}/v1/traces", json.dumps({"resourceSpans": spans}).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=30):
        return traces


def numbers(prometheus: str, at: float) -> dict[str, Any]:
    """Every series of the stack and its value at a time, and one over the time before."""
    queries = {
        "counted": "sum by (service_name, span_name) (traces_span_metrics_calls_total)",
        "all": '{__name__=~"otelcol_.+|traces_.+|system_.+|prometheus_tsdb_head_series"}',
        "before": "sum by (le) (increase(traces_span_metrics_duration_seconds_bucket[1m]))",
    }
    return {
        name: sorted(
            (json.dumps(each["metric"], sort_keys=True), each["value"][1])
            for each in get(f"{prometheus}/api/v1/query", query=promql, time=str(at))["data"]["result"]
        )
        for name, promql in queries.items()
    }


def spans(trace: dict[str, Any] | None) -> Any:
    assert trace is not None
    return sorted(
        (
            span["spanID"],
            span["operationName"],
            span["startTime"],
            span["duration"],
            trace["processes"][span["processID"]]["serviceName"],
        )
        for span in trace["spans"]
    )


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Before:
    state, copies = tmp_path_factory.mktemp("state"), tmp_path_factory.mktemp("copies")
    ports = Ports.free()
    with Stack(ports, state, "1s") as stack:
        backend = Backend(stack)
        traces = send(backend.otlp, 1)
        until(lambda: backend.value("traces_span_metrics_calls_total") == 2 * TRACES)
        # Prometheus keeps no exemplar that comes with the first sample of its series.
        traces += send(backend.otlp, 2)
        until(lambda: backend.value("traces_span_metrics_calls_total") == 4 * TRACES)
        until(lambda: all(backend.trace(trace) for trace in (traces[0], traces[-1])))
        until(lambda: backend.exemplars("traces_span_metrics_duration_seconds_bucket"))
        # Who called is given up waiting for after a while; until then its series are not there, later from before that.
        until(lambda: backend.value('traces_service_graph_request_total{client="user"}') == 2 * TRACES)
        time.sleep(3)
        at = time.time() - 1
        told = numbers(backend.prometheus, at)
        kept = {trace: spans(backend.trace(trace)) for trace in traces[::10]}
        exemplars = backend.exemplars("traces_span_metrics_duration_seconds_bucket")
        assert len(told["all"]) > 100

        code, line = command(state, ports, copies / "warm")
        assert code == 1
        assert "Jaeger is running" in line
        assert "--without-jaeger" in line
        assert not (copies / "warm").exists()
        code, line = command(state, ports, copies / "metrics only", "--without-jaeger")
        assert code == 0, line
        stack.running["jaeger"].stop()
        code, line = command(state, ports, copies / "warm")
        assert code == 0, line
        assert "prometheus (" in line
        assert "jaeger (" in line
        assert list((state / "prometheus" / "data" / "snapshots").iterdir()) == []
        stack.running["jaeger"].start()
        stack.running["jaeger"].wait()
    code, line = command(state, ports, copies / "cold")
    assert code == 0, line
    return Before(state, copies / "cold", copies / "warm", copies / "metrics only", at, told, kept, exemplars)


@contextmanager
def brought_back(source: Path, state: Path) -> Iterator[Backend]:
    """A stack of its own that begins with a backup."""
    ports = Ports.free()
    code, line = command(state, ports, "restore", source)
    assert code == 0, line
    with Stack(ports, state, "1s") as stack:
        yield Backend(stack)


@pytest.mark.parametrize("name", ["cold", "warm"])
def test_what_is_brought_back_answers_as_the_original(before: Before, tmp_path: Path, name: str) -> None:
    source = before.cold if name == "cold" else before.warm
    with brought_back(source, tmp_path / "state") as backend:
        assert numbers(backend.prometheus, before.at) == before.numbers
        assert {trace: spans(backend.trace(trace)) for trace in before.traces} == before.traces
        found = get(f"{backend.jaeger}/api/traces", service="agent", limit="1000", lookback="1h")["data"]
        assert len(found) == 2 * TRACES
        # The write-ahead log has them, a snapshot has not.
        exemplars = backend.exemplars("traces_span_metrics_duration_seconds_bucket")
        assert exemplars == (before.exemplars if name == "cold" else [])
        assert name == "warm" or exemplars
        until(lambda: backend.value("otelcol_process_uptime_seconds_total") > 0)  # and it goes on


def test_metrics_alone_can_be_copied_while_everything_runs(before: Before, tmp_path: Path) -> None:
    with brought_back(before.metrics_only, tmp_path) as backend:
        assert numbers(backend.prometheus, before.at) == before.numbers
        assert get(f"{backend.jaeger}/api/services")["data"] in ([], None)


def test_holes_stay_holes(before: Before, tmp_path: Path) -> None:
    for copy in (before.warm / "jaeger").rglob("*.*"):
        assert copy.stat().st_blocks * 512 < 1 << 20
    sparse = tmp_path / "sparse"
    with sparse.open("wb") as file:
        file.seek(32 << 20)
        file.write(b"something")
        file.truncate(96 << 20)
    module._copy(sparse, tmp_path / "copy")
    assert (tmp_path / "copy").stat().st_size == 96 << 20
    assert (tmp_path / "copy").stat().st_blocks * 512 < 4 << 20
    assert module._digest(tmp_path / "copy") == module._digest(sparse)


def test_the_sums_are_what_sha256sum_checks(before: Before) -> None:
    done = subprocess.run(["sha256sum", "--check", "--quiet", SUMS], cwd=before.cold, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_backup_needs_an_empty_folder(before: Before, tmp_path: Path) -> None:
    (tmp_path / "something").touch()
    code, line = command(before.state, Ports.free(), tmp_path)
    assert code == 1
    assert "is not empty" in line
    assert [path.name for path in tmp_path.iterdir()] == ["something"]


def test_there_must_be_something_to_copy(tmp_path: Path) -> None:
    code, line = command(tmp_path, Ports.free(), tmp_path / "copy")
    assert code == 1
    assert "STACK_STATE" in line


def test_a_folder_that_cannot_be_written_is_said(before: Before, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    code, line = command(before.state, Ports.free(), tmp_path / "file" / "copy")
    assert code == 1
    assert "Not a directory" in line


def test_a_disk_that_is_too_small_is_said_first(
    before: Before, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = shutil._ntuple_diskusage(10**6, 10**6 - 1000, 1000)  # type: ignore[attr-defined]
    monkeypatch.setattr(shutil, "disk_usage", lambda _: small)
    with pytest.raises(Refused, match="make room"):
        backup(before.state, tmp_path / "copy", Ports.free())
    with pytest.raises(Refused, match="make room"):
        restore(before.cold, tmp_path / "state")
    assert list(tmp_path.iterdir()) == []


def test_a_copy_that_is_not_what_was_written_is_no_backup(
    before: Before, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_digest", lambda _: "another")
    with pytest.raises(Refused, match="is not what was written"):
        backup(before.state, tmp_path / "copy", Ports.free())
    assert list(tmp_path.iterdir()) == []
    assert not (before.state / "prometheus" / "data" / "lock").exists()


def test_it_is_restored_into_an_empty_folder_only(before: Before) -> None:
    code, line = command(before.state, Ports.free(), "restore", before.cold)
    assert code == 1
    assert "is not empty" in line


def test_it_is_not_restored_where_something_runs(before: Before, tmp_path: Path) -> None:
    ports = Ports.free()
    found = {each.name: each for each in parts(ports, tmp_path)}
    for name in ("prometheus", "jaeger"):
        part = Running(found[name], binaries.command(name), tmp_path / f"{name}.log")
        part.start()
        try:
            part.wait()
            code, line = command(tmp_path, ports, "restore", before.cold)
        finally:
            part.kill()
        assert code == 1
        assert "is in use: stop the stack first" in line
        shutil.rmtree(tmp_path / name)


@pytest.mark.parametrize("damage", ["flipped", "missing", "more", "sums"])
def test_a_backup_that_has_changed_is_not_restored(before: Before, tmp_path: Path, damage: str) -> None:
    source = shutil.copytree(before.metrics_only, tmp_path / "copy")
    index = next(source.rglob("index"))
    match damage:
        case "flipped":
            data = bytearray(index.read_bytes())
            data[100] ^= 1
            index.write_bytes(data)
        case "missing":
            index.unlink()
        case "more":
            (index.parent / "more").touch()
        case "sums":
            (source / SUMS).unlink()
    code, line = command(tmp_path / "state", Ports.free(), "restore", source)
    assert code == 1
    assert "no whole backup" in line if damage == "sums" else "is not what was copied then" in line
    assert not list((tmp_path / "state").rglob("*.*"))


def test_a_prometheus_elsewhere_is_not_taken_for_this_one(before: Before, tmp_path: Path) -> None:
    state = tmp_path / "state"
    shutil.copytree(before.metrics_only / "prometheus", state / "prometheus" / "data")
    ports = Ports.free()
    part = Running(
        next(each for each in parts(ports, state) if each.name == "prometheus"),
        binaries.command("prometheus"),
        tmp_path / "log",
    )
    part.start()
    try:
        part.wait()
        code, line = command(state, Ports.free(), tmp_path / "copy", "--without-jaeger")
        assert code == 1
        assert "STACK_PROMETHEUS" in line
    finally:
        part.kill()
    # Killed, it left its lock file behind, which nobody has.
    code, line = command(state, ports, tmp_path / "copy", "--without-jaeger")
    assert code == 0, line
