"""The HTTP interface against its own description: whatever is sent, no 5xx, and every answer is as described."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from examples.service.openapi import document
from tests.examples.processes import Service, service, token
from tests.examples.scripted import Scripted
from tests.nursery import unmeasured

pytestmark = pytest.mark.timeout(300)

EXAMPLES = 25  # requests for each operation, besides those made from the description's limits
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "unsupported_method",
)


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


def test_no_request_breaks_the_service(till: Service, tmp_path: Path) -> None:
    described = tmp_path / "openapi.json"
    described.write_text(json.dumps(document()))
    # A process of its own: as a plugin it would cost every process that only collects the tests seconds.
    command = [sys.executable, "-m", "schemathesis.cli", "run", described, "--url", till.url]
    command += ["--header", f"Authorization: Bearer {token('till', 'print raw operate')}"]
    command += ["--checks", ",".join(CHECKS), "--phases", "examples,coverage,fuzzing"]
    command += ["--max-examples", str(EXAMPLES), "--generation-deterministic"]
    command += ["--suppress-health-check", "all", "--continue-on-failure", "--no-color"]
    ran = subprocess.run(command, cwd=tmp_path, env=unmeasured(), capture_output=True, text=True, check=False)
    said = ran.stdout + ran.stderr
    assert ran.returncode == 0, said
    assert f"Tested: {sum(map(len, document()['paths'].values()))}\n" in said, said
