"""``python -m collector.compose.joined``: 0 where the agent in this container is connected to its service, else 1.

An agent listens nowhere, so it cannot be asked: the kernel is, which connections there are.
"""

from __future__ import annotations

import os
import sys
import tomllib
from pathlib import Path
from urllib.parse import urlsplit

_ESTABLISHED = "01"


def main() -> int:
    """The status."""
    url = os.environ.get("AGENT_SERVICE_URL")
    if not url:
        settings = tomllib.loads(Path(os.environ["AGENT_CONFIG"]).read_text(encoding="utf-8-sig"))
        url = settings["agent"].get("service_url", "ws://127.0.0.1:8080/ws/agent")
    address = urlsplit(url)
    port = address.port or (443 if address.scheme == "wss" else 80)
    # https://docs.kernel.org/networking/proc_net_tcp.html: sl, local address, remote address, state, …
    rows = [
        row.split()
        for path in (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
        if path.exists()
        for row in path.read_text().splitlines()[1:]
    ]
    return not any(row[3] == _ESTABLISHED and int(row[2].rpartition(":")[2], 16) == port for row in rows)


if __name__ == "__main__":
    sys.exit(main())
