"""``python -m collector.stack.silence BRANCH FOR``: nobody is told of a branch for a while, as ``mitte 2h``.

``--end ID`` ends it before. The program ends with 0, or with 2 and a line that says what to do. Where Alertmanager and
Prometheus are is in ``STACK_ALERTMANAGER`` and ``STACK_PROMETHEUS`` (`collector.stack.ports.Ports`), on this machine.
"""

from __future__ import annotations

import argparse
import getpass
import json
import re
import sys
import urllib.error
import urllib.parse
import urllib.request
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from collector.stack.durations import seconds
from collector.stack.ports import Ports, Taken

_LONGEST: Final = timedelta(days=30)  # longer is a rule that ought to change


class Refused(Exception):  # noqa: N818 - reads as what happened
    """No silence; says what to do."""


def main() -> int:
    """0, or 2 where nothing was changed."""
    parser = argparse.ArgumentParser("python -m collector.stack.silence")
    parser.add_argument("branch", nargs="?", default="")
    parser.add_argument("duration", nargs="?", default="", metavar="for", help="as 30m, 2h or 1d12h")
    parser.add_argument("--end", default="", metavar="ID", help="the silence that ends now")
    asked = parser.parse_args()
    try:
        said = ended(asked.end) if asked.end else begun(asked.branch, asked.duration)
    except (Refused, Taken) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    sys.stdout.write(f"{said}\n")
    return 0


def begun(branch: str, duration: str) -> str:
    """Silence ``branch``; what a person has to know of it. Raises `Refused`."""
    if not branch or not duration:
        raise Refused("say which branch and for how long, as in: make silence BRANCH=mitte FOR=2h")
    length = _length(duration)
    ports = Ports.from_environment()
    if (known := _branches(ports)) and branch not in known:
        raise Refused(f"Prometheus knows no branch {branch!r}, nothing is silenced: it may be {', '.join(known)}")
    now = datetime.now(UTC)
    silence = {
        "matchers": [{"name": "branch_name", "value": branch, "isRegex": False, "isEqual": True}],
        "startsAt": now.isoformat(),
        "endsAt": (now + length).isoformat(),
        "createdBy": getpass.getuser(),
        "comment": f"make silence BRANCH={branch} FOR={duration}",
    }
    about = urllib.parse.urlencode({"filter": f"branch_name={_quoted(branch)}"})
    firing = len(_ask(ports, "GET", f"/api/v2/alerts?{about}"))
    made = _ask(ports, "POST", "/api/v2/silences", silence)["silenceID"]
    until = (now + length).astimezone()
    return (
        f"nobody is told of {branch} until {until:%a %d %b %H:%M}; alerts that it has now: {firing}\n"
        f"  silence {made}\n"
        f"  to end it before: make silence END={made}"
    )


def ended(identity: str) -> str:
    """End a silence; raises `Refused`."""
    _ask(Ports.from_environment(), "DELETE", f"/api/v2/silence/{urllib.parse.quote(identity, safe='')}")
    return f"silence {identity} has ended: alerts that fire still are told within five minutes"


def _length(said: str) -> timedelta:
    if not re.fullmatch(r"(\d{1,4}[dhm])+", said):
        raise Refused(f"FOR is {said!r}: it must be a time as 30m, 2h or 1d12h")
    length = timedelta(seconds=seconds(said))
    if not timedelta() < length <= _LONGEST:
        raise Refused(f"FOR is {said!r}: it must be from a minute to {_LONGEST.days} days")
    return length


def _branches(ports: Ports) -> list[str]:
    """Those that Prometheus has heard of; none where it does not answer: a silence must be possible all the same."""
    url = f"http://127.0.0.1:{ports.prometheus}/api/v1/label/branch_name/values"
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            return [str(each) for each in json.load(response)["data"]]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def _ask(ports: Ports, method: str, path: str, body: object = None) -> Any:
    request = urllib.request.Request(
        f"http://127.0.0.1:{ports.alertmanager}{path}",
        data=None if body is None else json.dumps(body).encode(),
        headers={"Content-Type": "application/json"},
        method=method,
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return json.loads(response.read() or b"null")
    except urllib.error.HTTPError as error:
        with error:
            why = " ".join(error.read().decode(errors="replace").split())[:200] or error.reason
        if method == "DELETE" and error.code in (400, 404, 422, 500):
            named = path.rpartition("/")[2]
            raise Refused(f"Alertmanager cannot end {named} ({why}): END is the ID that was printed") from None
        raise Refused(f"Alertmanager refuses it ({error.code}: {why})") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise Refused(
            f"Alertmanager does not answer on port {ports.alertmanager} ({reason}): start it (make stack), or name its "
            "port in STACK_ALERTMANAGER"
        ) from None


def _quoted(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


if __name__ == "__main__":
    sys.exit(main())
