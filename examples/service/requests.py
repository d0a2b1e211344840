"""What every request to the HTTP interface goes through: who asks, how much, and as what."""

from __future__ import annotations

import hashlib
from typing import Final

from starlette.requests import Request

from examples.jobs.checks import Fields, Invalid
from examples.service import tokens
from examples.service.clients import Clients
from examples.service.database import Database
from examples.service.gateway import Gateway
from examples.service.problems import Problem
from examples.service.records import Job
from examples.service.settings import Settings
from examples.service.throttle import REQUEST

_KEY: Final = r"[\x21-\x7e]{1,255}"


class Call:
    """One request with the parts of the service that it needs."""

    def __init__(self, request: Request, *any_of: str) -> None:
        """Raises `tokens.Refused` without a token that has a scope of ``any_of``, `Problem` if it comes too often."""
        state = request.app.state
        self.request = request
        self.settings: Settings = state.settings
        self.database: Database = state.database
        self.gateway: Gateway = state.gateway
        self.clients: Clients = state.clients
        self.holder = tokens.holder(request, self.settings.secret, self.settings.audience, *any_of)
        state.throttle.admit(REQUEST, "token", self.holder.subject)

    @property
    def operates(self) -> bool:
        """Whether it comes from an operator, who sees everybody's jobs."""
        return "operate" in self.holder.scopes

    async def body(self) -> bytes:
        """The body, which says that it is JSON; raises `Problem`."""
        if self.request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            raise Problem(415, "content-type", "send application/json")
        return await self._limited()

    async def empty(self) -> None:
        """The body of a request that has none; raises `Invalid`."""
        if await self._limited():
            raise Invalid("body", "must be empty")

    async def _limited(self) -> bytes:
        limit = self.settings.max_body
        declared = self.request.headers.get("content-length", "")
        body = bytearray()
        if not declared.isdigit() or int(declared) <= limit:
            async for chunk in self.request.stream():
                body += chunk
                if len(body) > limit:
                    break
            else:
                return bytes(body)
        raise Problem(
            413, "body", f"the body has more than {limit} bytes: send a shorter receipt", {"Connection": "close"}
        )

    def query(self) -> Fields:
        """The parameters of the query, each once; raises `Invalid`."""
        pairs = self.request.query_params.multi_items()
        parameters = dict(pairs)
        if len(parameters) != len(pairs):
            raise Invalid("query", "has a parameter twice")
        return Fields(parameters, "query")

    def key(self, body: bytes = b"") -> tuple[str | None, str]:
        """The client's Idempotency-Key, and the hash of what it stands for; raises `Invalid`."""
        value = self.request.headers.get("idempotency-key")
        if value is not None:
            value = Fields({"idempotency-key": value}).text("idempotency-key", 255, pattern=_KEY)
        digest = hashlib.sha256(f"{self.request.method} {self.request.url.path}\n".encode() + body)
        return value, digest.hexdigest()

    async def job(self) -> Job:
        """The job in the path; 404 for a job of somebody else too, but for operators."""
        job = await self.database.read(self.database.views.job, self.request.path_params["id"])
        if job is None or (job.owner != self.holder.subject and not self.operates):
            raise Problem(
                404, "id", "there is no such job, or it ended too long ago: use an ID that a POST has returned"
            )
        return job
