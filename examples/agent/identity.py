"""Who a printer is, by its own word: its serial number."""

from __future__ import annotations

import time
from typing import Final

from examples.agent.drivers import Driver

ANSWER: Final = 1.0  # seconds

_REQUEST: Final = b"\x1dI\x44"  # GS I 68 (ESC/POS Command Reference): answered with 5F, the number, 00
_HEADER: Final = b"_"
_LONGEST: Final = 64


def serial_number(driver: Driver) -> str:
    """What ``driver`` says when asked now, on a connection of its own; empty where it says nothing in time. Blocks."""
    until = time.monotonic() + ANSWER
    driver.begin(ANSWER)
    try:
        driver.device  # noqa: B018 - connects
        driver._raw(_REQUEST)
        answer = b""
        while not answer.endswith(b"\0") and len(answer) < _LONGEST and time.monotonic() < until:
            part = driver._read()
            if not part:
                break  # it has hung up
            answer += part
    except Exception:
        return ""
    finally:
        driver.close()
    number = answer.removeprefix(_HEADER).removesuffix(b"\0")
    whole = answer.startswith(_HEADER) and answer.endswith(b"\0")
    return number.decode("ascii", "replace").strip() if whole else ""
