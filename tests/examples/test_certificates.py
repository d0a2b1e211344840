"""Certificates of the servers that a process needs are looked at, and what is wrong with one is said."""

from __future__ import annotations

import asyncio
import datetime
import logging
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from examples import certificates
from tests.certificates import certificate
from tests.conftest import Sdk

METRIC = "security.credential.expiration"
ENDS = datetime.datetime.now(datetime.UTC).replace(microsecond=0) + datetime.timedelta(days=3)


@asynccontextmanager
async def serving(cert: Path, key: Path) -> AsyncIterator[int]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0, ssl=context)
    async with server:
        yield server.sockets[0].getsockname()[1]


def test_it_is_shown_when_it_ends(sdk: Sdk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cert, key = certificate(tmp_path, ENDS)

    async def until_shown() -> int:
        async with serving(cert, key) as port:
            monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"https://127.0.0.1:{port}")
            monkeypatch.setenv("OTEL_EXPORTER_OTLP_CERTIFICATE", str(cert))
            watching = asyncio.create_task(certificates.watch("ws://127.0.0.1:1/ws/agent"))
            async with asyncio.timeout(10):
                while not sdk.points(METRIC):  # noqa: ASYNC110 - a collection is no event
                    await asyncio.sleep(0.01)
            [point] = sdk.points(METRIC)
            watching.cancel()
            with suppress(asyncio.CancelledError):
                await watching
            assert point.value == ENDS.timestamp()
            assert dict(point.attributes) == {
                "security.credential.type": "certificate",
                "server.address": "127.0.0.1",
                "server.port": str(port),
            }
            return port

    asyncio.run(until_shown())
    assert not sdk.points(METRIC)  # nobody watches any more


def test_one_that_cannot_be_seen_is_told_with_its_reason(
    sdk: Sdk, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    now = datetime.datetime.now(datetime.UTC)
    ended = certificate(tmp_path, now - datetime.timedelta(hours=1))

    async def fail() -> None:
        async with serving(*ended) as port:
            with pytest.raises(certificates.Unseen, match="expired"):
                await certificates.ends("127.0.0.1", port, str(ended[0]))
            with pytest.raises(certificates.Unseen, match=r"self.signed"):
                await certificates.ends("127.0.0.1", port)
            with pytest.raises(certificates.Unseen, match="No such file"):
                await certificates.ends("127.0.0.1", port, str(tmp_path / "none.pem"))
            watching = asyncio.create_task(certificates.watch(f"wss://127.0.0.1:{port}/ws/agent"))
            async with asyncio.timeout(10):
                while not caplog.records:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
            watching.cancel()
        with pytest.raises(certificates.Unseen, match=r"Connect call failed|refused"):
            await certificates.ends("127.0.0.1", port)

    with caplog.at_level(logging.WARNING, "certificates"):
        asyncio.run(fail())
    assert "cannot be seen: " in caplog.text
    assert not sdk.points(METRIC)


@pytest.mark.parametrize("url", ["ws://till.example/ws", "http://127.0.0.1:4318", "", "https://[", "https://x:99999"])
def test_where_there_is_none_nothing_is_watched(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
    asyncio.run(asyncio.wait_for(certificates.watch(url), 5))
