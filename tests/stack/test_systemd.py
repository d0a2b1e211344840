"""The systemd units: checked by systemd itself, as installed, and held to what the native stack starts."""

from __future__ import annotations

import shutil
import subprocess
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from collector.stack.parts import MEMORY, RETENTION, Part, parts
from collector.stack.pins import COLLECTOR
from collector.stack.ports import Ports

FOLDER = COLLECTOR / "systemd"
SERVICES = sorted(path.name for path in FOLDER.glob("*.service"))
PROGRAMS = ["bin/otelcol", "bin/jaeger", "bin/prometheus", "bin/alertmanager", "venv/bin/python"]

# Of `systemd-analyze security`, in tenths: the least that each has. The agent has devices, groups and netlink besides.
EXPOSURE = {"printobs-agent.service": 17, "printobs-otelcol.service": 13}
EXPOSURE_OF_OTHERS = 12

# What hides a printer's device.
HIDING = {"PrivateDevices", "RootDirectory", "RootImage", "InaccessiblePaths", "TemporaryFileSystem"}
DEVICES = {"char-ttyS", "char-ttyAMA", "char-ttyUSB", "char-ttyACM", "char-usb_device"}

# Where a unit differs from the others on purpose: it says why there.
OTHERWISE = {
    "printobs-agent.service": {
        "PrivateDevices",
        "PrivateUsers",
        "RestrictAddressFamilies",
        "DevicePolicy",
        "DeviceAllow",
    },
    "printobs-otelcol.service": {"ProtectHome"},
}

Unit = dict[str, dict[str, list[str]]]


def read(text: str) -> Unit:
    """Sections, keys, and each key's values in their order."""
    unit: Unit = defaultdict(lambda: defaultdict(list))
    section = ""
    for line in text.replace("\\\n", " ").splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        elif line and not line.startswith(("#", ";")):
            key, _, value = line.partition("=")
            unit[section][key].append(" ".join(value.split()))
    return unit


def words(unit: Unit, section: str, key: str) -> set[str]:
    return {word for value in unit[section][key] for word in value.split()}


def environment(unit: Unit) -> dict[str, str]:
    return dict(word.split("=", 1) for value in unit["Service"]["Environment"] for word in value.split())


@pytest.fixture(scope="module")
def units() -> dict[str, Unit]:
    return {name.removesuffix(".service"): read((FOLDER / name).read_text()) for name in SERVICES}


@pytest.fixture(scope="module")
def native(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Part]:
    """The parts as `make stack` starts them, by the name of their unit."""
    return {f"printobs-{part.name}": part for part in parts(Ports(), tmp_path_factory.mktemp("state"))}


