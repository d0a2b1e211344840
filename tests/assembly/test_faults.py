"""Each fault of a printer, at the first, a middle and the last byte of a job: what is said, and what is on paper."""

import contextlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest
from escpos.printer import Network
from opentelemetry.trace import StatusCode

from printobs.assembly.printing import PrintJob, print_job, register
from printobs.core.conventions import Outcome
from printobs.integrations import escpos
from printobs.testing.virtual_printer import VirtualPrinter
from tests.conftest import Sdk, in_memory

# python-escpos leaves the socket of a failed attempt to the garbage collector.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
ASKED = 12 + 11  # bytes of DLE EOT 1 to 4 and of GS ( H, before the first of the job
LINES = 20
CONFIRMED, UNKNOWN, FAILED = Outcome.CONFIRMED, Outcome.UNKNOWN, Outcome.FAILED


class Printer(VirtualPrinter):
    def slowly(self) -> None:
        self.slow(3000.0)


def ticket(printer: Any) -> None:
    for number in range(LINES):
        printer.text(f"line {number}\n")
    printer.cut()


def at(place: str, size: int) -> int:
    return {"first": ASKED + 1, "middle": ASKED + size // 2, "last": ASKED + size}[place]


def now(fault: str) -> Callable[[VirtualPrinter, int], None]:
    return lambda paper, count: paper.at_byte(count, getattr(paper, fault))


def jams(paper: VirtualPrinter, count: int) -> None:
    paper.at_byte(count, lambda: paper.cutter_error(at_next_cut=True))


Said = tuple[set[Outcome], set[str | None]]
STOPS = {
    "paper_out": "paper_end",
    "cover_open": "cover_open",
    "offline": "offline",
    "cutter_error": "cutter",
    "mechanical_error": "mechanical",
    "unrecoverable_error": "unrecoverable",
    "overheated": "offline",
    "press_feed": "offline",
    # It goes on printing, and cannot say so any more.
    "mute": "timeout",
    "garbage_replies": "timeout",
}
# What may be said, and why, by fault and place. Of bytes that are lost with their connection the last may or may not
# have been taken by the kernel.
TABLE: dict[str, tuple[Callable[[VirtualPrinter, int], None], dict[str, Said]]] = {
    **{
        fault: (now(fault), {place: ({CONFIRMED}, {None}) for place in ("first", "middle", "last")})
        for fault in ("near_end", "slowly")
    },
    **{
        fault: (now(fault), {place: ({UNKNOWN}, {error}) for place in ("first", "middle", "last")})
        for fault, error in STOPS.items()
    },
    "cutter_at_cut": (jams, {"first": ({UNKNOWN}, {"cutter"}), "middle": ({UNKNOWN}, {"cutter"})}),
    **{
        fault: (
            now(fault),
            {
                "first": ({FAILED, UNKNOWN}, {"reset"}),
                "middle": ({FAILED, UNKNOWN}, {"reset"}),
                "last": ({UNKNOWN}, {"reset"}),
            },
        )
        for fault in ("reset", "power_off")
    },
}


# What `printer.status` says after it, by error.type: a printer that has only fallen silent was last heard to be ready.
STATES = {None: "ready", "timeout": "ready", "reset": "unknown"}


def test_every_fault_that_a_printer_may_have_is_in_the_table() -> None:
    methods = {
        name for name in vars(VirtualPrinter) if not name.startswith("_") and callable(getattr(VirtualPrinter, name))
    }
    mended = {"paper_in", "near_end_cleared", "cover_close", "online", "release_feed", "recover", "unmute", "power_on"}
    told = {"close", "wait_for_receipts", "wait_idle", "drawer_sensor"}
    laid = {"at_byte", "reset_at", "power_off_at"}
    assert methods - mended - told - laid - {"slow"} == set(TABLE) - {"slowly", "cutter_at_cut"}


@dataclass(frozen=True)
class Day:
    """What one job has shown. The driver is kept: what is told of a printer ends with it."""

    job: PrintJob
    raised: Exception | None
    whole: int
    driver: Network


def play(fault: str, place: str, size: int) -> Day:
    with Printer() as paper:
        driver = Network("127.0.0.1", paper.port, timeout=5)
        printer = register(driver, name=f"{fault}-{place}", proof="process_id")
        TABLE[fault][0](paper, at(place, size))
        # Most of them take all of it, whatever else the machine does meanwhile.
        job = print_job(printer, timeout=3)
        raised: Exception | None = None
        try:
            with job:
                ticket(printer)
        except Exception as error:
            raised = error
        whole = sum(receipt.cut for receipt in paper.receipts)
        with contextlib.suppress(Exception):
            printer.close()
    return Day(job, raised, whole, driver)


CASES = [(fault, place) for fault, (_, places) in TABLE.items() for place in places]
Played = tuple[Sdk, dict[tuple[str, str], Day]]


@pytest.fixture(scope="module")
def played() -> Iterator[Played]:
    """All of them, side by side: they do little but wait."""
    with VirtualPrinter() as paper:
        printer = Network("127.0.0.1", paper.port)
        ticket(printer)
        printer.close()
        paper.wait_for_receipts(1)
        size = paper.received_count
    with in_memory() as sdk:
        with ThreadPoolExecutor(11) as pool:
            days = pool.map(lambda case: play(*case, size), CASES)
        yield sdk, dict(zip(CASES, days, strict=True))
    escpos.uninstrument()


@pytest.mark.parametrize(("fault", "place"), CASES)
def test_a_fault(played: Played, fault: str, place: str) -> None:
    sdk, days = played
    day, (outcomes, errors) = days[fault, place], TABLE[fault][1][place]
    job = day.job
    assert job.outcome in outcomes
    assert job.error_type in errors
    assert day.whole == 1 or job.outcome is not CONFIRMED
    assert day.whole == 0 or job.outcome is not FAILED
    # The caller sees what the driver raises, and nothing of ours; without that, only the outcome.
    assert day.raised is None or isinstance(day.raised, OSError)
    assert day.raised is None or job.outcome is not CONFIRMED
    name = f"{fault}-{place}"
    [span] = [span for span in sdk.spans("print job") if (span.attributes or {})["printer.name"] == name]
    attributes = span.attributes or {}
    assert (span.status.status_code is StatusCode.ERROR) == (job.outcome is not CONFIRMED)
    assert attributes.get("error.type") == job.error_type
    assert ("printer.job.window" in attributes) == (job.outcome is UNKNOWN)
    assert sdk.value("printer.jobs", printer__name=name) == 1
    assert sdk.value("printer.jobs", printer__name=name, printer__job__outcome=job.outcome.value) == 1
    state = STATES.get(job.error_type, job.error_type)
    assert sdk.value("printer.status", printer__name=name, printer__state=state) == 1
    assert sdk.value("printer.status", printer__name=name) == 1
