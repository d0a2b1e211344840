"""Pictures of the dashboards: Grafana's own components draw in Chromium what a real Prometheus answers.

``python -m docs.pictures.draw`` writes a PNG beside this file for each dashboard. README.md says what it needs.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import requests
from PIL import Image

from collector.grafana.expressions import DASHBOARDS, panels
from tests.stack.game_day import FAULTS, played
from tests.stack.history import FIVE_MINUTES, MINUTE, SCRAPE, Group, backfill
from tests.stack.query_cost import Prometheus, Question, asked, questions, result

HERE: Final = Path(__file__).parent
NAMES: Final = {"printing": "receipts", "slo": "objectives"}
COLOURS: Final = 256  # that a PNG's palette has

# What breaks in half an hour of the reference deployment: from which minute, and to which.
EVENING: Final = (
    ("tokens are guessed", 4, 5),
    ("a printer is without power", 7, 9),
    ("a printer is slow", 12, 14),
    ("one branch is dead among healthy ones", 17, 23),
    ("a printer is out of paper", 27, 30),
)
LIVE: Final = 30 * MINUTE  # seconds
FAULT: Final = {each.name: each for each in FAULTS}


class Source(NamedTuple):
    """Who is asked, as of ``end`` (Unix seconds), over at most so many seconds."""

    series: Callable[[Question], list[dict[str, Any]]]
    end: int
    longest: int = sys.maxsize


def main() -> None:
    """Let it happen, ask for it, draw it; raises `subprocess.CalledProcessError`."""
    parser = argparse.ArgumentParser("python -m docs.pictures.draw")
    parser.add_argument("--only", choices=NAMES, help="this dashboard")
    parser.add_argument("--made-up", action="store_true", help="days of history, for all dashboards")
    parser.add_argument("--branches", type=int, default=6, help="of a made-up history")
    parser.add_argument("--days", type=int, default=30, help="of a made-up history")
    parser.add_argument("--into", type=Path, default=HERE, help="a folder")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        for name, picture in NAMES.items():
            if options.only in (None, name):
                folder = Path(made, name)
                folder.mkdir()
                live = name == "printing" and not options.made_up
                with _evening(folder) if live else _history(folder, options.branches, options.days) as source:
                    page = folder / "page.json"
                    page.write_text(json.dumps(_answers(name, source)))
                _draw(page, options.into / f"{picture}.png")


@contextmanager
def _evening(folder: Path) -> Iterator[Source]:
    """Half an hour of the reference deployment, in which a few things break."""
    with played(folder, factor=1, scrape=SCRAPE) as field, requests.Session() as session:
        session.trust_env = False
        began = time.monotonic()
        for fault, after, until in EVENING:
            time.sleep(max(0.0, began + after * MINUTE - time.monotonic()))
            FAULT[fault].breaks(field)
            time.sleep(max(0.0, began + until * MINUTE - time.monotonic()))
            if until * MINUTE < LIVE:
                FAULT[fault].mends(field)
                field.go_on()
        end = int(time.time())
        yield Source(lambda each: result(asked(session, field.backend.prometheus, each, end)), end, LIVE)


@contextmanager
def _history(folder: Path, branches: int, days: int) -> Iterator[Source]:
    """A past that is made up."""
    end = int(time.time()) // FIVE_MINUTES * FIVE_MINUTES
    backfill(Group(days, end, branches), folder / "data")
    with Prometheus(folder, folder / "data", end) as prometheus:
        yield Source(prometheus.result, end)


def _answers(name: str, source: Source) -> dict[str, Any]:
    """A dashboard and what its panels are told, by their numbers, query by query."""
    dashboard = json.loads((DASHBOARDS / f"{name}.json").read_text())
    wanted = iter([each for each in questions(source.longest) if each.panel.startswith(f"{name}: ")])
    answers: dict[str, list[dict[str, Any]]] = {}
    for panel in panels(dashboard):
        for target in panel["targets"]:
            question = next(wanted)
            told = {"step": question.step, "seconds": question.seconds, "series": source.series(question)}
            answers.setdefault(str(panel["id"]), []).append({"target": target, **told})
    return {"dashboard": dashboard, "answers": answers, "end": source.end}


def _draw(page: Path, picture: Path) -> None:
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium") or "chromium"
    large = page.with_suffix(".png")
    arguments = [chromium, str(page), str(large)]
    subprocess.run(["node", str(HERE / "photograph.mjs"), *arguments], check=True, timeout=300)
    with Image.open(large) as drawn:
        _small(drawn.convert("RGB")).save(picture, optimize=True)


def _small(picture: Image.Image) -> Image.Image:
    """The same in its most frequent colours: a third of the size, and the series keep theirs."""
    pixels = picture.tobytes()
    found = Counter(pixels[at : at + 3] for at in range(0, len(pixels), 3)).most_common(COLOURS)
    palette = Image.new("P", (1, 1))
    palette.putpalette(b"".join(colour for colour, _ in found))
    return picture.quantize(palette=palette, dither=Image.Dither.NONE)


if __name__ == "__main__":
    main()
