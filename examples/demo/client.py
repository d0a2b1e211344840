"""A till: submits receipts over HTTP, and hears over a WebSocket how they end."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect


class Till:
    """One till; used from one thread, but for ``heard``, which is called in another."""

    def __init__(self, url: str, token: str) -> None:
        self._address = urlsplit(url).netloc
        self._headers = {"Authorization": f"Bearer {token}"}

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        """The answer's JSON, or its text; raises RuntimeError where it is none of 2xx."""
        connection = http.client.HTTPConnection(self._address, timeout=15)
        sent = {**self._headers, **{name.replace("_", "-"): value for name, value in headers.items()}}
        content = None
        if body is not None:
            content = json.dumps(body)
            sent["Content-Type"] = "application/json"
        try:
            connection.request(method, path, content, sent)
            response = connection.getresponse()
            text = response.read().decode()
        finally:
            connection.close()
        if not 200 <= response.status < 300:
            raise RuntimeError(f"{method} {path}: {response.status} {text[:300]}")
        return json.loads(text) if "json" in response.getheader("Content-Type", "") else text

    def listen(self, heard: Callable[[dict[str, Any]], None]) -> Callable[[], None]:
        """Call ``heard`` with every change of this till's jobs, until what is returned is called."""
        websocket = connect(f"ws://{self._address}/ws/client", additional_headers=self._headers).__enter__()

        def read() -> None:
            try:
                for message in websocket:
                    heard(json.loads(message))
            except ConnectionClosed:
                pass

        thread = threading.Thread(target=read, daemon=True)
        thread.start()

        def stop() -> None:
            websocket.close()
            thread.join(5)

        return stop
