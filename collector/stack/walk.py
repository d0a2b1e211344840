"""``python -m collector.stack.walk``: a failing test print, followed to whom it is told, and back; a line a step.

The test print is for a printer that there is not, so that it touches no paper and no branch. It is one failed test in
the month's report, and Slack may hear of PrintTestSuccessBelowSLA, too. That PagerDuty has taken something is read from
Alertmanager's counters, which do not say of what: another critical alert of that minute would be taken for this one.

The program ends with 0; with 1 and a line where a step has not come in its time; with 2 and a line where the walk
cannot begin. The service is at ``SERVICE`` (``http://127.0.0.1:8080``) and takes the token in ``TOKEN``, which has the
scope ``print``; where Prometheus and Alertmanager are is in the variables of `collector.stack.ports.Ports`.
"""

from __future__ import annotations

import argparse
import http.client
import itertools
import json
import os
import re
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from collector.stack.durations import seconds
from collector.stack.ports import Ports, Taken

ALERT: Final = "LowPrintTestSuccessRate"
CHANNEL: Final = "pagerduty"  # of what is critical
PRINTER: Final = "no-such-printer"

# Seconds: what is exported comes each minute, and is scraped and judged within half of another.
FRESH: Final = 120.0
PATIENCE: Final = 60.0  # beyond what a step takes by its rule or route
LOOK: Final = 0.5

_PORTS: Final = "name the ports of Prometheus and Alertmanager in STACK_PROMETHEUS and STACK_ALERTMANAGER"

T = TypeVar("T")


class Refused(Exception):  # noqa: N818 - reads as what happened
    """No walk; says what to do."""


class Unreachable(Refused):
    """Prometheus or Alertmanager does not answer, or something else does; says what to do."""


class Lost(Exception):  # noqa: N818 - reads as what happened
    """A step that has not come; says where to look."""


@dataclass(frozen=True, slots=True)
class Times:
    """Seconds that the rule and its route take, as they run: ``held`` before it fires, in a range of ``window``."""

    held: float
    window: float
    interval: float
    group_wait: float
    group_interval: float

    @property
    def firing(self) -> float:
        """From pending on, at most."""
        return self.held + self.interval + PATIENCE

    @property
    def told(self) -> float:
        """From Alertmanager's knowing on, at most."""
        return self.group_wait + PATIENCE

    @property
    def over(self) -> float:
        """Until the failure is out of the range, at most."""
        return self.window + self.interval + PATIENCE

    @property
    def told_over(self) -> float:
        """Until a channel hears of the end, at most."""
        return self.group_interval + PATIENCE


def walk(ports: Ports, service: str, token: str, page: bool) -> Iterator[tuple[str, str]]:
    """The name of each step once it has come, and what is to be said of it; raises `Refused`, `Lost`."""
    yield from _Walk(ports).steps(service, token, page)


