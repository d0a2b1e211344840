"""The deployment in containers, really run: it comes up, prints, is found, and has its data when it comes up again.

No registry is asked. The upstream images are made from the native programs (`tests.stack.engine`); the one that ours is
built from is Debian with this machine's Python, and ours is built from that by its own Dockerfile. Grafana is not
started: there is nothing to make its image from.
"""

from __future__ import annotations

import json
import re
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import yaml

from collector.stack.parts import MEMORY, RETENTION, parts
from collector.stack.pins import COLLECTOR, pins
from collector.stack.ports import Ports
from collector.stack.stack import Stack
from examples.demo.client import Till
from examples.service import tokens
from tests.stack.backend import JOBS, Backend, submit, until
from tests.stack.engine import RECIPES, ROOT, Engine, base

FILE = COLLECTOR / "compose.yaml"
STARTED = ("otelcol", "jaeger", "prometheus", "alertmanager", "service", "demo-agent")
OURS = {"prepare", "service", "agent", "demo-token", "demo-kitchen", "demo-bar", "demo-agent"}
PORTS = (
    "BIND",
    "OTLP_GRPC",
    "OTLP_HTTP",
    "COLLECTOR_HEALTH",
    "JAEGER",
    "PROMETHEUS",
    "ALERTMANAGER",
    "GRAFANA",
    "SERVICE",
)

# Building an image from nothing takes minutes, most of them for Debian and the packages.
pytestmark = pytest.mark.timeout(900)


class Project:
    """The Compose project under a name and on ports of its own."""

    def __init__(self, engine: Engine, folder: Path) -> None:
        self.engine = engine
        self.name = f"printobs-{secrets.token_hex(4)}"
        self.secret = secrets.token_urlsafe(48)
        (folder / "service.env").write_text(f"SERVICE_JWT_SECRET={self.secret}\n")
        (folder / "grafana.env").write_text(f"GF_SECURITY_ADMIN_PASSWORD={secrets.token_urlsafe(12)}\n")
        (folder / "agent.env").write_text("AGENT_TOKEN=token\n")
        (folder / "agent.toml").touch()
        self.ports = free()
        self.environment = {
            "PRINTOBS_IMAGE": f"{self.name}:test",
            "SERVICE_ENV": str(folder / "service.env"),
            "GRAFANA_ENV": str(folder / "grafana.env"),
            "AGENT_ENV": str(folder / "agent.env"),
            "AGENT_TOML": str(folder / "agent.toml"),
            # Without the extra program that the other builder is.
            "DOCKER_BUILDKIT": "0",
            **{f"{name}_PORT": str(port) for name, port in self.ports.items()},
        }

    def compose(self, *arguments: str, within: float = 240.0, check: bool = True, **environment: str) -> str:
        done = self.engine.docker(
            *("compose", "--project-name", self.name, "--file", str(FILE), "--profile", "*", *arguments),
            within=within,
            check=check,
            **{**self.environment, **environment},
        )
        return done.stdout if check else done.stdout + done.stderr

    def up(self) -> None:
        self.compose("up", "--detach", "--wait", "--wait-timeout", "180", *STARTED)

    def configuration(self) -> dict[str, Any]:
        return cast("dict[str, Any]", json.loads(self.compose("config", "--format", "json")))

    def inspect(self, service: str) -> dict[str, Any]:
        [identity] = self.compose("ps", "--all", "--quiet", service).split()
        return cast("dict[str, Any]", json.loads(self.engine.docker("inspect", identity).stdout)[0])

    def till(self) -> Till:
        token = tokens.issue(
            self.secret, audience="printobs-service", subject="till", scopes=["print"], lifetime=3600, branch=None
        )
        return Till(f"http://127.0.0.1:{self.ports['SERVICE']}", token)

    def backend(self) -> Backend:
        ports = Ports(prometheus=self.ports["PROMETHEUS"], jaeger=self.ports["JAEGER"])
        return Backend(cast("Stack", SimpleNamespace(ports=ports)))


