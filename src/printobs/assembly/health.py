"""health(): how a registered printer is, for the application itself."""

from __future__ import annotations

from printobs.signals import printers
from printobs.signals.printer_health import Health


def health(printer: object) -> Health:
    """How ``printer`` is and how well it works, as its jobs and its monitor have found; asks nothing, never blocks.

    The definition of the score is that of `printobs.signals.health.Quality`. Raises LookupError for a printer that is
    not registered.
    """
    known = printers.known.get(id(printer))
    if known is None or not known.registered:
        raise LookupError(
            f"nothing is known of this {type(printer).__qualname__}: pass what printobs.register() was given"
        )
    return known.health.read()
