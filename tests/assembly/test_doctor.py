"""printobs doctor, on printers of every kind, over TCP."""

import contextlib
import io
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from printobs.assembly import addresses, doctor
from printobs.assembly.cli import main
from printobs.testing import VirtualPrinter

Printers = Callable[..., VirtualPrinter]
Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where doctor saves what it finds: not in the user's own folder."""
    file = tmp_path / "printers.json"
    monkeypatch.setenv("PRINTOBS_PRINTERS", str(file))
    return file


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """For printers that will not answer."""
    monkeypatch.setattr(doctor, "PRINTING", 0.5)


def address(paper: VirtualPrinter) -> str:
    return f"tcp://127.0.0.1:{paper.port}"


def examined(capsys: Capture, *arguments: str) -> tuple[int, dict[str, Any]]:
    code = main(["doctor", "--json", *arguments])
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return code, found


def read(capsys: Capture, *arguments: str) -> tuple[int, str]:
    code = main(["doctor", *arguments])
    return code, capsys.readouterr().out


def test_a_healthy_printer_tells_what_it_is_and_nothing_is_printed(
    capsys: Capture, virtual_printers: Printers, saved: Path
) -> None:
    paper = virtual_printers(model="TM-T88VI", serial="X123")
    code, found = examined(capsys, address(paper))
    assert code == 0
    assert found["connected"]
    assert (found["state"]["maker"], found["state"]["model"], found["state"]["serial"]) == ("EPSON", "TM-T88VI", "X123")
    assert 0 < found["real_time_status"] < 1
    assert (found["trouble"], found["proof"], found["printed"]) == (None, None, False)
    code, text = read(capsys, address(paper))
    assert code == 0
    assert "EPSON TM-T88VI" in text
    assert "not tried: doctor --print prints a slip" in text
    assert paper.receipts == ()
    assert paper.current is None
    assert b"\x1d(H" not in paper.received
    assert not saved.exists()


def test_print_tries_every_proof(capsys: Capture, virtual_printers: Printers) -> None:
    paper = virtual_printers(speed=150)
    code, found = examined(capsys, "--print", address(paper))
    assert (code, found["proof"]) == (0, "process_id")
    assert "it prints" in paper.receipts[0].text
    assert len(paper.receipts) == 1
    # The slip is at least 150 dots long; what is answered in order is answered before they have moved.
    assert found["process_id"] > 0.9
    assert 0 < found["ordered_status"] <= found["ordered_name"] < found["process_id"]


def test_it_reads_well(capsys: Capture, virtual_printer: VirtualPrinter, saved: Path) -> None:
    code, text = read(capsys, "--print", address(virtual_printer))
    assert code == 0
    assert 'proof="process_id"' in text
    assert "EPSON TM-T88VI" in text
    assert "GS ( H" in text
    assert f"in {saved}" in text
    assert "look at the slip" not in text


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("clone", [False, "text"])
def test_a_clone_proves_nothing_and_what_it_takes_for_text_comes_out_on_the_slip(
    capsys: Capture, virtual_printers: Printers, clone: object
) -> None:
    paper = virtual_printers(process_id=clone)
    code, found = examined(capsys, "--print", address(paper))
    assert (code, found["proof"], found["process_id"]) == (1, None, None)
    assert found["ordered_status"] is not None
    assert found["ordered_name"] is not None
    paper.wait_for_receipts(2)
    assert "it prints" in paper.receipts[0].text
    assert ("(H00" in paper.receipts[1].text) is (clone == "text")
    assert paper.current is None  # the next receipt begins clean
    code, text = read(capsys, "--print", address(paper))
    assert code == 1
    assert "none: its jobs end as written" in text
    assert 'look at the slip   are odd characters such as "(H" on it?' in text


