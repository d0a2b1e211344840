"""Break each promise on purpose; the tests that hold it must turn red.

A mutant is a patch in this folder. Its first line names the tests that must catch it, as in
``# tests: tests/core/test_cells.py``. It is applied to a copy of the sources, which goes before the installed package;
a mutant that no longer applies, or that its tests let live, is an error. So are tests that are not green without one,
run in the same way.

``--slow``: those in ``benchmarks/slow`` instead, which break nothing but make a hot path slower; rows of the benchmark
must catch them, each on a processor of its own. Red is what is expected of a row then: it does not wait before it looks
again.

Use: ``python -m tests.mutants [--slow] [NAME …]``
"""

from __future__ import annotations

import argparse
import compileall
import gc
import importlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from multiprocessing import connection
from multiprocessing.context import ForkProcess
from pathlib import Path
from typing import Final, NoReturn

import pytest

HERE: Final = Path(__file__).parent
ROOT: Final = HERE.parent.parent
SLOW: Final = ROOT / "benchmarks" / "slow"
PARTS: Final = ("src", "tests", "examples", "benchmarks")  # what the tests need
OURS: Final = {"printobs", *PARTS}
TIMEOUT: Final = 300
AT_ONCE: Final = 8  # most of them wait, for a printer or for a process to end

# To import this takes longer than most of the tests do: each run is a fork of a process that has.
IMPORTED: Final = (
    "escpos.printer",
    "opentelemetry.exporter.otlp.proto.http._log_exporter",
    "opentelemetry.exporter.otlp.proto.http.metric_exporter",
    "opentelemetry.exporter.otlp.proto.http.trace_exporter",
    "opentelemetry.exporter.prometheus",
    "opentelemetry.instrumentation.asgi",
    "opentelemetry.instrumentation.system_metrics",
    "starlette.applications",
    "uvicorn",
    "websockets.asyncio.client",
    "websockets.asyncio.server",
    "websockets.sync.client",
)
# The warning is of what is imported already. Hypothesis is, by the tests that use it.
OPTIONS: Final = (
    *("-x", "-q", "--no-header", "-Wignore::pytest.PytestAssertRewriteWarning"),
    *(f"-pno:{plugin}" for plugin in ("cacheprovider", "hypothesispytest", "rerunfailures")),
)


class Run(ForkProcess):
    """Pytest in the folder ``tree``, with what is there in place of the installed package."""

    def __init__(self, tree: Path, patch: Path | None, tests: Sequence[str], place: Sequence[str]) -> None:
        super().__init__()
        self.tree = tree
        self.patch = patch
        self.tests = tests
        self.place = place
        self._said = tree.with_name(f"{self.name}.txt")
        self._began = time.monotonic()

    @property
    def late(self) -> bool:
        """Whether its tests hang."""
        return time.monotonic() - self._began > TIMEOUT

    @property
    def said(self) -> str:
        """The end of what it has said."""
        return self._said.read_text()[-4000:]

    def run(self) -> NoReturn:
        """What the process does."""
        with self._said.open("w") as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
        os.chdir(self.tree)
        # CI: Hypothesis takes no busy machine for a fault then.
        os.environ.update(PYTHONPATH=str(self.tree / "src"), CI="true")
        sys.path[:] = [str(self.tree / "src"), *(path for path in sys.path if path not in ("", str(ROOT)))]
        for name in [name for name in sys.modules if name.partition(".")[0] in OURS]:
            del sys.modules[name]
        sys.exit(pytest.main([*OPTIONS, *self.place, *self.tests]))


def copy(tree: Path) -> Path:
    """A copy of what the tests need, into ``tree``."""
    tree.mkdir()
    for part in PARTS:
        shutil.copytree(ROOT / part, tree / part)
    shutil.copy(ROOT / "pyproject.toml", tree)
    return tree


def tests_of(patch: Path) -> list[str]:
    """The tests that must catch ``patch``."""
    first = patch.read_text().partition("\n")[0]
    if not first.startswith("# tests: "):
        raise SystemExit(f"{patch.name}: its first line must name its tests, as in '# tests: tests/core/test_cells.py'")
    return first.removeprefix("# tests: ").split()


