"""Logs to standard error, as an operator reads them."""

from __future__ import annotations

import logging
import re
from typing import Final

_FORM: Final = "%(asctime)s %(levelname)s %(name)s %(message)s"
_CONTROLS: Final = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029]")


class _Formatter(logging.Formatter):
    """A record begins where a line does; its further lines are indented, and nothing in it moves the cursor.

    What a library logs may quote what a caller has sent: that must not look like another record.
    """

    def format(self, record: logging.LogRecord) -> str:
        text = _CONTROLS.sub(lambda found: f"\\x{ord(found[0]):02x}", super().format(record))
        return text.replace("\n", "\n    ")


def to_standard_error() -> None:
    """Log from INFO on; instead of what a library has set up by logging before we could (python-escpos does)."""
    handler = logging.StreamHandler()
    handler.setFormatter(_Formatter(_FORM))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