@pytest.mark.parametrize(
    ("fault", "trouble"), [("paper_out", "paper_end"), ("cover_open", "cover_open"), ("offline", "offline")]
)
def test_trouble_is_named_and_not_printed_into(
    capsys: Capture, virtual_printers: Printers, saved: Path, fault: str, trouble: str
) -> None:
    paper = virtual_printers()
    getattr(paper, fault)()
    code, found = examined(capsys, "--print", address(paper))
    assert (code, found["trouble"], found["printed"]) == (1, trouble, False)
    code, text = read(capsys, "--print", address(paper))
    assert code == 1
    assert f"state              {trouble}" in text
    assert "nothing is printed into trouble" in text
    assert b"doctor" not in paper.received
    assert paper.buffered == 0
    assert not saved.exists()


@pytest.mark.usefixtures("hasty")
def test_paper_that_ends_in_the_slip_is_no_finding(capsys: Capture, virtual_printers: Printers, saved: Path) -> None:
    paper = virtual_printers()
    paper.paper_out(after_dots=50)
    code, text = read(capsys, "--print", address(paper))
    assert code == 1
    assert "state              paper_end" in text
    assert "not known: something came in between" in text
    assert not saved.exists()
    paper.paper_in()
    paper.wait_for_receipts(1)
    assert len(paper.receipts) == 1
    assert paper.current is None  # nothing more was sent into the trouble


@pytest.mark.usefixtures("hasty")
def test_a_mute_printer_is_no_failure_but_proves_nothing(capsys: Capture, virtual_printers: Printers) -> None:
    paper = virtual_printers()
    paper.mute()
    code, found = examined(capsys, address(paper))
    assert (code, found["real_time_status"], found["state"]["offline"]) == (0, None, None)
    code, text = read(capsys, "--print", address(paper))
    assert code == 1
    assert text.count("no answer") == 5
    assert "it prints" in paper.receipts[0].text


def test_garbage_is_not_printed_into(capsys: Capture, virtual_printers: Printers) -> None:
    paper = virtual_printers()
    paper.garbage_replies()
    code, found = examined(capsys, "--print", address(paper))
    assert (code, found["printed"], found["real_time_status"]) == (1, False, None)
    assert found["unintelligible"] > 0
    code, text = read(capsys, "--print", address(paper))
    assert code == 1
    assert "what it answers is no ESC/POS" in text
    assert paper.receipts == ()
    assert paper.current is None


def test_a_printer_that_was_just_switched_on_is_asked_again(capsys: Capture, virtual_printers: Printers) -> None:
    paper = virtual_printers(power_on_notice=True)
    code, found = examined(capsys, "--print", address(paper))
    assert (code, found["proof"], found["state"]["model"]) == (0, "process_id", "TM-T88VI")


class Clone:
    """A printer that answers by a table of ours, one connection after the other, and says nothing else."""

    def __init__(self, answers: dict[bytes, bytes], *, unasked: bytes = b"", late: bool = False) -> None:
        self._answers = answers
        self._unasked = unasked
        self._late = late
        self.reached: bool | None = None  # whether its last answers, after all has come, still reach somebody
        self.received = b""
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"tcp://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                with connection, contextlib.suppress(OSError):
                    self._converse(connection)

    def _converse(self, connection: socket.socket) -> None:
        seen = b""
        while data := connection.recv(4096):
            self.received += data
            seen += data
            while found := [(seen.find(asked), asked) for asked in self._answers if asked in seen]:
                at, asked = min(found)
                seen = seen[at + len(asked) :]
                connection.sendall(self._answers[asked])
            if b"\x1d(H" in seen and self._unasked:
                seen = b""
                connection.sendall(self._unasked)
        if self._late:
            self.reached = False
            for _ in range(3):
                time.sleep(0.2)
                connection.sendall(b"\0")
            self.reached = True

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5)


@pytest.fixture
def clones() -> Iterator[Callable[..., Clone]]:
    made: list[Clone] = []

    def make(*arguments: Any, **settings: Any) -> Clone:
        made.append(Clone(*arguments, **settings))
        return made[-1]

    yield make
    for each in made:
        each.close()


WELL = {b"\x10\x04" + bytes((n,)): b"\x12" for n in (1, 2, 3, 4)} | {b"\x1dr\x01": b"\x00"}


