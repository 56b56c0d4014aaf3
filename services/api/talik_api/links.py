"""Links between documents, as OGC API and STAC write them."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote, urlencode

from fastapi import Request


def link(rel: str, href: str, media_type: str = "application/json", title: str = "", **more: Any) -> dict[str, Any]:
    """One link."""
    titled = {"title": title} if title else {}
    return {"href": href, "rel": rel, "type": media_type, **titled, **more}


def with_query(address: str, parameters: dict[str, Any]) -> str:
    """An address with parameters, those that are None left out; characters that may stand in a query stay readable."""
    kept = {name: value for name, value in parameters.items() if value is not None}
    return f"{address}?{urlencode(kept, safe=',:/', quote_via=quote)}" if kept else address


def asked_again(request: Request, base_url: str, **changes: Any) -> str:
    """The address of this request with other parameters."""
    path = request.url.path.removeprefix(request.scope.get("root_path", ""))
    return with_query(base_url + quote(path, safe="/:@"), {**dict(request.query_params), **changes})
