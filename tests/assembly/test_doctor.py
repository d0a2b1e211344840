"""printobs doctor, on printers of every kind."""

import json
import socket
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from printobs.assembly.cli import main
from printobs.testing import VirtualPrinter

Printers = Callable[..., VirtualPrinter]


def address(paper: VirtualPrinter) -> str:
    return f"tcp://127.0.0.1:{paper.port}"


def examined(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, Any]]:
    code = main(["doctor", "--json", *arguments])
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return code, found


def test_a_healthy_printer_tells_what_it_is_and_nothing_is_printed(
    capsys: pytest.CaptureFixture[str], virtual_printers: Printers
) -> None:
    paper = virtual_printers(model="TM-T88VI", serial="X123")
    code, found = examined(capsys, address(paper))
    assert code == 0
    assert found["connected"]
    assert (found["state"]["maker"], found["state"]["model"], found["state"]["serial"]) == ("EPSON", "TM-T88VI", "X123")
    assert 0 < found["real_time_status"] < 1
    assert (found["trouble"], found["proof"], found["printed"]) == (None, None, False)
    assert paper.receipts == ()
    assert paper.current is None


def test_print_tries_the_proof(capsys: pytest.CaptureFixture[str], virtual_printers: Printers) -> None:
    able, unable = virtual_printers(), virtual_printers(process_id=False)
    code, found = examined(capsys, "--print", address(able))
    assert (code, found["proof"]) == (0, "process_id")
    assert "it prints" in able.receipts[0].text
    code, found = examined(capsys, "--print", address(unable))
    assert (code, found["proof"]) == (1, None)
    assert len(unable.receipts) == 1


@pytest.mark.parametrize(
    ("fault", "trouble"), [("paper_out", "paper_end"), ("cover_open", "cover_open"), ("offline", "offline")]
)
def test_trouble_is_named_and_not_printed_into(
    capsys: pytest.CaptureFixture[str], virtual_printers: Printers, fault: str, trouble: str
) -> None:
    paper = virtual_printers()
    getattr(paper, fault)()
    code, found = examined(capsys, "--print", address(paper))
    assert (code, found["trouble"], found["printed"]) == (1, trouble, False)


def test_a_mute_printer_is_no_failure(capsys: pytest.CaptureFixture[str], virtual_printers: Printers) -> None:
    paper = virtual_printers()
    paper.mute()
    code, found = examined(capsys, address(paper))
    assert (code, found["real_time_status"], found["state"]["offline"]) == (0, None, None)


def test_what_cannot_be_reached(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        code, found = examined(capsys, f"tcp://127.0.0.1:{closed.getsockname()[1]}")
    assert (code, found["connected"]) == (3, False)
    assert "refused" in found["error"]
    assert main(["doctor", "tcp://printer.invalid"]) == 3
    assert "cannot be reached" in capsys.readouterr().out


@pytest.mark.parametrize("wrong", ["kitchen", "http://x", "tcp://", "tcp://x:y", "tcp://x/y", "tcp://x:0"])
def test_a_wrong_address_is_usage(capsys: pytest.CaptureFixture[str], wrong: str) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["doctor", wrong])
    assert ended.value.code == 2
    assert "Traceback" not in capsys.readouterr().err


def test_it_reads_well(capsys: pytest.CaptureFixture[str], virtual_printer: VirtualPrinter) -> None:
    assert main(["doctor", "--print", address(virtual_printer)]) == 0
    text = capsys.readouterr().out
    assert 'proof="process_id"' in text
    assert "EPSON TM-T88VI" in text


def test_the_command_is_installed() -> None:
    done = subprocess.run([sys.executable, "-m", "printobs", "--version"], capture_output=True, text=True, check=False)
    assert done.stdout.startswith("printobs 0."), done.stderr
