"""The backend's programs: a good one on PATH first, else built from what was pinned, else a clear word."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from collector.stack import binaries
from collector.stack import pins as pinned
from collector.stack.binaries import Missing
from collector.stack.pins import PROGRAMS, pin_of, pins

ROOT = Path(__file__).parents[2]


def program(folder: Path, name: str, says: str) -> Path:
    path = folder / name
    path.write_text(f"#!/bin/sh\necho '{says}'\n")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize(
    ("name", "says", "good"),
    [
        ("prometheus", "prometheus, version 3.4.1 (branch: HEAD)", True),
        ("prometheus", "prometheus, version 2.42.0+ds (branch: debian)", False),
        ("prometheus", "prometheus, version 4.0.0", False),
        ("alertmanager", "alertmanager, version 0.25.0+ds", False),
        ("alertmanager", "alertmanager, version 0.35.0", False),
        ("otelcol-contrib", "otelcol-contrib version 0.159.0", True),
        ("otelcol-contrib", "otelcol-contrib version 0.120.0", False),
        ("jaeger", '{"gitCommit":"","gitVersion":"v2.13.0","buildDate":""}', True),
        ("jaeger", "no version at all", False),
    ],
)
def test_a_program_on_path_is_taken_if_the_files_are_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, says: str, good: bool
) -> None:
    path = program(tmp_path, name, says)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    command = "otelcol" if name.startswith("otelcol") else name
    assert binaries.on_path(pin_of(command), command) == (path if good else None)


def test_without_go_it_says_what_to_do(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "collector.stack", "build"],
        cwd=ROOT,
        env={**os.environ, "PATH": "/nowhere", "PRINTOBS_CACHE": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    [line] = done.stderr.splitlines()
    assert "Go is missing. Install Go" in line


def test_a_go_that_is_too_old_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path, "go", "go version go1.19.8 linux/amd64")
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    monkeypatch.setenv("PRINTOBS_CACHE", str(tmp_path / "cache"))
    with pytest.raises(Missing, match=r"go1\.19\.8 is too old"):
        binaries.command("jaeger")


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setenv("PRINTOBS_CACHE", str(tmp_path / "file"))
    with pytest.raises(Missing, match="PRINTOBS_CACHE"):
        binaries.command("jaeger")


def test_what_has_not_the_pinned_sum_is_not_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRINTOBS_CACHE", str(tmp_path))
    pin = pins()["alertmanager"]
    with pytest.raises(Missing, match="is not what was pinned"):
        binaries._build(replace(pin, sum=pin.sum[:-2] + "x="), tmp_path / "made")
    assert not (tmp_path / "made").exists()


def test_a_module_that_is_not_in_the_committed_sums_is_not_built(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PRINTOBS_CACHE", str(tmp_path))
    sources = tmp_path / "programs"
    shutil.copytree(PROGRAMS / "otelcol", sources / "otelcol")
    sums = sources / "otelcol" / "go.sum"
    lines = sums.read_text().splitlines(keepends=True)
    sums.write_text("".join(line for line in lines if "/exporter/fileexporter v" not in line))
    monkeypatch.setattr(binaries, "PROGRAMS", sources)
    with pytest.raises(Missing, match=r"missing go\.sum entry"):
        binaries._build(pins()["otelcol"], tmp_path / "made")


def test_whatever_changes_a_build_changes_its_place_in_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = pins()["otelcol"].digest()
    shutil.copytree(PROGRAMS, tmp_path / "programs")
    monkeypatch.setattr(pinned, "PROGRAMS", tmp_path / "programs")
    assert pins()["otelcol"].digest() == before
    with (tmp_path / "programs" / "otelcol" / "go.sum").open("a") as sums:
        sums.write("\n")
    assert pins()["otelcol"].digest() != before
    assert len({pin.digest() for pin in pins().values()}) == len(pins())
