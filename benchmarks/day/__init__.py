"""A restaurant group's day in fast-forward, in one process: ``python -m benchmarks.day``.

Tills and pages talk to an ASGI application, agents over the ``websockets`` protocols, and printers print, each in a
thread of their own, while the metrics are collected as often as a scrape every 15 seconds does it. What is counted at
the end must be exactly what was done, and once it is warm the process may not grow.
"""
