"""The parts of the backend: how each is started, and when it is ready."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from collector.stack import channels
from collector.stack.pins import COLLECTOR
from collector.stack.ports import Ports

# Of the Collector, in MiB: it refuses above, and its garbage collector works harder from four fifths on.
MEMORY: Final = 512
RETENTION: Final = "30d"


@dataclass(frozen=True, slots=True)
class Part:
    """``command`` is the program's name in `collector.stack.pins`; ``ready`` answers 200 once it can be used."""

    name: str
    command: str
    arguments: tuple[str, ...]
    ready: str
    environment: Mapping[str, str] = field(default_factory=dict)
    page: str = ""  # where a person looks


def parts(
    ports: Ports, state: Path, scrape: str = "15s", profiles: Sequence[str] = (), secrets: Path | None = None
) -> list[Part]:
    """All of them, in the order in which they are started: each before those that send to it.

    ``state`` is the folder of all that they keep. ``scrape``: Prometheus's interval, which tests make shorter; what the
    Collector waits for is in proportion. ``profiles``: what the Collector's configuration has besides, as ``sampling``.
    ``secrets``: Alertmanager's folder of them; without, it tells nobody.
    """
    configurations = [COLLECTOR / "otelcol" / f"{name}.yaml" for name in ("config", *profiles)]
    ready_at = ready(ports)
    alertmanager = channels.configuration(state / "alertmanager" / "etc", secrets)
    prometheus = prometheus_folder(
        state / "prometheus" / "etc",
        scrape,
        {
            "printobs": ports.collector_metrics,
            "otelcol": ports.collector_own,
            "jaeger": ports.jaeger_own,
            "prometheus": ports.prometheus,
            "alertmanager": ports.alertmanager,
        },
    )
    return [
        Part(
            "jaeger",
            "jaeger",
            ("--config", str(COLLECTOR / "jaeger" / "config.yaml")),
            ready_at["jaeger"],
            {
                "JAEGER_STATE": str(state / "jaeger"),
                "JAEGER_OTLP_PORT": str(ports.jaeger_otlp),
                "JAEGER_QUERY_PORT": str(ports.jaeger),
                "JAEGER_QUERY_GRPC_PORT": str(ports.jaeger_grpc),
                "JAEGER_HEALTH_PORT": str(ports.jaeger_health),
                "JAEGER_OWN_PORT": str(ports.jaeger_own),
                "PROMETHEUS_URL": f"http://127.0.0.1:{ports.prometheus}",
                # Its own spans would come to our Collector, and from there to it.
                "OTEL_TRACES_SAMPLER": "always_off",
            },
            f"http://127.0.0.1:{ports.jaeger}",
        ),
        Part(
            "alertmanager",
            "alertmanager",
            (
                f"--config.file={alertmanager / 'alertmanager.yml'}",
                f"--storage.path={state / 'alertmanager'}",
                f"--web.listen-address=127.0.0.1:{ports.alertmanager}",
                "--cluster.listen-address=",
            ),
            ready_at["alertmanager"],
            page=f"http://127.0.0.1:{ports.alertmanager}",
        ),
        Part(
            "prometheus",
            "prometheus",
            (
                f"--config.file={prometheus / 'prometheus.yml'}",
                f"--storage.tsdb.path={state / 'prometheus' / 'data'}",
                f"--storage.tsdb.retention.time={RETENTION}",
                f"--web.listen-address=127.0.0.1:{ports.prometheus}",
                "--web.enable-admin-api",  # snapshots, for the backup
                "--enable-feature=exemplar-storage,created-timestamp-zero-ingestion",
            ),
            ready_at["prometheus"],
            page=f"http://127.0.0.1:{ports.prometheus}",
        ),
        Part(
            "otelcol",
            "otelcol",
            tuple(argument for path in configurations for argument in ("--config", str(path))),
            ready_at["otelcol"],
            {
                "COLLECTOR_STATE": str(state / "otelcol"),
                "COLLECTOR_LOGS": str(state / "logs"),
                "COLLECTOR_GRPC_PORT": str(ports.otlp_grpc),
                "COLLECTOR_HTTP_PORT": str(ports.otlp_http),
                "COLLECTOR_HEALTH_PORT": str(ports.collector_health),
                "COLLECTOR_ZPAGES_PORT": str(ports.collector_zpages),
                "COLLECTOR_METRICS_PORT": str(ports.collector_metrics),
                "COLLECTOR_OWN_PORT": str(ports.collector_own),
                "COLLECTOR_MEMORY_MIB": str(MEMORY),
                "COLLECTOR_FLUSH": scrape,
                "COLLECTOR_PAIRING": f"{6 * int(scrape.removesuffix('s'))}s",
                "JAEGER_OTLP": f"127.0.0.1:{ports.jaeger_otlp}",
                "GOMEMLIMIT": f"{MEMORY * 4 // 5}MiB",
            },
            f"http://127.0.0.1:{ports.collector_zpages}/debug/pipelinez",
        ),
    ]


def ready(ports: Ports) -> dict[str, str]:
    """Where each part says that it can be used."""
    local = "http://127.0.0.1"
    return {
        "jaeger": f"{local}:{ports.jaeger_health}/status",
        "alertmanager": f"{local}:{ports.alertmanager}/-/ready",
        "prometheus": f"{local}:{ports.prometheus}/-/ready",
        "otelcol": f"{local}:{ports.collector_health}/",
    }


def prometheus_folder(folder: Path, scrape: str, targets: Mapping[str, int]) -> Path:
    """Prometheus's own copy of its configuration, beside which is where what it scrapes is: the port of each job."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(COLLECTOR / "prometheus", folder)
    if scrape != "15s":
        for path in folder.glob("*.yml"):
            path.write_text(
                path.read_text()
                .replace("interval: 15s", f"interval: {scrape}")
                .replace("timeout: 10s", f"timeout: {scrape}")
            )
    (folder / "targets").mkdir()
    for name, port in targets.items():
        # JSON is YAML.
        (folder / "targets" / f"{name}.yml").write_text(json.dumps([{"targets": [f"127.0.0.1:{port}"]}]))
    return folder
