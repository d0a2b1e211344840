"""``python -m examples.demo``: the show; ``--stay`` leaves everything running afterwards."""

from __future__ import annotations

import argparse
import random
import re
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

from examples.demo import telemetry, verdict
from examples.demo.processes import Broken
from examples.demo.receipts import logo, number_on, receipt
from examples.demo.stage import PRINTERS, Stage

RECEIPTS: Final = 60
PAUSE: Final = 0.35  # seconds between two receipts
JOBS: Final = "/api/v1/printing/jobs"

# After how many receipts what happens: (printer, command, what is said).
FAULTS: Final[dict[int, tuple[str, str, dict[str, int], str]]] = {
    15: ("mitte-bar", "paper_out", {"after_dots": 150}, "mitte-bar will run out of paper in the middle of a receipt"),
    30: (
        "wedding-kitchen",
        "power_off_at",
        {"count": 2500},
        "wedding-kitchen will lose its power, 2,500 bytes on",
    ),
    38: ("mitte-bar", "paper_in", {}, "mitte-bar has paper again"),
    46: ("wedding-kitchen", "power_on", {}, "wedding-kitchen has power again"),
}


def main() -> int:
    """Run the show; 0 only if the outcomes, the metrics and the paper agree."""
    parser = argparse.ArgumentParser("python -m examples.demo")
    parser.add_argument("--stay", action="store_true", help="leave everything running, until Ctrl-C")
    options = parser.parse_args()
    # As Ctrl-C: whoever ends the demonstration ends all of it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        print("starting a service, two agents and three printers …")
        with Stage() as stage:
            agreed = _show(stage)
            if options.stay:
                _stay(stage)
    except KeyboardInterrupt:
        print("\nstopped: nothing is left running")
        return 130
    except (Broken, RuntimeError, TimeoutError) as error:
        print(f"the demonstration has failed: {error}")
        return 1
    return 0 if agreed else 1


def _show(stage: Stage) -> bool:
    began = time.monotonic()
    progress = _Progress(began)
    stop = stage.till.listen(progress.heard)
    _play(stage, progress)
    progress.wait(60)
    stage.settle(60)
    stop()

    jobs = {number: stage.till.ask("GET", f"{JOBS}/{job}") for number, job in progress.jobs.items()}
    told = {number: verdict.Told(job["printer"], job["state"]) for number, job in jobs.items()}
    reports = {name: printer.ask("report")["receipts"] for name, printer in stage.printers.items()}
    paper = {name: [number_on(each["text"]) for each in report if each["cut"]] for name, report in reports.items()}
    outcomes = Counter(job.outcome for job in told.values())
    _until(lambda: telemetry.outcomes(stage.sink.metrics) == outcomes, 15)
    result = verdict.judge(told, paper, telemetry.outcomes(stage.sink.metrics))

    _summary(stage, jobs, told, reports, result, time.monotonic() - began)
    return not result.wrong


def _play(stage: Stage, progress: _Progress) -> None:
    """Send the receipts and make things fail."""
    picture, chance, names = logo(), random.Random(4711), list(PRINTERS)
    for number in range(1, RECEIPTS + 1):
        if number in FAULTS:
            printer, command, arguments, what = FAULTS[number]
            stage.printers[printer].ask(command, **arguments)
            progress.say(what)
        name = names[number % len(names)]
        job = stage.till.ask(
            "POST",
            JOBS,
            {
                "printer": name,
                "kind": name.partition("-")[2],
                "timeout": 20,
                "receipt": receipt(number, picture, chance),
            },
            X_Correlation_ID=f"order-{number:04}",
        )
        progress.sent(number, job)
        time.sleep(PAUSE)


class _Progress:
    """What happens, as it happens."""

    def __init__(self, began: float) -> None:
        self._began = began
        self._ended: dict[str, str] = {}
        self._change = threading.Condition()
        self.jobs: dict[int, str] = {}

    def say(self, what: str) -> None:
        counts = " ".join(f"{count} {outcome}" for outcome, count in sorted(Counter(self._ended.values()).items()))
        print(f"{time.monotonic() - self._began:6.1f} s  {what}{f'  ({counts})' if counts else ''}", flush=True)

    def sent(self, number: int, job: dict[str, Any]) -> None:
        self.jobs[number] = job["id"]
        if number % 10 == 0:
            self.say(f"{number} receipts sent")

    def heard(self, event: dict[str, Any]) -> None:
        """An event of the till's WebSocket."""
        if event.get("outcome") is None:
            return
        with self._change:
            self._ended[event["id"]] = event["outcome"]
            self._change.notify_all()
        if event["outcome"] not in ("written", "confirmed"):
            self.say(f"{event['correlation_id']} on {event['printer']}: {event['outcome']} {event['error_type'] or ''}")

    def wait(self, within: float) -> None:
        """Until every job has an outcome; raises `Broken`."""
        with self._change:
            if not self._change.wait_for(lambda: self.jobs.keys() and len(self._ended) >= len(self.jobs), within):
                raise Broken(f"{len(self.jobs) - len(self._ended)} jobs have no outcome")
        self.say("every job has an outcome")


