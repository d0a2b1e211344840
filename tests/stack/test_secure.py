"""The secure profile: the Collector takes telemetry over TLS, from those that have a token."""

from __future__ import annotations

import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from collector.stack.ports import Ports
from collector.stack.stack import Stack
from tests.certificates import certificate as made
from tests.stack.backend import Backend, get, until

TOKEN = "a-token-that-is-long-enough-4711"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """It, and its key."""
    return made(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def backend(certificate: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backend]:
    state = tmp_path_factory.mktemp("secure")
    (state / "token").write_text(TOKEN)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLLECTOR_TOKEN_FILE", str(state / "token"))
        patch.setenv("COLLECTOR_TLS_CERT", str(certificate[0]))
        patch.setenv("COLLECTOR_TLS_KEY", str(certificate[1]))
        with Stack(Ports.free(), state, "1s", ["secure"]) as stack:
            yield Backend(stack)


def status(backend: Backend, certificate: Path, **headers: str) -> int:
    request = urllib.request.Request(
        f"{backend.otlp.replace('http', 'https')}/v1/traces",
        data=b"{}",
        headers={"Content-Type": "application/json", **headers},
    )
    try:
        with urllib.request.urlopen(request, context=ssl.create_default_context(cafile=str(certificate))) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def test_only_who_has_the_token_may_send(backend: Backend, certificate: tuple[Path, Path]) -> None:
    assert status(backend, certificate[0]) == 401
    assert status(backend, certificate[0], Authorization="Bearer something else") == 401
    assert status(backend, certificate[0], Authorization=f"Bearer {TOKEN}") == 200


def test_it_does_not_speak_without_tls(backend: Backend) -> None:
    request = urllib.request.Request(f"{backend.otlp}/v1/traces", data=b"{}")
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request)
    refused.value.close()
    assert refused.value.code == 400


def test_spans_arrive_as_an_application_sends_them(
    backend: Backend, certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    # With one of these in the environment, requests asks it and not the exporter's own certificate.
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    provider = TracerProvider(resource=Resource.create({"service.name": "till"}))
    exporter = OTLPSpanExporter(
        f"{backend.otlp.replace('http', 'https')}/v1/traces",
        certificate_file=str(certificate[0]),
        headers={"authorization": f"Bearer {TOKEN}"},
    )
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    provider.get_tracer("till").start_span("over TLS").end()
    provider.shutdown()
    until(lambda: get(f"{backend.jaeger}/api/traces", service="till", lookback="1h")["data"])
