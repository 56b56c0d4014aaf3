"""Chunks of bytes to an HTTP answer: small ones at once, large ones as a stream, on Lambda as a stored export."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator

from fastapi import Request
from starlette.concurrency import iterate_in_threadpool
from starlette.responses import Response, StreamingResponse

from talik_api.service import Service

AT_ONCE = 4_000_000
"""Bytes up to which an answer is sent whole, with its length."""


def send(service: Service, chunks: Iterator[bytes], media_type: str, headers: dict[str, str], *, name: str) -> Response:
    """Send an answer; `name` is that of the file where it becomes one on Lambda."""
    first: list[bytes] = []
    size = 0
    most = min(AT_ONCE, service.settings.lambda_inline_bytes) if service.on_lambda else AT_ONCE
    for chunk in chunks:
        first.append(chunk)
        size += len(chunk)
        if size > most:
            break
    else:
        return Response(b"".join(first), 200, headers, media_type)
    rest = itertools.chain(first, chunks)
    if service.on_lambda:
        from talik_api.exports import stored

        return stored(service, rest, media_type, name=name)
    return StreamingResponse(_closing(rest, chunks), 200, headers, media_type)


async def _closing(chunks: Iterator[bytes], source: Iterator[bytes]):  # type: ignore[no-untyped-def]
    """Free what the source holds when the client goes away."""
    try:
        async for chunk in iterate_in_threadpool(chunks):
            yield chunk
    finally:
        if hasattr(source, "close"):
            source.close()


def tag_of(*parts: object) -> str:
    """An ETag of what decides an answer."""
    return f'"{hashlib.sha256(repr(parts).encode()).hexdigest()[:32]}"'


def unchanged(request: Request, tag: str) -> bool:
    """Whether the client holds this answer already (If-None-Match)."""
    held = request.headers.get("if-none-match", "")
    return held.strip() == "*" or tag in [each.strip().removeprefix("W/") for each in held.split(",")]
