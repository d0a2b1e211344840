"""identify(), refusal() and quality() of a WebSocket that is not followed."""

import pytest

import printobs
from tests.conftest import Sdk


@pytest.mark.parametrize("stranger", [object(), None, {}, {"type": "websocket", "printobs": "forged"}])
def test_nothing_happens_and_nothing_is_known(sdk: Sdk, stranger: object) -> None:
    failures = sdk.value("printobs.errors")
    printobs.identify(stranger, client_type="web", branch="mitte", client="pc")
    printobs.refusal(stranger, "origin")
    found = printobs.quality(stranger)
    assert (found.level, found.score) == ("unknown", None)
    assert sdk.value("printobs.errors") == failures
