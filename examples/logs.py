"""Logs to standard error, as an operator reads them."""

from __future__ import annotations

import logging
import sys


def to_standard_error() -> None:
    """Log from INFO on; instead of what a library has set up by logging before we could (python-escpos does)."""
    form = "%(asctime)s %(levelname)s %(name)s %(message)s"
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format=form, force=True)
