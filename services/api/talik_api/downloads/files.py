"""One file of the store as an HTTP answer: conditions, ranges, pieces."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime

from fastapi import Request
from starlette.responses import RedirectResponse, Response, StreamingResponse

from talik_api.downloads.presign import disposition, in_bucket, presigned
from talik_api.downloads.ranges import Part, part_of
from talik_api.problems import Problem
from talik_api.sending import AT_ONCE, unchanged
from talik_api.service import Service

PIECE = 1024 * 1024
"""Bytes of a file that are in memory for each client."""
FOR_EVER = "public, max-age=31536000, immutable"
"""Published files never change."""


@dataclass(frozen=True, kw_only=True)
class StoredFile:
    """A file that never changes under its address."""

    key: str
    """In the store."""
    filename: str
    """Under which clients save it: letters, digits, '.', '-' and '_'."""
    media_type: str
    size: int
    sha256: str
    """Hexadecimal; also its strong ETag."""
    modified: datetime | None = None
    cache: str = FOR_EVER

    @property
    def tag(self) -> str:
        """Its ETag."""
        return f'"{self.sha256}"'

    @property
    def headers(self) -> dict[str, str]:
        """What every answer about it says. Repr-Digest is of the whole file (RFC 9530), in answers to ranges too."""
        digest = base64.b64encode(bytes.fromhex(self.sha256)).decode()
        dated = {"Last-Modified": _http_date(self.modified)} if self.modified else {}
        return {
            "ETag": self.tag,
            "Cache-Control": self.cache,
            "Accept-Ranges": "bytes",
            "Content-Disposition": disposition(self.filename),
            "Repr-Digest": f"sha-256=:{digest}:",
            **dated,
        }


def answer_file(service: Service, request: Request, file: StoredFile) -> Response:
    """Answer GET or HEAD for a file: 200, 206, 304, 307 to the bucket, 412, 413 on Lambda, or 416."""
    _check_still(request, file)
    if _held(request, file):
        return Response(status_code=304, headers=file.headers)
    if in_bucket(service.store) and not asked_for_head(request):
        return _to_bucket(service, file)
    # A range has a meaning for GET alone (RFC 9110, 14.2).
    ranged = _same_file(request, file) and not asked_for_head(request)
    part = part_of(request.headers.get("range") if ranged else None, file.size)
    if not in_bucket(service.store) and not service.store.exists(file.key):
        service.store.get_range(file.key, start=0, length=1)  # raises what the store says of it
    if asked_for_head(request):
        return Response(b"", 200, _head(file, None, file.size), file.media_type)
    if service.on_lambda:
        return _at_once(service, file, part)
    return _streamed(service, file, part)


def asked_for_head(request: Request) -> bool:
    """Whether the client sent HEAD; HeadRequests answers it as GET and leaves a note of it in the scope."""
    return "HEAD" in (request.method, request.scope.get("talik.method"))


def pieces(service: Service, key: str, part: Part) -> Iterator[bytes]:
    """Read a part of a file, PIECE bytes at a time; no file is open in between."""
    end = part.start + part.length
    for start in range(part.start, end, PIECE):
        yield service.store.get_range(key, start=start, length=min(PIECE, end - start))


def _streamed(service: Service, file: StoredFile, part: Part | None) -> Response:
    read = part or Part(start=0, length=file.size, size=file.size)
    body = pieces(service, file.key, read)
    return StreamingResponse(body, 206 if part else 200, _head(file, part, read.length), file.media_type)


def _at_once(service: Service, file: StoredFile, part: Part | None) -> Response:
    """On Lambda an answer is one piece, of a size that fits; a shorter part than was asked for is allowed (206)."""
    most = min(service.settings.lambda_inline_bytes, AT_ONCE)
    if part is None and file.size > most:
        detail = (
            f"the file has {file.size} bytes and one answer holds {most}; fetch parts, Range: bytes=0-{most - 1} first"
        )
        raise Problem(413, "The file is too large for one answer", detail, headers={"Accept-Ranges": "bytes"})
    part = part.at_most(most) if part else None
    read = part or Part(start=0, length=file.size, size=file.size)
    body = b"".join(pieces(service, file.key, read))
    return Response(body, 206 if part else 200, _head(file, part, read.length), file.media_type)


def _head(file: StoredFile, part: Part | None, length: int) -> dict[str, str]:
    headers = {**file.headers, "Content-Length": str(length)}
    if part:
        headers["Content-Range"] = part.content_range
    if _compressible(file.media_type):
        # Its bytes are counted and its digest is stated: it must not be gzipped on the way (see GZipMiddleware).
        headers["Content-Encoding"] = "identity"
    return headers


def _to_bucket(service: Service, file: StoredFile) -> Response:
    """307 keeps the method and the Range header; the answer is kept for half the time that the address is good."""
    seconds = service.settings.presigned_seconds
    address = presigned(service.store, file.key, seconds, file.filename, file.media_type)
    return RedirectResponse(address, 307, {"Cache-Control": f"private, max-age={seconds // 2}"})


def _check_still(request: Request, file: StoredFile) -> None:
    """If-Match: a client that goes on with another file's rest is told so."""
    wanted = request.headers.get("if-match")
    if wanted is not None and wanted.strip() != "*" and file.tag not in [each.strip() for each in wanted.split(",")]:
        raise Problem(412, "The file is another one", f"its ETag is {file.tag}; begin the download again")


def _held(request: Request, file: StoredFile) -> bool:
    """If-None-Match, or else If-Modified-Since (RFC 9110, 13.2.2)."""
    if "if-none-match" in request.headers:
        return unchanged(request, file.tag)
    since = _moment(request.headers.get("if-modified-since"))
    return since is not None and file.modified is not None and file.modified.replace(microsecond=0) <= since


def _same_file(request: Request, file: StoredFile) -> bool:
    """If-Range: a range of another file than the client began with would be of no use; it gets the whole."""
    wanted = request.headers.get("if-range", "").strip()
    if not wanted:
        return True
    return wanted == file.tag or (file.modified is not None and wanted == _http_date(file.modified))


def _http_date(moment: datetime) -> str:
    return format_datetime(moment.astimezone(UTC).replace(microsecond=0), usegmt=True)


def _moment(text: str | None) -> datetime | None:
    try:
        found = parsedate_to_datetime(text) if text else None
    except ValueError:
        return None
    return found.replace(tzinfo=UTC) if found is not None and found.tzinfo is None else found


def _compressible(media_type: str) -> bool:
    kind = media_type.partition(";")[0].strip()
    return kind.startswith("text/") or kind.endswith(("json", "xml"))