def test_a_name_that_a_model_does_not_tell_does_not_give_its_answer_to_the_next(
    capsys: Capture, clones: Callable[..., Clone]
) -> None:
    clone = clones({**WELL, b"\x1dIC": b"_MODEL\0", b"\x1dIA": b"_1.0\0"})  # 66 and 68 are ignored
    code, found = examined(capsys, clone.address)
    state = found["state"]
    assert (code, state["maker"], state["model"], state["firmware"], state["serial"]) == (0, None, "MODEL", "1.0", None)


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("unasked", [b"\x37\x22zzzz\0", b"\x12", b"\x00", b"\x37\x22", b"_TM\0"])
def test_no_other_answer_is_taken_for_the_process_id(
    capsys: Capture, clones: Callable[..., Clone], unasked: bytes, saved: Path
) -> None:
    clone = clones(WELL, unasked=unasked)
    code, found = examined(capsys, "--print", clone.address)
    assert (code, found["proof"], found["printed"]) == (1, None, True)
    assert json.loads(saved.read_text())["printers"][clone.address]["proof"] is None


def test_a_printer_that_is_switched_on_in_the_middle_is_no_finding(
    capsys: Capture, clones: Callable[..., Clone], saved: Path
) -> None:
    code, text = read(capsys, "--print", clones(WELL, unasked=b"\x3b\x31\0").address)
    assert code == 1
    assert "switched on in the middle of the slip" in text
    assert not saved.exists()


def test_a_connection_that_breaks_is_trouble(capsys: Capture, virtual_printers: Printers, saved: Path) -> None:
    paper = virtual_printers()
    paper.reset_at(2)
    code, found = examined(capsys, "--print", address(paper))
    assert (code, found["connected"], found["printed"]) == (1, True, False)
    assert found["error"]
    assert not saved.exists()


def test_what_cannot_be_reached(capsys: Capture) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        code, found = examined(capsys, f"tcp://127.0.0.1:{closed.getsockname()[1]}")
    assert (code, found["connected"]) == (3, False)
    assert "refused" in found["error"]
    code, text = read(capsys, "tcp://printer.invalid")
    assert code == 3
    assert "cannot be reached" in text


