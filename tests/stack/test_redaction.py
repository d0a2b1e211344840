"""What an application should not have recorded does not leave the Collector."""

from __future__ import annotations

import json
import logging

from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.logging.handler import LoggingHandler
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from tests.stack.backend import Backend, get, until

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJtaXR0ZSJ9.c2VjcmV0LXNpZ25hdHVyZQ"
SECRETS = [JWT, "s3cr3t-p4ss", "4711-api-key", "sess=abcdef", "tok3n-in-a-url"]


def test_secrets_in_spans_and_logs_are_masked_and_the_rest_stays(backend: Backend) -> None:
    resource = Resource.create({"service.name": "careless"})
    traces, logs = TracerProvider(resource=resource), LoggerProvider(resource=resource)
    traces.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter(f"{backend.otlp}/v1/traces")))
    logs.add_log_record_processor(SimpleLogRecordProcessor(OTLPLogExporter(f"{backend.otlp}/v1/logs")))
    attributes = {
        "http.request.header.authorization": f"Bearer {JWT}",
        "http.request.header.cookie": "sess=abcdef",
        "db.password": "s3cr3t-p4ss",
        "shop.api_key": "4711-api-key",
        "url.full": "https://till.example/ws?branch=mitte&access_token=tok3n-in-a-url",
        "note": f"as {JWT} said",
        "printer.name": "mitte-bar",
    }
    traces.get_tracer("careless").start_span("request", attributes=attributes).end()
    logger = logging.getLogger("careless")
    handler = LoggingHandler(logger_provider=logs)
    logger.addHandler(handler)
    logger.warning("refused %s", JWT, extra={"password": "s3cr3t-p4ss", "printer.name": "mitte-bar"})
    logger.removeHandler(handler)
    traces.shutdown()
    logs.shutdown()

    found = until(lambda: get(f"{backend.jaeger}/api/traces", service="careless", lookback="1h")["data"])
    records = backend.stack.state / "logs" / "printobs.jsonl"
    written = until(lambda: [line for line in records.read_text().splitlines() if "careless" in line])
    for text in (json.dumps(found), *written):
        assert not [secret for secret in SECRETS if secret in text]
        assert "mitte-bar" in text
    assert "branch=mitte" in json.dumps(found)
