"""The plot is well-formed, and has a mark for each figure."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import pytest

from benchmarks.plot import svg

SVG = "{http://www.w3.org/2000/svg}"


def test_marks() -> None:
    drawn = ElementTree.fromstring(svg({"message <text>": {1: 0.4, 5_000: [0.3, 0.5, 0.6]}, "job": {400: 250.0}}))
    assert len(drawn.findall(f"{SVG}circle")) == 2
    assert len(drawn.findall(f"{SVG}rect")) == 1 + 1  # the background, and the mark
    texts = [each.text for each in drawn.iter(f"{SVG}text")]
    assert "message <text>" in texts
    assert "0.4 to 0.5 µs, × 1.25" in texts
    heights = [float(each.attrib["cy"]) for each in drawn.findall(f"{SVG}circle")]
    assert heights[0] > heights[1], "what costs more is higher"


def test_nothing() -> None:
    with pytest.raises(ValueError, match="nothing to draw"):
        svg({})
