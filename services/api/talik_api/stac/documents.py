"""The documents above the items: the landing page and the collections."""

from __future__ import annotations

import json
from typing import Any

from talik_api.links import link
from talik_api.openapi import MEDIA_TYPE as OPENAPI
from talik_api.service import Service
from talik_api.stac.conformance import CONFORMANCE
from talik_api.stac.holdings import EditionsHolding, Holding, ImageryHolding
from talik_api.stac.items import GEOJSON, Addresses, public
from talik_stac.edition_items import collection_document as editions_document
from talik_stac.errors import MissingKeyError

SCHEMA = "application/schema+json"
QUERYABLES = "http://www.opengis.net/def/rel/ogc/1.0/queryables"


def landing_document(service: Service, holdings: list[Holding], at: Addresses) -> dict[str, Any]:
    """The landing page: a catalog that says what the API can do."""
    return {
        "type": "Catalog",
        "stac_version": "1.0.0",
        "id": "talik",
        "title": service.settings.title,
        "description": "Imagery of periglacial landscapes, and the editions of the inventories that were made of it.",
        "conformsTo": list(CONFORMANCE),
        "links": [
            link("self", at.stac, title="This document"),
            link("root", at.stac, title=service.settings.title),
            link("service-desc", f"{at.base}/api", OPENAPI, "The API, as OpenAPI 3.0"),
            link("service-doc", f"{at.base}/api.html", "text/html", "The API, for people"),
            link("conformance", f"{at.stac}/conformance", title="Conformance classes"),
            link("data", f"{at.stac}/collections", title="Collections"),
            link("search", f"{at.stac}/search", GEOJSON, "Search", method="GET"),
            link("search", f"{at.stac}/search", GEOJSON, "Search", method="POST"),
            link(QUERYABLES, f"{at.stac}/queryables", SCHEMA, "What filters may name"),
            *(link("child", at.collection(holding.id), title=_title(holding)) for holding in holdings),
        ],
    }


def collections_document(service: Service, holdings: list[Holding], at: Addresses) -> dict[str, Any]:
    """All collections."""
    return {
        "collections": [collection_document(service, holding, at) for holding in holdings],
        "links": [link("self", f"{at.stac}/collections"), link("root", at.stac), link("parent", at.stac)],
    }


def collection_document(service: Service, holding: Holding, at: Addresses) -> dict[str, Any]:
    """One collection; files that mirror it are left out, for they name the files of the server."""
    document = _stored(service, holding)
    address = at.collection(holding.id)
    kept = {name: value for name, value in document.items() if name not in ("links", "assets")}
    # `public` drops what names a file of the server.
    return {
        **public(kept, at),
        "id": holding.id,
        "links": [
            link("self", address, title="This document"),
            link("root", at.stac, title=service.settings.title),
            link("parent", at.stac, title=service.settings.title),
            link("items", f"{address}/items", GEOJSON, "The items"),
            link(QUERYABLES, f"{address}/queryables", SCHEMA, "What filters may name"),
        ],
    }


def _title(holding: Holding) -> str:
    return f"Inventories of {holding.landform}" if isinstance(holding, EditionsHolding) else holding.id


def _stored(service: Service, holding: Holding) -> dict[str, Any]:
    if isinstance(holding, EditionsHolding):
        return editions_document(holding.landform, [edition.item for edition in holding.editions])
    if isinstance(holding, ImageryHolding):
        try:
            document: dict[str, Any] = json.loads(service.store.get(f"imagery/{holding.name}/collection.json"))
            return document
        except (MissingKeyError, ValueError):
            pass  # an index that was put there by hand
    return _measured(holding)


def _measured(holding: Holding) -> dict[str, Any]:
    """A collection that only its items describe."""
    bounds = [limits.bounds for limits in holding.groups if limits.bounds is not None]
    firsts = [limits.first for limits in holding.groups if limits.first is not None]
    lasts = [limits.last for limits in holding.groups if limits.last is not None]
    sides = list(zip(*bounds, strict=True)) if bounds else [(-180.0,), (-90.0,), (180.0,), (90.0,)]
    box = [min(sides[0]), min(sides[1]), max(sides[2]), max(sides[3])]
    interval = [min(firsts).isoformat() if firsts else None, max(lasts).isoformat() if lasts else None]
    return {
        "type": "Collection",
        "stac_version": "1.0.0",
        "id": holding.id,
        "title": holding.id,
        "description": f"{sum(limits.rows for limits in holding.groups)} items.",
        "license": "other",
        "extent": {"spatial": {"bbox": [box]}, "temporal": {"interval": [interval]}},
    }
