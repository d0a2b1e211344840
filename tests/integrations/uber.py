"""A propagator that looks at the names of all headers, as Jaeger's does for its baggage."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from opentelemetry import baggage, propagate
from opentelemetry.context import Context
from opentelemetry.propagators.textmap import TextMapPropagator

PREFIX: Final = "uberctx-"


class _Uber(TextMapPropagator):
    fields: Final = set()

    def inject(self, carrier: Any, context: Context | None = None, setter: Any = None) -> None: ...

    def extract(self, carrier: Any, context: Context | None = None, getter: Any = None) -> Context:
        found = context or Context()
        for name in getter.keys(carrier):
            if name.lower().startswith(PREFIX):
                found = baggage.set_baggage(name.lower().removeprefix(PREFIX), getter.get(carrier, name)[0], found)
        return found


@contextmanager
def uber() -> Iterator[None]:
    """It is the process's propagator inside this block."""
    before = propagate.get_global_textmap()
    propagate.set_global_textmap(_Uber())
    try:
        yield
    finally:
        propagate.set_global_textmap(before)
