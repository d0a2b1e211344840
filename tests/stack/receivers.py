"""Whom Alertmanager tells in the tests, on loopback: what PagerDuty, Slack, a mail server and a dead man's switch take.

Each refuses, as the real one does, what does not fit its documentation; what was refused, and why, is in ``refused``.
"""

from __future__ import annotations

import email.message
import email.policy
import json
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final, Self

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, Envelope, LoginPassword, Session

from tests.examples.processes import free_port

SECRETS: Final = {
    "pagerduty_routing_key": "R0123456789abcdef0123456789abcde",
    "slack_url": "/services/T000/B000/a-secret",
    "smtp_password": "a password: with spaces",
    "watchdog_url": "/ping/another-secret",
}
USER: Final = "printobs@example.com"

_PAGERDUTY: Final = "/v2/enqueue"
_EVENT: Final = {"routing_key", "event_action", "dedup_key", "payload", "client", "client_url", "images", "links"}
_PAYLOAD: Final = {"summary", "source", "severity", "timestamp", "component", "group", "class", "custom_details"}
_ATTACHMENT: Final = {
    *("title", "title_link", "pretext", "text", "fallback", "callback_id", "fields", "actions"),
    *("image_url", "thumb_url", "footer", "color", "mrkdwn_in"),
}


class Receivers:
    """A context manager: entered, all of them listen. What each was told is in its list, in its order.

    ``certificate`` and its key are the mail server's, for the loopback address.
    """

    def __init__(self, certificate: tuple[Path, Path]) -> None:
        self.pagerduty: list[dict[str, Any]] = []
        self.slack: list[dict[str, Any]] = []
        self.email: list[email.message.EmailMessage] = []
        self.watchdog: list[dict[str, Any]] = []
        self.refused: list[str] = []
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.05,))
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(*certificate)
        self.smtp_port = free_port()
        self._smtp = Controller(
            _Mail(self),
            "127.0.0.1",
            self.smtp_port,
            tls_context=context,
            require_starttls=True,
            auth_required=True,
            auth_exclude_mechanism=["LOGIN"],  # it does not ask as other servers do
            authenticator=self._authenticate,
        )

    @property
    def url(self) -> str:
        """Of all that speak HTTP."""
        return f"http://127.0.0.1:{self._http.server_port}"

    @property
    def pagerduty_url(self) -> str:
        """Of PagerDuty's Events API."""
        return self.url + _PAGERDUTY

    def secrets(self, folder: Path) -> Path:
        """Write into ``folder`` what each expects."""
        folder.mkdir(exist_ok=True)
        for name, value in SECRETS.items():
            # An editor leaves a line break at the end of all but the password, which README.md has printed by printf.
            (folder / name).write_text(f"{self.url}{value}\n" if value.startswith("/") else value)
        return folder

    def __enter__(self) -> Self:
        self._thread.start()
        self._smtp.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._smtp.stop()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def _authenticate(self, _server: object, _session: Session, _envelope: object, _how: str, data: Any) -> AuthResult:
        good = LoginPassword(USER.encode(), SECRETS["smtp_password"].encode())
        if data != good:
            self.refused.append(f"SMTP: {data!r}")
        return AuthResult(success=data == good)


class _Mail:
    def __init__(self, receivers: Receivers) -> None:
        self._receivers = receivers

    async def handle_DATA(self, _server: object, _session: Session, envelope: Envelope) -> str:  # noqa: N802
        assert isinstance(envelope.content, bytes)
        message = email.message_from_bytes(envelope.content, policy=email.policy.default)
        assert isinstance(message, email.message.EmailMessage)
        self._receivers.email.append(message)
        return "250 OK"


def _handler(receivers: Receivers) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            try:
                status, answer, type_ = self._told(json.loads(body))
            except (ValueError, KeyError, TypeError, AssertionError) as error:
                receivers.refused.append(f"{self.path}: {error!r}: {body.decode(errors='replace')}")
                status, answer, type_ = 400, "invalid", "text/plain"
            self.send_response(status)
            self.send_header("Content-Type", type_)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer.encode())

        def _told(self, body: dict[str, Any]) -> tuple[int, str, str]:
            if self.path == _PAGERDUTY:
                check_event(body)
                receivers.pagerduty.append(body)
                return 202, json.dumps({"status": "success", "dedup_key": body["dedup_key"]}), "application/json"
            if self.path == SECRETS["slack_url"]:
                check_slack(body)
                receivers.slack.append(body)
                return 200, "ok", "text/html"
            assert self.path == SECRETS["watchdog_url"], "nobody"
            receivers.watchdog.append(body)
            return 200, "OK", "text/plain"

        def log_message(self, format: str, *args: object) -> None:
            pass

    return Handler


def check_event(body: dict[str, Any]) -> None:
    """PagerDuty, Events API v2: https://developer.pagerduty.com/docs/send-alert-event."""
    assert body.keys() <= _EVENT, body.keys() - _EVENT
    assert body["routing_key"] == SECRETS["pagerduty_routing_key"]
    assert len(body["routing_key"]) == 32
    assert body["event_action"] in ("trigger", "acknowledge", "resolve")
    assert 0 < len(body["dedup_key"]) <= 255
    payload = body["payload"]
    assert payload.keys() <= _PAYLOAD, payload.keys() - _PAYLOAD
    assert 0 < len(payload["summary"]) <= 1024
    assert payload["source"]
    assert payload["severity"] in ("critical", "error", "warning", "info")
    assert all(isinstance(payload.get(key, ""), str) for key in _PAYLOAD - {"custom_details"})
    assert isinstance(payload.get("custom_details", {}), dict)
    for link in body.get("links", []):
        assert link["href"].startswith("https://"), link


def check_slack(body: dict[str, Any]) -> None:
    """Slack, incoming webhooks with attachments: https://api.slack.com/reference/messaging/attachments."""
    assert body.get("text") or body["attachments"], "no_text"
    assert not body.get("channel"), "a webhook has its channel"
    for attachment in body["attachments"]:
        assert attachment.keys() <= _ATTACHMENT, attachment.keys() - _ATTACHMENT
        assert attachment["fallback"]
        assert attachment["color"] in ("good", "warning", "danger")
        assert attachment.get("title_link", "https://").startswith("https://")
        assert isinstance(attachment["title"], str)
        assert isinstance(attachment["text"], str)
