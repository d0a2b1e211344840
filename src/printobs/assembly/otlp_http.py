"""The HTTP session of an OTLP exporter: it knows what the server said, and keeps little of it. Needs printobs[otlp].

The SDK's exporters read an answer whole, however long it is and whatever it unpacks to, and take any status below 400
for success.
"""

from __future__ import annotations

import io
from typing import Any, Final

import requests
from google.protobuf.message import DecodeError
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from requests.adapters import HTTPAdapter
from urllib3.exceptions import HTTPError

from printobs.core.attributes import error_type
from printobs.core.guard import Guard

EXPORTERS: Final = (OTLPSpanExporter, OTLPMetricExporter, OTLPLogExporter)

_MAX_ANSWER: Final = 64 << 10  # bytes; an answer of OTLP has a few, and a line of text where it refuses
_guard: Final = Guard("reading the answer to an export")


class Session(requests.Session):
    """One exporter's session. After an export, ``error`` is the ``error.type`` of its last answer, or ``None``, and
    ``rejected`` how many records an answer that is a success has refused (OTLP 1.0, partial success); ``sent``: whether
    there was a request at all.
    """

    def __init__(self) -> None:
        super().__init__()
        self.begin()
        for scheme in ("http://", "https://"):
            self.mount(scheme, _Adapter())

    def begin(self) -> None:
        """Forget the last export."""
        self.error: str | None = None
        self.rejected = 0
        self.sent = False

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
        """Send ``request``, and remember how it ended."""
        self.begin()
        self.sent = True
        try:
            response = super().send(request, **kwargs)
        except Exception as error:
            self.error = error_type(error)
            raise
        with _guard:
            self._judge(response)
        return response

    def _judge(self, response: requests.Response) -> None:
        kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if not 200 <= response.status_code < 300:
            self.error = str(response.status_code)
        elif kind == "application/x-protobuf":
            try:
                # All three signals' answers have the same two fields.
                self.rejected = ExportTraceServiceResponse.FromString(response.content).partial_success.rejected_spans
            except DecodeError:
                self.error = "invalid_response"
        elif kind == "text/html":  # a portal, a proxy: not a collector
            self.error = "invalid_response"


class _Adapter(HTTPAdapter):
    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        """As the base class does, with a body of at most 64 KiB, packed as it came."""
        response = super().send(request, *args, **{**kwargs, "stream": True})
        try:
            body = response.raw.read(_MAX_ANSWER + 1, decode_content=False)
        except HTTPError as error:
            response.close()
            raise requests.ConnectionError(error, request=request) from error
        if len(body) > _MAX_ANSWER:
            response.close()  # the rest is not waited for, and the connection not used again
        response.raw = io.BytesIO(body[:_MAX_ANSWER])
        return response
