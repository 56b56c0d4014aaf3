"""Addresses of pictures of objects, where this service can make them."""

from __future__ import annotations

from typing import Any

from fastapi import Request

from talik_api.features.layers import Layer
from talik_api.openapi import described
from talik_api.pages.glance import runs_of
from talik_api.pages.render import part
from talik_api.service import Service
from talik_stac.editions import Edition

_PATH = "/collections/{collectionId}/items/{featureId}/"


def has_pictures(service: Service, request: Request, edition: Edition) -> bool:
    """Whether the imagery of an edition is in the store, and pictures of it are served."""
    paths: dict[str, Any] = described(request.app, "")["paths"]
    if not any(path.startswith(_PATH) and "chip" in path for path in paths):
        return False
    imagery = runs_of(service, request, [edition]).get(edition.id, {}).get("imagery") or {}
    collection = imagery.get("collection")
    indexed = bool(collection) and not imagery.get("catalog")
    return indexed and service.store.exists(f"imagery/{collection}/items.parquet")


def edition_of(layer: Layer, feature_id: str) -> Edition | None:
    """The edition of a collection that a feature is of."""
    named = feature_id.rpartition(":")[0] if layer.qualified else layer.id
    return next((each for each in layer.editions if each.id == named), None)


def chip_address(service: Service, request: Request, layer: Layer, feature_id: str) -> str | None:
    """The picture of a feature of a collection; None where there is none."""
    edition = edition_of(layer, feature_id)
    if edition is None or not has_pictures(service, request, edition):
        return None
    return f"{service.base_url(request)}/collections/{part(layer.id)}/items/{part(feature_id)}/chip.png"
