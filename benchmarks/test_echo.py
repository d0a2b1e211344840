"""A WebSocket echo through a real uvicorn: bare, under printobs, under contrib; the client is another process.

Each setup is played in rounds: every kind once, in a new random order, each time by a fresh server. Its rows share the
rounds. What is asserted about counts and spans is in `echo_round`.
"""

from __future__ import annotations

import functools
import os
import random
from collections.abc import Callable, Sequence
from typing import Final

import pytest

from benchmarks.echo_round import Played, Setup, play
from benchmarks.echo_server import KINDS
from benchmarks.rows import Gate, Round, Rows, beside

pytestmark = [pytest.mark.end_to_end, pytest.mark.timeout(600)]

ROUNDS: Final = int(os.environ.get("ECHO_ROUNDS", "3"))
MANY: Final = 5_000
SETUPS: Final = [
    Setup(connections=1, echoes=2_000, rounds=ROUNDS),
    Setup(connections=100, echoes=6_000, rounds=ROUNDS),
    # Each round opens fifteen thousand connections: most of the time that all this takes.
    Setup(connections=MANY, echoes=10_000, rounds=max(1, ROUNDS - 1)),
    Setup(connections=100, echoes=6_000, rounds=ROUNDS, loop="uvloop", http="httptools"),
]

# Wide: processor time of a process on a machine that others use too. What a message costs is measured in
# `test_messages`; here it has to be small beside all that uvicorn does for one.
CPU: Final = 1.4
# Of resident memory: what `test_memory` counts in bytes, and what an allocator makes of it.
IDLE_KB: Final = 3.0

each_setup = pytest.mark.parametrize("setup", SETUPS, ids=lambda s: f"{s.connections}-{s.loop}")


@functools.cache
def look(setup: Setup, number: int) -> list[dict[str, Played]]:
    """The rounds of a setup: the first look at it, or the second."""
    return [{kind: play(kind, setup) for kind in random.sample(list(KINDS), len(KINDS))} for _ in range(setup.rounds)]


def looking(setup: Setup, figure: Callable[[Played], float]) -> Callable[[int], Sequence[Round]]:
    """Reads one figure of the rounds."""
    return lambda number: [{kind: figure(played[kind]) for kind in KINDS} for played in look(setup, number)]


@each_setup
@pytest.mark.parametrize("percentile", ["p50", "p99"])
def test_latency(rows: Rows, setup: Setup, percentile: str) -> None:
    taken = looking(setup, lambda played: getattr(played, percentile))
    rows.elsewhere(f"WebSocket echo, {percentile}: {setup}", "µs", taken)


@each_setup
def test_cpu(rows: Rows, setup: Setup) -> None:
    rows.elsewhere(
        f"WebSocket echo, the server's CPU for a message: {setup}",
        "µs",
        looking(setup, lambda played: played.cpu),
        [Gate("by bare", beside("printobs", "bare"), CPU), Gate("by contrib", beside("printobs", "contrib"), 1)],
    )


@each_setup
def test_resident_memory(rows: Rows, setup: Setup) -> None:
    times = ("before", "idle", "after")  # the connections are opened; have sent nothing; are closed
    rows.elsewhere(
        f"WebSocket echo, the server's resident memory before, with and after idle connections: {setup}",
        "MB",
        lambda number: [
            {f"{kind}, {when}": getattr(played[kind], when) / 1e6 for kind in KINDS for when in times}
            for played in look(setup, number)
        ],
    )


def test_idle_connection(rows: Rows) -> None:
    """What one keeps: at so many connections, else it is the heap's steps that are measured."""
    [setup] = [each for each in SETUPS if each.connections == MANY]
    rows.elsewhere(
        f"WebSocket echo, memory of an idle connection: {setup}",
        "bytes",
        looking(setup, lambda played: (played.idle - played.before) / MANY),
        [Gate("KB over bare", lambda kept: (kept["printobs"] - kept["bare"]) / 1024, IDLE_KB)],
        looks=1,  # however busy the machine, memory is what it is
    )
