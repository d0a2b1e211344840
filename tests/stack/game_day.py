"""A game day: something breaks in the running deployment. Who is told of what, after how long, and of nothing else.

``python -m tests.stack.game_day`` plays all of it and prints the table of docs/alerting.md. The rules are those of
`tests.stack.shortened`, the service, agents, printers, backend and receivers real ones.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from collector.stack.ports import Ports
from collector.stack.stack import Stack
from examples.demo.client import Till
from examples.demo.stage import PRINTERS, Stage
from examples.service import api_printers
from tests.certificates import certificate
from tests.examples.machine_clock import MachineClock
from tests.stack.backend import JOBS, Backend, restart, submit, telemetry, until
from tests.stack.receivers import Receivers
from tests.stack.shortened import hurry
from tests.stack.test_alertmanager import shortened

FACTOR: Final = 30.0
SCRAPE: Final = 1.0  # seconds
# Two scrapes and an evaluation, as in life: of two targets that are down one may be seen a scrape later.
WAIT: Final = 3.0
PAUSE: Final = 2.0  # seconds between two receipts of a printer
TESTED: Final = ("mitte-bar", "wedding-kitchen")  # these print test receipts, too
_SETTINGS: Final = {"SERVICE_JOB_TIMEOUT": "2", "OTEL_METRIC_EXPORT_INTERVAL": "1000"}


class Told(NamedTuple):
    """A notification: the alert's name, its branch or nothing, the channel; and whether it says that it is over."""

    alert: str
    branch: str
    channel: str
    over: bool


@dataclass(frozen=True)
class Fault:
    """What breaks, how it is mended, and of what somebody is told then.

    ``companions`` may be told, too, and nothing else; ``hushed`` fire and are not told. For ``lasting`` seconds more
    it goes on after the first notification.
    """

    name: str
    breaks: Callable[[Field], None]
    mends: Callable[[Field], None]
    tells: Told
    companions: tuple[str, ...] = ()
    hushed: tuple[str, ...] = ()
    lasting: float = 2.0

    def __str__(self) -> str:
        return self.name


@dataclass
class Outcome:
    """Seconds from the fault to its notification, and from its mending until that is said to be over.

    ``told``: all notifications of that time; ``fired``: the alerts that fired, told or not.
    """

    seconds: float
    over: float
    told: list[Told]
    fired: set[str]


