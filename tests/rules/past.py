"""A real Prometheus that has a past: samples of long ago, put behind it by promtool."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from collector.stack.binaries import command
from collector.stack.parts import Part
from collector.stack.ports import Ports
from collector.stack.stack import Running
from tests.rules.promtool import promtool


def backfill(samples: Path, storage: Path) -> None:
    """Put an OpenMetrics file into ``storage``, which is made."""
    storage.mkdir()
    # Blocks of two hours, as by default, would read the file as often as there are blocks.
    options = ("--quiet", "--max-block-duration=1458h")
    done = promtool("tsdb", "create-blocks-from", "openmetrics", *options, samples, storage)
    assert done.returncode == 0, done.stderr


@contextmanager
def served(storage: Path, *options: str, prefix: str = "") -> Iterator[str]:
    """The URL of one over ``storage``, with ``prefix`` before its paths; it scrapes nothing and has no rules."""
    configuration = storage.parent / "none.yml"
    configuration.write_text("{}\n")
    port = Ports.free().prometheus
    url = f"http://127.0.0.1:{port}{prefix}"
    arguments = (
        f"--config.file={configuration}",
        f"--storage.tsdb.path={storage}",
        "--storage.tsdb.retention.time=100y",
        f"--web.listen-address=127.0.0.1:{port}",
        f"--web.external-url={url}",
        *options,
    )
    part = Part("prometheus", "prometheus", arguments, f"{url}/-/ready")
    running = Running(part, command("prometheus"), storage.parent / "prometheus.log")
    running.start()
    try:
        running.wait()
        yield url
    finally:
        running.stop()