def judge(
    jobs: Sequence[tuple[Path | None, Sequence[str]]], unchanged: Path, places: Sequence[Sequence[str]]
) -> Iterator[tuple[Run, str | None]]:
    """Run the tests of each job; what is wrong with its patch, or with the tests where it has none; else ``None``.

    A patched tree shares the files of the tree ``unchanged``, and what that has compiled: what the patch changes is
    written as another file, of another time, and Python compiles it anew. As many are run at once as there are
    ``places``, which are the options of those that run there.
    """
    waiting, free = list(reversed(jobs)), list(places)
    running: list[Run] = []
    while waiting or running:
        while waiting and free:
            patch, tests = waiting.pop()
            run = Run(unchanged if patch is None else unchanged.with_name(patch.stem), patch, tests, free[-1])
            if patch is not None:
                shutil.copytree(unchanged, run.tree, copy_function=os.link)
                applied = subprocess.run(
                    ["git", "apply", "--recount", patch], cwd=run.tree, capture_output=True, text=True
                )
                if applied.returncode:
                    yield run, f"does not apply: {applied.stderr.strip()}"
                    continue
            run.start()
            running.append(run)
            free.pop()
        connection.wait([run.sentinel for run in running], timeout=1)
        for run in [run for run in running if run.exitcode is not None or run.late]:
            running.remove(run)
            free.append(run.place)
            code = run.exitcode
            if code is None:
                run.kill()
                run.join()
            if run.patch is not None:
                shutil.rmtree(run.tree)
            yield run, _verdict(code, run)


def _verdict(code: int | None, run: Run) -> str | None:
    match code:
        case None:
            return "its tests hang: they must fail by themselves"
        case pytest.ExitCode.TESTS_FAILED if run.patch is not None:
            return None
        case pytest.ExitCode.OK:
            return None if run.patch is None else "survived"
        case pytest.ExitCode.TESTS_FAILED:
            return f"not green without a mutant: {run.said}"
        case _:
            return f"its tests did not run (exit {code}): {run.said}"


def main(names: list[str], slow: bool = False) -> int:
    """Judge every mutant, or the ones named; 0 when all are caught."""
    patches = [patch for patch in sorted((SLOW if slow else HERE).glob("*.patch")) if not names or patch.stem in names]
    if not patches:
        raise SystemExit("no such mutant")
    tests = sorted({test for patch in patches for test in tests_of(patch)})
    files: dict[str, list[str]] = defaultdict(list)
    for test in tests:
        file = test.partition("::")[0]
        if file == test or file not in tests:
            files[file].append(test)
    jobs = [*((None, each) for each in files.values()), *((patch, tests_of(patch)) for patch in patches)]
    if slow:
        places = [("--pause=0", f"--processor={each}") for each in os.sched_getaffinity(0)]
    else:
        places = [tuple(f"-pno:{plugin}" for plugin in ("benchmark", "xdist", "xdist.looponfail"))] * AT_ONCE
    for module in IMPORTED:
        importlib.import_module(module)
    gc.freeze()
    bad = 0
    with tempfile.TemporaryDirectory() as folder:
        unchanged = copy(Path(folder, "unchanged"))
        compileall.compile_dir(unchanged, quiet=2)
        for run, verdict in judge(jobs, unchanged, places):
            bad += verdict is not None
            if verdict is not None:
                print(f"FAILED  {run.patch.stem if run.patch else ' '.join(run.tests)}: {verdict}", flush=True)
            elif run.patch is not None:
                print(f"caught  {run.patch.stem}", flush=True)
    print(f"{len(patches)} mutants, tests of {len(files)} files: {len(jobs) - bad} passed, {bad} failed")
    return 1 if bad else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser("python -m tests.mutants")
    parser.add_argument("--slow", action="store_true")
    parser.add_argument("names", nargs="*")
    arguments = parser.parse_args()
    sys.exit(main(arguments.names, arguments.slow))
