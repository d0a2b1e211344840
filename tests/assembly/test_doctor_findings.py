"""What printobs doctor saves, and what register() makes of it."""

import json
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from escpos.printer import Dummy, File, Network, Serial, Usb

from printobs.assembly import findings
from printobs.assembly.cli import main
from printobs.assembly.findings import Finding
from printobs.assembly.printing import print_job, register
from printobs.core.conventions import Outcome
from printobs.signals import printers
from printobs.testing import VirtualPrinter
from tests.conftest import Sdk

Capture = pytest.CaptureFixture[str]
Printers = Callable[..., VirtualPrinter]
PROVEN = Finding("process_id", True, "EPSON TM-T88VI", "X1", "2026-01-01T12:00:00+00:00")


@pytest.fixture(autouse=True)
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "folder" / "printers.json"
    monkeypatch.setenv("PRINTOBS_PRINTERS", str(file))
    monkeypatch.setattr(findings, "_read", None)  # as in a new process
    return file


def content(file: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(file.read_text())
    assert list(found) == ["printobs", "printers"]
    return dict(found["printers"])


def test_what_doctor_has_seen_register_uses(capsys: Capture, sdk: Sdk, virtual_printer: VirtualPrinter) -> None:
    assert main(["doctor", "--print", f"tcp://127.0.0.1:{virtual_printer.port}"]) == 0
    kitchen = register(Network("127.0.0.1", virtual_printer.port), name="kitchen")
    with print_job(kitchen, timeout=10) as job:
        kitchen.text("2 x Ramen\n")
        kitchen.cut()
    kitchen.close()
    assert job.outcome is Outcome.CONFIRMED


def test_no_save_saves_nothing(capsys: Capture, virtual_printer: VirtualPrinter, file: Path) -> None:
    assert main(["doctor", "--print", "--no-save", f"tcp://127.0.0.1:{virtual_printer.port}"]) == 0
    assert "  saved" not in capsys.readouterr().out
    assert not file.exists()


def test_what_proves_nothing_any_more_replaces_what_did(
    capsys: Capture, virtual_printers: Printers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("printobs.assembly.doctor.PRINTING", 0.5)
    paper = virtual_printers(process_id=False)
    address = f"tcp://127.0.0.1:{paper.port}"
    findings.save(address, PROVEN)
    findings.save("tcp://bar:9100", PROVEN)
    assert main(["doctor", "--print", address]) == 1
    assert findings.load(address) is not None
    assert findings.proof_of(Network("127.0.0.1", paper.port)) == ""
    assert findings.proof_of(Network("bar")) == "process_id"


@pytest.mark.parametrize(
    ("address", "printer"),
    [
        ("tcp://10.0.0.9:9100", lambda: Network("10.0.0.9")),
        ("tcp://kitchen:9101", lambda: Network("Kitchen", 9101)),
        ("tcp://[fd00::7]:9100", lambda: Network("fd00::7")),
        ("serial:///dev/ttyUSB0", lambda: Serial("/dev/ttyUSB0", baudrate=38400)),
        ("serial://COM3", lambda: Serial("com3")),
        ("serial://COM12", lambda: Serial("\\\\.\\COM12")),
        ("usb://04b8:0202", lambda: Usb(0x04B8, 0x0202)),
        ("usb://04b8:0202", lambda: type("Mine", (Usb,), {})(0x04B8, 0x0202)),
    ],
)
def test_a_driver_is_found_by_its_address_and_no_other(address: str, printer: Callable[[], Any]) -> None:
    findings.save(address, PROVEN)
    assert findings.load(address) == PROVEN
    each = register(printer(), name="kitchen")
    assert printers.known[id(each)].proof == "process_id"
    for other in (Network("10.0.0.10"), Network("10.0.0.9", 9101), Serial("/dev/ttyUSB1"), Usb(0x04B8, 0x0203)):
        assert findings.proof_of(other) == ""
    for unable in (File("/dev/ttyUSB0"), Dummy(), object(), None):
        assert findings.proof_of(unable) == ""


def test_the_address_that_doctor_was_given_is_the_drivers() -> None:
    from printobs.assembly import addresses

    for text, key in (
        ("tcp://Kitchen", "tcp://kitchen:9100"),
        ("tcp://[FD00::7]:9101/", "tcp://[fd00::7]:9101"),
        ("serial:///dev/ttyUSB0?baudrate=38400", "serial:///dev/ttyUSB0"),
        ("serial://com3?baudrate=9600", "serial://COM3"),
        ("usb://04B8:0E15?in=0x81&out=0x02", "usb://04b8:0e15"),
    ):
        assert addresses.parse(text).key == key


BAD = {
    "empty": b"",
    "no JSON": b"\xff\xfe{",
    "cut off": b'{"printobs": 1, "printers": {"tcp://10.0.0.9:91',
    "foreign": b'{"proxies": []}',
    "newer": b'{"printobs": 2, "printers": {}}',
    "no printers": b'{"printobs": 1, "printers": []}',
    "a list": b"[1]",
    "deep": b"[" * 60_000,
    "a long number": b"1" * 60_000,
    "too large": b" " * 65_537,
    "unknown proof": b'{"printobs": 1, "printers": {"tcp://10.0.0.9:9100": {"proof": "honour"}}}',
    "a list for a proof": b'{"printobs": 1, "printers": {"tcp://10.0.0.9:9100": {"proof": ["process_id"]}}}',
    "no entry": b'{"printobs": 1, "printers": {"tcp://10.0.0.9:9100": null}}',
    "unknown field": b'{"printobs": 1, "printers": {"tcp://10.0.0.9:9100": {"proof": null, "colour": "red"}}}',
    "a number for a name": b'{"printobs": 1, "printers": {"tcp://10.0.0.9:9100": {"proof": null, "printer": 1}}}',
    "a text for a yes": b'{"printobs": 1, "printers": {"tcp://10.0.0.9:9100": {"proof": null, "ordered": "yes"}}}',
    "a long name": b'{"printobs":1,"printers":{"tcp://10.0.0.9:9100":{"proof":null,"serial":"%s"}}}' % (b"x" * 81),
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
def test_a_file_that_cannot_be_used_is_ignored_logged_once_and_left_alone(
    bad: bytes, file: Path, caplog: pytest.LogCaptureFixture, capsys: Capture, virtual_printer: VirtualPrinter
) -> None:
    file.parent.mkdir()
    file.write_bytes(bad)
    for name in ("kitchen", "bar"):
        each = register(Network("10.0.0.9"), name=name)
        assert printers.known[id(each)].proof == ""
    [record] = caplog.records
    assert record.levelno == logging.WARNING
    assert f"is ignored: {file}: " in record.getMessage()
    assert main(["doctor", "--print", f"tcp://127.0.0.1:{virtual_printer.port}"]) == 0  # the printer is well
    [line] = [line for line in capsys.readouterr().out.splitlines() if line.startswith("  not saved")]
    assert f"{file}: " in line
    assert "move it away" in line
    assert file.read_bytes() == bad
    assert [each.name for each in file.parent.iterdir()] == [file.name]


def test_a_folder_and_a_pipe_are_no_file(
    file: Path, caplog: pytest.LogCaptureFixture, capsys: Capture, virtual_printer: VirtualPrinter
) -> None:
    address = f"tcp://127.0.0.1:{virtual_printer.port}"
    file.mkdir(parents=True)
    assert findings.proof_of(Network("10.0.0.9")) == ""
    assert main(["doctor", "--print", address]) == 0
    file.rmdir()
    os.mkfifo(file)
    findings._read = None
    assert findings.proof_of(Network("10.0.0.9")) == ""  # nobody writes to it: it is not opened
    assert main(["doctor", "--print", address]) == 0
    assert capsys.readouterr().out.count("not saved") == 2
    assert len(caplog.records) == 2


def test_a_folder_that_cannot_be_made_is_told(
    file: Path, capsys: Capture, virtual_printer: VirtualPrinter, caplog: pytest.LogCaptureFixture
) -> None:
    file.parent.write_text("in the way")
    assert main(["doctor", "--json", "--print", f"tcp://127.0.0.1:{virtual_printer.port}"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["saved"] is None
    assert found["not_saved"]
    assert findings.proof_of(Network("10.0.0.9")) == ""


def test_the_file_is_read_once(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert findings.load("tcp://a:9100") is None  # there is none yet
    findings.save("tcp://a:9100", PROVEN)
    assert findings.load("tcp://a:9100") is None
    assert caplog.records == []


def test_writers_at_the_same_time_keep_what_the_others_wrote(file: Path) -> None:
    code = (
        "import sys; from printobs.assembly import findings; "
        "[findings.save(f'tcp://{sys.argv[1]}-{n}:9100', findings.Finding('process_id')) for n in range(8)]"
    )
    runs = [subprocess.Popen([sys.executable, "-c", code, name]) for name in ("a", "b", "c")]
    assert [run.wait(50) for run in runs] == [0, 0, 0]
    assert len(content(file)) == 24


def test_a_reader_never_sees_half_a_file(file: Path) -> None:
    findings.save("tcp://a:9100", PROVEN)
    stop = threading.Event()

    def write() -> None:
        for n in range(60):
            findings.save(f"tcp://{n}:9100", PROVEN)
        stop.set()

    thread = threading.Thread(target=write)
    thread.start()
    seen = 0
    while not stop.is_set():
        assert findings._load(file)["tcp://a:9100"] == PROVEN
        seen += 1
    thread.join()
    assert seen > 1


def test_a_draft_that_a_killed_doctor_left_is_no_obstacle(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.parent.mkdir()
    draft = file.with_name("printers.json.new")
    draft.write_text("{")
    os.utime(draft, (time.time() - 60, time.time() - 60))
    findings.save("tcp://a:9100", PROVEN)
    assert content(file)["tcp://a:9100"]["proof"] == "process_id"
    draft.write_text("{")
    monkeypatch.setattr(findings, "WAIT", 0.1)
    with pytest.raises(TimeoutError, match="somebody else is writing"):
        findings.save("tcp://a:9100", PROVEN)


def test_it_never_grows_beyond_what_can_be_read_and_the_oldest_go_first(file: Path) -> None:
    for n in range(450):
        findings.save(f"tcp://10.0.{n // 256}.{n % 256}:9100", PROVEN)
    assert file.stat().st_size <= findings.MAX_FILE
    assert findings.load("tcp://10.0.0.0:9100") is None
    assert findings.load("tcp://10.0.1.193:9100") == PROVEN


def test_a_printer_may_say_what_it_likes() -> None:
    long = findings.found(None, ordered=False, printer="x" * 200, serial="\x7f" * 200)
    findings.save("tcp://a:9100", long)
    loaded = findings.load("tcp://a:9100")
    assert loaded == long
    assert loaded is not None
    assert len(loaded.printer) == len(loaded.serial) == findings.MAX_TEXT


def test_where_it_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PRINTOBS_PRINTERS", "")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "x"))
    assert findings.path() == tmp_path / "x" / "printobs" / "printers.json"
    for none in ("", "relative"):
        monkeypatch.setenv("XDG_CONFIG_HOME", none)
        assert findings.path() == tmp_path / ".config" / "printobs" / "printers.json"
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setenv("APPDATA", str(tmp_path / "Roaming"))
    assert findings.path() == tmp_path / "Roaming" / "printobs" / "printers.json"


def test_a_user_without_a_home_registers_all_the_same(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, virtual_printer: VirtualPrinter, capsys: Capture
) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("PRINTOBS_PRINTERS")
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.setattr(Path, "home", homeless)
    assert findings.proof_of(register(Network("10.0.0.9"), name="kitchen")) == ""
    assert len(caplog.records) == 1
    assert main(["doctor", "--print", f"tcp://127.0.0.1:{virtual_printer.port}"]) == 0
    assert "not saved          PRINTOBS_PRINTERS: Could not determine home" in capsys.readouterr().out
