"""What ``printobs doctor --print`` has found, kept for `printobs.register`: a small JSON file, by address.

It is ``$PRINTOBS_PRINTERS``, else ``printobs/printers.json`` in the user's configuration folder: ``%APPDATA%``,
``$XDG_CONFIG_HOME`` or ``~/.config``.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import stat
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from printobs.assembly import addresses
from printobs.core.guard import Guard

logger = logging.getLogger("printobs")

VARIABLE: Final = "PRINTOBS_PRINTERS"
VERSION: Final = 1
PROOFS: Final = ("process_id", None)

MAX_FILE: Final = 65_536  # bytes
MAX_TEXT: Final = 80  # characters
WAIT: Final = 3.0  # seconds for another doctor to have written
STALE: Final = 10.0  # seconds after which it never will

_guard: Final = Guard("looking up what doctor has found")
_lock: Final = threading.Lock()
_read: Mapping[str, Finding] | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """What is known of one printer."""

    proof: str | None  # what `printobs.register` takes; None: it has proven nothing
    ordered: bool = False  # whether it answered GS r or GS I in their order, after the slip
    printer: str = ""  # maker and model, as it says
    serial: str = ""
    examined: str = ""  # when, in UTC


def found(proof: str | None, *, ordered: bool, printer: str, serial: str) -> Finding:
    """A finding of now."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return Finding(proof, ordered, printer[:MAX_TEXT], serial[:MAX_TEXT], now)


def path() -> Path:
    """The file. Raises RuntimeError for a user without a home."""
    chosen = os.environ.get(VARIABLE)
    if chosen:
        return Path(chosen)
    folder = os.environ.get("APPDATA" if sys.platform == "win32" else "XDG_CONFIG_HOME", "")
    # https://specifications.freedesktop.org/basedir-spec: a relative path is to be ignored.
    return (Path(folder) if Path(folder).is_absolute() else Path.home() / ".config") / "printobs" / "printers.json"


def save(address: str, finding: Finding) -> None:
    """Save ``finding``, in place of what was known of the printer at ``address``.

    The file is replaced as a whole; of several writers each keeps what the others have written. With more than 64 KiB
    the oldest findings go. Raises OSError, and ValueError where there is a file that is not doctor's: it is left alone.
    """
    file = path()
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_name(file.name + ".new")
    _own(draft)
    try:
        with draft.open("w", encoding="utf-8") as text:  # taken with _own: nobody else writes it
            known = _load(file)
            known.pop(address, None)
            known[address] = finding
            while len(content := _written(known)) > MAX_FILE:
                del known[next(iter(known))]
            text.write(content)
            text.flush()
            os.fsync(text.fileno())
        draft.replace(file)
    except BaseException:
        with contextlib.suppress(OSError):
            draft.unlink()
        raise


def load(address: str) -> Finding | None:
    """What is saved for ``address``. The file is read once in a process; one that cannot be used is logged, once."""
    global _read
    with _lock:
        if _read is None:
            _read = _load_or_log()
        return _read.get(address)


def proof_of(printer: object) -> str:
    """The proof that doctor has seen of ``printer``, a driver of python-escpos; empty where none is saved."""
    with _guard:
        address = addresses.of(printer)
        finding = None if address is None else load(address.key)
        if finding is not None and finding.proof is not None:
            return finding.proof
    return ""


def _own(draft: Path) -> None:
    """Make ``draft``, which only one process can at a time."""
    until = time.monotonic() + WAIT
    while True:
        try:
            draft.open("x").close()
        except FileExistsError:
            with contextlib.suppress(FileNotFoundError):
                if time.time() - draft.stat().st_mtime > STALE:  # its writer was killed
                    draft.unlink()
                    continue
            if time.monotonic() > until:
                raise TimeoutError(f"somebody else is writing {draft.name}") from None
            time.sleep(0.02)
        else:
            return


def _written(known: Mapping[str, Finding]) -> str:
    printers = {address: asdict(finding) for address, finding in known.items()}
    return json.dumps({"printobs": VERSION, "printers": printers}, indent=1) + "\n"


def _load(file: Path) -> dict[str, Finding]:
    """The findings in ``file``, by address. Raises OSError, and ValueError for what is no file of doctor's."""
    try:
        mode = file.stat().st_mode
    except FileNotFoundError:
        return {}
    if not stat.S_ISREG(mode):  # a pipe would be waited for
        raise ValueError("it is no regular file")
    with file.open("rb") as content:
        data = content.read(MAX_FILE + 1)
    if len(data) > MAX_FILE:
        raise ValueError(f"it is larger than {MAX_FILE} bytes")
    try:
        saved = json.loads(data)
    except (ValueError, RecursionError):
        raise ValueError("it is not JSON") from None
    if not isinstance(saved, dict) or saved.get("printobs") != VERSION or not isinstance(saved.get("printers"), dict):
        raise ValueError("it was not written by this version of printobs doctor")
    return {address: _finding(address, entry) for address, entry in saved["printers"].items()}


def _finding(address: str, entry: Any) -> Finding:
    try:
        finding = Finding(**entry)
        texts: tuple[Any, ...] = (finding.printer, finding.serial, finding.examined)
        ordered: Any = finding.ordered
    except TypeError:
        raise ValueError(f"what it says of {address[:MAX_TEXT]} is incomplete") from None
    if finding.proof not in PROOFS or not isinstance(ordered, bool):
        raise ValueError(f"what it says of {address[:MAX_TEXT]} is unknown")
    if not all(isinstance(text, str) and len(text) <= MAX_TEXT for text in texts):
        raise ValueError(f"what it says of {address[:MAX_TEXT]} is too long")
    return finding


def _load_or_log() -> Mapping[str, Finding]:
    file: Path | None = None
    try:
        file = path()
        return _load(file)
    except (OSError, ValueError, RuntimeError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        logger.warning("what printobs doctor has saved is ignored: %s: %s", file or VARIABLE, why)
        return {}
