"""``GET /openapi.json``: the HTTP interface as OpenAPI 3.1, made from one table of operations."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from examples.jobs import receipt, wire
from examples.jobs.states import State
from examples.service.api_jobs import JOBS, PAGE
from examples.service.api_printers import AGENTS, PRINTERS

Schema = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Operation:
    """One method on one path; ``scopes``: any of them is enough, none needs no token. ``answers``: status to schema."""

    method: str
    path: str
    summary: str
    scopes: tuple[str, ...] = ()
    body: str = ""
    query: tuple[Schema, ...] = ()
    keyed: bool = False
    answers: dict[int, str] = field(default_factory=dict)
    problems: tuple[int, ...] = ()


_ID: Final = f"{JOBS}/{{id}}"
_PRINTER: Final = f"{PRINTERS}/{{id}}"
_OWNER: Final = ("print", "operate")

OPERATIONS: Final = (
    Operation(
        "post",
        JOBS,
        "Print a receipt. Raw ESC/POS takes the scope raw too. The job is durable when this answers.",
        ("print",),
        body="Order",
        keyed=True,
        answers={202: "Job"},
        problems=(404, 413, 415, 422, 503),
    ),
    Operation(
        "get",
        JOBS,
        "The newest jobs: a client's own; an operator's all.",
        _OWNER,
        query=(
            {"name": "printer", "schema": {"type": "string", "pattern": f"^({wire.NAME})$"}},
            {"name": "state", "schema": {"enum": [*State]}},
            {"name": "held", "schema": {"enum": ["true", "false"]}},
            {"name": "limit", "schema": {"type": "integer", "minimum": 1, "maximum": PAGE}},
            {"name": "before", "schema": {"type": "string", "pattern": "^[0-9]{1,18}$"}},
        ),
        answers={200: "Jobs"},
        problems=(503,),
    ),
    Operation("get", _ID, "How a job stands.", _OWNER, answers={200: "Job"}, problems=(404, 503)),
    Operation(
        "post",
        f"{_ID}/cancel",
        "Cancel a job: 200 when it is, 202 while its agent cannot be asked, 409 when it is too late.",
        _OWNER,
        answers={200: "Job", 202: "Job"},
        problems=(404, 409, 413, 503),
    ),
    Operation(
        "post",
        f"{_ID}/reprint",
        "Print it again, marked on paper as a reprint; it closes the hold on the old job.",
        _OWNER,
        keyed=True,
        answers={202: "Job"},
        problems=(404, 409, 413, 422, 503),
    ),
    Operation(
        "post",
        f"{_ID}/release",
        "Close the hold on a job that is unknown: a person has seen to it.",
        ("operate",),
        answers={200: "Job"},
        problems=(404, 409, 413, 503),
    ),
    Operation("get", PRINTERS, "The printers and how they are.", _OWNER, answers={200: "Printers"}, problems=(503,)),
    Operation(
        "post",
        f"{_PRINTER}/test",
        "Print a short receipt.",
        _OWNER,
        keyed=True,
        answers={202: "Job"},
        problems=(404, 413, 422, 503),
    ),
    Operation(
        "post",
        f"{_PRINTER}/reassign",
        "Let this agent claim the printer, as a new device. Who serves it now is sent away.",
        ("operate",),
        body="Reassignment",
        answers={200: "Reassignment"},
        problems=(404, 413, 415, 503),
    ),
    Operation(
        "post",
        f"{_PRINTER}/retire",
        "The printer is gone for good: nobody is to be told that it is away. An agent that claims it brings it back.",
        ("operate",),
        answers={200: "Retirement"},
        problems=(404, 409, 413, 503),
    ),
    Operation("get", AGENTS, "The agents.", ("operate",), answers={200: "Agents"}, problems=(503,)),
    Operation(
        "post",
        f"{AGENTS}/{{branch}}/{{name}}/retire",
        "The agent and its printers are gone for good; it brings them back when it comes again.",
        ("operate",),
        answers={200: "Retirement"},
        problems=(404, 409, 413, 503),
    ),
    Operation("get", "/health", "As /health/ready.", answers={200: "Health", 503: "Health"}),
    Operation("get", "/health/ready", "Whether it can keep a promise.", answers={200: "Health", 503: "Health"}),
    Operation("get", "/health/live", "Whether it answers.", answers={200: "Live"}),
)

_PROBLEMS: Final = {
    400: "A field is not as it should be.",
    401: "No good token.",
    403: "A token without the scope.",
    404: "No such job, printer or agent.",
    409: "The job, printer or agent is in no state for this.",
    413: "The body is too long.",
    415: "The body is not JSON.",
    422: "This Idempotency-Key was sent with another request.",
    429: "Too many requests from this address or with this token: wait Retry-After seconds.",
    503: "Nothing was taken: send it again after Retry-After seconds.",
}


def _text(longest: int, pattern: str = "", least: int = 1) -> Schema:
    schema: Schema = {"type": "string", "minLength": least, "maxLength": longest}
    return {**schema, "pattern": f"^({pattern})$"} if pattern else schema


def _number(low: float, high: float, kind: str = "integer") -> Schema:
    return {"type": kind, "minimum": low, "maximum": high}


def _object(required: dict[str, Any], optional: dict[str, Any] | None = None) -> Schema:
    return {
        "type": "object",
        "properties": {**required, **(optional or {})},
        "required": [*required],
        "additionalProperties": False,
    }


def _list(name: str, of: str, **more: Schema) -> Schema:
    return _object({name: {"type": "array", "items": {"$ref": f"#/components/schemas/{of}"}}, **more})


def _element(kind: str, required: dict[str, Any], optional: dict[str, Any] | None = None) -> Schema:
    return _object({"type": {"const": kind}, **required}, optional)


_ALIGN: Final[Schema] = {"enum": ["left", "center", "right"]}
_TRUTH: Final[Schema] = {"type": "boolean"}
_MAYBE: Final[Schema] = {"type": ["string", "null"]}
_MOMENT: Final[Schema] = {"type": ["string", "null"], "format": "date-time"}
_NAME: Final = _text(64, wire.NAME)

_SCHEMAS: Final[dict[str, Schema]] = {
    "Receipt": _object(
        {
            "elements": {
                "type": "array",
                "minItems": 1,
                "maxItems": receipt.MAX_ELEMENTS,
                "items": {
                    "oneOf": [
                        _element(
                            "text",
                            {"text": _text(receipt.MAX_TEXT)},
                            {
                                "bold": _TRUTH,
                                "underline": _TRUTH,
                                "align": _ALIGN,
                                "width": _number(1, 8),
                                "height": _number(1, 8),
                            },
                        ),
                        _element(
                            "image",
                            {
                                "png": {
                                    **_text(receipt.MAX_PNG * 4 // 3 + 4, wire.BASE64),
                                    "description": f"PNG in base64, at most {receipt.MAX_WIDTH} x {receipt.MAX_HEIGHT}",
                                }
                            },
                            {"align": _ALIGN},
                        ),
                        _element("qr", {"data": _text(512)}, {"size": _number(1, 16)}),
                        *(
                            _element("barcode", {"kind": {"const": kind}, "data": _text(64, pattern)})
                            for kind, pattern in receipt.BARCODES.items()
                        ),
                        _element("feed", {}, {"lines": _number(1, 20)}),
                        _element("cut", {}),
                        _element("drawer", {}),
                    ]
                },
            }
        }
    ),
    "Order": {
        **_object(
            {"printer": _NAME},
            {
                "kind": _text(32, wire.KIND),
                "timeout": {**_number(0.1, wire.MAX_TIMEOUT, "number"), "description": "seconds, for all of it"},
                "expires_in": {
                    **_number(1, wire.MAX_LIFETIME, "number"),
                    "description": "seconds until it must have begun",
                },
                "receipt": {"$ref": "#/components/schemas/Receipt"},
                "raw": {**_text(wire.MAX_RAW * 4 // 3 + 4, wire.BASE64), "description": "ESC/POS in base64"},
            },
        ),
        "oneOf": [{"required": ["receipt"]}, {"required": ["raw"]}],
    },
    "Job": _object(
        {
            "id": _text(32, wire.ID),
            "state": {"enum": [*State]},
            "outcome": {"enum": [*(state for state in State if state.final), None]},
            "error_type": _MAYBE,
            "partial": _TRUTH,
            "window": _MAYBE,
            "held": _TRUTH,
            "cancel_asked": _TRUTH,
            "evidence_at": _MOMENT,
            "reprint_of": _MAYBE,
            "printer": _NAME,
            "kind": _text(32, wire.KIND),
            "correlation_id": {"type": "string"},
            "created_at": _MOMENT,
            "expires_at": _MOMENT,
            "finished_at": _MOMENT,
            "waiting_for": {"enum": ["agent", None]},
        }
    ),
    "Jobs": _list("jobs", "Job", next=_MAYBE),
    "Printer": _object(
        {
            "id": _NAME,
            "branch": _NAME,
            "agent": _NAME,
            "online": _TRUTH,
            "state": {"type": "string"},
            "score": {"type": ["integer", "null"], "minimum": 0, "maximum": 100},
            "serial": _MAYBE,
            "changed_at": _MOMENT,
            "waiting": {"type": "integer", "minimum": 0},
            "expected": _TRUTH,
        }
    ),
    "Printers": _list("printers", "Printer"),
    "Agent": _object(
        {
            "name": _NAME,
            "branch": _NAME,
            "online": _TRUTH,
            "score": {"type": ["number", "null"], "minimum": 0, "maximum": 100},
            "level": {"enum": ["excellent", "good", "fair", "poor", "unknown"]},
            "seen_at": _MOMENT,
            "expected": _TRUTH,
            "printers": {"type": "array", "items": _NAME},
        }
    ),
    "Agents": _list("agents", "Agent"),
    "Reassignment": _object({"agent": _NAME}),
    "Retirement": _object({"expected": {"const": False}}),
    "Health": _object(
        {
            "status": {"enum": ["ok", "unavailable"]},
            "printers": _object({"online": {"type": "integer"}, "known": {"type": "integer"}}),
        }
    ),
    "Live": _object({"status": {"const": "ok"}}),
    "Problem": _object(
        {
            "type": {"type": "string"},
            "title": {"type": "string"},
            "status": {"type": "integer"},
            "detail": {"type": "string"},
            "field": {"type": "string"},
            "correlation_id": _MAYBE,
        }
    ),
}


def _described(operation: Operation) -> Schema:
    described: Schema = {"summary": operation.summary, "responses": {}}
    for status, name in operation.answers.items():
        described["responses"][str(status)] = _answer("As asked.", "application/json", name)
    problems = {429, *operation.problems, *((400, 401, 403) if operation.scopes else ())}
    for status in sorted(problems):
        described["responses"][str(status)] = _answer(_PROBLEMS[status], "application/problem+json", "Problem")
    if operation.scopes:
        described["security"] = [{"token": [scope]} for scope in operation.scopes]
    parameters = [{"in": "query", "required": False, **each} for each in operation.query]
    if operation.keyed:
        key = {"type": "string", "pattern": "^[!-~]{1,255}$"}
        parameters.append({"in": "header", "name": "Idempotency-Key", "required": False, "schema": key})
    pattern = wire.ID if operation.path.startswith(JOBS) else wire.NAME
    for name in re.findall(r"{(\w+)}", operation.path):
        schema = {"type": "string", "pattern": f"^({pattern})$"}
        parameters.append({"in": "path", "name": name, "required": True, "schema": schema})
    if parameters:
        described["parameters"] = parameters
    if operation.body:
        content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{operation.body}"}}}
        described["requestBody"] = {"required": True, "content": content}
    return described


def _answer(description: str, media: str, name: str) -> Schema:
    return {"description": description, "content": {media: {"schema": {"$ref": f"#/components/schemas/{name}"}}}}


def document() -> Schema:
    """The whole document."""
    paths: dict[str, Schema] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method] = _described(operation)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "printobs reference deployment",
            "version": "1",
            "description": "Print jobs from acceptance to one final outcome. Not here: /ws/agent, /ws/client, metrics.",
        },
        "paths": paths,
        "components": {
            "schemas": _SCHEMAS,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
        },
    }


async def show(_: Request) -> Response:
    """``GET /openapi.json``, without a token."""
    return JSONResponse(document())
