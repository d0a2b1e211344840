"""All dashboards, as the text of their files."""

from __future__ import annotations

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from collector.grafana.source import objectives, receipts


def written() -> dict[str, str]:
    """The JSON of each, by the name of its file; the same at every call."""
    encoder = JSONEncoder(sort_keys=True, indent=2, ensure_ascii=False)
    return {
        "printing.json": encoder.encode(receipts.dashboard().build()) + "\n",
        "slo.json": encoder.encode(objectives.dashboard().build()) + "\n",
    }