class _Walk:
    def __init__(self, ports: Ports) -> None:
        self._prometheus = f"http://127.0.0.1:{ports.prometheus}"
        self._alertmanager = f"http://127.0.0.1:{ports.alertmanager}"
        self._taken = 0.0  # requests, by the channel

    def steps(self, service: str, token: str, page: bool) -> Iterator[tuple[str, str]]:
        configured = str(self._get(self._alertmanager, "/api/v2/status")["config"]["original"])
        told = re.search(rf"^- name: {CHANNEL}\n(?:  .*\n)*?  {CHANNEL}_configs:", configured, re.MULTILINE) is not None
        times = self._times(configured)
        if told and not page:
            raise Refused(f"{ALERT} is critical, {CHANNEL} wakes somebody: say so before, then make walk ARGS=--page")
        if self._state() or self._known():
            raise Refused(f"{ALERT} is there already, of no branch: its runbook says why, and it must be over before")
        whole = FRESH + times.firing + times.told + times.over + times.told_over
        yield "before", f"{CHANNEL if told else 'nobody'} will be told; all of it takes {_spoken(whole)} at most"
        self._taken = self._requests()
        yield "test print", f"{_test_print(service, token)}; pending within {_spoken(FRESH)}"
        began = time.monotonic()
        for step, said in itertools.chain(self._there(times, told), self._back(times, told)):
            yield step, f"after {_spoken(time.monotonic() - began)}: {said}"

    def _there(self, times: Times, told: bool) -> Iterator[tuple[str, str]]:
        _until(self._state, FRESH, "pending", "the service's metrics do not come, or no rule is judged: make doctor")
        yield "pending", f"once it has lasted {_spoken(times.held)} it fires, within {_spoken(times.firing)}"
        advice = "it has ended before; was Prometheus started again?"
        _until(lambda: self._state() == "firing", times.firing, "firing", advice)
        yield "firing", f"in Alertmanager within {_spoken(PATIENCE)}"
        advice = "alerts do not leave Prometheus: docs/runbooks/AlertmanagerUnreachable.md"
        alert = _until(self._known, PATIENCE, "in Alertmanager", advice)
        if silences := alert["status"]["silencedBy"]:
            raise Lost(f"Alertmanager tells nobody, since it is silenced: make silence END={silences[0]}")
        if alert["status"]["inhibitedBy"]:
            raise Lost("Alertmanager tells nobody, since a cause of it is told already: its runbook names those")
        receivers = ", ".join(each["name"] for each in alert["receivers"])
        yield "Alertmanager", f"it is for {receivers}" + (f", and told within {_spoken(times.told)}" if told else "")
        if told:
            self._hear("told", times.told)
        said = f"{CHANNEL} has taken it" if told else f"nobody, for Alertmanager has no secret of {CHANNEL}"
        yield "told", f"{said}; over within {_spoken(times.over)}"

    def _back(self, times: Times, told: bool) -> Iterator[tuple[str, str]]:
        advice = "somebody else asks for printers that there are not: the third check of its runbook says who"
        _until(lambda: not self._state(), times.over, "over", advice)
        yield "over", f"the test print is older than {_spoken(times.window)}"
        _until(lambda: not self._known(), PATIENCE, "resolved", "Prometheus does not tell of it: make doctor")
        yield "resolved", "in Alertmanager" + (f"; told within {_spoken(times.told_over)}" if told else "")
        if told:
            self._hear("told that it is over", times.told_over)
            yield "told", f"{CHANNEL} has taken that it is over"

    def _hear(self, step: str, within: float) -> None:
        """Wait until the channel has taken one more request."""
        advice = f"{CHANNEL} does not take it: Alertmanager's log, and docs/runbooks/NotificationsFailing.md"
        _until(lambda: self._requests() > self._taken, within, step, advice)
        self._taken += 1

    def _times(self, configured: str) -> Times:
        groups = self._get(self._prometheus, "/api/v1/rules", **{"rule_name[]": ALERT})["data"]["groups"]
        route = dict(re.findall(r"^  (group_wait|group_interval): (\S+)$", configured, re.MULTILINE))
        if not groups or len(route) < 2:
            raise Refused(f"Prometheus has no rule {ALERT}, or Alertmanager no route: are these the backend's?")
        [rule] = groups[0]["rules"]
        ranges = re.findall(r"\[(\w+)\]", rule["query"])
        return Times(
            held=float(rule["duration"]),
            window=max(map(seconds, ranges)),
            interval=float(groups[0]["interval"]),
            group_wait=seconds(route["group_wait"]),
            group_interval=seconds(route["group_interval"]),
        )

    def _state(self) -> str:
        """Pending, firing, or empty: of the one without a branch, as printers are that there are not."""
        for each in self._get(self._prometheus, "/api/v1/alerts")["data"]["alerts"]:
            if each["labels"]["alertname"] == ALERT and "branch_name" not in each["labels"]:
                return str(each["state"])
        return ""

    def _known(self) -> Any:
        """What Alertmanager says of it; empty where it does not know it, or knows that it is over."""
        query = [("filter", f'alertname="{ALERT}"'), ("filter", 'branch_name=""')]
        found = _json(self._alertmanager, f"/api/v2/alerts?{urllib.parse.urlencode(query)}")
        return found[0] if found else {}

    def _requests(self) -> float:
        """How many requests of Alertmanager the channel has taken."""
        metrics = _read(self._alertmanager, "/metrics")

        def total(name: str) -> float:
            pattern = rf'^alertmanager_notification_{name}_total{{[^}}]*integration="{CHANNEL}".*}} (\S+)$'
            return sum(map(float, re.findall(pattern, metrics, re.MULTILINE)))

        return total("requests") - total("requests_failed")

    def _get(self, base: str, path: str, **query: str) -> Any:
        return _json(base, f"{path}?{urllib.parse.urlencode(query)}")


