"""The service's settings, from ``SERVICE_*`` variables."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Self

from examples.environment import Environment
from examples.jobs import wire
from examples.service.opening import OpeningHours, Unreadable

MIN_SECRET = 32


@dataclass(frozen=True, slots=True)
class Settings:
    """What can be set; seconds, bytes and days.

    ``origins`` are those of pages that may send requests and open WebSockets. In ``reprint_branches`` a receipt that
    may not have come out is printed again, marked, without asking. ``answer_grace``: how long a result is waited for
    beyond its job's time-out. ``ping``: how long an agent may be silent before it is asked whether it is there, and how
    long after.
    ``trace_seconds``: a job that goes on later than that has a linked trace of its own; 0: all of it is one trace.
    ``opening_hours``: when who is away is missed.
    ``rate_*``: how many a minute of one address, and of one token's holder; 0 is no limit.
    """

    host: str
    port: int
    database: str
    secret: str = field(repr=False)
    audience: str
    origins: frozenset[str]
    max_body: int
    queue_limit: int
    printer_queue_limit: int
    job_timeout: int
    job_lifetime: int
    answer_grace: int
    ping: int
    keep_days: int
    trace_seconds: int
    rate_requests: int
    rate_handshakes: int
    rate_messages: int
    reprint_branches: frozenset[str]
    opening_hours: OpeningHours

    @classmethod
    def from_environment(cls) -> Self:
        """Read the variables; ends the process with one line where some are wrong."""
        environment = Environment()
        settings = cls(
            host=environment.text("SERVICE_HOST", "127.0.0.1"),
            port=environment.integer("SERVICE_PORT", 8080, 0, 65535),
            database=environment.text("SERVICE_DATABASE", "printobs-service.db"),
            secret=environment.text("SERVICE_JWT_SECRET"),
            audience=environment.text("SERVICE_JWT_AUDIENCE", "printobs-service"),
            origins=environment.names("SERVICE_ORIGINS", r"https?://[A-Za-z0-9.\[\]:-]+"),
            max_body=environment.integer("SERVICE_MAX_BODY", 262_144, 1024, 1 << 24),
            queue_limit=environment.integer("SERVICE_QUEUE_LIMIT", 1000, 1, 100_000),
            printer_queue_limit=environment.integer("SERVICE_PRINTER_QUEUE_LIMIT", 250, 1, 100_000),
            job_timeout=environment.integer("SERVICE_JOB_TIMEOUT", 30, 1, 600),
            job_lifetime=environment.integer("SERVICE_JOB_LIFETIME", 300, 1, 86_400),
            answer_grace=environment.integer("SERVICE_ANSWER_GRACE", 30, 1, 3600),
            ping=environment.integer("SERVICE_PING", 20, 1, 300),
            keep_days=environment.integer("SERVICE_KEEP_DAYS", 30, 1, 3650),
            trace_seconds=environment.integer("SERVICE_TRACE_SECONDS", 0, 0, 86_400),
            rate_requests=environment.integer("SERVICE_RATE_REQUESTS", 30_000, 0, 10_000_000),
            rate_handshakes=environment.integer("SERVICE_RATE_HANDSHAKES", 3000, 0, 10_000_000),
            rate_messages=environment.integer("SERVICE_RATE_MESSAGES", 30_000, 0, 10_000_000),
            reprint_branches=environment.names("SERVICE_REPRINT_BRANCHES", wire.NAME),
            opening_hours=_opening_hours(environment, "SERVICE_OPENING_HOURS"),
        )
        if settings.secret and len(settings.secret.encode()) < MIN_SECRET:
            environment.refuse("SERVICE_JWT_SECRET", f"must have {MIN_SECRET} bytes at least")
        environment.check()
        return settings


def _opening_hours(environment: Environment, name: str) -> OpeningHours:
    path = environment.text(name, "")
    try:
        return OpeningHours.load(path) if path else OpeningHours()
    except Unreadable as unreadable:
        environment.refuse(name, f"cannot be used: {unreadable}")
        return OpeningHours()
