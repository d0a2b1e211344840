"""The stack as an operator has it: what it says when it cannot start, and that what it knows outlives a restart."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from collector.stack import stack as module
from collector.stack.ports import Ports
from collector.stack.stack import Broken, Running, Stack
from examples.demo.stage import Stage
from tests.stack.backend import Backend, submit, telemetry, until

ROOT = Path(__file__).parents[2]


def start(state: Path, ports: Ports, **environment: str) -> subprocess.Popen[str]:
    said = {f"STACK_{name.upper()}": str(port) for name, port in asdict(ports).items()}
    return subprocess.Popen(
        [sys.executable, "-m", "collector.stack"],
        cwd=ROOT,
        env={**os.environ, "STACK_BY": "native", "STACK_STATE": str(state), **said, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def refused(state: Path, ports: Ports, **environment: str) -> str:
    with start(state, ports, **environment) as running:
        _, err = running.communicate(timeout=60)
    assert running.returncode == 2
    [line] = err.splitlines()
    return line


def test_a_port_that_is_taken_is_named_with_its_variable(tmp_path: Path) -> None:
    ports = Ports.free()
    with socket.create_server(("127.0.0.1", ports.prometheus)):
        line = refused(tmp_path, ports)
    assert f"port {ports.prometheus}" in line
    assert "STACK_PROMETHEUS" in line
    assert "STACK_JAEGER" in refused(tmp_path, Ports.free(), STACK_JAEGER="eighty")


def test_a_folder_that_cannot_be_written_is_named_with_its_variable(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "STACK_STATE" in refused(tmp_path / "file", Ports.free())


def test_what_is_asked_for_and_cannot_be_is_named_with_its_variable(tmp_path: Path) -> None:
    assert "STACK_BY is 'hand'" in refused(tmp_path, Ports.free(), STACK_BY="hand")
    assert "STACK_PROFILES knows no tiny" in refused(tmp_path, Ports.free(), STACK_PROFILES="tiny")
    both = refused(tmp_path, Ports.free(), STACK_BY="compose", STACK_PROFILES="sampling")
    assert "STACK_BY=native" in both


def test_a_secret_that_cannot_be_read_is_named_with_its_variable(tmp_path: Path) -> None:
    (tmp_path / "there").touch()
    there = str(tmp_path / "there")
    names = ("COLLECTOR_TOKEN_FILE", "COLLECTOR_TLS_CERT", "COLLECTOR_TLS_KEY")
    for bad in names:
        for value in ("", "/nowhere/at-all", str(tmp_path)):
            variables = {**dict.fromkeys(names, there), bad: value}
            line = refused(tmp_path, Ports.free(), STACK_PROFILES="secure", **variables)
            assert line.startswith(f"{bad} is '{value}': it must name a file that can be read")


def test_a_part_that_does_not_start_says_why_and_the_others_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[Running] = []
    original, parts = Running.start, module.parts

    def start(self: Running) -> None:
        started.append(self)
        original(self)

    def with_a_mistake(*arguments: object) -> object:
        *others, otelcol = parts(*arguments)  # type: ignore[arg-type]
        return [*others, replace(otelcol, environment={**otelcol.environment, "COLLECTOR_MEMORY_MIB": "plenty"})]

    monkeypatch.setattr(Running, "start", start)
    monkeypatch.setattr(module, "parts", with_a_mistake)
    with pytest.raises(Broken, match=r"otelcol has ended: .*limit_mib"), Stack(Ports.free(), tmp_path):
        pass
    assert [each.part.name for each in started] == ["jaeger", "alertmanager", "prometheus", "otelcol"]
    assert all(each.ended() for each in started)


def test_ctrl_c_ends_every_part_and_a_part_that_ends_ends_the_others(tmp_path: Path) -> None:
    ports = Ports.free()
    with start(tmp_path, ports) as running:
        assert running.stdout is not None
        assert "everything is ready" in running.stdout.readline()
        children = Path(f"/proc/{running.pid}/task/{running.pid}/children").read_text().split()
        assert len(children) == 4
        running.send_signal(signal.SIGINT)
        running.communicate(timeout=60)
    assert running.returncode == 0
    assert not [child for child in children if Path(f"/proc/{child}").exists()]

    with start(tmp_path, ports) as running:
        assert running.stdout is not None
        assert "everything is ready" in running.stdout.readline()
        child = Path(f"/proc/{running.pid}/task/{running.pid}/children").read_text().split()[0]
        os.kill(int(child), signal.SIGKILL)
        _, err = running.communicate(timeout=60)
    assert running.returncode == 1
    assert err.startswith("jaeger has ended")


def test_a_damaged_queue_does_not_keep_it_from_starting(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ports = Ports.free()
    with Stack(ports, tmp_path):
        pass
    [file] = [path for path in (tmp_path / "otelcol" / "queue").iterdir() if "jaeger" in path.name]
    file.write_bytes(b"no longer a queue" * 1000)
    with Stack(ports, tmp_path):
        pass
    assert file.name in capsys.readouterr().err


def test_what_it_knows_outlives_it(tmp_path: Path) -> None:
    ports = Ports.free()
    with Stack(ports, tmp_path, "1s") as stack, Stage(telemetry(Backend(stack).otlp)) as stage:
        backend = Backend(stack)
        job = submit(stage.till)
        until(lambda: job["correlation_id"] in backend.printed(10))
        until(lambda: backend.value("printer_jobs_total") == 1)
        printed_at = time.time()
        logged = sum(
            each.get("correlation.id") == job["correlation_id"] for each in until(lambda: list(backend.logs()))
        )
    with Stack(ports, tmp_path, "1s") as stack:
        backend = Backend(stack)
        assert job["correlation_id"] in backend.printed(10)
        assert backend.value(f"printer_jobs_total @ {printed_at}") == 1
        assert sum(each.get("correlation.id") == job["correlation_id"] for each in backend.logs()) >= logged > 0
