"""A real uvicorn in a thread."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn


@contextmanager
def serve(app: Any, **settings: Any) -> Iterator[int]:
    """Serve ``app`` on a free port, which is given, until the block is left."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="critical", **{"lifespan": "off", **settings}))
    thread = threading.Thread(target=server.run)
    thread.start()
    deadline = time.monotonic() + 5
    while not server.started and time.monotonic() < deadline:
        time.sleep(0.01)
    try:
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        thread.join()
