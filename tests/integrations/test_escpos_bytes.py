"""An instrumented driver is the bare driver: the same bytes, results, exceptions and classes."""

import abc
import contextlib
import functools
import inspect
import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any, Literal
from unittest import mock

import pytest
from escpos.escpos import Escpos, EscposIO
from escpos.printer import Dummy, File, Network
from PIL import Image

from printobs.assembly.printing import print_job, register
from printobs.integrations import escpos
from printobs.signals.jobs import cuts
from printobs.testing.virtual_printer import VirtualPrinter
from tests.conftest import Sdk

LOGO = Image.new("1", (64, 40), 0)
RECEIPTS: dict[str, Callable[[Escpos], object]] = {
    "text": lambda p: (p.set(bold=True, align="center"), p.text("2 x Ramen\n"), p.cut()),
    "code pages": lambda p: [p.text(each) for each in ("Käse 3,50 €\n", "Ёлка\n", "Ψάρι\n", "žluťoučký\n")],
    "textln": lambda p: (p.textln("a"), p.ln(2), p.block_text("long " * 40, columns=30)),
    "raster": lambda p: p.image(LOGO),
    "bit image": lambda p: p.image(LOGO, impl="bitImageColumn"),
    "graphics": lambda p: p.image(LOGO, impl="graphics"),
    "qr": lambda p: p.qr("https://example.org", size=4),
    "native qr": lambda p: p.qr("https://example.org", native=True),
    "barcode": lambda p: p.barcode("4006381333931", "EAN13", function_type="A"),
    "soft barcode": lambda p: p.barcode("4006381333931", "EAN13", force_software=True),
    "slip": lambda p: (p.use_slip_only(), p.text("a"), p.eject_slip(), p.print_and_eject_slip()),
    "display": lambda p: (p.linedisplay_clear(), p.linedisplay("hello"), p.linedisplay_select(True)),
    "controls": lambda p: (p.control("LF"), p.hw("INIT"), p.line_spacing(30), p.panel_buttons(), p.print_and_feed(3)),
    "drawer": lambda p: (p.cashdraw(2), p.buzzer(1, 1), p.cut("PART")),
    "set": lambda p: (p.set(width=2, height=2, custom_size=True), p.set_with_default(), p.charcode("CP437")),
    "long": lambda p: [p.text(f"{line} x Gyoza\n") for line in range(2000)],
}  # fmt: skip


