"""Grafana's dashboards as code: ``python -m collector.grafana.source`` writes ``dashboards/*.json``.

`receipts` and `objectives` are a dashboard each; `panels` says how a panel looks here, `promql` what queries have in
common, `frame` what is around both. By Grafana's Foundation SDK, whose newest types are 11.6's; later ones read them.
"""