def _test_print(service: str, token: str) -> str:
    """Ask for one on a printer that there is not; what was done. Raises `Refused`."""
    url = f"{service}/api/v1/printing/printers/{PRINTER}/test"
    try:
        request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"}, method="POST")
        with urllib.request.urlopen(request, timeout=10) as response:
            status, said = response.status, response.read().decode(errors="replace")
    except urllib.error.HTTPError as error:
        with error:
            status, said = error.code, error.read().decode(errors="replace")
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise Refused(f"nothing answers at {service} ({reason}): start the service, or name it in SERVICE") from None
    if status in (401, 403):
        why = "is not good for it" if token else "is empty"
        raise Refused(f"the service answers {status}: TOKEN {why}, docs/runbooks/README.md says how to get one")
    if status != 404 or not re.search(r'"field":\s*"id"', said):
        raise Refused(
            f"{url} answers {status}, not that there is no such printer: SERVICE must be the service, and {PRINTER} no "
            "printer of it"
        )
    return f"for {PRINTER}, which is not there: a test that has failed"


def _until(found: Callable[[], T], within: float, step: str, advice: str) -> T:
    """What is found, once that is true; raises `Lost`."""
    deadline = time.monotonic() + within
    while True:
        try:
            if last := found():
                return last
        except Unreachable as error:  # for a moment, perhaps
            advice = str(error)
        if time.monotonic() > deadline:
            raise Lost(f"{step}: not within {_spoken(within)}: {advice}")
        time.sleep(LOOK)


def _json(base: str, path: str) -> Any:
    said = _read(base, path)
    try:
        return json.loads(said)
    except ValueError:
        raise Unreachable(f"{base} answers something that is not JSON: {_PORTS}") from None


def _read(base: str, path: str) -> str:
    try:
        with urllib.request.urlopen(base + path, timeout=10) as response:
            return str(response.read().decode())
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise Unreachable(f"{base} does not answer ({reason}): start the backend (make stack), or {_PORTS}") from None


def _spoken(seconds: float) -> str:
    whole = round(seconds)
    return f"{whole} s" if whole < 120 else f"{whole // 60} min" + (f" {whole % 60} s" if whole % 60 else "")


def main() -> int:
    """0, 1 where not all steps have come, or 2 where it cannot begin."""
    parser = argparse.ArgumentParser("python -m collector.stack.walk")
    parser.add_argument("--page", action="store_true", help="whoever is on call knows, and may be woken")
    page = parser.parse_args().page
    service = (os.environ.get("SERVICE") or "http://127.0.0.1:8080").rstrip("/")
    try:
        for step, said in walk(Ports.from_environment(), service, os.environ.get("TOKEN", ""), page):
            sys.stdout.write(f"{time.strftime('%H:%M:%S')}  {step:<14}{said}\n")
            sys.stdout.flush()
    except (Refused, Taken) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    except Lost as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("nobody looks any more: what has begun goes on, and is over by itself\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
