"""An answer of items: a FeatureCollection that is written as it is read, with links to this page and the next."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import orjson
from fastapi import Request
from starlette.responses import Response

from talik_api.links import asked_again, link
from talik_api.sending import send
from talik_api.service import Service
from talik_api.stac.asked import Asked, Question
from talik_api.stac.holdings import Holding
from talik_api.stac.items import GEOJSON, Addresses, item_document
from talik_api.stac.search import Page, search


def answered(
    service: Service,
    request: Request,
    holdings: list[Holding],
    asked: Asked,
    question: Question,
    at: Addresses,
    more: list[dict[str, Any]],
) -> Response:
    """Search, and send a page; `more` are links that only this address has."""
    page = search(holdings, question.conditions, question.keys, question.limit, question.cursor)
    links = [*_links(request, asked, question, page, at), *more]
    chunks = _written(page, question, links, at)
    return send(service, chunks, GEOJSON, {"Cache-Control": "no-cache"}, name="items.geojson")


def _links(request: Request, asked: Asked, question: Question, page: Page, at: Addresses) -> list[dict[str, Any]]:
    posted = request.method == "POST"
    found = [link("self", asked_again(request, at.base), GEOJSON), link("root", at.stac)]
    if page.following is None:
        return found
    token = page.following.token(question.keys)
    if posted:
        body = {**asked.model_dump(by_alias=True, exclude_none=True), "token": token}
        address = asked_again(request, at.base)
        return [*found, link("next", address, GEOJSON, "The next page", method="POST", body=body, merge=False)]
    return [*found, link("next", asked_again(request, at.base, token=token), GEOJSON, "The next page", method="GET")]


def _written(page: Page, question: Question, links: list[dict[str, Any]], at: Addresses) -> Iterator[bytes]:
    head = {
        "type": "FeatureCollection",
        "timeStamp": datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        "numberMatched": page.matched,
        "numberReturned": page.returned,
        "links": links,
    }
    yield orjson.dumps(head)[:-1] + b',"features":['
    before = b""
    for holding, item in page.items():
        document = item_document(holding, item, at)
        yield before + orjson.dumps(document if question.fields is None else question.fields.of(document))
        before = b","
    yield b"]}"
