"""The demonstration: what it calls agreement, and that it leaves nothing behind."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from examples.demo.telemetry import quantile
from examples.demo.verdict import Told, judge
from tests.nursery import ROOT, unmeasured


def told(**outcomes: str) -> dict[int, Told]:
    return {int(key[1:]): Told("bar", outcome) for key, outcome in outcomes.items()}


def test_what_agrees() -> None:
    jobs = {**told(n1="written", n2="failed", n3="unknown", n4="unknown"), 5: Told("kitchen", "confirmed")}
    counted = {"written": 1, "failed": 1, "unknown": 2, "confirmed": 1}
    verdict = judge(jobs, {"bar": [1, 3], "kitchen": [5]}, counted)
    assert verdict.wrong == []
    assert verdict.unknown_on_paper == [3]
    assert verdict.whole == {"bar": 2, "kitchen": 1}


@pytest.mark.parametrize(
    ("jobs", "paper", "counted"),
    [
        (told(n1="written"), [], {"written": 1}),
        (told(n1="confirmed"), [], {"confirmed": 1}),
        (told(n1="written"), [1, 1], {"written": 1}),
        (told(n1="unknown"), [1, 1], {"unknown": 1}),
        (told(n1="failed"), [1], {"failed": 1}),
        (told(n1="written"), [1, 2], {"written": 1}),
        (told(n1="written"), [1, None], {"written": 1}),
        (told(n1="queued"), [], {"queued": 1}),
        (told(n1="written"), [1], {"written": 2}),
        (told(n1="written"), [1], {}),
        (told(n1="written"), [1], {"written": 1, "failed": 1}),
    ],
)
def test_what_does_not(jobs: dict[int, Told], paper: list[int | None], counted: dict[str, int]) -> None:
    assert judge(jobs, {"bar": paper}, counted).wrong


def test_quantiles_are_by_nearest_rank() -> None:
    assert [quantile([3, 1, 2, 4], share) for share in (0.5, 0.95, 0.0)] == [2, 4, 1]
    assert quantile([], 0.5) == 0.0


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds the processes in /proc")
def test_ctrl_c_ends_every_process() -> None:
    demo = subprocess.Popen(
        [sys.executable, "-u", "-m", "examples.demo"],
        cwd=ROOT,
        env=unmeasured(),
        stdout=subprocess.PIPE,
        text=True,
        stdin=subprocess.DEVNULL,
    )
    assert demo.stdout is not None
    for line in demo.stdout:
        if "10 receipts sent" in line:
            break
    children = Path(f"/proc/{demo.pid}/task/{demo.pid}/children").read_text().split()
    assert len(children) == 6
    demo.send_signal(signal.SIGINT)
    assert "nothing is left running" in demo.stdout.read()
    assert demo.wait(30) == 130
    demo.stdout.close()
    deadline = time.monotonic() + 5
    while any(_alive(int(child)) for child in children):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True
