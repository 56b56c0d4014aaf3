"""Pages of the collections of features, and of what the service conforms to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import Request
from starlette.responses import Response

from talik_api.features.layers import Layer
from talik_api.features.queryables import queryables_of
from talik_api.pages.glance import is_simulated, runs_of, sketches_of
from talik_api.pages.render import part, render
from talik_api.pages.world import Spot, world_map
from talik_api.service import Service

_EDITIONS = 200
"""So many editions of a landform are listed; /collections lists all."""


def conformance_page(service: Service, request: Request, classes: Sequence[str]) -> Response:
    """The classes of the standards that are met."""
    return render(service, request, "conformance.html", classes=classes)


def collections_page(service: Service, request: Request, document: Mapping[str, Any]) -> Response:
    """All collections; `document` is the JSON answer."""
    return render(service, request, "collections.html", collections=document["collections"])


def collection_page(service: Service, request: Request, layer: Layer, document: Mapping[str, Any]) -> Response:
    """One collection; `document` is the JSON answer."""
    base = service.base_url(request)
    editions = layer.editions[:_EDITIONS]
    spots = [Spot(title=e.id, href=f"{base}/editions/{part(e.id)}", geometry=e.item["geometry"]) for e in editions]
    newest = editions[-1:]
    runs = runs_of(service, request, newest)
    return render(
        service,
        request,
        "collection.html",
        layer=layer,
        document=document,
        editions=editions,
        files=[each for each in document["links"] if each["rel"] == "items"],
        columns=list(queryables_of(layer).values()),
        world=world_map(spots),
        sketch=sketches_of(service, request, newest).get(newest[0].id) if newest else None,
        simulated=any(is_simulated(each, runs.get(each.id, {})) for each in newest),
    )