def program(name: str) -> str:
    """Its absence is a failure: a unit that nobody has checked may not start."""
    found = shutil.which(name)
    if found is None:
        pytest.fail(f"{name} is missing, and nothing else checks the systemd units: apt-get install systemd")
    return found


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A machine where the units are installed as they say, beside those that the system has."""
    system = next(path for path in (Path("/usr/lib/systemd/system"), Path("/lib/systemd/system")) if path.is_dir())
    shutil.copytree(system, tmp_path / "usr/lib/systemd/system", symlinks=True)
    installed = tmp_path / "etc/systemd/system"
    installed.mkdir(parents=True)
    for path in (*FOLDER.glob("*.service"), *FOLDER.glob("*.target")):
        shutil.copy(path, installed)
    for program in [*(f"opt/printobs/{program}" for program in PROGRAMS), "bin/kill"]:
        path = tmp_path / program
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(0o755)
    return tmp_path


def complaints(root: Path, *units: str) -> str:
    """What `systemd-analyze verify` says: of a key that it does not know it only says so, and exits with 0."""
    command = [program("systemd-analyze"), "verify", f"--root={root}", "--man=no", *units]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr + (f"exit status {done.returncode}" if done.returncode else "")


def exposed(path: Path, most: int) -> str:
    """What `systemd-analyze security` says where a unit is exposed more than ``most`` tenths; else nothing."""
    command = [program("systemd-analyze"), "security", "--offline=true", f"--threshold={most}", "--no-pager", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr if done.returncode else ""


def test_without_the_programs_that_check_them_they_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(pytest.fail.Exception, match="apt-get install systemd"):
        program("systemd-analyze")


def test_there_is_one_for_service_agent_and_each_part_of_the_stack(
    units: dict[str, Unit], native: dict[str, Part]
) -> None:
    assert set(units) == {"printobs-service", "printobs-agent", *native}


def test_systemd_has_nothing_to_say_against_them(root: Path) -> None:
    assert complaints(root, *SERVICES, "printobs.target") == ""


@pytest.mark.parametrize(
    ("line", "instead", "said"),
    [
        ("PrivateTmp=yes", "PrivateTemp=yes", "PrivateTemp"),
        ("Restart=always", "Restart=allways", "allways"),
        ("[Install]", "StartLimitIntervalSec=0\n[Install]", "StartLimitIntervalSec"),
        ("ExecStart=/opt/printobs/bin/jaeger", "ExecStart=/opt/printobs/jaeger", "not executable"),
        ("MemoryMax=1G", "MemoryMax=much", "much"),
        ("SystemCallFilter=@system-service", "SystemCallFilter=@system-services", "@system-services"),
    ],
)
def test_what_is_wrong_in_one_is_said(root: Path, line: str, instead: str, said: str) -> None:
    path = root / "etc/systemd/system/printobs-jaeger.service"
    text = path.read_text()
    assert line in text
    path.write_text(text.replace(line, instead, 1))
    assert said in complaints(root, "printobs-jaeger.service")


@pytest.mark.parametrize("name", SERVICES)
def test_each_is_exposed_as_little_as_it_can_be(name: str) -> None:
    assert exposed(FOLDER / name, EXPOSURE.get(name, EXPOSURE_OF_OTHERS)) == ""


@pytest.mark.parametrize(
    "line", ["NoNewPrivileges=yes", "ProtectSystem=strict", "User=printobs-jaeger", "PrivateTmp=yes"]
)
def test_one_that_is_exposed_more_is_found(tmp_path: Path, line: str) -> None:
    text = (FOLDER / "printobs-jaeger.service").read_text()
    (tmp_path / "printobs-jaeger.service").write_text(text.replace(f"{line}\n", "", 1))
    assert "Overall exposure level" in exposed(tmp_path / "printobs-jaeger.service", EXPOSURE_OF_OTHERS)


def hardening(unit: Unit, name: str) -> dict[str, list[str]]:
    """All from the first of these lines on: each unit ends with them."""
    keys = list(unit["Service"])
    return {
        key: unit["Service"][key]
        for key in keys[keys.index("CapabilityBoundingSet") :]
        if key not in OTHERWISE.get(name, set())
    }


def test_all_are_hardened_alike_but_where_one_says_why_not(units: dict[str, Unit]) -> None:
    alike = hardening(units["printobs-jaeger"], "")
    assert len(alike) > 20
    for name, unit in units.items():
        own = hardening(unit, f"{name}.service")
        assert own == {key: alike[key] for key in alike if key not in OTHERWISE.get(f"{name}.service", set())}, name
        assert unit["Service"]["MemoryMax"], name
        assert unit["Service"]["User"] == [name], name


def hides(unit: Unit) -> set[str]:
    """What of the agent's unit keeps it from a printer."""
    service = unit["Service"]
    found = {key for key in HIDING if service.get(key, ["no"])[-1] not in ("no", "false", "0", "")}
    found |= {f"no {group}" for group in {"dialout", "lp"} - words(unit, "Service", "SupplementaryGroups")}
    if service["DevicePolicy"] != ["auto"]:
        allowed = {value.split()[0] for value in service["DeviceAllow"] if value.endswith(" rw")}
        found |= {f"no {device}" for device in DEVICES - allowed}
    # libusb does not start without.
    return found | ({"AF_NETLINK"} - words(unit, "Service", "RestrictAddressFamilies"))


