"""The agent's settings: what is taken, and that a wrong file ends with one line that names the key and the fix."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from examples.agent.settings import PrinterSettings, SerialAddress, Settings, TcpAddress, UsbAddress

AGENT = """
[agent]
token_file = "agent.token"
branch = "mitte"
name = "mitte-pc"
"""
KITCHEN = """
[[printers]]
name = "kitchen"
address = "tcp://10.0.0.9"
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("SERVICE_URL", "TOKEN", "TOKEN_FILE", "BRANCH", "NAME", "JOURNAL"):
        monkeypatch.delenv(f"AGENT_{name}", raising=False)
    (tmp_path / "agent.token").write_text("header.payload.signature\n")
    monkeypatch.setenv("AGENT_CONFIG", str(tmp_path / "agent.toml"))
    return tmp_path


def load(home: Path, text: str) -> Settings:
    (home / "agent.toml").write_text(text)
    return Settings.load()


def test_what_a_file_says(home: Path) -> None:
    settings = load(
        home,
        AGENT
        + """service_url = "wss://till.example/ws/agent"
journal = "data/journal.db"
keep_days = 7
[[printers]]
name = "kitchen"
address = "tcp://[fd00::7]:9101"
proof = "process_id"
[[printers]]
name = "bar"
address = "serial:///dev/ttyUSB0?baudrate=38400"
[[printers]]
name = "office"
address = "serial://com12"
[[printers]]
name = "cellar"
address = "usb://04B8:0202"
""",
    )
    assert settings.printers == {
        "kitchen": PrinterSettings(TcpAddress("fd00::7", 9101), "process_id"),
        "bar": PrinterSettings(SerialAddress("/dev/ttyUSB0", 38_400), None),
        "office": PrinterSettings(SerialAddress("COM12", 9600), None),
        "cellar": PrinterSettings(UsbAddress(0x04B8, 0x0202), None),
    }
    assert (settings.url, settings.token) == ("wss://till.example/ws/agent", "header.payload.signature")
    assert (settings.journal, settings.keep) == (home / "data" / "journal.db", 7 * 86_400.0)
    assert settings.token not in repr(settings)


def test_what_is_not_said_has_a_default(home: Path) -> None:
    settings = load(home, AGENT + KITCHEN)
    assert settings.url == "ws://127.0.0.1:8080/ws/agent"
    assert settings.printers == {"kitchen": PrinterSettings(TcpAddress("10.0.0.9", 9100), None)}
    assert (settings.journal, settings.keep) == (home / "journal.db", 30 * 86_400.0)


def test_a_file_of_windows_is_read(home: Path) -> None:
    (home / "agent.token").write_bytes("\ufefftoken\r\n".encode())
    (home / "agent.toml").write_bytes(("\ufeff" + AGENT + KITCHEN).replace("\n", "\r\n").encode())
    assert Settings.load().token == "token"


