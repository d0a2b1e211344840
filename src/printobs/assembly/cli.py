"""The command line: ``printobs doctor`` and ``printobs sla-report``."""

from __future__ import annotations

import argparse
import io
import json
import re
import sys
from collections.abc import Sequence
from typing import Any, Final, NoReturn

from printobs.assembly import addresses, doctor, findings, prometheus, sla, sla_report
from printobs.core.telemetry import VERSION

UNASKABLE: Final = 3  # Prometheus
INTERRUPTED: Final = 130  # by Ctrl-C, as shells say it


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; gives its exit status."""
    parser = _Parser("printobs", description="OpenTelemetry for receipt printers and WebSockets.")
    parser.add_argument("--version", action="version", version=f"printobs {VERSION}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_doctor(commands)
    _add_sla_report(commands)
    options = parser.parse_args(arguments)
    try:
        status: int = options.run(options)
    except KeyboardInterrupt:
        return INTERRUPTED
    return status


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """As the base class does; a password in an address is not repeated."""
        super().error(re.sub(r"//\S*@", "//", message))


def _add_doctor(commands: argparse._SubParsersAction[_Parser]) -> None:
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
    command.set_defaults(command=command, run=_doctor)


def _doctor(options: Any) -> int:
    try:
        diagnosis = doctor.examine(options.address, slip=options.slip, save=options.save)
    except ValueError as error:
        options.command.error(str(error))
    _write(json.dumps(diagnosis.as_json(), indent=2) if options.json else "\n".join(diagnosis.lines()))
    return diagnosis.exit_code


def _add_sla_report(commands: argparse._SubParsersAction[_Parser]) -> None:
    command = commands.add_parser(
        "sla-report",
        help="what was agreed and what came of it, as Markdown, from Prometheus",
        description="What was agreed and what came of it, as Markdown, from what Prometheus has recorded by the rules "
        "in collector/prometheus/rules.",
        epilog="Exit status: 0 nothing is broken (what has no data is said), 1 something is, 2 usage, 3 Prometheus "
        "cannot be asked, or has nothing of that time, 130 interrupted. Each of its fourteen questions has "
        f"{prometheus.ANSWER:g} s at most; the first without an answer ends it.",
    )
    command.add_argument(
        "--prometheus",
        metavar="URL",
        help=f"default: ${prometheus.VARIABLE}, else {prometheus.DEFAULT}; a path, a user and a password may be in it",
    )
    when = command.add_mutually_exclusive_group()
    when.add_argument("--month", metavar="YYYY-MM", help="that month, in UTC; until now where it is not over")
    when.add_argument(
        "--days",
        type=int,
        default=sla.DAYS,
        help=f"the days that end now, at most {sla.MAX_DAYS}; default: {sla.DAYS}",
    )
    command.set_defaults(command=command, run=_sla_report)


def _sla_report(options: Any) -> int:
    try:
        period = sla.Period.last(options.days) if options.month is None else sla.Period.month(options.month)
        asked = prometheus.Prometheus.named(options.prometheus)
    except ValueError as error:
        options.command.error(str(error))
    try:
        measured = sla.measure(asked, period)
    except prometheus.Unanswered as error:
        sys.stderr.write(f"printobs: {error}\n")
        return UNASKABLE
    _write("\n".join(sla_report.lines(measured, period, asked)))
    return measured.exit_code


def _write(text: str) -> None:
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # whatever the console cannot show
    sys.stdout.write(text + "\n")
