"""Break each promise on purpose; the tests that hold it must turn red.

A mutant is a patch in this folder. Its first line names the tests that must catch it, as in
``# tests: tests/core/test_cells.py``. It is applied to a copy of the sources, which goes before the installed package;
a mutant that no longer applies, whose tests are not green without it, or that they let live, is an error. ``--green``:
they have just been without any, and are not run so again.

``--slow``: those in ``benchmarks/slow`` instead, which break nothing but make a hot path slower; one at a time, since
rows of the benchmark must catch them. Red is what is expected of a row then: it does not wait before it looks again.

Use: ``python -m tests.mutants [--slow] [--green] [NAME …]``
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
SLOW = ROOT / "benchmarks" / "slow"
TIMEOUT = 300
# To import what no test of a mutant needs takes longer than many of them do.
WITHOUT = [f"-pno:{plugin}" for plugin in ("cacheprovider", "hypothesispytest", "rerunfailures")]
ALONE = [f"-pno:{plugin}" for plugin in ("benchmark", "xdist", "xdist.looponfail")]


def run_tests(tree: Path, tests: list[str], *options: str, timeout: float = TIMEOUT) -> tuple[int, str]:
    """Pytest's exit code and output, with ``tree`` in place of the installed package."""
    # CI: Hypothesis takes no busy machine for a fault then.
    environment = {**os.environ, "PYTHONPATH": str(tree / "src"), "CI": "true"}
    command = [sys.executable, "-m", "pytest", "-x", "-q", "--no-header", *WITHOUT, *options, *tests]
    done = subprocess.run(
        command, cwd=tree, env=environment, capture_output=True, text=True, timeout=timeout, stdin=subprocess.DEVNULL
    )
    return done.returncode, done.stdout + done.stderr


def copy(tree: Path) -> Path:
    """A copy of what the tests need, into ``tree``."""
    tree.mkdir()
    for part in ("src", "tests", "examples", "benchmarks"):
        shutil.copytree(ROOT / part, tree / part)
    shutil.copy(ROOT / "pyproject.toml", tree)
    return tree


def tests_of(patch: Path) -> list[str]:
    """The tests that must catch ``patch``."""
    first = patch.read_text().partition("\n")[0]
    if not first.startswith("# tests: "):
        raise SystemExit(f"{patch.name}: its first line must name its tests, as in '# tests: tests/core/test_cells.py'")
    return first.removeprefix("# tests: ").split()


def judge(patch: Path, unchanged: Path, *options: str) -> str | None:
    """Why ``patch`` is not a mutant that its tests catch, run with ``options``; ``None`` if it is one.

    It shares the files of the tree ``unchanged``, and what that has compiled: what the patch changes is written as
    another file, of another time, and Python compiles it anew.
    """
    tree = shutil.copytree(unchanged, unchanged.with_name(patch.stem), copy_function=os.link)
    applied = subprocess.run(["git", "apply", "--recount", str(patch)], cwd=tree, capture_output=True, text=True)
    if applied.returncode:
        return f"does not apply: {applied.stderr.strip()}"
    try:
        code, output = run_tests(tree, tests_of(patch), *options)
    except subprocess.TimeoutExpired:
        return "its tests hang: they must fail by themselves"
    shutil.rmtree(tree)
    if code == 1:
        return None
    return "survived" if code == 0 else f"its tests did not run (exit {code}): {output[-2000:]}"


def main(names: list[str], slow: bool = False, green: bool = False) -> int:
    """Judge every mutant, or the ones named; 0 when all are caught."""
    patches = [patch for patch in sorted((SLOW if slow else HERE).glob("*.patch")) if not names or patch.stem in names]
    if not patches:
        raise SystemExit("no such mutant")
    options = ["--pause", "0"] if slow else ALONE
    # Most of them wait, for a printer or for a process to end.
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(1 if slow else 5) as pool:
        tests = sorted({test for patch in patches for test in tests_of(patch)})
        whole = [test for test in tests if test.partition("::")[0] not in tests or "::" not in test]
        side_by_side = () if slow else ("-n", "4", "--dist", "loadfile")
        unchanged = copy(Path(folder, "unchanged"))
        code, output = (0, "") if green else run_tests(unchanged, whole, *side_by_side, timeout=3600)
        if code:
            print(f"the tests are not green without a mutant:\n{output[-4000:]}")
            return 1
        verdicts = list(pool.map(lambda patch: judge(patch, unchanged, *options), patches))
    for patch, verdict in zip(patches, verdicts, strict=True):
        print(f"{'caught' if verdict is None else 'NOT CAUGHT'}  {patch.stem}{f': {verdict}' if verdict else ''}")
    bad = sum(verdict is not None for verdict in verdicts)
    print(f"{len(patches) - bad} passed, {bad} failed")
    return 1 if bad else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser("python -m tests.mutants")
    parser.add_argument("--slow", action="store_true")
    parser.add_argument("--green", action="store_true")
    parser.add_argument("names", nargs="*")
    options = parser.parse_args()
    sys.exit(main(options.names, options.slow, options.green))