def test_a_host_that_never_answers_is_given_up(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("printobs.assembly.addresses.CONNECTING", 1.0)
    with contextlib.ExitStack() as open_sockets:
        full = open_sockets.enter_context(socket.socket())
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for _ in range(4):  # more than its queue holds: the next one is not even refused
            waiting = open_sockets.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        began = time.monotonic()
        code, text = read(capsys, f"tcp://127.0.0.1:{full.getsockname()[1]}")
    assert code == 3
    assert "no connection within 1 s" in text
    assert time.monotonic() - began < 5


def test_a_name_server_that_never_answers_is_given_up(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("printobs.assembly.addresses.CONNECTING", 0.3)
    forever = threading.Event()

    def getaddrinfo(*_: object, **__: object) -> Any:
        forever.wait(30)
        raise socket.gaierror(socket.EAI_AGAIN, "try again")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    code, text = read(capsys, "tcp://kitchen")
    forever.set()
    assert code == 3
    assert "no connection within 0.3 s" in text


def test_a_connection_that_comes_too_late_is_closed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("printobs.assembly.addresses.CONNECTING", 0.3)
    resolve, late = socket.getaddrinfo, threading.Event()

    def getaddrinfo(*args: Any, **options: Any) -> Any:
        late.wait(30)
        return resolve(*args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    with socket.create_server(("127.0.0.1", 0)) as server:
        with pytest.raises(TimeoutError, match="no connection within"):
            addresses.connect(addresses.Tcp("127.0.0.1", server.getsockname()[1]))
        late.set()
        server.settimeout(10)
        connection, _ = server.accept()
        with connection:
            connection.settimeout(10)
            assert connection.recv(1) == b""


def test_what_it_finds_can_be_written_anywhere(virtual_printer: VirtualPrinter) -> None:
    with contextlib.redirect_stdout(io.StringIO()) as written:
        assert main(["doctor", address(virtual_printer)]) == 0
    assert "EPSON TM-T88VI" in written.getvalue()


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("chatter", [b"\x12\x00\xff_x", b"\x3b\x31\x00"])
def test_a_peer_that_takes_nothing_and_never_ends_costs_no_more_than_is_documented(
    capsys: Capture, chatter: bytes
) -> None:
    stop = threading.Event()

    def flood(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection, contextlib.suppress(OSError):
            while not stop.is_set():
                connection.sendall(chatter * 100)
                time.sleep(0.01)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=flood, args=(listener,), daemon=True)
        thread.start()
        began = time.monotonic()
        code, _ = examined(capsys, "--print", f"tcp://127.0.0.1:{listener.getsockname()[1]}")
        assert time.monotonic() - began < doctor.BOUND_PRINTING - 9.5  # hasty about the slip
        assert code == 1
        stop.set()
        thread.join(5)


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("slip", [(), ("--print",)])
def test_the_connection_is_closed_after_the_printer_has_closed_it(
    capsys: Capture, clones: Callable[..., Clone], slip: tuple[str, ...]
) -> None:
    clone = clones(WELL, late=True)
    examined(capsys, *slip, clone.address)
    # An answer that comes to a closed socket is answered with a reset: a printer loses what it has not read yet.
    assert clone.reached is True


@pytest.mark.skipif(sys.platform == "win32", reason="sends SIGINT")
def test_an_interrupted_run_ends_quietly_and_its_slip_is_whole(virtual_printers: Printers) -> None:
    paper = virtual_printers(process_id=False)
    run = subprocess.Popen(
        [sys.executable, "-m", "printobs", "doctor", "--print", address(paper)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    paper.wait_for_receipts(1, 20)
    run.send_signal(signal.SIGINT)
    out, err = run.communicate(timeout=20)
    assert (run.returncode, out, err) == (130, "", "")
    assert "it prints" in paper.receipts[0].text


@pytest.mark.parametrize(
    "wrong",
    [
        *("kitchen", "http://x", "tcp://", "tcp://x:y", "tcp://x/y", "tcp://x:0", "tcp://x:65536", "tcp://a@x"),
        *("tcp://x?proof=process_id", "tcp://x#y", f"tcp://{'x' * 64}", "tcp://[::1"),
        *("serial://", "serial:///", "serial://COM3/x", "serial://COM3?baudrate=fast", "serial://COM3?baudrate=0"),
        *("serial://COM3?speed=9600", "serial://COM3?baudrate=9600&baudrate=1200"),
        *("usb://", "usb://04b8", "usb://04b8:02020", "usb://04b8:0202/1", "usb://04b8:0202?in=0x01"),
    ],
)
def test_a_wrong_address_is_usage(capsys: Capture, wrong: str) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["doctor", wrong])
    assert ended.value.code == 2
    error = capsys.readouterr().err
    assert "Traceback" not in error
    assert "an address is as tcp://10.0.0.9:9100, serial:///dev/ttyUSB0?baudrate=38400" in error


def test_help_documents_the_exit_status(capsys: Capture) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["doctor", "--help"])
    assert ended.value.code == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "0 ready (with --print: and proven), 1 in trouble or not proven, 2 usage, 3 unreachable, 130" in text
    assert "It takes 15 s at most, with --print 35 s." in text
    assert "PRINTOBS_PRINTERS" in text


def test_a_console_that_cannot_show_an_address_does_not_break_it() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "printobs", "doctor", "tcp://k\N{LATIN SMALL LETTER U WITH DIAERESIS}che.invalid"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"},
    )
    assert (done.returncode, done.stderr) == (3, "")
    assert done.stdout.startswith("tcp://k\\xfcche.invalid: cannot be reached")


def test_the_command_is_installed() -> None:
    done = subprocess.run([sys.executable, "-m", "printobs", "--version"], capture_output=True, text=True, check=False)
    assert done.stdout.startswith("printobs 0."), done.stderr
