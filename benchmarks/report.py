"""``docs/performance.md`` from the benchmark's own JSON: ``python -m benchmarks.report [--day DAY.json] RUN.json …``.

Each RUN.json is one run of ``make bench`` (pytest-benchmark's JSON), DAY.json what ``python -m benchmarks.day --json``
writes. What the page needs of them is kept in ``benchmarks/results.json``, from which ``python -m benchmarks.report``
alone writes the same page again. Its prose is ``benchmarks/performance.md``.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

from benchmarks.plot import svg

HERE: Final = Path(__file__).parent
DOCS: Final = HERE.parent / "docs"
PROSE: Final = HERE / "performance.md"
RESULTS: Final = HERE / "results.json"
PAGE: Final = DOCS / "performance.md"
PLOT: Final = DOCS / "growth.svg"

Row = dict[str, Any]  # extra_info of a benchmark
Run = dict[str, Any]  # "python", "machine", "system", "date", and "rows" by title


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


# -- the page --------------------------------------------------------------------------------------------------------


def page(results: dict[str, Any]) -> str:
    """The page, of runs on one or more Pythons and of one day; raises ValueError where a limit was not kept."""
    runs: list[Run] = results["runs"]
    pythons = sorted({run["python"] for run in runs}, key=lambda version: [int(part) for part in version.split(".")])
    by_python = {each: [run for run in runs if run["python"] == each] for each in pythons}
    titles = list(dict.fromkeys(title for run in runs for title in run["rows"]))
    versions = [f"Python {each}" for each in pythons]
    figures = []
    for title in titles:
        figures += [f"**{title[:1].upper() + title[1:]}**\n", _table(["", *versions], _figures(title, by_python))]
    return PROSE.read_text().format(
        count=" and ".join(f"{len(by_python[each])} runs on Python {each}" for each in pythons),
        machine=runs[0]["machine"],
        system=runs[0]["system"],
        date=runs[0]["date"],
        gates=_table(["Work", "Ratio", *versions, "Gate"], _gates(titles, by_python)),
        limits=_table(["Limit", *versions], _limits(by_python)),
        growth=_table(["One operation", *versions], _growth(titles, by_python)),
        day=_day(results["day"]),
        figures="\n".join(figures),
    )


def plot(results: dict[str, Any]) -> str:
    """How cost grows, as SVG: the last run on the newest Python."""
    rows = results["runs"][-1]["rows"].values()
    return svg(
        {_curve(row): {size: row["figures"][name] for name, size in row["sizes"].items()} for row in _sized(rows)}
    )


def _sized(rows: Iterable[Row]) -> list[Row]:
    return [row for row in rows if "sizes" in row]


def _curve(row: Row) -> str:
    return f"{row['per']}, by {row['axis']}"


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
    for name in dict.fromkeys(name for row in found for name in row.get("figures", {})):
        cells = []
        for runs in by_python.values():
            rows = [run["rows"][title] for run in runs if name in run["rows"].get(title, {}).get("figures", {})]
            cells.append(_spread([row["figures"][name] for row in rows], rows[0]["unit"]) if rows else "–")
        yield [name, *cells]


def _spread(quartiles: list[list[float]], unit: str) -> str:
    """The median of the runs' medians, and the widest quartiles among them."""
    middle = sorted(each[1] for each in quartiles)[len(quartiles) // 2]
    low, high = min(each[0] for each in quartiles), max(each[2] for each in quartiles)
    return f"{_number(middle)} {unit} ({_number(low)}–{_number(high)})"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _growth(titles: list[str], by_python: dict[str, list[Run]]) -> Iterable[list[str]]:
    for title in titles:
        cells = []
        for runs in by_python.values():
            for row in _sized(run["rows"][title] for run in runs[-1:] if title in run["rows"]):
                points = [f"{_number(row['figures'][name][1])} at {size:,}" for name, size in row["sizes"].items()]
                cells.append(f"{', '.join(points)} ({row['unit']})")
                name = _curve(row)
        if cells:
            yield [name, *cells]


def _day(day: dict[str, Any]) -> str:
    done = day["done"]
    messages = sum(number for name, number in done.items() if name.startswith("messages"))
    jobs = sum(number for name, number in done.items() if name.startswith("jobs"))
    half = day["resident"][len(day["resident"]) // 2 :]
    return (
        f"{messages:,} messages and {jobs:,} print jobs in {day['seconds']:.0f} s, with {day['collections']:,} "
        f"collections of up to {day['series']:,} series beside them. Every count was exact, {day['exported']:,} spans "
        f"exported and {day['dropped']:,} dropped. Memory: {day['resident'][0] / 1e6:.1f} MB at first, "
        f"{min(half) / 1e6:.1f} to {max(half) / 1e6:.1f} MB in the second half, {day['growth'] / 1e6:+.2f} MB from its "
        "beginning to its end.\n"
    )


# -- the platform's limits -------------------------------------------------------------------------------------------


def _more(row: Row) -> float:
    """Milliseconds that an operation takes longer, of microseconds."""
    return float(row["figures"]["printobs"][1] - row["figures"]["bare"][1]) / 1e3


REQUEST: Final = "HTTP request"
MESSAGE: Final = "message through an ASGI application"
PROCESS: Final = "memory of a process that has started"
SCRAPE: Final = "scrape of 1,000 series"

# Those of the platform that printobs implements: the row, what of it, and what that may be at most.
SEED: Final[tuple[tuple[str, str, Callable[[Row], float], str, float], ...]] = (
    ("collecting metrics: less than 1 ms for a request", REQUEST, _more, "ms", 1.0),
    ("HTTP middleware: less than 0.5 ms", REQUEST, _more, "ms", 0.5),
    ("WebSocket: less than 0.1 ms for an event", MESSAGE, _more, "ms", 0.1),
    ("memory: less than 50 MB", PROCESS, lambda row: _more(row) * 1e3, "MB", 50.0),
    ("a scrape: less than 200 ms", SCRAPE, lambda row: float(row["figures"]["printobs"][1]) / 1e3, "ms", 200.0),
)


def _limits(by_python: dict[str, list[Run]]) -> Iterable[list[str]]:
    for text, title, measure, unit, limit in SEED:
        cells = []
        for runs in by_python.values():
            worst = max(measure(run["rows"][title]) for run in runs)
            if worst > limit:
                raise ValueError(f"{text}: {worst:.3g} {unit} were measured")
            cells.append(f"{_number(worst)} {unit}")
        yield [text, *cells]


def main() -> None:
    """Keep these runs, where any are given, and write the page and its plot."""
    parser = argparse.ArgumentParser("python -m benchmarks.report")
    parser.add_argument("--day", type=Path)
    parser.add_argument("runs", type=Path, nargs="*")
    options = parser.parse_args()
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    if options.runs:
        results["runs"] = [kept(each) for each in options.runs]
    if options.day is not None:
        results["day"] = json.loads(options.day.read_text())
    RESULTS.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n")
    PAGE.write_text(page(results))
    PLOT.write_text(plot(results))


if __name__ == "__main__":
    main()
