"""Answers too large for Lambda: stored in the store under their own hash, and fetched from there.

The store never removes them: an S3 lifecycle rule on `exports/` does (services/api/README.md).
"""

from __future__ import annotations

import hashlib
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

from starlette.responses import RedirectResponse, Response

from talik_api.downloads.presign import in_bucket, presigned, size_of
from talik_api.problems import not_found
from talik_api.service import Service
from talik_stac.errors import StoreError

FOLDER = "exports"
_DIGEST = re.compile(r"[0-9a-f]{64}", re.ASCII)
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,199}", re.ASCII)


def stored(service: Service, chunks: Iterator[bytes], media_type: str, *, name: str) -> Response:
    """Store an answer, once however often it is asked for, and send the client there (303).

    Memory holds one chunk, the disk the whole. Raises StoreError.
    """
    with tempfile.TemporaryDirectory(prefix="talik-export-") as folder:
        path = Path(folder) / "answer"
        key = f"{FOLDER}/{_spooled(chunks, path)}/{_plain(name)}"
        if not service.store.exists(key):
            service.store.put_file(key, path)
    return RedirectResponse(_address(service, key, media_type), 303, {"Cache-Control": "no-store"})


def export_key(digest: str, name: str) -> str:
    """The key of an export. Raises Problem 404 for what cannot be one."""
    if not _DIGEST.fullmatch(digest) or not _NAME.fullmatch(name):
        raise not_found("export", f"{digest[:80]}/{name}", "ask for the data again")
    return f"{FOLDER}/{digest}/{name}"


def export_size(service: Service, key: str) -> int | None:
    """The bytes of an export; None where there is none, or no longer."""
    return size_of(service.store, key) if service.store.exists(key) else None


def media_type_of(name: str) -> str:
    """The media type of an export, by its ending."""
    from talik_api.formats import FORMATS

    ending = Path(name).suffix
    return next((f.media_type for f in FORMATS.values() if f.extension == ending), "application/octet-stream")


def _spooled(chunks: Iterator[bytes], path: Path) -> str:
    """Write chunks to a file; return their SHA-256 in hexadecimal."""
    digest = hashlib.sha256()
    try:
        with path.open("wb") as file:
            for chunk in chunks:
                digest.update(chunk)
                file.write(chunk)
    except OSError as error:
        raise StoreError(
            f"an answer cannot be kept in {path.parent}: {error.strerror}; give the function more ephemeral storage"
        ) from error
    finally:
        if hasattr(chunks, "close"):
            chunks.close()
    return digest.hexdigest()


def _address(service: Service, key: str, media_type: str) -> str:
    if in_bucket(service.store):
        return presigned(service.store, key, service.settings.presigned_seconds, key.rpartition("/")[2], media_type)
    # Where a stage or a proxy puts a path before ours, TALIK_BASE_URL says so.
    return f"{(service.settings.base_url or '').rstrip('/')}/{key}"


def _plain(name: str) -> str:
    return name if _NAME.fullmatch(name) else "answer" + Path(name).suffix