def free() -> dict[str, int]:
    names = [name for name in PORTS if name != "BIND"]
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in names]
    found = {name: each.getsockname()[1] for name, each in zip(names, sockets, strict=True)}
    for each in sockets:
        each.close()
    return found


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    # A socket's path has 107 bytes at most: pytest's own folders may be longer.
    temporary = tempfile.TemporaryDirectory(prefix="engine-", ignore_cleanup_errors=True)
    with temporary as folder, Engine(Path(folder)) as running:
        yield running


@pytest.fixture(scope="module")
def project(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    found = Project(engine, tmp_path_factory.mktemp("project"))
    try:
        yield found
    finally:
        found.compose("down", "--volumes", "--timeout", "5", check=False)


@pytest.fixture(scope="module")
def services(project: Project) -> dict[str, Any]:
    return cast("dict[str, Any]", project.configuration()["services"])


@pytest.fixture(scope="module")
def built(project: Project, services: Mapping[str, Any]) -> Project:
    engine = project.engine
    for each in services.values():
        if each["image"].partition(":")[0] in RECIPES:
            engine.upstream(each["image"])
    engine.python(base())
    project.compose("build", "service", within=600)
    engine.made(project.environment["PRINTOBS_IMAGE"])
    return project


def test_what_runs_in_containers_is_what_runs_natively(services: dict[str, Any]) -> None:
    versions = {name: each["image"].partition(":")[2].removeprefix("v") for name, each in services.items()}
    for name, pin in pins().items():
        if name in versions:
            assert versions[name] == pin.version, name
    with tempfile.TemporaryDirectory() as state:
        native = {part.name: part for part in parts(Ports(), Path(state))}

    def options(arguments: list[str]) -> dict[str, str]:
        pairs = (each.removeprefix("--").partition("=") for each in arguments)
        return {name: value for name, _, value in pairs}

    # Paths and addresses differ; which options there are does not, nor do the others' values.
    for name in ("prometheus", "alertmanager"):
        there, here = options(services[name]["command"]), options(list(native[name].arguments))
        assert there.keys() == here.keys()
        differing = {key for key in here if here[key] != there[key]}
        assert differing <= {"config.file", "storage.tsdb.path", "storage.path", "web.listen-address"}
    assert options(services["prometheus"]["command"])["storage.tsdb.retention.time"] == RETENTION
    assert services["otelcol"]["environment"]["COLLECTOR_MEMORY_MIB"] == str(MEMORY)
    assert services["otelcol"]["environment"]["GOMEMLIMIT"] == native["otelcol"].environment["GOMEMLIMIT"]
    volumes = [each for service in services.values() for each in service.get("volumes", [])]
    mounted = {each["source"] for each in volumes if each["type"] == "bind"}
    for path in (
        *("otelcol", "jaeger", "alertmanager", "grafana/provisioning", "grafana/dashboards"),
        *("prometheus/prometheus.yml", "prometheus/rules", "compose/targets"),
    ):
        assert str(COLLECTOR / path) in mounted
    targets = {path.stem: yaml.safe_load(path.read_text()) for path in (COLLECTOR / "compose" / "targets").iterdir()}
    assert targets.keys() == {path.stem for path in (COLLECTOR / "systemd" / "targets").iterdir()}


def test_every_service_is_confined_and_listens_on_this_machine_only(services: dict[str, Any]) -> None:
    assert {"otelcol", "jaeger", "prometheus", "alertmanager", "grafana", *OURS} == services.keys()
    for name, each in services.items():
        assert each["read_only"], name
        assert each["cap_drop"] == ["ALL"], name
        assert each["security_opt"] == ["no-new-privileges:true"], name
        assert each["user"].partition(":")[0] not in ("", "0", "root"), name
        assert {"cpus", "memory", "pids"} <= each["deploy"]["resources"]["limits"].keys(), name
        # A limit above what a machine has is refused: one with a single processor is enough.
        assert float(each["deploy"]["resources"]["limits"]["cpus"]) <= 1, name
        assert re.search(r":v?\d+\.\d+\.\d+$|:test$", each["image"]), name
        assert each["restart"] == ("no" if name in ("prepare", "demo-token") else "unless-stopped"), name
        assert all(port["host_ip"] == "127.0.0.1" for port in each.get("ports", [])), name
        assert all(volume.get("read_only") for volume in each.get("volumes", []) if volume["type"] == "bind"), name
        assert "privileged" not in each, name
        # The service's is in its image; the Collector's image has nothing to ask it with.
        assert ("healthcheck" in each) == (name not in ("service", "otelcol")), name


def test_a_secret_that_is_missing_is_named(project: Project) -> None:
    said = project.compose("config", "--quiet", check=False, SERVICE_ENV="/nowhere/service.env")
    assert "/nowhere/service.env not found" in said


def test_printers_on_a_cable_reach_the_agent(project: Project) -> None:
    files = [str(COLLECTOR / "compose" / f"{name}.yaml") for name in ("usb", "serial")]
    arguments = ("--file", files[0], "--file", files[1], "config", "--format", "json")
    agent = json.loads(project.compose(*arguments, SERIAL_PRINTER="/dev/ttyS7"))["services"]["agent"]
    assert agent["device_cgroup_rules"] == ["c 189:* rw"]
    assert [(each["source"], each["target"]) for each in agent["devices"]] == [("/dev/ttyS7", "/dev/ttyUSB0")]
    assert agent["group_add"] == ["7", "20"]
    assert "/dev/bus/usb" in {each["target"] for each in agent["volumes"]}
    assert agent["cap_drop"] == ["ALL"]
    assert "SERIAL_PRINTER" in project.compose(*arguments, check=False)


def test_only_what_the_image_needs_is_sent_to_be_built() -> None:
    instructions = re.findall(r"^COPY (?!--from)(.+) \S+$", (COLLECTOR / "Dockerfile").read_text(), re.M)
    sources = {source for line in instructions for source in line.split()}
    assert all((ROOT / source).exists() for source in sources)
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert {source for source in sources if source not in allowed} == {"examples/requirements.txt"}
    assert allowed <= sources


def test_a_receipt_is_found_and_outlives_the_containers(built: Project) -> None:
    built.up()
    backend, till = built.backend(), built.till()
    until(lambda: online(till) == {"mitte-kitchen", "mitte-bar"})
    job = submit(till)
    done = until(lambda: ended(till, job["id"]))
    assert done["outcome"] == "confirmed"
    until(lambda: backend.value(counted("mitte-bar")) == 1, within=90)
    printed_at = time.time()
    [exemplar, *_] = until(lambda: backend.exemplars("printer_job_duration_seconds_bucket"), within=60)
    trace_id = exemplar["labels"]["trace_id"]
    until(lambda: senders(backend.trace(trace_id)) == {"service", "agent"})
    found = backend.trace(trace_id)
    assert found is not None
    assert job["correlation_id"] in backend.printed(10)
    assert until(lambda: all_up(backend), within=60)

    assert built.inspect("service")["State"]["Health"]["Status"] == "healthy"
    # As it is confined in truth, not on paper.
    for name, user in {"service": 10100, "demo-agent": 10100, "otelcol": 10001, "jaeger": 10001}.items():
        state = built.inspect(name)
        assert state["HostConfig"]["ReadonlyRootfs"]
        assert state["HostConfig"]["Memory"] > 0
        assert status(state["State"]["Pid"])["Uid"].split() == [str(user)] * 4
        assert int(status(state["State"]["Pid"])["CapEff"], 16) == 0
        assert status(state["State"]["Pid"])["NoNewPrivs"] == "1"
    instances = {each["metric"]["instance"] for each in backend.query("printer_jobs_total")}

    built.compose("stop")
    codes = {name: built.inspect(name)["State"]["ExitCode"] for name in (*STARTED, "demo-bar")}
    assert 137 not in codes.values(), f"killed: {codes}"
    built.compose("down")
    assert not built.compose("ps", "--all", "--quiet").split()
    built.up()
    backend, till = built.backend(), built.till()
    assert backend.value(f"{counted('mitte-bar')} @ {printed_at}") == 1
    kept = backend.trace(trace_id)
    assert kept is not None
    assert len(kept["spans"]) >= len(found["spans"])
    assert ended(till, job["id"]) == done
    # It goes on: the same agent, which takes another.
    until(lambda: online(till) == {"mitte-kitchen", "mitte-bar"})
    again = submit(till, "mitte-kitchen", 2)
    assert until(lambda: ended(till, again["id"]))["outcome"] == "confirmed"
    until(lambda: backend.value(counted("mitte-kitchen")) == 1, within=90)
    assert {each["metric"]["instance"] for each in backend.query("printer_jobs_total")} == instances


def test_a_corrupt_queue_is_moved_aside_when_it_comes_up(built: Project) -> None:
    built.up()
    built.compose("stop", "otelcol")
    queue = "/var/lib/otelcol/queue"
    write = f"import pathlib; [path.write_bytes(b'x' * 9000) for path in pathlib.Path('{queue}').glob('exporter*')]"
    built.compose("run", "--rm", "--no-deps", "--entrypoint", "python", "prepare", "-c", write)
    built.up()
    assert "was moved to" in built.compose("logs", "--no-log-prefix", "prepare")
    assert built.inspect("otelcol")["State"]["Running"]


def test_make_stack_is_compose_where_an_engine_answers(built: Project, tmp_path: Path) -> None:
    built.compose("down")
    ports = {name.upper(): str(port) for name, port in asdict(Ports.free()).items()}
    environment = {
        **built.engine.environment,
        **{f"STACK_{name}": port for name, port in ports.items()},
        "STACK_STATE": str(tmp_path),
        "COMPOSE_PROJECT_NAME": built.name,
        "PRINTOBS_IMAGE": built.environment["PRINTOBS_IMAGE"],
        # Its image cannot be had, and the rest does without it.
        "GRAFANA_PORT": str(free()["GRAFANA"]),
    }
    with subprocess.Popen(
        [sys.executable, "-m", "collector.stack"],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        assert running.stdout is not None
        said = running.stdout.readline()
        assert "everything is ready" in said, running.communicate(timeout=120)
        backend = Backend(cast("Stack", SimpleNamespace(ports=Ports(prometheus=int(ports["PROMETHEUS"]), jaeger=1))))
        until(lambda: all_up(backend), within=60)
        containers = built.compose("ps", "--quiet").split()
        assert len(containers) == 4
        running.send_signal(signal.SIGINT)
        _, err = running.communicate(timeout=120)
    assert running.returncode == 0
    assert "Grafana cannot be started" in err
    assert not built.compose("ps", "--quiet").split()
    made = [path for path in (tmp_path / "compose").iterdir() if path.is_file()]
    assert {path.name: path.stat().st_mode & 0o777 for path in made} == {"service.env": 0o600, "grafana.env": 0o600}


def counted(printer: str) -> str:
    return f'printer_jobs_total{{printer_name="{printer}",printer_job_outcome="confirmed"}}'


def senders(trace: dict[str, Any] | None) -> set[str]:
    return {each["serviceName"] for each in trace["processes"].values()} if trace else set()


def all_up(backend: Backend) -> bool:
    found = {each["metric"]["job"]: each["value"][1] for each in backend.query("up")}
    return set(found.values()) == {"1"} and {"otelcol", "jaeger", "prometheus", "alertmanager"} <= found.keys()


def ended(till: Till, job: str) -> dict[str, Any] | None:
    found = till.ask("GET", f"{JOBS}/{job}")
    return found if found["outcome"] else None


def online(till: Till) -> set[str]:
    return {each["id"] for each in till.ask("GET", "/api/v1/printing/printers")["printers"] if each["online"]}


def status(process: int) -> dict[str, str]:
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}
