"""The virtual printer as a process, and the package as one that is installed in part."""

import json
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

Ask = Callable[..., Any]

PROGRAM = [sys.executable, "-m", "printobs.testing"]


@pytest.fixture
def process() -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(PROGRAM, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield process
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(5) == 0, "it ends with its standard input"


@pytest.fixture
def ready(process: subprocess.Popen[str]) -> Any:
    """What it says at first."""
    assert process.stdout is not None
    return json.loads(process.stdout.readline())


@pytest.fixture
def ask(process: subprocess.Popen[str], ready: Any) -> Ask:
    """One line in, one line out."""

    def ask(line: str) -> Any:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(line + "\n")
        process.stdin.flush()
        return json.loads(process.stdout.readline())

    return ask


def command(name: str, **arguments: object) -> str:
    return json.dumps({"command": name, **arguments})


def realtime(port: int) -> str:
    """The answers to DLE EOT 1 to 4."""
    with (
        socket.create_connection(("127.0.0.1", port), timeout=5) as connection,
        connection.makefile("rb") as answers,
    ):
        connection.sendall(b"".join(b"\x10\x04" + bytes([n]) for n in (1, 2, 3, 4)))
        return answers.read(4).hex(" ")


@pytest.mark.parametrize(
    ("fault", "status", "end"),
    [
        (command("paper_out"), "1a 32 12 7e", "paper_in"),
        (command("near_end"), "12 12 12 1e", "near_end_cleared"),
        (command("cover_open"), "1a 16 12 12", "cover_close"),
        (command("offline"), "1a 12 12 12", "online"),
        (command("mechanical_error"), "3a 52 16 12", "recover"),
        (command("overheated"), "1a 52 52 12", "recover"),
        (command("cutter_error"), "3a 52 1a 12", "recover"),
        (command("cutter_error", at_next_cut=True), "12 12 12 12", "recover"),
        (command("garbage_replies"), "ed ed ed ed", "unmute"),
    ],
)
def test_a_fault_begins_and_ends_by_command(ask: Ask, ready: Any, fault: str, status: str, end: str) -> None:
    assert ask(fault) == {"ok": True}
    assert realtime(ready["port"]) == status
    assert ask(command(end)) == {"ok": True}
    assert realtime(ready["port"]) == "12 12 12 12"


@pytest.mark.parametrize(("name", "powered"), [("reset_at", True), ("power_off_at", False)])
def test_a_fault_at_a_byte_by_command(ask: Ask, ready: Any, name: str, powered: bool) -> None:
    assert ask(command(name, count=5)) == {"ok": True}
    with socket.create_connection((ready["host"], ready["port"]), timeout=5) as connection:
        connection.sendall(b"text\n" + b"more\n")
        with pytest.raises(ConnectionResetError):
            connection.recv(1)
    status = ask(command("status"))
    assert (status["received"], status["powered"], status["partial"]) == (5, powered, int(not powered))
    assert status["printing"] is powered
    assert ask(command("power_on")) == {"ok": True}
    assert realtime(ready["port"]) == "12 12 12 12"


def test_the_roll_and_the_speed_by_command(ask: Ask, ready: Any) -> None:
    assert ask(command("slow", speed=1.0)) == {"ok": True}
    assert ask(command("paper_out", after_dots=30)) == {"ok": True}
    with socket.create_connection((ready["host"], ready["port"]), timeout=5) as connection:
        connection.sendall(b"1\n2\n\x10\x04\x04")
        assert connection.recv(1) == b"\x12"
        assert ask(command("status"))["printing"] is False, "a line takes half a minute"
        assert ask(command("slow", speed=1e6)) == {"ok": True}
        answer = b"\x12"
        while answer == b"\x12":
            connection.sendall(b"\x10\x04\x04")
            answer = connection.recv(1)
        assert answer == b"\x7e"
    assert ask(command("status"))["printing"] is True, "one line is on paper"


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("no JSON", "JSONDecodeError"),
        ("", "JSONDecodeError"),
        ("{}", "KeyError"),
        ("[]", "TypeError"),
        ('{"command": []}', "TypeError"),
        (command("dance"), "unknown command; known are "),
        (command("slow"), "KeyError"),
        (command("slow", speed=0), "ValueError"),
        (command("slow", speed="fast"), "TypeError"),
        (command("reset_at", count=0), "ValueError"),
        (command("render", index=0), "IndexError"),
    ],
)
def test_a_line_that_is_no_command_is_answered_with_what_is_wrong(ask: Ask, line: str, error: str) -> None:
    answer = ask(line)
    assert answer["ok"] is False
    assert answer["error"].startswith(error)
    assert ask(command("status"))["ok"] is True, "it goes on"


def test_it_is_the_printer_that_the_arguments_say() -> None:
    arguments = ["--model", "Bar", "--speed", "100000", "--no-process-id", "--name", "kitchen"]
    with subprocess.Popen([*PROGRAM, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        ready = json.loads(process.stdout.readline())
        assert ready["name"] == "kitchen"
        with (
            socket.create_connection((ready["host"], ready["port"]), timeout=5) as connection,
            connection.makefile("rb") as answers,
        ):
            connection.sendall(b"\x1d(H\x06\x0000ABCD\x1dI\x43\x1dr\x01")
            connection.shutdown(socket.SHUT_WR)
            assert answers.read() == b"_Bar\x00\x00", "no process ID"
        process.communicate(command("quit") + "\n", timeout=5)
        assert process.returncode == 0


@pytest.mark.parametrize("arguments", [["--port", "{port}"], ["--speed", "0"]], ids=["port", "speed"])
def test_a_printer_that_cannot_be_says_why_and_fails(ready: Any, arguments: list[str]) -> None:
    done = subprocess.run(
        [*PROGRAM, *(each.format(**ready) for each in arguments)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("cannot be a printer at 127.0.0.1:")
    assert done.stderr.count("\n") == 1, "no traceback"


WITHOUT_PROTO = """
import sys
sys.modules["opentelemetry.proto"] = None
from printobs.testing import VirtualPrinter
VirtualPrinter().close()
try:
    from printobs.testing import OtlpSink
except ImportError as error:
    print(error)
"""


def test_the_printer_needs_the_standard_library_alone_and_the_sink_says_what_it_needs() -> None:
    done = subprocess.run([sys.executable, "-c", WITHOUT_PROTO], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout.startswith("printobs.testing.OtlpSink needs 'opentelemetry.proto")
    assert done.stdout.endswith(": install printobs[testing]\n")


def test_the_package_has_nothing_else_to_offer() -> None:
    from printobs import testing

    with pytest.raises(AttributeError, match=r"module 'printobs\.testing' has no attribute 'Fax'"):
        testing.Fax  # type: ignore[attr-defined]  # noqa: B018
