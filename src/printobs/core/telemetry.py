"""The tracer and the instruments in use, and how they are found.

All instruments are made once for each meter provider, up front: making an observable again silently drops its
callbacks.
"""

from __future__ import annotations

import threading
import weakref
from importlib.metadata import version
from typing import Any, Final

from opentelemetry import metrics, trace
from opentelemetry.metrics import Counter, Histogram, Meter, MeterProvider
from opentelemetry.trace import Tracer, TracerProvider

from printobs.core import conventions
from printobs.core.cells import Cell, Family, PairCell
from printobs.core.conventions import Instrument, Kind
from printobs.core.readings import Readings

VERSION: Final = version("printobs")


class Instruments:
    """Every instrument of the conventions, made on one meter."""

    def __init__(self, meter: Meter) -> None:
        self._made: dict[str, Any] = {}
        for count, size in conventions.PAIRS:
            pairs = Family(PairCell)
            self._made[count.name] = pairs
            for instrument, read in ((count, PairCell.count), (size, PairCell.size)):
                meter.create_observable_counter(
                    instrument.name, [pairs.observe(read)], instrument.unit, instrument.description
                )
        paired = {instrument.name for pair in conventions.PAIRS for instrument in pair}
        for instrument in conventions.INSTRUMENTS:
            if instrument.name not in paired:
                self._made[instrument.name] = _make(meter, instrument)

    def counter(self, instrument: Instrument) -> Counter:
        """A synchronous counter, for what is rare."""
        return self._made[instrument.name]  # type: ignore[no-any-return]

    def histogram(self, instrument: Instrument) -> Histogram:
        """A histogram, recorded once per job, connection or check."""
        return self._made[instrument.name]  # type: ignore[no-any-return]

    def cells(self, instrument: Instrument) -> Family[Cell]:
        """The cells of an observable instrument: bind one with ``.cell(attributes)``, keep it, ``.add()`` to it."""
        return self._made[instrument.name]  # type: ignore[no-any-return]

    def pairs(self, count: Instrument) -> Family[PairCell]:
        """The cells of a pair, named by its counting half."""
        return self._made[count.name]  # type: ignore[no-any-return]

    def readings(self, instrument: Instrument) -> Readings:
        """What is read anew at each collection: states and gauges."""
        return self._made[instrument.name]  # type: ignore[no-any-return]


def _make(meter: Meter, instrument: Instrument) -> Counter | Histogram | Family[Cell] | Readings:
    name, unit, description = instrument.name, instrument.unit, instrument.description
    if instrument.kind is Kind.COUNTER:
        return meter.create_counter(name, unit, description)
    if instrument.kind is Kind.HISTOGRAM:
        return meter.create_histogram(
            name, unit, description, explicit_bucket_boundaries_advisory=list(instrument.buckets)
        )
    if instrument.kind in (Kind.STATES, Kind.AMOUNTS):
        states = Readings(sum)
        meter.create_observable_up_down_counter(name, [states.observe], unit, description)
        return states
    if instrument.kind is Kind.GAUGE:
        values = Readings(min)
        meter.create_observable_gauge(name, [values.observe], unit, description)
        return values
    cells = Family(Cell)
    callbacks = [cells.observe(Cell.value)]
    if instrument.kind is Kind.CELLS:
        meter.create_observable_counter(name, callbacks, unit, description)
    else:
        meter.create_observable_up_down_counter(name, callbacks, unit, description)
    return cells


class Telemetry:
    """A tracer and the instruments, for one pair of providers (``None``: the application's global ones)."""

    __slots__ = ("__weakref__", "instruments", "meter_provider", "tracer", "tracer_provider")

    def __init__(self, tracer_provider: TracerProvider | None, meter_provider: MeterProvider | None) -> None:
        self.tracer_provider = tracer_provider
        self.meter_provider = meter_provider
        self.tracer: Tracer = trace.get_tracer(
            conventions.SCOPE, VERSION, tracer_provider, schema_url=conventions.SCHEMA_URL
        )
        self.instruments = _instruments_of(meter_provider)


_lock = threading.Lock()
_global_instruments: Instruments | None = None
_instruments: weakref.WeakKeyDictionary[MeterProvider, Instruments] = weakref.WeakKeyDictionary()
_bound: Telemetry | None = None


def _instruments_of(provider: MeterProvider | None) -> Instruments:
    global _global_instruments
    with _lock:
        actual = metrics.get_meter_provider() if provider is None else provider
        made = _instruments.get(actual)
        if made is not None:
            return made
        if provider is None or provider is metrics.get_meter_provider():
            # Proxies follow the global provider once the application sets one: these are made once a process.
            if _global_instruments is None:
                _global_instruments = Instruments(
                    metrics.get_meter(conventions.SCOPE, VERSION, schema_url=conventions.SCHEMA_URL)
                )
            return _global_instruments
        made = Instruments(provider.get_meter(conventions.SCOPE, VERSION, schema_url=conventions.SCHEMA_URL))
        _instruments[provider] = made
        return made


def telemetry(tracer_provider: TracerProvider | None = None, meter_provider: MeterProvider | None = None) -> Telemetry:
    """Telemetry on the given providers; for each one not given, on the application's global one, set now or later."""
    return Telemetry(tracer_provider, meter_provider)


def bind(bound: Telemetry | None) -> None:
    """Make ``bound`` what `current` gives from now on; ``None`` goes back to the global providers."""
    global _bound
    _bound = bound


def current() -> Telemetry:
    """The telemetry to record with: what `bind` was last given, else that of the global providers."""
    global _bound
    if _bound is None:
        _bound = telemetry()
    return _bound
