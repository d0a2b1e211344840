"""``docs/performance.md`` from the benchmark's own JSON: ``python -m benchmarks.report RUN.json …``.

Each RUN.json is one run of ``make bench`` (pytest-benchmark's JSON). What the page needs of them is kept in
``benchmarks/results.json``, from which ``python -m benchmarks.report`` alone writes the same page again.
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

HERE: Final = Path(__file__).parent
RESULTS: Final = HERE / "results.json"
PAGE: Final = HERE.parent / "docs" / "performance.md"

Run = dict[str, Any]  # "python", "machine", "rows": extra_info by title


def kept(path: Path) -> Run:
    """What is kept of one run."""
    run = json.loads(path.read_text())
    machine = run["machine_info"]
    return {
        "python": machine["python_version"],
        "machine": f"{machine['cpu'].get('count')} × {machine['cpu'].get('brand_raw', machine['machine'])}",
        "system": f"{machine['system']} {machine['machine']}",
        "date": run["datetime"][:10],
        "rows": {each["extra_info"]["title"]: _rounded(each["extra_info"]) for each in run["benchmarks"]},
    }


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.4g}")
    if isinstance(value, dict):
        return {key: _rounded(each) for key, each in value.items()}
    return [_rounded(each) for each in value] if isinstance(value, list) else value


def page(runs: list[Run]) -> str:
    """The page, of runs on one or more Pythons."""
    pythons = sorted({run["python"] for run in runs}, key=lambda version: [int(part) for part in version.split(".")])
    by_python = {each: [run for run in runs if run["python"] == each] for each in pythons}
    titles = list(dict.fromkeys(title for run in runs for title in run["rows"]))
    count = " and ".join(f"{len(by_python[each])} runs on Python {each}" for each in pythons)
    parts = [
        _TOP.format(count=count, machine=runs[0]["machine"], system=runs[0]["system"], date=runs[0]["date"]),
        "## What must hold\n",
        _INTRO,
        _table(["Work", "By", *(f"Python {each}" for each in pythons), "Gate"], _gates(titles, by_python)),
        "\n## The platform's limits\n",
        _LIMITS,
        _table(["Limit", *(f"Python {each}" for each in pythons)], _limits(by_python)),
        "\n## The figures\n",
        _FIGURES,
    ]
    for title in titles:
        parts.append(f"**{title[:1].upper() + title[1:]}**\n")
        parts.append(_table(["", *(f"Python {each}" for each in pythons)], _figures(title, by_python)))
        parts.append("")
    parts.append(_PEERS)
    return "\n".join(parts)


def _table(head: list[str], rows: Iterable[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def _gates(titles: list[str], by_python: dict[str, list[Run]]) -> Iterable[list[str]]:
    for title in titles:
        seen: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
        limits = {}
        for python, runs in by_python.items():
            for run in runs:
                for gate in run["rows"].get(title, {}).get("gates", []):
                    seen[gate["name"]][python].append(gate["ratio"])
                    limits[gate["name"]] = gate["limit"]
        for name, ratios in seen.items():
            yield [title, name, *(_range(ratios[each]) for each in by_python), f"{limits[name]:g}"]


def _range(values: list[float]) -> str:
    if not values:
        return "–"
    low, high = f"{min(values):.2f}", f"{max(values):.2f}"
    return low if low == high else f"{low}–{high}"


def _figures(title: str, by_python: dict[str, list[Run]]) -> Iterable[list[str]]:
    found = [run["rows"][title] for runs in by_python.values() for run in runs if title in run["rows"]]
    names = list(dict.fromkeys(name for row in found for name in row.get("figures", {})))
    for name in names:
        cells = []
        for runs in by_python.values():
            rows = [run["rows"][title] for run in runs if name in run["rows"].get(title, {}).get("figures", {})]
            cells.append(_spread([row["figures"][name] for row in rows], rows[0]["unit"]) if rows else "–")
        yield [name, *cells]


def _spread(quartiles: list[list[float]], unit: str) -> str:
    """The median of all runs, and the widest quartiles among them."""
    middle = sorted(each[1] for each in quartiles)[len(quartiles) // 2]
    low, high = min(each[0] for each in quartiles), max(each[2] for each in quartiles)
    return f"{_number(middle)} {unit} ({_number(low)}–{_number(high)})"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _limits(by_python: dict[str, list[Run]]) -> Iterable[list[str]]:
    for text, title, measure, unit, limit in SEED:
        cells = []
        for runs in by_python.values():
            worst = max(measure(run["rows"][title]) for run in runs)
            if worst > limit:
                raise SystemExit(f"{text}: {worst:.3g} {unit} were measured")
            cells.append(f"{_number(worst)} {unit}")
        yield [text, *cells]


def _more(ours: str) -> Any:
    return lambda row: row["figures"][ours][1] - row["figures"]["bare"][1]


# The limits of the platform that printobs implements; the worst of all runs.
SEED: Final = (
    (
        "collecting metrics: less than 1 ms for a request",
        "HTTP request",
        lambda row: _more("printobs")(row) / 1e3,
        "ms",
        1.0,
    ),
    ("HTTP middleware: less than 0.5 ms", "HTTP request", lambda row: _more("printobs")(row) / 1e3, "ms", 0.5),
    (
        "WebSocket: less than 0.1 ms for an event",
        "message through an ASGI application",
        lambda row: _more("printobs")(row) / 1e3,
        "ms",
        0.1,
    ),
    (
        "memory: less than 50 MB",
        "start: imports, configure(), instrument()",
        lambda row: max(row["memory"]["printobs"]) - min(row["memory"]["bare"]),
        "MB",
        50.0,
    ),
    (
        "a scrape: less than 200 ms",
        "scrape of 1,000 series",
        lambda row: row["figures"]["printobs"][1] / 1e3,
        "ms",
        200.0,
    ),
)


def main(paths: list[str]) -> None:
    """Keep these runs, if any are given, and write the page."""
    if paths:
        runs = [kept(Path(each)) for each in paths]
        RESULTS.write_text(json.dumps(runs, indent=1, ensure_ascii=False) + "\n")
    PAGE.write_text(page(json.loads(RESULTS.read_text())))


if __name__ == "__main__":
    main(sys.argv[1:])
