"""The documentation says what the code says."""

import runpy
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_the_reference_is_that_of_the_conventions() -> None:
    page = runpy.run_path(str(ROOT / "docs" / "reference.py"))
    assert (ROOT / "docs" / "metrics.md").read_text() == page["reference"](), "run python docs/reference.py"
