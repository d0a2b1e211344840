"""An OTLP/HTTP receiver in memory: what an application exported, as records a test can look at."""

from __future__ import annotations

import sys
import threading
import zlib
from abc import abstractmethod
from collections import deque
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final, Self

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceResponse,
)

from printobs.testing import otlp_decode
from printobs.testing.otlp_decode import LogRecord, MetricPoint, Span

_MAX_BODY: Final = 64 << 20
_CONTENT_TYPE: Final = "application/x-protobuf"


class OtlpSink:
    """Receives traces, metrics and logs on ``endpoint`` as soon as it is made; a context manager.

    Set ``OTEL_EXPORTER_OTLP_ENDPOINT`` to ``endpoint`` and ``OTEL_EXPORTER_OTLP_PROTOCOL`` to ``http/protobuf``. Of
    each signal the newest ``limit`` records are kept; ``dropped`` says how many older ones went. Raises OSError where
    it cannot listen.
    """

    def __init__(self, host: str = "127.0.0.1", port: int = 0, *, limit: int = 100_000) -> None:
        self._spans: deque[Span] = deque(maxlen=limit)
        self._metrics: deque[MetricPoint] = deque(maxlen=limit)
        self._logs: deque[LogRecord] = deque(maxlen=limit)
        self._refusal: int | None = None
        self._rejected = 0
        self._delay = 0.0
        self._closing = threading.Event()
        self._arrived = threading.Condition()
        self.dropped = 0
        self.requests = 0
        sink = self

        class Handler(_Handler):
            def answer(self) -> tuple[int, bytes]:
                return sink._receive(self.path, self.headers, self.body)

        self._server = _Server((host, port), Handler)
        self.endpoint = f"http://{host}:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name="OTLP sink", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop listening; what arrived can still be read."""
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def spans(self) -> list[Span]:
        """The spans that arrived, oldest first."""
        with self._arrived:
            return list(self._spans)

    @property
    def metrics(self) -> list[MetricPoint]:
        """The metric points that arrived, of every export, oldest first."""
        with self._arrived:
            return list(self._metrics)

    @property
    def logs(self) -> list[LogRecord]:
        """The log records that arrived, oldest first."""
        with self._arrived:
            return list(self._logs)

    def clear(self) -> None:
        """Forget what arrived."""
        with self._arrived:
            self._spans.clear()
            self._metrics.clear()
            self._logs.clear()

    def refuse(self, status: int = 503) -> None:
        """Answer every export with this HTTP status from now on, and keep nothing of it."""
        self._refusal = status

    def reject(self, records: int) -> None:
        """Answer every export with success, but that so many of its records were rejected; keep the others."""
        self._rejected = records

    def delay(self, seconds: float) -> None:
        """Let every export wait so long for its answer."""
        self._delay = seconds

    def accept(self) -> None:
        """Take exports again, whole and at once."""
        self._refusal, self._rejected, self._delay = None, 0, 0.0

    def wait_for(self, predicate: Callable[[Self], object], timeout: float = 5.0) -> None:
        """Wait until ``predicate(sink)`` is true; raises TimeoutError, saying what had arrived, after ``timeout`` s."""
        with self._arrived:
            if not self._arrived.wait_for(lambda: predicate(self), timeout):
                names = sorted({span.name for span in self._spans} | {point.name for point in self._metrics})
                raise TimeoutError(
                    f"after {timeout} s: {len(self._spans)} spans, {len(self._metrics)} metric points, "
                    f"{len(self._logs)} log records; names: {', '.join(names) or 'none'}"
                )

    def _receive(self, path: str, headers: Any, body: bytes) -> tuple[int, bytes]:
        signals: dict[str, tuple[deque[Any], Callable[[bytes], Iterator[Any]]]] = {
            "/v1/traces": (self._spans, otlp_decode.spans),
            "/v1/metrics": (self._metrics, otlp_decode.metrics),
            "/v1/logs": (self._logs, otlp_decode.logs),
        }
        if path not in signals:
            return 404, b""
        if headers.get_content_type() != _CONTENT_TYPE:
            return 415, b""
        self._closing.wait(self._delay)
        if self._refusal is not None:
            return self._refusal, b""
        kept, decode = signals[path]
        try:
            records = list(decode(_decompressed(body, headers.get("Content-Encoding", "identity"))))
        except (DecodeError, zlib.error, ValueError):
            return 400, b""
        rejected = min(self._rejected, len(records))
        del records[:rejected]
        with self._arrived:
            self.requests += 1
            self.dropped += max(0, len(kept) + len(records) - (kept.maxlen or 0))
            kept.extend(records)
            self._arrived.notify_all()
        # An empty message says that all was accepted; all three signals' answers have the same fields.
        partial = ExportTracePartialSuccess(rejected_spans=rejected) if rejected else None
        return 200, ExportTraceServiceResponse(partial_success=partial).SerializeToString()


def _decompressed(body: bytes, encoding: str) -> bytes:
    if encoding == "identity":
        return body
    if encoding not in ("gzip", "deflate"):
        raise ValueError(encoding)
    stream = zlib.decompressobj(zlib.MAX_WBITS | 32)  # either header
    plain = stream.decompress(body, _MAX_BODY)
    if stream.unconsumed_tail or not stream.eof:
        raise ValueError("too large or cut short")
    return plain


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """An exporter that goes away without a word is none of a test's business."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 30
    body = b""

    @abstractmethod
    def answer(self) -> tuple[int, bytes]: ...

    def do_POST(self) -> None:
        """Take one export."""
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or len(length) > 9 or int(length) > _MAX_BODY:
            self.close_connection = True
            status, content = (413 if length.isdecimal() else 411), b""
        else:
            self.body = self.rfile.read(int(length))
            status, content = self.answer()
        self.send_response(status)
        self.send_header("Content-Type", _CONTENT_TYPE)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: it serves tests."""
