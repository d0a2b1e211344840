"""Who asks, and what for: JSON Web Tokens, HS256 (RFC 7519, RFC 6750)."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import jwt
from jwt.types import Options
from starlette.requests import HTTPConnection

SCOPES: Final = ("print", "raw", "operate", "metrics", "agent")
_BEARER: Final = "bearer."  # of a subprotocol: a browser can set no header on a WebSocket
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")


class Refused(Exception):  # noqa: N818 - reads as what happened
    """A request without a token that is good for this; ``code`` as in RFC 6750, section 3.1; ``scope`` it takes.

    ``reason`` is what it is counted by.
    """

    def __init__(self, status: int, code: str | None, reason: str, scope: str = "") -> None:
        super().__init__(code)
        self.reason = reason
        self.status = status
        self.code = code
        self.scope = scope


@dataclass(frozen=True, slots=True)
class Holder:
    """The holder of a token that is good until ``expires``, a Unix time; ``branch`` is empty but for agents."""

    subject: str
    branch: str
    scopes: frozenset[str]
    expires: float

    def require(self, scope: str) -> None:
        """Raises `Refused` unless the token has ``scope`` too."""
        if scope not in self.scopes:
            raise Refused(403, "insufficient_scope", "scope", scope)


def issue(
    secret: str, *, audience: str, subject: str, scopes: Iterable[str], lifetime: int, branch: str | None = None
) -> str:
    """A token that is good for ``lifetime`` seconds."""
    now = int(time.time())
    claims: dict[str, Any] = {"sub": subject, "aud": audience, "iat": now, "exp": now + lifetime}
    claims["scope"] = " ".join(scopes)
    if branch is not None:
        claims["branch"] = branch
    return jwt.encode(claims, secret, "HS256")


def subprotocol(connection: HTTPConnection) -> str | None:
    """The subprotocol that carries a token, which is to be accepted as it is."""
    offered = connection.scope.get("subprotocols", ())
    return next((each for each in offered if each.startswith(_BEARER)), None)


def holder(connection: HTTPConnection, secret: str, audience: str, *any_of: str) -> Holder:
    """Who sent the request; raises `Refused` unless its token is good and has one of the scopes ``any_of``."""
    scheme, _, token = connection.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        token = (subprotocol(connection) or "").removeprefix(_BEARER)
    if not token:
        raise Refused(401, None, "missing")
    try:
        # Not iat: it is in the future once this machine's clock is set back, and receipts are to print.
        checked: Options = {"require": ["exp", "aud", "sub"], "verify_iat": False}
        claims = jwt.decode(token.strip(), secret, ["HS256"], audience=audience, options=checked)
    except jwt.PyJWTError as error:
        raise Refused(401, "invalid_token", _reason(error)) from None
    subject, branch, scopes = claims["sub"], claims.get("branch", ""), claims.get("scope")
    if not isinstance(scopes, str) or not set(any_of) & set(scopes.split()):
        raise Refused(403, "insufficient_scope", "scope", " or ".join(any_of))
    if (
        not _NAME.fullmatch(subject)
        or not isinstance(branch, str)
        or ("agent" in any_of and not _NAME.fullmatch(branch))
    ):
        raise Refused(401, "invalid_token", "malformed")
    return Holder(subject, branch, frozenset(scopes.split()), claims["exp"])


def _reason(error: jwt.PyJWTError) -> str:
    match error:
        case jwt.ExpiredSignatureError():
            return "expired"
        case jwt.InvalidAudienceError():
            return "audience"
        case jwt.InvalidSignatureError() | jwt.InvalidAlgorithmError():
            return "signature"
        case jwt.DecodeError() | jwt.MissingRequiredClaimError():
            return "malformed"
    return "other"