class Field:
    """The deployment, its backend and whom it tells, under traffic: each printer has a receipt every two seconds."""

    def __init__(self, stack: Stack, stage: Stage, receivers: Receivers, clock: MachineClock) -> None:
        self.stack = stack
        self.stage = stage
        self.backend = Backend(stack)
        self.clock = clock
        self.guessing = threading.Event()
        self._receivers = receivers
        self._paused: set[str] = set()
        self._ordering = {name: threading.Lock() for name in PRINTERS}
        self._over = threading.Event()
        self._threads = [
            threading.Thread(target=self._guesses),
            *(threading.Thread(target=self._traffic, args=(name,)) for name in PRINTERS),
        ]

    @contextmanager
    def traffic(self) -> Iterator[None]:
        """Receipts, until it is left."""
        for thread in self._threads:
            thread.start()
        try:
            yield
        finally:
            self._over.set()
            for thread in self._threads:
                thread.join()

    def _traffic(self, printer: str) -> None:
        """As a waiter does it, who looks what has become of one before the next."""
        number = 0
        while not self._over.wait(PAUSE):
            with self._ordering[printer]:
                if printer not in self._paused:
                    number += 1
                    self._order(printer, number)

    def _order(self, printer: str, number: int) -> None:
        till = self.stage.till
        with suppress(RuntimeError, OSError):
            jobs = [submit(till, printer, number)]
            if printer in TESTED:
                jobs.append(till.ask("POST", f"{api_printers.PRINTERS}/{printer}/test"))
            for job in jobs:
                while till.ask("GET", f"{JOBS}/{job['id']}")["outcome"] is None and not self._over.wait(0.1):
                    pass

    def _guesses(self) -> None:
        """While somebody guesses: many requests a second with a token that nobody has made."""
        request = urllib.request.Request(self.stage.url + JOBS, headers={"Authorization": "Bearer not.a.token"})
        while not self._over.wait(0.02):
            if self.guessing.is_set():
                with suppress(OSError), urllib.request.urlopen(request, timeout=5):
                    pass

    def pause(self, *printers: str) -> None:
        """Nobody orders there, once what was ordered has come out."""
        self._paused.update(printers)
        for each in printers:
            with self._ordering[each]:
                pass

    def go_on(self) -> None:
        """Everywhere again; somebody has looked at the paper, and released what was held."""
        self._paused.clear()
        boss = Till(self.stage.url, self.stage.token("operate"))
        for job in boss.ask("GET", f"{JOBS}?held=true")["jobs"]:
            boss.ask("POST", f"{JOBS}/{job['id']}/release")

    def firing(self) -> set[str]:
        """The alerts that fire just now; the Watchdog always does."""
        found = self.backend.query('ALERTS{alertstate="firing", alertname!="Watchdog"}')
        return {each["metric"]["alertname"] for each in found}

    def told(self, since: Mapping[str, int] | None = None) -> list[Told]:
        """All that anybody was told since ``count`` was that, or ever; but for the Watchdog's."""
        got, after = self._receivers, since or {}
        pages = [
            Told(
                event["payload"]["class"],
                event["payload"].get("group", ""),
                "PagerDuty",
                event["event_action"] == "resolve",
            )
            for event in got.pagerduty[after.get("pagerduty", 0) :]
        ]
        attached = [each for message in got.slack[after.get("slack", 0) :] for each in message["attachments"]]
        mails = got.email[after.get("email", 0) :]
        return [
            *pages,
            *(_read(each["title"], "Slack") for each in attached),
            *(_read(each["Subject"], "e-mail") for each in mails),
        ]

    def count(self) -> dict[str, int]:
        """How many messages each channel has had."""
        return {name: len(getattr(self._receivers, name)) for name in ("pagerduty", "slack", "email")}

    def play(self, fault: Fault) -> Outcome:
        """Break it, wait until somebody is told, mend it, wait until all of it is over."""
        self.quiet()
        already = self.count()

        def since() -> list[Told]:
            return self.told(already)

        began = time.monotonic()
        fired: set[str] = set()
        fault.breaks(self)
        try:
            within = time.monotonic() + 120
            while fault.tells not in since():
                fired |= self._asked()
                assert time.monotonic() < within, f"not told: {fault.tells}, but {since()}; firing: {fired}"
                time.sleep(0.2)
            seconds = time.monotonic() - began
            lasts = time.monotonic() + fault.lasting
            while time.monotonic() < lasts:
                fired |= self._asked()
                time.sleep(0.2)
        finally:
            fault.mends(self)
            self.go_on()
        mended = time.monotonic()
        until(lambda: fault.tells._replace(over=True) in since(), 120, lambda: f"not over: {since()}")
        over = time.monotonic() - mended
        fired |= self.quiet()
        return Outcome(seconds, over, since(), fired)

    def _asked(self) -> set[str]:
        with suppress(OSError, urllib.error.URLError):  # it may be Prometheus that is gone
            return self.firing()
        return set()

    def quiet(self) -> set[str]:
        """Wait until nothing fires and all that did was told; what fired meanwhile."""
        fired: set[str] = set()
        within = time.monotonic() + 240
        while now := self.firing():
            fired |= now
            assert time.monotonic() < within, f"still firing: {now}"
            time.sleep(0.2)
        count: dict[str, int] = {}
        while count != (count := self.count()):
            time.sleep(3)
        return fired


def _read(title: str, channel: str) -> Told:
    """As ``WARNING mitte: it is so [AlertName]``; the branch is what stands before the colon, where it is one."""
    severity, _, rest = title.partition(" ")
    branch = rest.partition(":")[0]
    return Told(
        title.rpartition("[")[2].rstrip("]"),
        branch if branch in PRINTERS.values() else "",
        channel,
        severity == "RESOLVED",
    )


# ---------------------------------------------------------------------------------------------------------- the faults


def _kill(*branches: str) -> Callable[[Field], None]:
    def breaks(on: Field) -> None:
        # One receipt each is under way. A test print would be late or fail, which is another alert's.
        printers = [printer for printer, branch in PRINTERS.items() if branch in branches]
        on.pause(*printers)
        for printer in printers:
            submit(on.stage.till, printer)
        for branch in branches:
            on.stage.agents[branch].kill()

    return breaks


def _start(*branches: str) -> Callable[[Field], None]:
    """All at once: of a branch that is back later than the others one is rightly told."""

    def mends(on: Field) -> None:
        with ThreadPoolExecutor(len(branches)) as starting:
            list(starting.map(on.stage.start_agent, branches))

    return mends


def _printer(name: str, command: str, **arguments: object) -> Callable[[Field], None]:
    def does(on: Field) -> None:
        on.stage.printers[name].ask(command, **arguments)

    return does


def _paper_out(on: Field) -> None:
    """While ten receipts are ordered at once, so that some wait."""
    on.stage.printers["mitte-kitchen"].ask("paper_out")
    for number in range(10):
        submit(on.stage.till, "mitte-kitchen", number)


def _clock(off: int) -> Callable[[Field], None]:
    def sets(on: Field) -> None:
        on.clock.set(off)

    return sets


