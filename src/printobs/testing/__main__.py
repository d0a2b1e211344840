"""A virtual printer as a process: ``python -m printobs.testing --name kitchen``.

One JSON line on standard output says where it listens; each JSON line on standard input is a command, answered by one
JSON line. It ends with its standard input, or at ``{"command": "quit"}``.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping
from typing import Any, Final

from printobs.testing.paper import Receipt
from printobs.testing.virtual_printer import VirtualPrinter

Command = Callable[[VirtualPrinter, Mapping[str, Any]], Mapping[str, Any] | None]

# Commands without arguments are methods of the same name.
_PLAIN: Final = (
    "paper_in", "near_end", "near_end_cleared", "cover_open", "cover_close", "offline", "online", "mechanical_error",
    "overheated", "unrecoverable_error", "recover", "mute", "unmute", "garbage_replies", "reset", "power_off",
    "power_on",
)  # fmt: skip


def _status(printer: VirtualPrinter, _: Mapping[str, Any]) -> Mapping[str, Any]:
    receipts = printer.receipts
    return {
        "receipts": sum(receipt.cut for receipt in receipts),
        "partial": sum(not receipt.cut for receipt in receipts),
        "printing": printer.current is not None,
        "powered": printer.powered,
        "buffered": printer.buffered,
        "received": printer.received_count,
        "connections": printer.connections,
    }


def _report(printer: VirtualPrinter, _: Mapping[str, Any]) -> Mapping[str, Any]:
    return {
        "receipts": [
            {
                "text": receipt.text,
                "cut": receipt.cut,
                "images": len(receipt.images),
                "symbols": len(receipt.symbols),
                "barcodes": len(receipt.barcodes),
                "raw_bytes": len(receipt.raw),
            }
            for receipt in printer.receipts
        ]
    }


def _render(printer: VirtualPrinter, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
    receipt: Receipt = printer.receipts[arguments["index"]]
    return {"text": receipt.render(arguments.get("columns"))}


_COMMANDS: Final[Mapping[str, Command]] = {
    **{name: lambda printer, _, name=name: getattr(printer, name)() for name in _PLAIN},  # type: ignore[misc]
    "paper_out": lambda printer, arguments: printer.paper_out(after_dots=arguments.get("after_dots")),
    "cutter_error": lambda printer, arguments: printer.cutter_error(at_next_cut=arguments.get("at_next_cut", False)),
    "slow": lambda printer, arguments: printer.slow(arguments["speed"]),
    "reset_at": lambda printer, arguments: printer.reset_at(arguments["count"]),
    "power_off_at": lambda printer, arguments: printer.power_off_at(arguments["count"]),
    "status": _status,
    "report": _report,
    "render": _render,
}


def _answer(printer: VirtualPrinter, line: str) -> Mapping[str, Any]:
    try:
        arguments = json.loads(line)
        command = _COMMANDS.get(arguments["command"])
        if command is None:
            return {"ok": False, "error": f"unknown command; known are {', '.join(sorted(_COMMANDS))}, quit"}
        return {"ok": True, **(command(printer, arguments) or {})}
    except (ValueError, KeyError, IndexError, TypeError, OSError) as error:
        return {"ok": False, "error": f"{type(error).__name__}: {error}"}


def _say(message: Mapping[str, Any]) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def main() -> int:
    """Serve until standard input ends."""
    parser = argparse.ArgumentParser("python -m printobs.testing", description="An ESC/POS printer on TCP, for tests.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0: any free one")
    parser.add_argument("--name", default="printer")
    parser.add_argument("--model", default="TM-T88VI")
    parser.add_argument("--speed", type=float, help="dots per second; without it, printing takes no time")
    parser.add_argument("--no-process-id", action="store_true", help="ignore GS ( H, as many clones do")
    options = parser.parse_args()
    try:
        printer = VirtualPrinter(
            host=options.host,
            port=options.port,
            name=options.name,
            model=options.model,
            speed=options.speed,
            process_id=not options.no_process_id,
        )
    except (OSError, ValueError) as error:
        sys.stderr.write(f"cannot be a printer at {options.host}:{options.port}: {error}\n")
        return 1
    with printer:
        _say({"event": "ready", "host": printer.host, "port": printer.port, "name": printer.name})
        for line in sys.stdin:
            if line.strip().replace(" ", "") == '{"command":"quit"}':
                _say({"ok": True})
                break
            _say(_answer(printer, line))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
