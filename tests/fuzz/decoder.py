"""A coverage-guided fuzzer for the decoder of a printer's replies; `tests.fuzz.oracle` says what must hold.

Use: ``python -m tests.fuzz.decoder --seconds N [--keep]``. It begins with ``tests/fuzz/corpus``, which `make test`
replays without it; ``--keep`` adds what was found, minimised. Exit code 1: a crash, whose input it names.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

CORPUS = Path(__file__).parent / "corpus"
LONGEST = 512  # bytes of an input
TIMEOUT = 20  # seconds for one input


def fuzz() -> None:
    """Run libFuzzer with this process's arguments; it ends the process."""
    import atheris

    with atheris.instrument_imports(include=["printobs.signals.escpos_replies", "printobs.signals.escpos_status"]):
        from tests.fuzz.oracle import check

    atheris.Setup(sys.argv, check)
    atheris.Fuzz()


def run(*arguments: str) -> int:
    """Run `fuzz` in a process of its own: its exit code."""
    command = [sys.executable, "-c", "from tests.fuzz.decoder import fuzz; fuzz()"]
    options = [f"-max_len={LONGEST}", f"-timeout={TIMEOUT}", "-artifact_prefix=./"]
    return subprocess.run([*command, *options, *arguments]).returncode


def main(arguments: list[str]) -> int:
    """Fuzz for a while; 0 where nothing was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.decoder", description=__doc__)
    parser.add_argument("--seconds", type=int, default=60, help="how long (60)")
    parser.add_argument("--keep", action="store_true", help="add what reaches new code to the corpus")
    chosen = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as found:
        code = run(f"-max_total_time={chosen.seconds}", "-print_final_stats=1", found, str(CORPUS))
        if chosen.keep and code == 0:
            code = run("-merge=1", str(CORPUS), found)
    return 1 if code else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