class Listener:
    """A printer that keeps the bytes of each connection and answers nothing."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self.received: list[bytes] = []
        self._more = threading.Semaphore(0)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._socket.accept()
                with connection:
                    received = b""
                    while data := connection.recv(65536):
                        received += data
                    self.received.append(received)
                    self._more.release()

    def wait(self, count: int) -> list[bytes]:
        for _ in range(count):
            assert self._more.acquire(timeout=5)
        return self.received

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join()


@pytest.fixture
def listener() -> Iterator[Listener]:
    it = Listener()
    yield it
    it.close()


@pytest.fixture
def instrumented(sdk: Sdk) -> Iterator[Sdk]:
    escpos.instrument(sdk.telemetry)
    yield sdk
    escpos.uninstrument()


@pytest.mark.parametrize("name", RECEIPTS)
def test_the_bytes_on_the_wire_are_the_bare_drivers(name: str, listener: Listener, sdk: Sdk) -> None:
    def send() -> None:
        printer = Network("127.0.0.1", listener.port, profile="TM-T88V")
        RECEIPTS[name](printer)
        printer.close()

    send()
    escpos.instrument(sdk.telemetry)
    try:
        send()
        printer = Network("127.0.0.1", listener.port, profile="TM-T88V")
        with print_job(register(printer, name="kitchen", proof="sent")) as job:
            RECEIPTS[name](printer)
        printer.close()
    finally:
        escpos.uninstrument()
    bare, found, explicit = listener.wait(3)
    assert bare
    assert found == bare
    assert explicit == bare
    assert job.outcome == "written"


@pytest.mark.parametrize("proof", [None, "process_id"])
@pytest.mark.parametrize("name", RECEIPTS)
def test_a_printer_is_asked_before_the_first_byte_and_after_the_last_and_never_between(
    name: str, proof: Literal["process_id"] | None, listener: Listener, sdk: Sdk
) -> None:
    bare = Network("127.0.0.1", listener.port, profile="TM-T88V")
    RECEIPTS[name](bare)
    bare.close()
    [expected] = listener.wait(1)
    with VirtualPrinter() as paper:
        printer = register(Network("127.0.0.1", paper.port, profile="TM-T88V"), name="kitchen", proof=proof)
        with print_job(printer, timeout=10):
            RECEIPTS[name](printer)
        printer.close()
        paper.wait_idle()
        before, own, after = paper.received.partition(expected)
    escpos.uninstrument()
    assert own
    entry = rb"\x1d\(H\x06\x0000[A-Oa-o]{4}" if proof else b""
    assert re.fullmatch(rb"\x10\x04\x01\x10\x04\x02\x10\x04\x03\x10\x04\x04" + entry, before)
    # A receipt that does not end with its cut is not asked for.
    assert re.fullmatch(entry if proof else rb"\x1dr\x01", after) or (not after and not cuts(expected[-4:]))


def test_every_public_method_is_a_receipt_here_or_known_to_write_nothing() -> None:
    called = inspect.getsource(inspect.getmodule(Listener)).split("RECEIPTS:")[1].split("class Listener")[0]  # type: ignore[arg-type]
    silent = {"open", "close", "device", "is_online", "is_usable", "paper_status", "query_status", "target"}
    missing = {
        name
        for name, value in vars(Escpos).items()
        if not name.startswith("_") and inspect.isfunction(value) and f"p.{name}(" not in called
    }
    assert missing <= silent


def _attributes() -> dict[tuple[str, str], object]:
    classes = [Escpos, EscposIO, *escpos._subclasses(Escpos)]
    names = ("_raw", "_read", "open", "close", "cut", "__init__", "__init_subclass__", "__exit__")
    return {(f"{c.__module__}.{c.__qualname__}", name): vars(c).get(name, "absent") for c in classes for name in names}


def test_uninstrument_leaves_every_attribute_as_it_was(sdk: Sdk) -> None:
    before = _attributes()
    escpos.instrument(sdk.telemetry)
    once = _attributes()
    escpos.instrument(sdk.telemetry)
    assert _attributes() == once != before
    escpos.uninstrument()
    escpos.uninstrument()
    assert _attributes() == before


def test_return_values_exceptions_and_classes_are_unchanged(instrumented: Sdk) -> None:
    class Odd(Dummy):
        def _raw(self, msg: bytes) -> Any:
            if msg == b"raise":
                raise KeyError("mine")
            return 42

    assert Odd()._raw(b"x") == 42
    with pytest.raises(KeyError, match="mine") as raised:
        Odd()._raw(b"raise")
    assert raised.traceback[-1].name == "_raw"
    assert raised.value.__context__ is None

    class Abstract(Escpos):
        @abc.abstractmethod
        def _raw(self, msg: bytes) -> None: ...

    with pytest.raises(TypeError, match="abstract"):
        Abstract()  # type: ignore[abstract]
    assert isinstance(Odd(), Escpos)
    assert inspect.signature(Network._raw) == inspect.signature(inspect.unwrap(Network._raw))
    with mock.patch.object(Network, "_raw", autospec=True) as raw:
        Network("127.0.0.1")._raw(b"a")
    raw.assert_called_once()
    dummy = Dummy()
    assert set(vars(dummy)) == {*vars(Dummy())}


def test_classes_and_instances_made_before_and_after_are_watched_once(sdk: Sdk) -> None:
    class Early(File):
        def _raw(self, msg: bytes) -> None:
            super()._raw(b"<" + msg + b">")

    class NoSuper(File):
        def __init_subclass__(cls) -> None: ...

    early = Early("/dev/null")
    escpos.instrument(sdk.telemetry)
    try:

        class Late(File):
            def _raw(self, msg: bytes) -> None: ...

        class Child(NoSuper):
            def _raw(self, msg: bytes) -> None: ...

        for printer in (early, Late("/dev/null"), Child("/dev/null"), File("/dev/null")):
            with print_job(printer) as job:
                printer._raw(b"12345")
            assert job.outcome == "written"
        sizes = [span.attributes["printer.job.size"] for span in sdk.spans("print job") if span.attributes]
        assert sizes == [5, 5, 5, 5]
    finally:
        escpos.uninstrument()


def test_what_cannot_be_watched_still_prints(instrumented: Sdk) -> None:
    class Partial(Dummy):
        def _write(self, msg: bytes, flag: int) -> None:
            self._output_list.append(msg)

        _raw = functools.partialmethod(_write, flag=1)

    printer = Partial()
    with print_job(printer) as job:
        printer.text("hi")
    assert b"hi" in printer.output
    assert job.outcome == "unknown"


def test_a_driver_may_have_a_signature_and_messages_of_its_own(instrumented: Sdk) -> None:
    class Mine(Dummy):
        def _raw(self, data: Any, retries: int = 3, *, note: str = "") -> str:
            super()._raw(data.encode() if isinstance(data, str) else data or b"")
            return f"{retries} {note}"

    class Optional(Dummy):
        def _raw(self, msg: bytes = b"\n") -> None:
            super()._raw(msg)

    for explicit in (False, True):
        mine, optional = Mine(), Optional()
        with print_job(mine) if explicit else nullcontext() as job:
            assert mine._raw(data=b"hello\n", note="x") == "3 x"
            assert mine._raw(b"you\n", 1) == "1 "
            for message in ("ab", "longer\n", None, bytearray(b"c"), memoryview(b"de")):
                mine._raw(message)
            with pytest.raises(TypeError):
                mine._raw()  # type: ignore[call-arg]
            optional._raw()
        assert mine.output == b"hello\nyou\nablonger\ncde"
        assert optional.output == b"\n"
    assert job is not None
    assert job.outcome == "written"
    [span] = instrumented.spans("print job")
    assert span.attributes is not None
    assert span.attributes["printer.job.size"] >= len(b"hello\nyou\ncde")  # type: ignore[operator]


def test_printobs_failing_inside_changes_nothing(listener: Listener, instrumented: Sdk, monkeypatch: Any) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError

    for name in ("printobs.signals.jobs.Job._record", "printobs.signals.passive._content"):
        monkeypatch.setattr(name, fail)
    monkeypatch.setattr("printobs.signals.correlation.ensure", fail)
    printer = register(Network("127.0.0.1", listener.port), name="kitchen", proof="sent")
    with print_job(printer) as job:
        printer.text("one\n")
    printer.text("two\n")
    printer.close()
    [received] = listener.wait(1)
    assert b"one" in received
    assert b"two" in received
    assert job.outcome == "written"
