"""Pictures of the dashboards: Grafana's own components draw in Chromium what a real Prometheus answers.

``python -m docs.pictures.draw`` writes a PNG beside this file for each dashboard. README.md says what it needs.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from PIL import Image

from collector.grafana.expressions import DASHBOARDS, panels
from tests.stack.history import FIVE_MINUTES, Group, backfill
from tests.stack.query_cost import Prometheus, questions

HERE: Final = Path(__file__).parent
NAMES: Final = {"printing": "receipts", "slo": "objectives"}
COLOURS: Final = 256  # that a PNG's palette has


def main() -> None:
    """Backfill a past, ask for it, draw it; raises `subprocess.CalledProcessError`."""
    parser = argparse.ArgumentParser("python -m docs.pictures.draw")
    parser.add_argument("--branches", type=int, default=6)
    parser.add_argument("--days", type=int, default=30, help="of history")
    parser.add_argument("--into", type=Path, default=HERE, help="a folder")
    options = parser.parse_args()
    end = int(time.time()) // FIVE_MINUTES * FIVE_MINUTES
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        backfill(Group(options.days, end, options.branches), folder / "data")
        with Prometheus(folder, folder / "data", end) as prometheus:
            for name, answered in _answers(prometheus):
                page = {"dashboard": json.loads((DASHBOARDS / f"{name}.json").read_text()), "answers": answered}
                (folder / f"{NAMES[name]}.json").write_text(json.dumps({**page, "end": end}))
        for name in NAMES.values():
            _draw(folder, name, options.into)


def _answers(prometheus: Prometheus) -> Iterator[tuple[str, dict[str, list[dict[str, Any]]]]]:
    """What each dashboard's panels are told, by their numbers, query by query."""
    asked = questions()
    for path in sorted(DASHBOARDS.glob("*.json")):
        found: dict[str, list[dict[str, Any]]] = {}
        for panel in panels(json.loads(path.read_text())):
            for target in panel["targets"]:
                question = next(asked)
                told = {"step": question.step, "seconds": question.seconds, "series": prometheus.result(question)}
                found.setdefault(str(panel["id"]), []).append({"target": target, **told})
        yield path.stem, found


def _draw(folder: Path, name: str, into: Path) -> None:
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium") or "chromium"
    picture = folder / f"{name}.png"
    arguments = [chromium, str(folder / f"{name}.json"), str(picture)]
    subprocess.run(["node", str(HERE / "photograph.mjs"), *arguments], check=True, timeout=300)
    with Image.open(picture) as drawn:
        _small(drawn.convert("RGB")).save(into / picture.name, optimize=True)


def _small(picture: Image.Image) -> Image.Image:
    """The same in its most frequent colours: a third of the size, and the series keep theirs."""
    pixels = picture.tobytes()
    found = Counter(pixels[at : at + 3] for at in range(0, len(pixels), 3)).most_common(COLOURS)
    palette = Image.new("P", (1, 1))
    palette.putpalette(b"".join(colour for colour, _ in found))
    return picture.quantize(palette=palette, dither=Image.Dither.NONE)


if __name__ == "__main__":
    main()
