"""The documentation says what the code says."""

import json
import runpy
from pathlib import Path

import pytest

from benchmarks import report

ROOT = Path(__file__).parents[1]


def test_the_reference_is_that_of_the_conventions() -> None:
    page = runpy.run_path(str(ROOT / "docs" / "reference.py"))
    assert (ROOT / "docs" / "metrics.md").read_text() == page["reference"](), "run python docs/reference.py"


def test_the_figures_are_those_that_were_measured() -> None:
    results = json.loads(report.RESULTS.read_text())
    assert report.PAGE.read_text() == report.page(results), "run python -m benchmarks.report"
    assert report.PLOT.read_text() == report.plot(results)


def test_a_limit_of_the_platform_that_is_not_kept_is_no_figure() -> None:
    results = json.loads(report.RESULTS.read_text())
    results["runs"][0]["rows"][report.REQUEST]["figures"]["printobs"][1] = 600.0
    with pytest.raises(ValueError, match=r"less than 0\.5 ms: 0\.5\d* ms were measured"):
        report.page(results)
