"""The command line: ``printobs doctor``."""

from __future__ import annotations

import argparse
import io
import json
import sys
from collections.abc import Sequence
from typing import Final

from printobs.assembly import addresses, doctor, findings
from printobs.core.telemetry import VERSION

INTERRUPTED: Final = 130  # by Ctrl-C, as shells say it


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; gives its exit status."""
    parser = argparse.ArgumentParser("printobs", description="OpenTelemetry for receipt printers and WebSockets.")
    parser.add_argument("--version", action="version", version=f"printobs {VERSION}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    command = commands.add_parser(
        "doctor",
        help="what a printer is, how it is, and what it can prove",
        description="What a printer is, how it is, how fast it answers. Without --print nothing is printed.",
        epilog="Exit status: 0 ready (with --print: and proven), 1 in trouble or not proven, 2 usage, 3 unreachable, "
        f"130 interrupted. It takes {doctor.BOUND:g} s at most, with --print {doctor.BOUND_PRINTING:g} s.",
    )
    command.add_argument("address", help=f"{addresses.EXAMPLES}; in and out are the endpoints")
    command.add_argument(
        "--print",
        action="store_true",
        dest="slip",
        help="print a slip, try every proof of it, and save what that shows",
    )
    command.add_argument(
        "--no-save",
        action="store_false",
        dest="save",
        help=f"do not save it for register(), which looks into ${findings.VARIABLE}, or printobs/printers.json in "
        "the user's configuration folder",
    )
    command.add_argument("--json", action="store_true", help="for scripts")
    options = parser.parse_args(arguments)
    try:
        diagnosis = doctor.examine(options.address, slip=options.slip, save=options.save)
    except ValueError as error:
        command.error(str(error))
    except KeyboardInterrupt:
        return INTERRUPTED
    text = json.dumps(diagnosis.as_json(), indent=2) if options.json else "\n".join(diagnosis.lines())
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # whatever the console cannot show
    sys.stdout.write(text + "\n")
    return diagnosis.exit_code
