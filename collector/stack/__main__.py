"""``python -m collector.stack``: the backend, until Ctrl-C; ``build`` only makes its programs.

By Compose where an engine answers, else natively; ``STACK_BY`` says which, and a profile is run natively.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from collector.stack import channels, compose
from collector.stack.binaries import Missing, everything
from collector.stack.ports import Ports, Taken
from collector.stack.queue import InUse
from collector.stack.stack import Broken, Stack
from collector.stack.state import state

PROFILES = {"sampling", "secure"}
SECURE = {
    "COLLECTOR_TOKEN_FILE": "with the token that senders have",
    "COLLECTOR_TLS_CERT": "with the Collector's certificate",
    "COLLECTOR_TLS_KEY": "with that certificate's key",
}


def main() -> int:
    """0 where it was asked to end, 1 where a part has ended by itself, 2 where something is missing or taken."""
    parser = argparse.ArgumentParser("python -m collector.stack")
    parser.add_argument("what", nargs="?", choices=("up", "build"), default="up")
    what = parser.parse_args().what
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        if what == "build":
            for name, path in everything().items():
                print(f"{name:<14}{path}")
            return 0
        return _up()
    except KeyboardInterrupt:
        return 0
    except (Missing, Taken, Broken, InUse) as error:
        sys.stderr.write(f"{error}\n")
        return 2


def _up() -> int:
    ports = Ports.from_environment()
    profiles = [name for name in os.environ.get("STACK_PROFILES", "").split(",") if name]
    if unknown := set(profiles) - PROFILES:
        raise Broken(f"STACK_PROFILES knows no {', '.join(sorted(unknown))}: it may be {' or '.join(sorted(PROFILES))}")
    for variable, what in SECURE.items() if "secure" in profiles else ():
        named = os.environ.get(variable, "")
        if not named or not Path(named).is_file() or not os.access(named, os.R_OK):
            raise Broken(f"{variable} is {named!r}: it must name a file that can be read, {what}")
    by = os.environ.get("STACK_BY", "")
    if by not in ("", "native", "compose"):
        raise Broken(f"STACK_BY is {by!r}: it may be native or compose")
    if by == "compose" and profiles:
        raise Broken("STACK_PROFILES are for STACK_BY=native: under Compose, add a --config to the Collector's command")
    if by == "compose" or (not by and not profiles and compose.answers()):
        return _up_by_compose(ports)
    with Stack(ports, state(), profiles=profiles, secrets=channels.SECRETS) as stack:
        pages = {each.part.name: each.part.page for each in stack.running.values()}
        _say(f"Ctrl-C ends it. It keeps its data in {stack.state}", pages, ports)
        while stack.ended() is None:
            time.sleep(0.5)
        ended = stack.ended()
        assert ended is not None
        sys.stderr.write(f"{ended.part.name} has ended: {ended.why()} (all of it: {ended.log}); stopping the others\n")
        return 1


def _up_by_compose(ports: Ports) -> int:
    with compose.Compose(ports, state()) as containers:
        _say("Ctrl-C stops it. It keeps its data in volumes", containers.pages, ports)
        while True:  # the engine restarts what ends by itself
            time.sleep(0.5)


def _say(how: str, pages: Mapping[str, str], ports: Ports) -> None:
    print(f"everything is ready; {how}\n")
    for name, page in pages.items():
        print(f"  {name:<14}{page}")
    print(f"\n  to send to it: export OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:{ports.otlp_http}\n")
    if silent := channels.missing(channels.SECRETS):
        print(f"  no alert is told by {', '.join(silent)}: {channels.SECRETS / 'README.md'} says how to set them up\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