def test_the_agent_reaches_printers_on_usb_and_on_serial_ports(units: dict[str, Unit]) -> None:
    assert hides(units["printobs-agent"]) == set()
    # A class that the kernel does not know yet when the agent starts is not allowed later either.
    modules = {"modprobe@usbserial.service", "modprobe@cdc_acm.service"}
    assert modules <= words(units["printobs-agent"], "Unit", "Wants")
    assert modules <= words(units["printobs-agent"], "Unit", "After")


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda text: text.replace("PrivateTmp=yes", "PrivateTmp=yes\nPrivateDevices=yes"), "PrivateDevices"),
        (lambda text: text.replace("DeviceAllow=char-usb_device rw\n", ""), "no char-usb_device"),
        (lambda text: text.replace("char-ttyUSB rw", "char-ttyUSB r"), "no char-ttyUSB"),
        (lambda text: text.replace("dialout lp", "dialout"), "no lp"),
        (lambda text: text.replace(" AF_NETLINK", ""), "AF_NETLINK"),
    ],
)
def test_an_agent_that_does_not_reach_them_is_found(change: Callable[[str], str], found: str) -> None:
    assert hides(read(change((FOLDER / "printobs-agent.service").read_text()))) == {found}


def test_none_is_ever_given_up(units: dict[str, Unit]) -> None:
    for name, unit in units.items():
        assert unit["Unit"]["StartLimitIntervalSec"] == ["0"], name
        assert unit["Service"]["Restart"] == ["always"], name
        assert 1 <= int(unit["Service"]["RestartSec"][0]) <= 10, name


def test_what_is_sent_to_comes_first_and_nobody_needs_it(units: dict[str, Unit]) -> None:
    for sender, receivers in {
        "printobs-otelcol": {"printobs-jaeger", "printobs-alertmanager", "printobs-prometheus"},
        "printobs-service": {"printobs-otelcol"},
        "printobs-agent": {"printobs-otelcol"},
    }.items():
        assert {f"{receiver}.service" for receiver in receivers} <= words(units[sender], "Unit", "After")
    for name, unit in units.items():
        assert not {"Requires", "Requisite", "BindsTo"} & set(unit["Unit"]), name
        assert not {word for word in words(unit, "Unit", "Wants") if word.startswith("printobs")}, name


def test_all_start_with_the_machine_and_end_with_the_target(units: dict[str, Unit]) -> None:
    for name, unit in units.items():
        assert words(unit, "Install", "WantedBy") == {"multi-user.target", "printobs.target"}, name
        assert unit["Unit"]["PartOf"] == ["printobs.target"], name


def test_units_of_the_system_that_they_name_exist(units: dict[str, Unit], root: Path) -> None:
    # systemd passes over one that is misspelt.
    there = {path.name for path in (root / "usr/lib/systemd/system").iterdir()} | set(SERVICES)
    for name, unit in units.items():
        for word in words(unit, "Unit", "Wants") | words(unit, "Unit", "After"):
            template = f"{word.partition('@')[0]}@.service" if "@" in word else word
            assert template in there, f"{name}: {word}"


def test_each_keeps_what_it_keeps_where_it_may_write(units: dict[str, Unit]) -> None:
    for name, unit in units.items():
        assert unit["Service"]["StateDirectory"] == [name], name
        assert unit["Service"]["StateDirectoryMode"] == ["0700"], name
        said = " ".join([*environment(unit).values(), *unit["Service"]["ExecStart"]])
        assert f"%S/{name}" in said, name
    collector = environment(units["printobs-otelcol"])
    assert collector["COLLECTOR_LOGS"] == f"%L/{units['printobs-otelcol']['Service']['LogsDirectory'][0]}"
    check = units["printobs-otelcol"]["Service"]["ExecStartPre"]
    assert check == ["-/opt/printobs/venv/bin/python -m collector.stack.queue ${COLLECTOR_STATE}/queue"]


def test_secrets_are_not_in_units(units: dict[str, Unit]) -> None:
    assert units["printobs-service"]["Service"]["EnvironmentFile"] == ["/etc/printobs/service.env"]
    [credential] = units["printobs-agent"]["Service"]["LoadCredential"]
    assert credential == "token:/etc/printobs/agent.token"
    assert environment(units["printobs-agent"])["AGENT_TOKEN_FILE"] == "%d/token"
    for name, unit in units.items():
        assert not {key for key in environment(unit) if key.endswith(("SECRET", "TOKEN", "PASSWORD"))}, name


