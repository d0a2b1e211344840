"""The HTTP interface against its own description: whatever is sent, no 5xx, and every answer is one that is described."""

from collections.abc import Iterator

import hypothesis
import pytest
import schemathesis
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.examples.processes import Service, service, token
from tests.examples.scripted import Scripted

EXAMPLES = 25  # requests for each operation


@pytest.fixture(scope="module")
def till() -> Iterator[Service]:
    with service(SERVICE_QUEUE_LIMIT="100000", SERVICE_PRINTER_QUEUE_LIMIT="100000") as till:
        with Scripted(till):
            pass
        till.submit("kitchen")
        yield till
    assert not [line for line in till.process.errors if "Traceback" in line]


@pytest.fixture(scope="module")
def description(till: Service) -> schemathesis.BaseSchema:
    return schemathesis.openapi.from_url(f"{till.url}/openapi.json")


schema = schemathesis.pytest.from_fixture("description")


@schema.parametrize()
@hypothesis.settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(hypothesis.HealthCheck),
)
def test_no_request_breaks_the_service(case: schemathesis.Case) -> None:
    bearer = token("till", "print raw operate")
    case.call_and_validate(
        headers={"Authorization": f"Bearer {bearer}"},
        checks=[
            not_a_server_error,
            status_code_conformance,
            content_type_conformance,
            response_headers_conformance,
            response_schema_conformance,
        ],
    )
