"""When the tokens and certificates that printing depends on end: nobody notices one that is about to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from opentelemetry.metrics import Observation

from printobs.core import conventions, telemetry
from printobs.core.attributes import clean
from printobs.core.cells import overflowed
from printobs.core.conventions import AGENT, BRANCH, CREDENTIAL, SERVER_ADDRESS, SERVER_PORT, Credential
from printobs.core.guard import Guard

CAP: Final = 2_000  # of one object

_guard: Final = Guard("counting credentials")


class Credentials:
    """Tell it when each ends; collections read it.

    Beyond 2,000 the later ones are not shown, which is counted as an overflow. All series end with the object. One
    thread at a time may call it; nothing here raises.
    """

    def __init__(self) -> None:
        self._ends: dict[tuple[tuple[str, str], ...], float] = {}
        with _guard:
            instruments = telemetry.current().instruments
            instruments.readings(conventions.SECURITY_CREDENTIAL_EXPIRATION).add(self, Credentials._read)

    def token(self, branch: str, agent: str, ends: float | None) -> None:
        """An agent's, by its ``exp`` (RFC 7519, section 4.1.4), in seconds since 1970; ``None``: no matter any more."""
        with _guard:
            self._put(Credential.TOKEN, {BRANCH: branch, AGENT: agent}, ends)

    def certificate(self, host: str, port: int, ends: float | None) -> None:
        """A server's, by its ``notAfter`` (RFC 5280, section 4.1.2.5), in seconds since 1970; ``None`` as above."""
        with _guard:
            self._put(Credential.CERTIFICATE, {SERVER_ADDRESS: host, SERVER_PORT: port}, ends)

    def _put(self, kind: Credential, of: Mapping[str, str | int], ends: float | None) -> None:
        known = ((CREDENTIAL, kind.value), *((key, clean(value)) for key, value in of.items()))
        if ends is None:
            self._ends.pop(known, None)
        elif known in self._ends or len(self._ends) < CAP:
            self._ends[known] = float(ends)
        else:
            overflowed(conventions.SECURITY_CREDENTIAL_EXPIRATION.name)

    def _read(self) -> Iterable[Observation]:
        # A copy made in one step, so that nobody waits for a lock.
        return [Observation(ends, dict(known)) for known, ends in list(self._ends.items())]
