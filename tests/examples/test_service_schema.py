"""The HTTP interface against its own description: whatever is sent, no 5xx, and every answer is as described."""

from collections.abc import Iterator

import hypothesis
import pytest
import schemathesis
from schemathesis import checks

from examples.service.openapi import document
from tests.examples.processes import Service, service, token
from tests.examples.scripted import Scripted

pytestmark = pytest.mark.timeout(300)

EXAMPLES = 25  # requests for each operation

schema = schemathesis.openapi.from_dict(document())


@pytest.fixture(scope="module")
def till() -> Iterator[Service]:
    with service(SERVICE_QUEUE_LIMIT="100000", SERVICE_PRINTER_QUEUE_LIMIT="100000") as till:
        with Scripted(till):
            pass
        till.submit("kitchen")
        yield till
    assert "Traceback" not in "".join(till.process.errors)


def test_the_description_is_served(till: Service) -> None:
    assert till.ask("GET", "/openapi.json", bearer=None)[:2] == (200, document())


@schema.parametrize()
@hypothesis.settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(hypothesis.HealthCheck),
)
def test_no_request_breaks_the_service(case: schemathesis.Case, till: Service) -> None:
    case.call_and_validate(
        base_url=till.url,
        headers={"Authorization": f"Bearer {token('till', 'print raw operate')}"},
        checks=[
            checks.not_a_server_error,
            checks.status_code_conformance,
            checks.content_type_conformance,
            checks.response_headers_conformance,
            checks.response_schema_conformance,
            checks.unsupported_method,
        ],
    )
