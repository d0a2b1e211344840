"""A Docker engine, and the pinned images without a registry: made from the native programs, ours by its Dockerfile."""

from __future__ import annotations

import json
import os
import re
import shutil
import ssl
import subprocess
import sys
import sysconfig
import time
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

from collector.stack import binaries
from collector.stack.pins import COLLECTOR

ROOT: Final = Path(__file__).parents[2]
START: Final = 60.0  # seconds until an engine must answer

_BRIDGE: Final = "/sys/class/net/docker0"

# What is run, and the Debian package that brings it.
_TOOLS: Final = {
    "dockerd": "docker.io",
    "docker": "docker.io",
    "iptables": "iptables",
    "ip": "iproute2",
    "busybox": "busybox-static",
    "debootstrap": "debootstrap",
}
_OF_ENGINE: Final = {"dockerd", "docker", "iptables", "ip"}


class Unable(Exception):  # noqa: N818 - reads as what happened
    """No engine, or no image; says why."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """What an upstream image has of what is relied on. ``owned`` are its folders, by path, with who has them."""

    programs: Mapping[str, str]  # path in the image: name in `collector.stack.pins`
    entrypoint: str
    user: str
    owned: Mapping[str, int] = field(default_factory=dict)
    volumes: Sequence[str] = ()
    tools: bool = True  # a shell and wget, by busybox


# As each project's own Dockerfile has them.
RECIPES: Final = {
    "otel/opentelemetry-collector-contrib": Recipe(
        {"otelcol-contrib": "otelcol"}, "/otelcol-contrib", "10001:10001", tools=False
    ),
    "jaegertracing/jaeger": Recipe(
        {"cmd/jaeger/jaeger-linux": "jaeger"}, "/cmd/jaeger/jaeger-linux", "10001", volumes=["/tmp"]
    ),
    "prom/prometheus": Recipe(
        {"bin/prometheus": "prometheus", "bin/promtool": "promtool"},
        "/bin/prometheus",
        "nobody",
        {"prometheus": 65534, "etc/prometheus": 65534},
        ["/prometheus"],
    ),
    "prom/alertmanager": Recipe(
        {"bin/alertmanager": "alertmanager", "bin/amtool": "amtool"},
        "/bin/alertmanager",
        "nobody",
        {"alertmanager": 65534, "etc/alertmanager": 65534},
        ["/alertmanager"],
    ),
}


class Engine:
    """A context manager: entered, an engine answers; left, it has ended if it was started here.

    One that answers already is taken, with the images that it has; what is made here is taken from it again.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._daemon: subprocess.Popen[bytes] | None = None
        self._bridge = False  # whether it is of this engine
        self._made: list[str] = []
        self._environment = dict(os.environ)

    def __enter__(self) -> Self:
        answers = shutil.which("docker") is not None and self._answers()
        # An engine that is here already may be of another make, with which Debian's cannot be installed.
        _tools(_TOOLS.keys() - _OF_ENGINE if answers else _TOOLS.keys())
        try:
            if answers:
                # As the user's own configuration names it, which has no place for our Compose.
                said = self.docker("context", "inspect", "--format", "{{.Endpoints.docker.Host}}").stdout.strip()
                self._environment.setdefault("DOCKER_HOST", said)
            else:
                self._start()
            self._plugin()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._daemon is None:
            for image in reversed(self._made):
                self.docker("image", "rm", "--force", image, check=False)
            return
        self._daemon.terminate()
        try:
            self._daemon.wait(30)
        except subprocess.TimeoutExpired:
            self._daemon.kill()
            self._daemon.wait()
        if self._bridge:
            subprocess.run(["ip", "link", "delete", Path(_BRIDGE).name], capture_output=True, check=False)

    @property
    def environment(self) -> Mapping[str, str]:
        """What a process that is to reach it has in its environment."""
        return self._environment

    def docker(
        self, *arguments: str, check: bool = True, within: float = 120.0, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """What a command said; raises `Unable` where it fails."""
        done = subprocess.run(
            ["docker", *arguments],
            env={**self._environment, **environment},
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=within,
            check=False,
        )
        if check and done.returncode != 0:
            raise Unable(f"docker {' '.join(arguments)[:200]}: {(done.stdout + done.stderr)[-3000:]}")
        return done

    def _answers(self) -> bool:
        return self.docker("version", check=False).returncode == 0

    def _start(self) -> None:
        if os.geteuid() != 0:
            raise Unable("no Docker engine answers, and starting one needs root")
        self._bridge = not Path(_BRIDGE).exists()
        socket, log = self._folder / "docker.sock", self._folder / "dockerd.log"
        self._environment["DOCKER_HOST"] = f"unix://{socket}"
        self._environment.pop("DOCKER_CONTEXT", None)
        with log.open("wb") as output:
            self._daemon = subprocess.Popen(
                [
                    "dockerd",
                    f"--host=unix://{socket}",
                    f"--data-root={self._folder / 'data'}",
                    f"--exec-root={self._folder / 'exec'}",
                    f"--pidfile={self._folder / 'pid'}",
                ],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        deadline = time.monotonic() + START
        while not self._answers():
            if self._daemon.poll() is not None or time.monotonic() > deadline:
                raise Unable(f"no Docker engine answers, and dockerd does not start: {log.read_text()[-2000:]}")
            time.sleep(0.2)

    def _plugin(self) -> None:
        plugins = self._folder / "config" / "cli-plugins"
        plugins.mkdir(parents=True)
        (plugins / "docker-compose").symlink_to(binaries.command("docker-compose"))
        self._environment["DOCKER_CONFIG"] = str(plugins.parent)

    def has(self, image: str) -> bool:
        """Whether it need not be made."""
        return self.docker("image", "inspect", image, check=False).returncode == 0

    def upstream(self, image: str) -> None:
        """Make an image under its pinned name from the native program, where the engine does not have it."""
        if self.has(image):
            return
        recipe = RECIPES[image.partition(":")[0]]
        root = self._folder / "images" / re.sub(r"\W", "-", image)
        for path, name in recipe.programs.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(binaries.command(name), root / path)
        for path, owner in recipe.owned.items():
            (root / path).mkdir(parents=True)
            os.chown(root / path, owner, owner)
        for path in ("etc", "tmp", "bin"):
            (root / path).mkdir(exist_ok=True)
        (root / "tmp").chmod(0o1777)
        (root / "etc" / "passwd").write_text("root:x:0:0::/:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n")
        if recipe.tools:
            shutil.copy2(_found("busybox"), root / "bin" / "busybox")
            for name in ("sh", "wget"):
                (root / "bin" / name).symlink_to("busybox")
        changes = [f'ENTRYPOINT ["{recipe.entrypoint}"]', f"USER {recipe.user}"]
        self._import(root, image, changes + [f'VOLUME ["{each}"]' for each in recipe.volumes])

    def python(self, image: str) -> None:
        """Make the image that ours is built from of Debian and this interpreter, where the engine does not have it."""
        if self.has(image):
            return
        root = self._folder / "images" / "python"
        suite = dict(re.findall(r"^(\w+)=\"?([^\"\n]*)", Path("/etc/os-release").read_text(), re.M))["VERSION_CODENAME"]
        _run("debootstrap", "--variant=minbase", "--include=ca-certificates", suite, str(root))
        _interpreter(root)
        # How this machine reaches the package index.
        settings = {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
        paths = ssl.get_default_verify_paths()
        for path in {settings.get("PIP_CERT"), paths.cafile, "/etc/pip.conf"}:
            if path and Path(path).is_file():
                (root / path.lstrip("/")).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, root / path.lstrip("/"))
        settings.pop("PIP_FIND_LINKS", None)
        changes = [f"ENV {name}={json.dumps(value)}" for name, value in settings.items()]
        self._import(root, image, [*changes, 'CMD ["python3"]'])

    def _import(self, root: Path, image: str, changes: Sequence[str]) -> None:
        options = [argument for change in changes for argument in ("--change", change)]
        with subprocess.Popen(["tar", "--numeric-owner", "-C", str(root), "-c", "."], stdout=subprocess.PIPE) as packed:
            done = subprocess.run(
                ["docker", "import", *options, "-", image],
                stdin=packed.stdout,
                env=self._environment,
                capture_output=True,
                text=True,
                check=False,
            )
        if done.returncode != 0 or packed.returncode != 0:
            raise Unable(f"{image} cannot be made: {done.stderr}")
        self._made.append(image)
        shutil.rmtree(root)

    def made(self, image: str) -> None:
        """It is to be gone in the end."""
        self._made.append(image)


def base() -> str:
    """The image that ours is built from, as the Dockerfile pins it."""
    found = re.search(r"^ARG PYTHON=(\S+)$", (COLLECTOR / "Dockerfile").read_text(), re.M)
    assert found is not None
    return found[1]


def _found(tool: str) -> str:
    # dockerd and debootstrap are where only root's PATH may be.
    path = shutil.which(tool, path=f"{os.environ.get('PATH', '')}:/usr/local/sbin:/usr/sbin:/sbin")
    if path is None:
        raise Unable(f"{tool} is missing: apt-get install {_TOOLS[tool]}")
    return path


def _tools(needed: Set[str]) -> None:
    """All of them are installed, or `Unable`."""
    missing = []
    for tool in sorted(needed):
        try:
            _found(tool)
        except Unable:
            missing.append(_TOOLS[tool])
    if not missing:
        return
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise Unable(f"Compose cannot be tried here: as root, apt-get install {' '.join(missing)}")
    _run("apt-get", "update", "-qq")
    _run("apt-get", "install", "-qq", "--yes", "--no-install-recommends", *missing)
    for tool in needed:
        _found(tool)


def _run(*command: str) -> str:
    done = subprocess.run(
        [shutil.which(command[0]) or _found(command[0]), *command[1:]],
        env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise Unable(f"{' '.join(command)}: {(done.stdout + done.stderr)[-2000:]}")
    return done.stdout


def _interpreter(root: Path) -> None:
    """This interpreter in ``root``, where Python's own image has it, with the libraries that Debian's base has not."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    local = root / "usr" / "local"
    program = Path(sys.executable).resolve()
    library = Path(sysconfig.get_path("stdlib"))
    shutil.copy2(program, local / "bin" / version)
    for name in ("python3", "python"):
        (local / "bin" / name).symlink_to(version)
    ignored = shutil.ignore_patterns("test", "site-packages", "dist-packages", "__pycache__", "config-*", "idlelib")
    shutil.copytree(library, local / "lib" / version, ignore=ignored)
    (local / "lib" / version / "site-packages").mkdir()
    for file in (program, *library.glob("lib-dynload/*.so")):
        said = subprocess.run(["ldd", str(file)], capture_output=True, text=True, check=False).stdout
        for needed in map(Path, re.findall(r"=> (/\S+)", said)):
            if not (root / needed.relative_to("/")).exists():
                # Not where it is here: that may be a home that nobody else may enter.
                shutil.copyfile(needed, local / "lib" / needed.name)
    _run("chroot", str(root), "/sbin/ldconfig")
    _run("chroot", str(root), "/usr/local/bin/python3", "-m", "ensurepip")
