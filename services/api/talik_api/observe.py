"""What the service says of itself: one JSON log line and some metrics for each request, and a request id.

Neither holds a path or a query as it was sent (keys and signed URLs travel there), nor, unless asked for, the
client's address.
"""

from __future__ import annotations

import asyncio
import json
import re
import secrets
import time
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from logging import getLogger
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from starlette.datastructures import MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"
"""The media type of `metrics_text`."""
_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_CLIENT_GONE = 499
"""The status in logs and metrics of a request whose client left before an answer began (nginx' convention)."""

logger = getLogger("talik_api.access")
_current: ContextVar[str | None] = ContextVar("talik_request_id", default=None)


def request_id() -> str | None:
    """Return the id of the request that is being answered here, for problem details and other log lines."""
    return _current.get()


class Metrics:
    """The metrics of one app, in a registry of their own: two apps in a process do not clash."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry or CollectorRegistry()
        route = ("route", "method")
        self.requests = Counter("talik_http_requests", "Requests answered.", (*route, "status"), registry=self.registry)
        self.seconds = Histogram(
            "talik_http_request_seconds",
            "Time from the request to the end of its answer.",
            route,
            registry=self.registry,
            buckets=_BUCKETS_S,
        )
        self.bytes = Counter("talik_http_response_bytes", "Bytes of bodies sent.", route, registry=self.registry)
        self.in_flight = Gauge("talik_http_requests_in_flight", "Requests being answered.", registry=self.registry)


def metrics_text(registry: CollectorRegistry) -> bytes:
    """Return all metrics in Prometheus' text format 0.0.4 (METRICS_TYPE)."""
    return generate_latest(registry)


@dataclass(kw_only=True)
class _Seen:
    """What passed by of one answer."""

    request_id: str
    begun: float
    status: int | None = None
    bytes: int = 0
    ended: bool = False

    def note(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            MutableHeaders(scope=message)["X-Request-ID"] = self.request_id
        elif message["type"] == "http.response.body":
            self.bytes += len(message.get("body", b""))
            self.ended = not message.get("more_body", False)
        elif message["type"] == "http.response.pathsend":
            self.ended = True


class Observe:
    """Pure ASGI middleware, the outermost one; bodies stream through it."""

    def __init__(self, app: ASGIApp, *, metrics: Metrics | None = None, log_client: bool = False) -> None:
        """`log_client`: write the client's address, personal data in many countries, into the log."""
        self.app, self.metrics, self._log_client = app, metrics or Metrics(), log_client

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, and log and count it when its answer has ended or its client is gone."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        seen = _Seen(request_id=_request_id(scope), begun=time.perf_counter())
        scope.setdefault("state", {})["request_id"] = seen.request_id
        token = _current.set(seen.request_id)
        fault: BaseException | None = None

        async def noted(message: Message) -> None:
            seen.note(message)
            await send(message)

        self.metrics.in_flight.inc()
        try:
            await self.app(scope, receive, noted)
        except BaseException as error:
            fault = error
            raise
        finally:
            self.metrics.in_flight.dec()
            self._report(scope, seen, fault)
            _current.reset(token)

    def _report(self, scope: Scope, seen: _Seen, fault: BaseException | None) -> None:
        seconds = time.perf_counter() - seen.begun
        route, method = route_template(scope), _method(scope)
        gone = fault is None or isinstance(fault, asyncio.CancelledError | ClientDisconnect)
        status = seen.status if seen.status is not None else _CLIENT_GONE if gone else 500
        self.metrics.requests.labels(route, method, str(status)).inc()
        self.metrics.seconds.labels(route, method).observe(seconds)
        self.metrics.bytes.labels(route, method).inc(seen.bytes)
        line: dict[str, Any] = {
            "request_id": seen.request_id,
            "method": method,
            "route": route,
            "status": status,
            "bytes": seen.bytes,
            "ms": round(seconds * 1000, 1),
            "complete": seen.ended and fault is None,
            "principal": _principal(scope),
        }
        if self._log_client:
            line["client"] = (scope.get("client") or (None,))[0]
        logger.info("%s", json.dumps(line))


def route_template(scope: Scope) -> str:
    """Return the template of the route that answered, such as /collections/{id}, or `unmatched`."""
    route = scope.get("route")
    if route is None:
        return "unmatched"
    # A route of an included router (FastAPI since 0.14x) holds its path without the router's prefix.
    own = scope.get("fastapi")
    context = own.get("effective_route_context") if isinstance(own, Mapping) else None
    return str(getattr(context, "path", None) or getattr(route, "path", None) or "unmatched")


def _method(scope: Scope) -> str:
    """The method, where it is one that is known: a client may make up names without end."""
    method = str(scope["method"])
    return method if method in _METHODS else "OTHER"


def _request_id(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == b"x-request-id":
            text = value.decode("latin-1")
            if _REQUEST_ID.fullmatch(text):
                return str(text)
    return secrets.token_hex(16)


def _principal(scope: Scope) -> str | None:
    """The name that the service put into request.state.principal."""
    found = scope.get("state", {}).get("principal")
    return None if found is None else str(getattr(found, "name", None))
