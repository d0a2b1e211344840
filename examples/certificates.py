"""When the certificates of the servers that this process needs end: each is asked for it, as its clients ask.

Who holds a connection for weeks does not see that the certificate was renewed, nor that it was not.
"""

from __future__ import annotations

import asyncio
import logging
import os
import ssl
from typing import Final
from urllib.parse import urlsplit

import printobs

logger = logging.getLogger("certificates")

EVERY: Final = 21_600.0  # seconds between two looks
_AGAIN: Final = 300.0  # where one has not answered: it may be that nobody is up yet
_PATIENCE: Final = 10.0
_PORTS: Final = {"wss": 443, "https": 443}


class Unseen(Exception):  # noqa: N818 - reads as what happened
    """A server shows no certificate that is good; says why."""


async def watch(*urls: str) -> None:
    """Look at those of ``wss`` and ``https``, and at the Collector's, for ever; at nothing where there is none.

    The Collector's is the one of ``OTEL_EXPORTER_OTLP_ENDPOINT``, signed by ``OTEL_EXPORTER_OTLP_CERTIFICATE``, if that
    is set; all others by whom the system trusts.
    """
    servers: dict[tuple[str, int], str | None] = {server: None for url in urls if (server := _server(url))}
    if collector := _server(os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT", "")):
        servers[collector] = os.environ.get("OTEL_EXPORTER_OTLP_CERTIFICATE") or None
    if not servers:
        return
    credentials = printobs.Credentials()
    while True:
        wait = EVERY
        for (host, port), authority in servers.items():
            try:
                credentials.certificate(host, port, await ends(host, port, authority))
            except Unseen as error:
                # The last that was seen is shown still: of one that has ended, that is the reason.
                logger.warning("the certificate of %s:%s cannot be seen: %s", host, port, error)
                wait = _AGAIN
        await asyncio.sleep(wait)


async def ends(host: str, port: int, authority: str | None = None) -> float:
    """The end of a server's certificate, in seconds since 1970; raises `Unseen`."""
    try:
        context = ssl.create_default_context(cafile=authority)
        async with asyncio.timeout(_PATIENCE):
            _, writer = await asyncio.open_connection(host, port, ssl=context)
            try:
                return float(ssl.cert_time_to_seconds(writer.get_extra_info("peercert")["notAfter"]))
            finally:
                writer.close()
    except TimeoutError:
        raise Unseen(f"no answer within {_PATIENCE:.0f} s") from None
    except ssl.SSLCertVerificationError as error:
        raise Unseen(error.verify_message) from None
    except (OSError, ValueError) as error:
        raise Unseen(str(error) or type(error).__name__) from None


def _server(url: str) -> tuple[str, int] | None:
    try:
        parts = urlsplit(url)
        port = _PORTS.get(parts.scheme)
        return None if port is None or not parts.hostname else (parts.hostname, parts.port or port)
    except ValueError:  # whoever connects there says so
        return None
