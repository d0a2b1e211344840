"""What several of these tests leave as they found it."""

from collections.abc import Iterator

import pytest

from printobs.integrations import escpos
from printobs.signals.transport import unwatch_classes


@pytest.fixture
def unwatched() -> Iterator[None]:
    """Afterwards no class of drivers is watched any more."""
    yield
    escpos.uninstrument()
    unwatch_classes()
