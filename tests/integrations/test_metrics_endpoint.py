"""The metrics endpoint over a real server: what it gives, and to whom."""

import asyncio
import http.client
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.resources import Resource
from starlette.applications import Starlette

from printobs.integrations.metrics_endpoint import metrics_app, metrics_route
from tests.conftest import Sdk
from tests.integrations.uvicorn_server import serve

SECRET = "s" * 32
AUDIENCE = "till"
PRIVATE = rsa.generate_private_key(65537, 2048)
PRIVATE_PEM = PRIVATE.private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
)
PUBLIC_PEM = PRIVATE.public_key().public_bytes(
    serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
)


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    provider = MeterProvider(resource=Resource({"service.name": "till", "service.version": "1.2.3"}))
    arguments = {"audience": AUDIENCE, "meter_provider": provider}
    routes = [
        metrics_route(secret=SECRET, **arguments),
        metrics_route("/rsa", public_key=PUBLIC_PEM.decode(), **arguments),
    ]
    provider.get_meter("mine").create_counter("receipts").add(3, {"kind": "kitchen"})
    with serve(Starlette(routes=routes)) as port:
        yield port
    provider.shutdown()


def ask(
    port: int, token: str | None, path: str = "/api/v1/metrics", **headers: str
) -> tuple[int, str, str | None, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    connection.request("GET", path, headers=headers)
    response = connection.getresponse()
    body = response.read().decode()
    connection.close()
    return response.status, response.getheader("Content-Type", ""), response.getheader("WWW-Authenticate"), body


def token(key: Any = SECRET, algorithm: str = "HS256", **claims: Any) -> str:
    every = {"aud": AUDIENCE, "exp": int(time.time()) + 3600, "scope": "print metrics", **claims}
    return jwt.encode({k: v for k, v in every.items() if v is not None}, key, algorithm)


@pytest.mark.parametrize(
    ("path", "made"), [("/api/v1/metrics", token()), ("/rsa", token(PRIVATE_PEM, "RS256"))], ids=["HS256", "RS256"]
)
def test_a_good_token_gets_the_metrics_in_the_format_it_asks_for(port: int, path: str, made: str) -> None:
    status, kind, _, text = ask(port, made, path)
    assert (status, kind.split(";")[0]) == (200, "text/plain")
    assert 'receipts_total{kind="kitchen"' in text
    status, kind, _, text = ask(port, made, path, Accept="application/openmetrics-text; version=1.0.0")
    assert (status, kind.split(";")[0]) == (200, "application/openmetrics-text")
    assert text.endswith("# EOF\n")


def test_the_build_is_told(port: int) -> None:
    _, _, _, text = ask(port, token())
    assert 'target_info{service_name="till",service_version="1.2.3"} 1.0' in text


@pytest.mark.parametrize(
    "accept", ["application/openmetrics-text; version=a.b", "text/plain;version=x", "\xff;;,=,;q=", ",;" * 2000]
)
def test_an_accept_header_that_makes_no_sense_gets_text(port: int, accept: str) -> None:
    status, kind, _, text = ask(port, token(), Accept=accept)
    assert (status, kind.split(";")[0]) == (200, "text/plain")
    assert "receipts_total" in text


def hmac_with_the_public_key() -> str:
    # PyJWT refuses to make it; an attacker does not use PyJWT.
    import base64
    import hashlib
    import hmac

    def part(value: object) -> bytes:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=")

    claims = {"aud": AUDIENCE, "exp": int(time.time()) + 3600, "scope": "metrics"}
    signed = part({"alg": "HS256", "typ": "JWT"}) + b"." + part(claims)
    signature = base64.urlsafe_b64encode(hmac.digest(PUBLIC_PEM, signed, hashlib.sha256)).rstrip(b"=")
    return (signed + b"." + signature).decode()


@pytest.mark.parametrize(
    ("path", "made", "status", "challenge", "reason"),
    [
        ("/api/v1/metrics", None, 401, "Bearer", "missing"),
        ("/api/v1/metrics", "junk", 401, 'Bearer error="invalid_token"', "malformed"),
        ("/api/v1/metrics", token(exp=int(time.time()) - 60), 401, 'Bearer error="invalid_token"', "expired"),
        ("/api/v1/metrics", token(exp=None), 401, 'Bearer error="invalid_token"', "malformed"),
        ("/api/v1/metrics", token(aud="other"), 401, 'Bearer error="invalid_token"', "audience"),
        ("/api/v1/metrics", token(aud=None), 401, 'Bearer error="invalid_token"', "malformed"),
        ("/api/v1/metrics", token("x" * 32), 401, 'Bearer error="invalid_token"', "signature"),
        ("/api/v1/metrics", token("", "none"), 401, 'Bearer error="invalid_token"', "signature"),
        ("/api/v1/metrics", token(PRIVATE_PEM, "RS256"), 401, 'Bearer error="invalid_token"', "signature"),
        ("/rsa", token("", "none"), 401, 'Bearer error="invalid_token"', "signature"),
        ("/rsa", hmac_with_the_public_key(), 401, 'Bearer error="invalid_token"', "signature"),
        ("/rsa", token(), 401, 'Bearer error="invalid_token"', "signature"),
        ("/api/v1/metrics", token(scope="print"), 403, 'Bearer error="insufficient_scope"', "scope"),
        ("/api/v1/metrics", token(scope=["metrics"]), 403, 'Bearer error="insufficient_scope"', "scope"),
    ],
)
def test_any_other_token_is_refused_and_counted(
    sdk: Sdk, port: int, path: str, made: str | None, status: int, challenge: str, reason: str
) -> None:
    got, _, header, body = ask(port, made, path)
    assert (got, header) == (status, challenge)
    problem = json.loads(body)
    assert (problem["status"], problem["field"]) == (status, "authorization")
    assert problem["detail"].startswith("send a token as 'Authorization: Bearer …': ")
    assert ("scope metrics" in problem["detail"]) == (status == 403)
    [counted] = sdk.points("security.authentication.failures")
    assert (dict(counted.attributes), counted.value) == ({"authentication.failure.reason": reason}, 1)


FORKED = """
import asyncio, os, signal

import jwt
from opentelemetry.sdk.metrics import MeterProvider
from printobs.integrations.metrics_endpoint import metrics_app

app = metrics_app(audience="till", secret="s" * 32, meter_provider=MeterProvider())
token = jwt.encode({"aud": "till", "exp": 2**40, "scope": "metrics"}, "s" * 32)
request = {"type": "http", "method": "GET", "headers": [(b"authorization", f"Bearer {token}".encode())]}

def status():
    sent = []
    async def send(message):
        sent.append(message)
    asyncio.run(app(request, None, send))
    return sent[0]["status"]

assert status() == 200
child = os.fork()
if child == 0:
    signal.alarm(20)
    os._exit(0 if status() == 200 else 1)
assert os.waitpid(child, 0)[1] == 0, "the child does not answer"
assert status() == 200
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_forked_child_answers_too() -> None:
    done = subprocess.run([sys.executable, "-c", FORKED], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_another_method_is_told_which_to_use() -> None:
    app = metrics_app(audience=AUDIENCE, secret=SECRET, meter_provider=MeterProvider())
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.request"}

    asyncio.run(app({"type": "http", "method": "POST", "headers": []}, receive, send))
    assert (sent[0]["status"], dict(sent[0]["headers"])[b"allow"]) == (405, b"GET, HEAD")
    problem = json.loads(sent[1]["body"])
    assert (problem["field"], problem["detail"]) == ("method", "use GET")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "never open"),
        ({"secret": SECRET, "public_key": "x"}, "never open"),
        ({"secret": "short"}, "32 bytes"),
        ({"secret": SECRET, "audience": ""}, "must not be empty"),
        ({"secret": SECRET, "scope": ""}, "must not be empty"),
        ({"secret": PUBLIC_PEM.decode()}, "no key for HS256"),
        ({"public_key": "x"}, "no key for RS256"),
        ({"public_key": PRIVATE_PEM.decode()}, "public half"),
    ],
)
def test_an_endpoint_that_would_be_open_or_of_no_use_is_not_made(arguments: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        metrics_app(meter_provider=MeterProvider(), **{"audience": AUDIENCE, **arguments})  # type: ignore[arg-type]


def test_without_the_sdks_provider_it_says_what_to_do() -> None:
    with pytest.raises(RuntimeError, match="configure"):
        metrics_app(audience=AUDIENCE, secret=SECRET, meter_provider=object())  # type: ignore[arg-type]