def _summary(
    stage: Stage,
    jobs: dict[int, dict[str, Any]],
    told: dict[int, verdict.Told],
    reports: dict[str, list[dict[str, Any]]],
    result: verdict.Verdict,
    seconds: float,
) -> None:
    print(f"\n{'printer':<18}{'confirmed':>10}{'failed':>9}{'unknown':>9}   on paper: whole, torn")
    for name in PRINTERS:
        of = Counter(job.outcome for job in told.values() if job.printer == name)
        torn = sum(not each["cut"] for each in reports[name])
        print(f"{name:<18}{of['confirmed']:>10}{of['failed']:>9}{of['unknown']:>9}   {result.whole[name]:>15}, {torn}")
    causes = Counter(str(job["error_type"]) for job in jobs.values() if job["error_type"])
    if causes:
        print("why: " + ", ".join(f"{count} x {cause}" for cause, count in causes.most_common()))
    if result.unknown_on_paper:
        print(f"unknown, and on paper: {', '.join(f'No. {number}' for number in result.unknown_on_paper)}")
    times = [_seconds(job["finished_at"]) - _seconds(job["created_at"]) for job in jobs.values()]
    shares = ", ".join(f"p{share:.0f} {telemetry.quantile(times, share / 100):.2f} s" for share in (50, 95, 99))
    print(f"from the request to the outcome: {shares}")

    number = min((number for number, job in told.items() if job.outcome == "confirmed"), default=0)
    if number not in told:
        raise Broken("no receipt has been confirmed")
    name = told[number].printer
    index = next(i for i, each in enumerate(reports[name]) if each["cut"] and number_on(each["text"]) == number)
    print(f"\nNo. {number} as it came out of {name}:\n")
    print(stage.printers[name].ask("render", index=index, columns=48)["text"])

    order = f"order-{number:04}"
    _until(lambda: any(_of(span, order) and span.name == "print job" for span in stage.sink.spans), 5)
    trace = next(span.trace_id for span in stage.sink.spans if _of(span, order))
    print(f"\nits trace {trace}, correlation ID {order}:\n")
    print("\n".join(telemetry.tree(span for span in stage.sink.spans if span.trace_id == trace)))

    print("\nfrom the service's /api/v1/metrics:\n")
    for line in _scraped(stage):
        print("  " + line)
    print(f"\n{'THE NUMBERS AGREE' if not result.wrong else 'THE NUMBERS DO NOT AGREE'}, after {seconds:.0f} s")
    for wrong in result.wrong:
        print(f"  {wrong}")
    print("where to look next: README.md; examples/service and examples/agent; make demo-up leaves all this running")


def _scraped(stage: Stage) -> list[str]:
    """A few lines of what Prometheus would read."""
    text: str = stage.till.ask("GET", "/api/v1/metrics", Authorization=f"Bearer {stage.token('metrics')}")
    wanted = ("websocket_server_messages_total", "http_server_request_duration_seconds_count", "correlation_ids_total")
    lines = (
        re.sub(r',?(otel_scope_\w+|network_protocol_version|url_scheme)="[^"]*"', "", line)
        for line in text.splitlines()
    )
    return [line for line in lines if line.startswith(wanted) and not line.endswith(" 0.0")]


def _stay(stage: Stage) -> None:
    url, token = stage.url, stage.token("print metrics")
    print(
        f"""
everything is left running; Ctrl-C ends it.

  TOKEN={token}
  curl -H "Authorization: Bearer $TOKEN" {url}/api/v1/printing/printers
  curl -H "Authorization: Bearer $TOKEN" -X POST {url}/api/v1/printing/printers/mitte-bar/test
  curl -H "Authorization: Bearer $TOKEN" {url}/api/v1/metrics
  curl {url}/health
""",
        flush=True,
    )
    threading.Event().wait()


def _of(span: Any, order: str) -> bool:
    return bool(span.attributes.get("correlation.id") == order)


def _seconds(moment: str | None) -> float:
    return datetime.fromisoformat(moment).timestamp() if moment else 0.0


def _until(done: Callable[[], bool], within: float) -> None:
    deadline = time.monotonic() + within
    while not done() and time.monotonic() < deadline:
        time.sleep(0.1)


if __name__ == "__main__":
    sys.exit(main())
