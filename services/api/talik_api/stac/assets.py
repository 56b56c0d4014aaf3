"""The files of indexed imagery that the service itself keeps: read in ranges, or where they lie in a bucket."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from starlette.responses import FileResponse, RedirectResponse, Response

from talik_api.problems import Problem, not_found
from talik_api.service import Service
from talik_api.stac.holdings import ImageryHolding
from talik_stac.imagery import index_key
from talik_stac.outgoing import href_allowed
from talik_stac.store import open_store

_PICTURES = ("image/tiff", "image/jpeg", "image/png", "image/webp")
_PLAIN = "application/octet-stream"
"""Never text/html or image/svg+xml, which a browser would run; and nothing that is compressed on its way."""


def asset_response(service: Service, holding: ImageryHolding, item: dict[str, Any], key: str) -> Response:
    """Answer with an asset's file, or where it is. Raises Problem 404 that names no path."""
    asset = item["assets"].get(key)
    if asset is None:
        raise not_found("asset", key, f"item '{item['id']}' has: {', '.join(sorted(item['assets']))}"[:500])
    href = absolute_href(service, holding.name, str(asset["href"]))
    if re.match(r"https?://", href, re.IGNORECASE):
        return RedirectResponse(href, 302, {"Cache-Control": "no-store"})
    allowed = href_allowed(href, store_root=service.store.root, indexed_roots=service.settings.imagery_roots)
    if not allowed:
        raise Problem(
            403,
            "This file is not served",
            f"asset '{key[:100]}' of item '{item['id']}' lies outside the folders of this service; "
            "its operator may add them to TALIK_IMAGERY_ROOTS",
        )
    media_type = _media_type(asset)
    if href.startswith("s3://"):
        return _object(service, href, media_type)
    return _file(Path(href), media_type, key, str(item["id"]))


def absolute_href(service: Service, name: str, href: str) -> str:
    """Where a file of an index lies: names that begin with ./ count from the collection's folder."""
    if href.startswith("./"):
        return service.store.url(index_key(name)).removesuffix("items.parquet") + href[2:]
    return unquote(href.removeprefix("file://")) if href.startswith("file:///") else href


def _media_type(asset: dict[str, Any]) -> str:
    """What the index says of an asset, where a browser may know it."""
    stated = str(asset.get("type", ""))
    return stated if stated.split(";", maxsplit=1)[0].strip().lower() in _PICTURES else _PLAIN


def _file(path: Path, media_type: str, key: str, item: str) -> Response:
    if not path.is_file():
        raise Problem(404, "The file is gone", f"asset '{key[:100]}' of item '{item}' was moved; index it again")
    shown = "attachment" if media_type == _PLAIN else "inline"
    return FileResponse(path.resolve(), media_type=media_type, filename=path.name, content_disposition_type=shown)


def _object(service: Service, href: str, media_type: str) -> Response:
    from talik_api.downloads.presign import presigned  # late: it brings an S3 client

    folder, _, name = href.rpartition("/")
    address = presigned(open_store(folder), name, service.settings.presigned_seconds, name, media_type)
    return RedirectResponse(address, 302, {"Cache-Control": "no-store"})
