"""Pure ASGI middleware: what every answer says to browsers, and how large a request may be."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from typing import Any

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

CORS: dict[str, Any] = {
    "allow_origins": ["*"],
    "allow_methods": ["GET", "HEAD", "POST", "DELETE", "OPTIONS"],
    "allow_headers": [
        *("Authorization", "Content-Crs", "Content-Type", "If-None-Match", "If-Range", "Prefer", "Range"),
        *("X-API-Key", "X-Request-ID"),
    ],
    "expose_headers": [
        *("Accept-Ranges", "Content-Crs", "Content-Disposition", "Content-Length", "Content-Range", "ETag", "Link"),
        *("Location", "OGC-NumberMatched", "OGC-NumberReturned", "Preference-Applied", "Retry-After"),
        *("WWW-Authenticate", "X-Request-ID"),
        *("Talik-Bands", "Talik-Dates", "Talik-Limited", "Talik-Scenes", "Talik-Smallest-M2"),
        "Talik-Unreadable-Scenes",
    ],
    "allow_credentials": False,
    "max_age": 3600,
}
"""For starlette's CORSMiddleware: any page may read, and none gets a browser's cookies along (there are none)."""

STRICT_POLICY = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
"""The Content-Security-Policy of data: nothing in it runs or loads, whatever a browser takes it for."""

_NO_FEATURES = "camera=(), geolocation=(), microphone=(), payment=(), usb=()"


def page_policy(
    *,
    scripts: Sequence[str] = (),
    styles: Sequence[str] = (),
    images: Sequence[str] = ("'self'",),
    connect: Sequence[str] = ("'self'",),
    forms: Sequence[str] = ("'self'",),
) -> str:
    """Return the policy of a page of ours; sources are 'self', origins, or `source_hash` of inline text.

    A page sets it as its own Content-Security-Policy header; SecurityHeaders leaves that alone.
    """
    wanted = {
        "script-src": scripts,
        "style-src": styles,
        "img-src": images,
        "connect-src": connect,
        "form-action": forms,
    }
    parts = [f"{name} {' '.join(sources)}" for name, sources in wanted.items() if sources]
    if not forms:
        parts.append("form-action 'none'")
    return "; ".join(["default-src 'none'", *parts, "base-uri 'none'", "frame-ancestors 'none'"])


def source_hash(text: str) -> str:
    """Return the source that allows one inline script or style: the text between its tags, to the byte."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


class SecurityHeaders:
    """Adds security headers where the answer has none of its own."""

    def __init__(
        self, app: ASGIApp, *, policy: str = STRICT_POLICY, https: bool = False, hsts_s: int = 365 * 86400
    ) -> None:
        """`https`: the service is reached by https although the request here says http (behind a load balancer)."""
        self.app, self._https, self._hsts = app, https, f"max-age={hsts_s}"
        self._always = {
            "Content-Security-Policy": policy,
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "strict-origin-when-cross-origin",
            "Permissions-Policy": _NO_FEATURES,
            # The data are for any page, also one that is isolated (COEP): map viewers load tiles from here.
            "Cross-Origin-Resource-Policy": "cross-origin",
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Add the headers to the head of the answer; the body passes untouched."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        secure = self._https or scope.get("scheme") == "https"

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self._always.items():
                    headers.setdefault(name, value)
                if secure:  # RFC 6797, 7.2: never over plain http
                    headers.setdefault("Strict-Transport-Security", self._hsts)
            await send(message)

        await self.app(scope, receive, with_headers)


class _BodyTooLargeError(Exception):
    """Ends the reading of a body; RequestLimits answers in its place."""


class RequestLimits:
    """Refuses addresses that are too long (414) and bodies that are too large (413), chunked ones too."""

    def __init__(self, app: ASGIApp, *, max_body_bytes: int = 2 * 1024 * 1024, max_url_bytes: int = 8192) -> None:
        """Limits of every request; POST search and execution bodies are JSON of some kB, an AOI up to some MB."""
        self.app, self._body, self._url = app, max_body_bytes, max_url_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse by the head alone where that is enough, else count while the body is read."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        url_bytes = len(scope.get("raw_path") or scope["path"].encode()) + len(scope.get("query_string", b""))
        if url_bytes > self._url:
            detail = f"The address has {url_bytes} bytes; at most {self._url} are read. Use POST for a long search."
            await _problem(send, 414, "URI Too Long", detail)
            return
        stated = [value for name, value in scope["headers"] if name == b"content-length"]
        if any(not value.isdigit() for value in stated) or len(set(stated)) > 1:
            await _problem(send, 400, "Bad Request", "Content-Length is no single number of bytes.")
        elif stated and int(stated[0]) > self._body:
            await self._too_large(send)
        else:
            await self._counting(scope, receive, send)

    async def _counting(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the app; what it answers to a body that was cut off does not count, whichever way it took the error."""
        read, refused, started = 0, False, False

        async def counted() -> Message:
            nonlocal read, refused
            message = await receive()
            read += len(message.get("body", b""))
            if read > self._body:
                refused = True
                raise _BodyTooLargeError
            return message

        async def unless_refused(message: Message) -> None:
            nonlocal started
            if refused and not started:
                return
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self.app(scope, counted, unless_refused)
        except Exception:
            if not refused or started:
                raise
        if refused and not started:
            await self._too_large(send)

    async def _too_large(self, send: Send) -> None:
        detail = f"The body is larger than {self._body} bytes. Send less, such as a simpler area of interest."
        await _problem(send, 413, "Content Too Large", detail)


async def _problem(send: Send, status: int, title: str, detail: str) -> None:
    """Answer with RFC 9457 problem details; the connection ends, as the rest of the body is not read."""
    body = json.dumps({"type": "about:blank", "title": title, "status": status, "detail": detail}).encode()
    headers = [
        (b"content-type", b"application/problem+json"),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
