"""Each fault of a printer, at the first, a middle and the last byte of a job: what is said, and what is on paper."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from escpos.printer import Network
from opentelemetry.trace import StatusCode

from printobs.assembly.printing import print_job, register
from printobs.core.conventions import Outcome
from printobs.integrations import escpos
from printobs.testing.virtual_printer import VirtualPrinter
from tests.conftest import Sdk

# python-escpos leaves the socket of a failed attempt to the garbage collector.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
ASKED = 12 + 11  # bytes of DLE EOT 1 to 4 and of GS ( H, before the first of the job
LINES = 20
CONFIRMED, UNKNOWN, FAILED = Outcome.CONFIRMED, Outcome.UNKNOWN, Outcome.FAILED


@pytest.fixture(autouse=True)
def _clean() -> Iterator[None]:
    yield
    escpos.uninstrument()


def ticket(printer: Any) -> None:
    for number in range(LINES):
        printer.text(f"line {number}\n")
    printer.cut()


@pytest.fixture(scope="module")
def size() -> int:
    """Bytes of the ticket."""
    with VirtualPrinter() as paper:
        printer = Network("127.0.0.1", paper.port)
        ticket(printer)
        printer.close()
        paper.wait_for_receipts(1)
        return paper.received_count


def at(place: str, size: int) -> int:
    return {"first": ASKED + 1, "middle": ASKED + size // 2, "last": ASKED + size}[place]


def connection_lost(fault: str) -> Callable[[VirtualPrinter, str, int], None]:
    return lambda paper, place, size: getattr(paper, fault)(at(place, size))


def paper_out(paper: VirtualPrinter, place: str, size: int) -> None:
    paper.paper_out(after_dots={"first": 1, "middle": 300, "last": 30 * LINES}[place])


def cutter(paper: VirtualPrinter, place: str, size: int) -> None:
    paper.cutter_error(at_next_cut=True)


def status_changes(fault: str) -> Callable[[VirtualPrinter, str, int], None]:
    def arrange(paper: VirtualPrinter, place: str, size: int) -> None:
        def watch() -> None:
            while paper.received_count < at(place, size) - 1:
                pass
            getattr(paper, fault)()

        threading.Thread(target=watch, daemon=True).start()

    return arrange


# fault, place, what may be said and why; {} where it depends on which byte the kernel had taken when it happened.
TABLE: list[tuple[str, Callable[[VirtualPrinter, str, int], None], dict[str, tuple[set[Outcome], set[str | None]]]]] = [
    (
        "power_off_at",
        connection_lost("power_off_at"),
        {
            "first": ({FAILED, UNKNOWN}, {"reset"}),
            "middle": ({FAILED, UNKNOWN}, {"reset"}),
            "last": ({UNKNOWN}, {"reset"}),
        },
    ),
    (
        "reset_at",
        connection_lost("reset_at"),
        {
            "first": ({FAILED, UNKNOWN}, {"reset"}),
            "middle": ({FAILED, UNKNOWN}, {"reset"}),
            "last": ({UNKNOWN}, {"reset"}),
        },
    ),
    (
        "paper_out",
        paper_out,
        {place: ({UNKNOWN}, {"paper_end"}) for place in ("first", "middle", "last")},
    ),
    ("cutter_error", cutter, {"last": ({UNKNOWN}, {"cutter"})}),
    (
        "mute",
        status_changes("mute"),
        {place: ({CONFIRMED, UNKNOWN}, {"timeout", None}) for place in ("first", "middle", "last")},
    ),
    (
        "garbage_replies",
        status_changes("garbage_replies"),
        {place: ({CONFIRMED, UNKNOWN}, {"timeout", None}) for place in ("first", "middle", "last")},
    ),
]


@pytest.mark.parametrize(
    ("arrange", "place", "outcomes", "errors"),
    [
        pytest.param(arrange, place, *expected, id=f"{fault}-{place}")
        for fault, arrange, places in TABLE
        for place, expected in places.items()
    ],
)
def test_a_fault(
    sdk: Sdk,
    size: int,
    arrange: Callable[[VirtualPrinter, str, int], None],
    place: str,
    outcomes: set[Outcome],
    errors: set[str | None],
) -> None:
    with VirtualPrinter() as paper:
        printer = register(Network("127.0.0.1", paper.port, timeout=5), name="kitchen", proof="process_id")
        arrange(paper, place, size)
        job = print_job(printer, timeout=2)
        raised: Exception | None = None
        try:
            with job:
                ticket(printer)
        except Exception as error:
            raised = error
        whole = sum(receipt.cut for receipt in paper.receipts)
        with contextlib.suppress(Exception):
            printer.close()
    assert job.outcome in outcomes
    assert job.error_type in errors
    assert whole == 1 or job.outcome is not CONFIRMED
    assert whole == 0 or job.outcome is not FAILED
    # The caller sees what the driver raises, and nothing of ours; without that, only the outcome.
    assert raised is None or isinstance(raised, OSError)
    assert raised is None or job.outcome is not CONFIRMED
    span = sdk.span("print job")
    attributes = span.attributes or {}
    assert (span.status.status_code is StatusCode.ERROR) == (job.outcome is not CONFIRMED)
    assert attributes.get("error.type") == job.error_type
    assert ("printer.job.window" in attributes) == (job.outcome is UNKNOWN)
    assert sdk.value("printer.jobs", printer__job__outcome=job.outcome.value) == 1