def _collector(on: Field) -> None:
    on.stack.running["otelcol"].kill()


def _collector_again(on: Field) -> None:
    on.stack.running["otelcol"].start()
    on.stack.running["otelcol"].wait()


_OF_A_BRANCH: Final = ("AgentSilent", "PrinterNotServed")
_UNDER_WAY: Final = ("ReceiptsHeld",)  # where one was being printed

FAULTS: Final = (
    Fault(
        # Set back, it would be told later by as much: until then the Collector takes its points for old ones.
        "an agent's clock is 20 s ahead",
        _clock(20),
        _clock(0),
        Told("ClockSkewed", "", "Slack", False),
    ),
    Fault(
        "all agents are killed",
        _kill("mitte", "wedding"),
        _start("mitte", "wedding"),
        Told("AllDesktopAppsDisconnected", "", "PagerDuty", False),
        companions=_UNDER_WAY,
        hushed=("BranchSilent", *_OF_A_BRANCH),
        lasting=14,
    ),
    Fault(
        "one branch is dead among healthy ones",
        _kill("wedding"),
        _start("wedding"),
        Told("BranchSilent", "wedding", "PagerDuty", False),
        companions=_UNDER_WAY,
        hushed=_OF_A_BRANCH,
        lasting=14,
    ),
    Fault(
        "a printer is slow",
        _printer("mitte-bar", "slow", speed=500),
        _printer("mitte-bar", "slow", speed=2400),
        Told("HighP95Latency", "", "Slack", False),
    ),
    Fault(
        "tokens are guessed",
        lambda on: on.guessing.set(),
        lambda on: on.guessing.clear(),
        Told("HighAuthenticationFailureRate", "", "PagerDuty", False),
    ),
    Fault(
        "the Collector is killed",
        _collector,
        _collector_again,
        Told("TargetDown", "", "Slack", False),
        companions=("ServiceSilent", "TelemetryLost"),
    ),
    # What is counted over days is told for longest: so they come last.
    Fault(
        "a printer is without power",
        _printer("mitte-kitchen", "power_off"),
        _printer("mitte-kitchen", "power_on"),
        Told("PrinterFailingInARow", "mitte", "PagerDuty", False),
        companions=("HighErrorRate", "ReceiptBudgetBurn"),
    ),
    Fault(
        "a printer is out of paper",
        _paper_out,
        _printer("mitte-kitchen", "paper_in"),
        Told("PrinterOutOfPaper", "mitte", "Slack", False),
        companions=("PrinterFailingInARow", "ReceiptWaitingTooLong", "HighErrorRate", "ReceiptBudgetBurn"),
    ),
)


@contextmanager
def played(folder: Path, factor: float = FACTOR, scrape: float = SCRAPE) -> Iterator[Field]:
    """Everything that plays, and nothing has broken yet; at a factor of 1 and 15 s the rules are as they are."""
    tls = certificate(folder)
    clock = MachineClock(folder / "clock")
    with Receivers(tls) as receivers:
        secrets = receivers.secrets(folder / "secrets")
        with Stack(Ports.free(), folder, f"{scrape:g}s", secrets=secrets) as stack:
            shortened(folder / "alertmanager" / "etc" / "alertmanager.yml", receivers, tls[0], WAIT)
            restart(stack.running["alertmanager"])
            hurry(stack, factor, scrape)
            with Stage({**telemetry(Backend(stack).otlp), **_SETTINGS}) as stage:
                stage.agents["wedding"].stop()
                stage.start_agent("wedding", **clock.environment())
                field = Field(stack, stage, receivers, clock)
                with field.traffic():
                    # Until then it is silent, as far as anybody knows.
                    until(lambda: field.backend.query('printobs_clock_seconds{job="service"}'), 60)
                    yield field
        assert receivers.refused == []


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser("python -m tests.stack.game_day")
    parser.add_argument("--factor", type=float, default=FACTOR, help="by which the rules' times are divided")
    parser.add_argument("--only", default="", help="faults whose name has this")
    options = parser.parse_args()
    print("| What breaks | Told | By | After | Told besides | Fired, not told | Over after |")
    print("|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder, played(Path(folder), options.factor) as field:
        for fault in FAULTS:
            if options.only in fault.name:
                outcome = field.play(fault)
                names = {each.alert for each in outcome.told}
                besides, silent = sorted(names - {fault.tells.alert}), sorted(outcome.fired - names)
                print(
                    f"| {fault.name} | {fault.tells.alert} | {fault.tells.channel} | {outcome.seconds:.0f} s"
                    f" | {', '.join(besides) or '–'} | {', '.join(silent) or '–'} | {outcome.over:.0f} s |",
                    flush=True,
                )
    return 0


if __name__ == "__main__":
    sys.exit(main())
