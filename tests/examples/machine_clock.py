"""A machine's clock, for processes that are started with ``environment()``: it can be set while they run."""

from __future__ import annotations

from pathlib import Path

from tests.examples.processes import running_first

CLOCK = Path(__file__).with_name("clock")


class MachineClock:
    """What it is off by is in ``file``."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.set(0)

    def set(self, seconds: int) -> None:
        """At once, as ``date`` does."""
        draft = self._file.with_suffix(".new")
        draft.write_text(str(seconds))
        draft.replace(self._file)

    def environment(self) -> dict[str, str]:
        """For a process whose clock it is."""
        return {**running_first(CLOCK), "TEST_CLOCK": str(self._file)}
