"""HEAD for every address that has GET: the same answer without its body (RFC 9110, 9.3.2)."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

ASKED = "talik.method"
"""Where a route finds the method that the client used: some answer HEAD themselves."""


class _HeadSentError(OSError):
    """Ends an answer whose head was all that was asked for."""


class HeadRequests:
    """Pure ASGI middleware; the answer's body is not made where it streams."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer HEAD as GET, and stop after the head."""
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self.app(scope, receive, send)
            return
        sent = False

        async def head_only(message: Message) -> None:
            nonlocal sent
            if sent:
                raise _HeadSentError
            if message["type"] == "http.response.start":
                await send(message)
                await send({"type": "http.response.body", "body": b"", "more_body": False})
                sent = True

        try:
            await self.app({**scope, "method": "GET", ASKED: "HEAD"}, receive, head_only)
        except Exception:
            if not sent:
                raise
