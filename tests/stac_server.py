"""A STAC API on localhost that answers from recorded items, so that pystac-client runs untouched in tests."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from shapely.geometry import box, shape

CORE = "https://api.stacspec.org/v1.0.0/core"
COLLECTIONS = "https://api.stacspec.org/v1.0.0/collections"
ITEM_SEARCH = "https://api.stacspec.org/v1.0.0/item-search"
SORT = "https://api.stacspec.org/v1.0.0/item-search#sort"
FEATURES = "https://api.stacspec.org/v1.0.0/ogcapi-features"


class RecordedStacServer:
    """Serve items as a STAC API: landing page, conformance, collections, search with paging (GET and POST).

    >>> with RecordedStacServer(items, collections) as server:
    ...     Client.open(server.url)

    `collections` may be left out: a minimal one is made for each collection that the items name.
    `requests` holds (method, path, body or query) of each request, `failures` answers that many requests with
    503 first, `page_size` limits a page whatever the client asks for. `redirects` (path -> address) and `files`
    (path -> content, in ranges too) go before what an API answers.
    """

    def __init__(
        self,
        items: Sequence[Mapping[str, Any]],
        collections: Sequence[Mapping[str, Any]] | None = None,
        *,
        sort: bool = True,
        page_size: int = 10,
        search: bool = True,
        failures: int = 0,
        redirects: Mapping[str, str] | None = None,
        files: Mapping[str, bytes] | None = None,
    ) -> None:
        self.items = [dict(item) for item in items]
        named = sorted({str(item["collection"]) for item in items})
        self.collections = [dict(c) for c in collections] if collections is not None else [_minimal(n) for n in named]
        self.conformance = [CORE, COLLECTIONS, FEATURES]
        self.conformance += [ITEM_SEARCH] if search else []
        self.conformance += [SORT] if sort and search else []
        self.sort, self.page_size, self.failures = sort, page_size, failures
        self.redirects, self.files = dict(redirects or {}), dict(files or {})
        self.requests: list[tuple[str, str, Any]] = []

    def __enter__(self) -> Self:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"api": self}))
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(timeout=5)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def landing(self) -> dict[str, Any]:
        links = [
            ("self", "", "application/json"),
            ("root", "", "application/json"),
            ("conformance", "/conformance", "application/json"),
            ("data", "/collections", "application/json"),
        ]
        found = [{"rel": rel, "href": self.url + path, "type": kind} for rel, path, kind in links]
        if ITEM_SEARCH in self.conformance:
            found += [
                {"rel": "search", "href": self.url + "/search", "type": "application/geo+json", "method": method}
                for method in ("GET", "POST")
            ]
        return {
            "type": "Catalog",
            "stac_version": "1.0.0",
            "id": "recorded",
            "description": "Recorded items.",
            "conformsTo": self.conformance,
            "links": found,
        }

    def collection(self, name: str) -> dict[str, Any] | None:
        for found in self.collections:
            if found["id"] == name:
                here = f"{self.url}/collections/{name}"
                links = [
                    {"rel": "self", "href": here, "type": "application/json"},
                    {"rel": "root", "href": self.url, "type": "application/json"},
                    {"rel": "parent", "href": self.url, "type": "application/json"},
                    {"rel": "items", "href": f"{here}/items", "type": "application/geo+json"},
                ]
                return {**found, "links": links}
        return None

    def search(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        found = [item for item in self.items if _matches(item, asked)]
        for order in reversed(asked.get("sortby") or [] if self.sort else []):
            name = order["field"].removeprefix("properties.")
            found.sort(key=lambda item: item["properties"].get(name), reverse=order["direction"] == "desc")
        start = int(asked.get("token") or 0)
        size = min(int(asked.get("limit") or 10), self.page_size)
        links: list[dict[str, Any]] = [{"rel": "root", "href": self.url, "type": "application/json"}]
        if start + size < len(found):
            links.append(
                {
                    "rel": "next",
                    "href": self.url + "/search",
                    "type": "application/geo+json",
                    "method": "POST",
                    "body": {**asked, "token": str(start + size)},
                }
            )
        return {"type": "FeatureCollection", "features": found[start : start + size], "links": links}


class _Handler(BaseHTTPRequestHandler):
    api: RecordedStacServer

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        self._answer(self.command, parts.path.rstrip("/"), query)

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self._answer("POST", urlsplit(self.path).path.rstrip("/"), json.loads(body or b"{}"))

    def log_message(self, *_: object) -> None:
        """Tests are quiet."""

    def _answer(self, method: str, path: str, asked: Mapping[str, Any]) -> None:
        self.api.requests.append((method, path, asked))
        if self.api.failures > 0:
            self.api.failures -= 1
            self._send(503, {"code": "503", "description": "not now"})
            return
        if path in self.api.redirects:
            self._send(307, {}, Location=self.api.redirects[path])
            return
        if path in self.api.files:
            self._send_file(self.api.files[path])
            return
        document = self._document(path, asked)
        if document is None:
            self._send(404, {"code": "NotFoundError", "description": f"nothing at {path}"})
        else:
            self._send(200, document)

    def _document(self, path: str, asked: Mapping[str, Any]) -> dict[str, Any] | None:
        match path.split("/")[1:]:
            case []:
                found: dict[str, Any] | None = self.api.landing()
            case ["conformance"]:
                found = {"conformsTo": self.api.conformance}
            case ["collections"]:
                listed = [self.api.collection(str(c["id"])) for c in self.api.collections]
                found = {"collections": listed, "links": [{"rel": "root", "href": self.api.url}]}
            case ["collections", name]:
                found = self.api.collection(name)
            case ["collections", name, "items"]:
                found = self.api.search({**_from_query(asked), "collections": [name]})
            case ["search"] if ITEM_SEARCH in self.api.conformance:
                found = self.api.search(_from_query(asked))
            case _:
                found = None
        return found

    def _send(self, status: int, document: Mapping[str, Any], **headers: str) -> None:
        self._send_bytes(status, json.dumps(document).encode(), **{"Content-Type": "application/json", **headers})

    def _send_file(self, data: bytes) -> None:
        asked = self.headers.get("Range")
        if asked is None:
            self._send_bytes(200, data)
            return
        first, last = asked.removeprefix("bytes=").split("-")
        part = data[int(first) : int(last) + 1]
        self._send_bytes(206, part, **{"Content-Range": f"bytes {first}-{int(first) + len(part) - 1}/{len(data)}"})

    def _send_bytes(self, status: int, data: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(data))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)


def _from_query(asked: Mapping[str, Any]) -> dict[str, Any]:
    """A GET search as its POST body."""
    body = dict(asked)
    for key in ("collections", "ids"):
        if isinstance(body.get(key), str):
            body[key] = body[key].split(",")
    if isinstance(body.get("bbox"), str):
        body["bbox"] = [float(value) for value in body["bbox"].split(",")]
    if isinstance(body.get("intersects"), str):
        body["intersects"] = json.loads(body["intersects"])
    if isinstance(body.get("sortby"), str):
        body["sortby"] = [
            {"field": word.lstrip("+-"), "direction": "desc" if word.startswith("-") else "asc"}
            for word in body["sortby"].split(",")
        ]
    return body


def _matches(item: Mapping[str, Any], asked: Mapping[str, Any]) -> bool:
    if asked.get("collections") and item.get("collection") not in asked["collections"]:
        return False
    if asked.get("ids") and item["id"] not in asked["ids"]:
        return False
    if asked.get("datetime") and not _within(item["properties"]["datetime"], asked["datetime"]):
        return False
    if asked.get("intersects") and not shape(item["geometry"]).intersects(shape(asked["intersects"])):
        return False
    if asked.get("bbox"):
        west, south, east, north = asked["bbox"]
        return bool(shape(item["geometry"]).intersects(box(west, south, east, north)))
    return True


def _within(moment: str, span: str) -> bool:
    first, _, last = span.partition("/")
    last = last or first
    when = _moment(moment)
    return (first in ("", "..") or _moment(first) <= when) and (last in ("", "..") or when <= _moment(last))


def _moment(text: str) -> datetime:
    when = datetime.fromisoformat(text.replace("Z", "+00:00"))
    return when if when.tzinfo else when.replace(tzinfo=UTC)


def _minimal(name: str) -> dict[str, Any]:
    return {
        "type": "Collection",
        "stac_version": "1.0.0",
        "id": name,
        "description": name,
        "license": "other",
        "extent": {"spatial": {"bbox": [[-180, -90, 180, 90]]}, "temporal": {"interval": [[None, None]]}},
    }
