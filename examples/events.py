"""Log records that are events: a name and typed attributes, as docs/metrics.md lists them, beside a line to read."""

from __future__ import annotations

import logging
from typing import Final

NAME: Final = "otel.event.name"  # becomes the EventName of an OpenTelemetry log record


def log(
    logger: logging.Logger,
    name: str,
    attributes: dict[str, str | bool | int],
    message: str,
    *values: object,
    level: int = logging.INFO,
) -> None:
    """Log ``message`` with ``values``, as the event ``name``; an attribute that is empty is left out."""
    told = {key: value for key, value in attributes.items() if value != ""}
    logger.log(level, message, *values, extra={NAME: name, **told})
