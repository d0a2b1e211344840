"""Writes the dashboards where Compose mounts them from."""

from __future__ import annotations

from collector.grafana.expressions import DASHBOARDS
from collector.grafana.source.build import written


def main() -> None:
    """Write each that has changed."""
    DASHBOARDS.mkdir(exist_ok=True)
    for name, text in written().items():
        (DASHBOARDS / name).write_text(text)


if __name__ == "__main__":
    main()
