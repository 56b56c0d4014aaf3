"""The one table from exceptions to HTTP answers, as RFC 9457 problem details."""

from __future__ import annotations

import logging
import secrets
from typing import Any

import orjson
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from talik_api.access import KeysUnavailableError
from talik_api.cql import FilterError
from talik_api.formats import FormatError, NotAcceptableError
from talik_stac.errors import (
    AoiError,
    EditionError,
    ExecutorError,
    ImageryError,
    MissingKeyError,
    ModelError,
    NoScenesError,
    ReadError,
    RecipeError,
    StoreError,
    TalikError,
)
from talik_stac.jobs import JobError, NoJobError
from talik_stac.outgoing import OutgoingError

_log = logging.getLogger(__name__)
MEDIA_TYPE = "application/problem+json"

STATUSES: dict[type[TalikError], tuple[int, str]] = {
    AoiError: (400, "The area of interest cannot be used"),
    RecipeError: (400, "The landform or season cannot be used"),
    EditionError: (400, "The edition cannot be used"),
    NoScenesError: (404, "No imagery there"),
    ImageryError: (400, "The imagery cannot be used"),
    ModelError: (400, "The model cannot be used"),
    FilterError: (400, "The filter is not valid"),
    FormatError: (400, "This format cannot be had"),
    NotAcceptableError: (406, "No format suits"),
    OutgoingError: (403, "This address is not allowed"),
    JobError: (400, "The job cannot be used"),
    NoJobError: (404, "There is no such job"),
    # Below, the message may name a path or a bucket: it goes to the log, the client gets an incident id.
    ReadError: (502, "An image cannot be read"),
    MissingKeyError: (500, "A file of the store is missing"),
    StoreError: (503, "The store does not answer"),
    ExecutorError: (503, "The workers do not answer"),
    KeysUnavailableError: (503, "Tokens cannot be checked now"),
}
"""Status and title of each error; the nearest ancestor counts. Errors of access and quotas carry their own status."""


KINDS: dict[type[Exception], str] = {
    NoJobError: "http://www.opengis.net/def/exceptions/ogcapi-processes-1/1.0/no-such-job",
}
"""The URI that a standard gives an error."""


class Problem(TalikError):  # noqa: N818 - the word of RFC 9457
    """An answer that is an error, made where it is found."""

    def __init__(
        self, status: int, title: str, detail: str, *, kind: str = "about:blank", headers: dict[str, str] | None = None
    ) -> None:
        """`kind`: the URI that a standard gives this problem."""
        super().__init__(detail)
        self.status, self.title, self.kind, self.headers = status, title, kind, headers or {}


def not_found(what: str, name: str, known: str = "") -> Problem:
    """Say that there is no such thing, and what there is."""
    return Problem(404, "Not found", f"there is no {what} '{name[:100]}'" + (f"; {known}" if known else ""))


def problem_response(
    status: int, title: str, detail: str, *, headers: dict[str, str] | None = None, **more: Any
) -> Response:
    """Write problem details; `type` is about:blank, since the title says what the status means here."""
    body = {"type": more.pop("kind", "about:blank"), "title": title, "status": status, "detail": detail, **more}
    # What a user sent is shown back: lone surrogates and the like must not break the answer.
    text = orjson.dumps(_printable(body))
    return Response(text, status, {"Cache-Control": "no-store", **(headers or {})}, MEDIA_TYPE)


def install(app: FastAPI) -> None:
    """Answer every exception of the application with problem details."""
    app.add_exception_handler(TalikError, _talik_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(RequestValidationError, _invalid_request)
    app.add_middleware(CatchAll)  # the innermost: what stands before it sees an ordinary answer


def status_of(error: TalikError) -> tuple[int, str]:
    """Status and title of an error of ours."""
    if isinstance(error, Problem):
        return error.status, error.title
    given = getattr(error, "status", None)
    if isinstance(given, int):
        return given, str(getattr(error, "title", "The request cannot be answered"))
    for kind in type(error).__mro__:
        if kind in STATUSES:
            return STATUSES[kind]
    return 500, "Something went wrong here"


def _talik_error(request: Request, error: Exception) -> Response:
    status, title = status_of(error)  # type: ignore[arg-type]
    if status >= 500 and not isinstance(error, Problem):  # a Problem was written for the client
        return incident(request, error, status=status, title=title)
    headers = dict(getattr(error, "headers", None) or {})
    kind = KINDS.get(type(error), getattr(error, "kind", "about:blank"))
    detail = _without_folder(request, str(error))
    return problem_response(status, title, detail, headers=headers, kind=kind, instance=_path(request))


def _without_folder(request: Request, text: str) -> str:
    """Messages of the hub name the store for people at a terminal; a client need not know where it lies."""
    service = getattr(request.app.state, "service", None)
    root = "" if service is None else service.store.root.rstrip("/")
    return text.replace(root, "the store") if root else text


def incident(
    request: Request, error: Exception, *, status: int = 500, title: str = "Something went wrong here"
) -> Response:
    """Log what happened under an id, and give the client the id alone."""
    number = secrets.token_hex(8)
    _log.error("incident %s: %s %s: %s", number, request.method, request.url.path, error, exc_info=error)
    detail = f"this is not your request's fault; tell the operator incident {number}"
    headers = {"Retry-After": "5"} if status == 503 else {}
    return problem_response(status, title, detail, headers=headers, incident=number, instance=_path(request))


def _http_error(request: Request, error: Exception) -> Response:
    status = getattr(error, "status_code", 500)
    titles = {404: "Not found", 405: "This method is not offered here"}
    details = {
        404: f"there is nothing at {_path(request)}; see /api.html for what there is",
        405: f"{request.method} is not offered at {_path(request)}; see /api.html",
    }
    headers = dict(getattr(error, "headers", None) or {})
    if status == 405:
        headers["Allow"] = ", ".join(_methods_there(request))
    title = titles.get(status, "The request cannot be answered")
    return problem_response(status, title, details.get(status, title), headers=headers, instance=_path(request))


def _methods_there(request: Request) -> list[str]:
    """The methods of an address, over all of its routes: Starlette names those of the first one alone."""
    app: FastAPI = request.app
    offered = [
        method
        for method in ("GET", "POST", "PUT", "PATCH", "DELETE")
        if any(route.matches({**request.scope, "method": method})[0] == Match.FULL for route in app.router.routes)
    ]
    return ["GET", "HEAD", *offered[1:]] if "GET" in offered else offered


def _invalid_request(request: Request, error: Exception) -> Response:
    problems = [
        {"name": ".".join(str(part) for part in each["loc"][1:]) or str(each["loc"][0]), "reason": each["msg"]}
        for each in error.errors()  # type: ignore[attr-defined]
    ]
    said = "; ".join(f"{each['name']}: {each['reason']}" for each in problems[:5])
    return problem_response(400, "The request is not valid", said, errors=problems[:20], instance=_path(request))


class CatchAll:
    """Pure ASGI middleware: an unexpected exception becomes an incident, unless the answer has begun."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or say that it cannot be done."""
        begun = False

        async def noted(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self.app(scope, receive, noted)
        except Exception as error:
            if begun or scope["type"] != "http":
                raise  # the client sees that the answer breaks off
            await incident(Request(scope), error)(scope, receive, send)


def _path(request: Request) -> str:
    return request.url.path[:500]


def _printable(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _printable(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_printable(each) for each in value]
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value