def test_the_environment_comes_first(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (
        ("SERVICE_URL", "ws://elsewhere/ws/agent"),
        ("TOKEN", "another"),
        ("BRANCH", "wedding"),
        ("NAME", "wedding-pc"),
        ("JOURNAL", "elsewhere.db"),
    ):
        monkeypatch.setenv(f"AGENT_{name}", value)
    settings = load(home, AGENT + KITCHEN)
    assert (settings.url, settings.token, settings.branch, settings.name, settings.journal) == (
        "ws://elsewhere/ws/agent",
        "another",
        "wedding",
        "wedding-pc",
        home / "elsewhere.db",
    )


@pytest.mark.parametrize(
    ("text", "key", "fix"),
    [
        ("[agent", "", "is not TOML"),
        (KITCHEN, "agent.branch", 'branch = "…", or AGENT_BRANCH'),
        (KITCHEN, "agent.token_file", "token itself as AGENT_TOKEN"),
        (AGENT, "printers", "one [[printers]] for each"),
        ("printers = 7" + AGENT, "printers", "one [[printers]] for each"),
        ("agent = 7" + KITCHEN, "agent", "must be a table"),
        ("colour = 'red'" + AGENT + KITCHEN, "colour", "there are [agent] and [[printers]]"),
        (AGENT + "colour = 'red'" + KITCHEN, "agent.colour", "there are service_url, token_file"),
        (AGENT + "journal = 7" + KITCHEN, "agent.journal", 'journal = "…"'),
        (AGENT + "keep_days = 0" + KITCHEN, "agent.keep_days", "from 1 to 3650"),
        (AGENT + "service_url = 'https://x'" + KITCHEN, "agent.service_url", "wss://HOST/ws/agent"),
        (AGENT + "service_url = 'ws://[x'" + KITCHEN, "agent.service_url", "wss://HOST/ws/agent"),
        (AGENT.replace("mitte-pc", "mitte pc") + KITCHEN, "agent.name", "must match"),
        (AGENT.replace("agent.token", "nowhere") + KITCHEN, "agent.token_file", "cannot be read"),
        (AGENT + KITCHEN + "colour = 'red'", "printers[0].colour", "there are name, address, proof"),
        (AGENT + KITCHEN + "proof = 'hope'", "printers[0].proof", '"process_id"'),
        (AGENT + KITCHEN + KITCHEN, "printers[1].name", "another printer"),
        (AGENT + KITCHEN + KITCHEN.replace("kitchen", "bar"), "printers[1].address", "another printer"),
        (AGENT + "[[printers]]\nname = 'a b'\naddress = 'tcp://x'", "printers[0].name", "must match"),
        (AGENT + "[[printers]]\nname = 'bar'", "printers[0].address", "tcp://10.0.0.9:9100"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(
    text: str, key: str, fix: str, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        load(home, text)
    assert ended.value.code == 2
    [line] = capsys.readouterr().err.splitlines()
    assert f"agent.toml: {key}" in line or not key
    assert fix in line
    assert "payload" not in line


@pytest.mark.parametrize(
    "address",
    [
        "", "kitchen", "tcp://", "tcp://x:0", "tcp://x:99999", "tcp://x/y", "tcp://x?proof=process_id", "tcp://u@x",
        "http://x", "serial://", "serial://ttyUSB0", "serial://COM", "serial:///dev/ttyS0?baudrate=fast",
        "serial:///dev/ttyS0?baudrate=1", "serial:///dev/ttyS0?parity=N", "usb://04b8", "usb://04b8:02", "usb://x:0202",
        "usb://04b8:0202/1",
    ],
)  # fmt: skip
def test_an_address_that_is_none_is_refused(address: str, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        load(home, AGENT + f'[[printers]]\nname = "bar"\naddress = "{address}"')
    assert "printers[0].address must be as tcp://" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("address", "module", "extra"),
    [("serial://COM3", "serial", "python-escpos[serial]"), ("usb://04b8:0202", "usb.core", "python-escpos[usb]")],
)
def test_a_cable_whose_package_is_missing_is_said(
    address: str,
    module: str,
    extra: str,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(SystemExit):
        load(home, AGENT + f'[[printers]]\nname = "bar"\naddress = "{address}"')
    assert f"pip install '{extra}'" in capsys.readouterr().err


@pytest.mark.parametrize("content", ["", "two tokens", "ümlaut"])
def test_a_token_file_holds_one_token(content: str, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (home / "agent.token").write_text(content)
    with pytest.raises(SystemExit):
        load(home, AGENT + KITCHEN)
    assert "must hold one token and nothing else" in capsys.readouterr().err


def test_no_file_is_said(home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        Settings.load()
    assert "which cannot be read: No such file" in capsys.readouterr().err
    monkeypatch.delenv("AGENT_CONFIG")
    with pytest.raises(SystemExit):
        Settings.load()
    assert "AGENT_CONFIG is not set" in capsys.readouterr().err
