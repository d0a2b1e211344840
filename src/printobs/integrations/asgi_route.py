"""The route of a request before it is routed: its template, such as ``/jobs/{id}``, is a label; its path is not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from starlette.routing import Match

_MAX_DEPTH: Final = 20  # middlewares around an application, and mounts in each other


def routes(app: object) -> Sequence[Any] | None:
    """The routes of ``app``, or of what it wraps; ``None`` where it has no such routes."""
    for _ in range(_MAX_DEPTH):
        found: Sequence[Any] | None = getattr(app, "routes", None)
        if found is not None:
            return found
        app = getattr(app, "app", None)
        if app is None:
            break
    return None


def template(routes: Sequence[Any], scope: Mapping[str, Any], depth: int = 0) -> str | None:
    """The template of the route that will take ``scope``; ``None`` where none will."""
    partial = None
    for route in routes:
        match, child = route.matches(scope)
        if match is Match.NONE:
            continue
        if match is Match.FULL:
            return _whole(route, scope, child, depth)
        partial = partial or route
    # The path fits, the method does not: the answer is 405, at this route.
    return None if partial is None else getattr(partial, "path", None)


def _whole(route: Any, scope: Mapping[str, Any], child: Mapping[str, Any], depth: int) -> str | None:
    path: str = getattr(route, "path", "")
    inner = getattr(route, "routes", None)
    if inner and depth < _MAX_DEPTH:
        below = template(inner, {**scope, **child}, depth + 1)
        return None if below is None else path + below
    return path or None