def options(command: list[str]) -> dict[str, str]:
    """The options of a command, with what is behind the equals sign."""
    return {word.partition("=")[0]: word.partition("=")[2] for word in command if word.startswith("--")}


def test_each_part_is_started_with_the_options_that_it_has_natively(
    units: dict[str, Unit], native: dict[str, Part]
) -> None:
    for name, part in native.items():
        [command] = units[name]["Service"]["ExecStart"]
        started, *arguments = command.split()
        assert started == f"/opt/printobs/bin/{part.command}"
        own, its = options(arguments), options(list(part.arguments))
        assert list(own) == list(its), name
        # All that are neither path nor address.
        for option in ("--enable-feature", "--cluster.listen-address", "--web.enable-admin-api"):
            assert own.get(option) == its.get(option), f"{name}: {option}"
    assert environment(units["printobs-prometheus"])["PROMETHEUS_RETENTION"] == RETENTION


def test_each_part_has_the_variables_that_it_has_natively(units: dict[str, Unit], native: dict[str, Part]) -> None:
    for name, part in native.items():
        own = environment(units[name])
        folder = COLLECTOR / part.name
        configuration = "".join(path.read_text() for path in sorted(folder.glob("config.y*ml")))
        for variable, value in part.environment.items():
            if variable in own:
                assert own[variable] == value or own[variable].startswith(("%S/", "%L/")), f"{name}: {variable}"
            else:
                assert f"${{env:{variable}:-{value}}}" in configuration, f"{name}: {variable}"
        strange = {variable for variable in own if variable.startswith(("COLLECTOR_", "JAEGER_"))} - set(
            part.environment
        )
        assert not strange, name


def test_jaeger_alone_traces_nothing(units: dict[str, Unit]) -> None:
    having = {name for name, unit in units.items() if "OTEL_TRACES_SAMPLER" in environment(unit)}
    assert having == {"printobs-jaeger"}
    assert environment(units["printobs-jaeger"])["OTEL_TRACES_SAMPLER"] == "always_off"


def test_the_collector_refuses_before_it_is_killed(units: dict[str, Unit]) -> None:
    unit = units["printobs-otelcol"]
    assert environment(unit)["COLLECTOR_MEMORY_MIB"] == str(MEMORY)
    assert environment(unit)["GOMEMLIMIT"] == f"{MEMORY * 4 // 5}MiB"
    assert int(unit["Service"]["MemoryMax"][0].removesuffix("M")) > MEMORY


def test_prometheus_finds_each_part_where_it_listens_by_default() -> None:
    jobs = yaml.safe_load((COLLECTOR / "prometheus" / "prometheus.yml").read_text())["scrape_configs"]
    asked = {file for job in jobs for each in job["file_sd_configs"] for file in each["files"]}
    assert asked == {f"targets/{path.name}" for path in (FOLDER / "targets").iterdir()}
    ports = Ports()
    for name, port in {
        "printobs": ports.collector_metrics,
        "otelcol": ports.collector_own,
        "jaeger": ports.jaeger_own,
        "prometheus": ports.prometheus,
        "alertmanager": ports.alertmanager,
    }.items():
        targets = yaml.safe_load((FOLDER / "targets" / f"{name}.yml").read_text())
        assert targets == [{"targets": [f"127.0.0.1:{port}"]}]


def test_each_user_is_made_and_the_agent_may_open_devices(units: dict[str, Unit], tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    file = FOLDER / "sysusers.d" / "printobs.conf"
    done = subprocess.run(
        [program("systemd-sysusers"), f"--root={tmp_path}", str(file)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    made = {line.split(":")[0] for line in (tmp_path / "etc/passwd").read_text().splitlines()}
    assert made == set(units)
    groups = [line.split(":") for line in (tmp_path / "etc/group").read_text().splitlines()]
    assert {name for name, _, _, members in groups if "printobs-agent" in members.split(",")} == {"dialout", "lp"}
