"""The command line: ``printobs doctor``."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence

from printobs.assembly import doctor
from printobs.core.telemetry import VERSION


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; gives its exit status."""
    parser = argparse.ArgumentParser("printobs", description="OpenTelemetry for receipt printers and WebSockets.")
    parser.add_argument("--version", action="version", version=f"printobs {VERSION}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    command = commands.add_parser(
        "doctor",
        help="what a printer is, how it is, and what it can prove",
        epilog="exit status: 0 ready (with --print: and proven), 1 in trouble or not proven, 2 usage, 3 unreachable",
    )
    command.add_argument("address", help="tcp://HOST[:PORT]")
    command.add_argument("--print", action="store_true", dest="slip", help="print a slip, and try the proof of it")
    command.add_argument("--json", action="store_true", help="for scripts")
    options = parser.parse_args(arguments)
    try:
        findings = doctor.examine(options.address, slip=options.slip)
    except ValueError as error:
        command.error(str(error))
    text = json.dumps(findings.as_json(), indent=2) if options.json else "\n".join(findings.lines())
    sys.stdout.write(text + "\n")
    return findings.exit_code
