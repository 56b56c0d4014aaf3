"""OGC API Common: the landing page, conformance, the API's description, and the collections."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Request
from starlette.responses import JSONResponse, Response

from talik_api.conformance import conformance_classes
from talik_api.crs import CRS84, SUPPORTED
from talik_api.features.answer import layer_of
from talik_api.features.layers import Layer, layers
from talik_api.features.query import SORTABLE
from talik_api.features.queryables import json_schema
from talik_api.formats import FORMATS, format_for
from talik_api.links import link
from talik_api.metadata.record import licence_of
from talik_api.openapi import MEDIA_TYPE as OPENAPI
from talik_api.openapi import described
from talik_api.page_format import JSON_OR_HTML
from talik_api.service import Served, Service

router = APIRouter(tags=["Common"])
SCHEMA = "application/schema+json"
FormatName = Annotated[Literal["json", "html"] | None, Query(description="json or html; goes before Accept.")]
CollectionId = Annotated[str, Path(alias="collectionId", description="A landform, or an edition.", max_length=200)]


@router.get("/")
def landing(
    request: Request,
    service: Served,
    f: FormatName = None,
    _page: Annotated[int | None, Query(alias="page", ge=1, le=100_000, description="Of the portal.")] = None,
) -> Response:
    """What this service offers; a browser gets the portal."""
    base = service.base_url(request)
    if _html(request, f):
        from talik_api.pages import portal

        return portal(service, request)
    document = {
        "title": service.settings.title,
        "description": "Inventories of periglacial landforms, mapped from satellite imagery, and the imagery itself.",
        "attribution": service.settings.publisher.name,
        "links": [
            link("self", f"{base}/?f=json", title="This document"),
            link("alternate", f"{base}/?f=html", "text/html", "The portal"),
            link("service-desc", f"{base}/api", OPENAPI, "The API, as OpenAPI 3.0"),
            link("service-doc", f"{base}/api.html", "text/html", "The API, for people"),
            link("conformance", f"{base}/conformance", title="Conformance classes"),
            link("data", f"{base}/collections", title="Collections of features"),
            link("http://www.opengis.net/def/rel/ogc/1.0/processes", f"{base}/processes", title="Processes"),
            link("http://www.opengis.net/def/rel/ogc/1.0/job-list", f"{base}/jobs", title="Jobs"),
            link(
                "http://www.opengis.net/def/rel/ogc/1.0/tiling-schemes",
                f"{base}/tileMatrixSets",
                title="Tile matrix sets",
            ),
            link("child", f"{base}/stac", title="STAC API: imagery and editions as items"),
        ],
    }
    return _json(document)


@router.get("/conformance")
def conformance(request: Request, service: Served, f: FormatName = None) -> Response:
    """The classes of the standards that this service meets."""
    if _html(request, f):
        from talik_api.pages import conformance_page

        return conformance_page(service, request, conformance_classes())
    return _json({"conformsTo": conformance_classes()})


@router.get("/api", response_class=Response, responses={200: {"content": {OPENAPI: {}}}})
def api(request: Request, service: Served) -> Response:
    """The description of this API, OpenAPI 3.0."""
    import orjson

    return Response(orjson.dumps(described(request.app, service.base_url(request))), media_type=OPENAPI)


@router.get("/api.html", response_class=Response, responses={200: {"content": {"text/html": {}}}})
def api_page(request: Request, service: Served) -> Response:
    """The description of this API, for people."""
    from talik_api.pages import api_page as page

    return page(service, request)


@router.get("/collections")
def collections(request: Request, service: Served, f: FormatName = None) -> Response:
    """The collections of features: landforms, then editions."""
    base = service.base_url(request)
    every = layers(service.shelf.all())
    document = {
        "links": [
            link("self", f"{base}/collections?f=json", title="This document"),
            link("alternate", f"{base}/collections?f=html", "text/html", "This document as HTML"),
        ],
        "crs": list(SUPPORTED),
        "collections": [_document(base, layer, listed=True) for layer in every],
    }
    if _html(request, f):
        from talik_api.pages import collections_page

        return collections_page(service, request, document)
    return _json(document)


@router.get("/collections/{collectionId}")
def collection(request: Request, service: Served, name: CollectionId, f: FormatName = None) -> Response:
    """One collection: extent, CRSs, licence, formats."""
    layer = layer_of(service, name)
    document = _document(service.base_url(request), layer, listed=False)
    if _html(request, f):
        from talik_api.pages import collection_page

        return collection_page(service, request, layer, document)
    return _json(document)


@router.get(
    "/collections/{collectionId}/queryables", response_class=Response, responses={200: {"content": {SCHEMA: {}}}}
)
def queryables(request: Request, service: Served, name: CollectionId) -> Response:
    """What filters may name, as JSON Schema."""
    return _schema(request, service, name, "queryables", returned=False)


@router.get("/collections/{collectionId}/schema", response_class=Response, responses={200: {"content": {SCHEMA: {}}}})
def schema(request: Request, service: Served, name: CollectionId) -> Response:
    """The properties of features, as JSON Schema."""
    return _schema(request, service, name, "schema", returned=True)


@router.get(
    "/collections/{collectionId}/sortables", response_class=Response, responses={200: {"content": {SCHEMA: {}}}}
)
def sortables(request: Request, service: Served, name: CollectionId) -> Response:
    """What answers may be sorted by, as JSON Schema."""
    layer = layer_of(service, name)
    address = f"{service.base_url(request)}/collections/{layer.id}/sortables"
    document = json_schema(layer, address, returned=False)
    document["properties"] = {key: value for key, value in document["properties"].items() if key in SORTABLE}
    return _json(document, SCHEMA)


def _schema(request: Request, service: Service, name: str, kind: str, *, returned: bool) -> Response:
    layer = layer_of(service, name)
    address = f"{service.base_url(request)}/collections/{layer.id}/{kind}"
    return _json(json_schema(layer, address, returned=returned), SCHEMA)


def _document(base: str, layer: Layer, *, listed: bool) -> dict[str, Any]:
    here = f"{base}/collections/{layer.id}"
    files = [
        link("items", f"{here}/items?f={form.name}", form.media_type, f"The features as {form.title}")
        for form in FORMATS.values()
    ]
    licences = sorted({str(edition.item["properties"].get("license", "other")) for edition in layer.editions})
    document: dict[str, Any] = {
        "id": layer.id,
        "title": layer.title,
        "description": layer.description,
        "itemType": "feature",
        "extent": extent(layer),
        "crs": list(SUPPORTED),
        "storageCrs": CRS84,
        "license": licences[0] if len(licences) == 1 else "other",
        "links": [
            link("self", f"{here}?f=json", title="This collection"),
            link("alternate", f"{here}?f=html", "text/html", "This collection as HTML"),
            *files,
            link("items", f"{here}/items?f=html", "text/html", "The features as HTML"),
            link("http://www.opengis.net/def/rel/ogc/1.0/queryables", f"{here}/queryables", SCHEMA, "Queryables"),
            link("http://www.opengis.net/def/rel/ogc/1.0/schema", f"{here}/schema", SCHEMA, "Schema"),
            link("describedby", f"{here}/schema", SCHEMA, "Schema"),
            link("http://www.opengis.net/def/rel/ogc/1.0/sortables", f"{here}/sortables", SCHEMA, "Sortables"),
            link("http://www.opengis.net/def/rel/ogc/1.0/tilesets-vector", f"{here}/tiles", title="Vector tiles"),
            *_editions_links(base, layer, listed=listed),
        ],
    }
    licence = licence_of(licences[0])
    if len(licences) == 1 and licence.url is not None:
        document["links"].append(link("license", licence.url, "text/html", licence.name))
    return document


def _editions_links(base: str, layer: Layer, *, listed: bool) -> list[dict[str, Any]]:
    if layer.qualified:
        shown = () if listed else layer.editions
        return [link("related", f"{base}/collections/{each.id}", title=f"Edition {each.id}") for each in shown]
    edition = layer.editions[0]
    return [
        link("related", f"{base}/editions/{edition.id}", "text/html", "Files, citation and metadata of this edition"),
        link("up", f"{base}/collections/{edition.landform}", title=f"All editions of {edition.landform}"),
    ]


def extent(layer: Layer) -> dict[str, Any]:
    """Spatial and temporal extent of a collection; a bbox with west > east crosses the antimeridian."""
    boxes = [edition.item["bbox"] for edition in layer.editions]
    wraps = any(box[0] > box[2] for box in boxes)
    west, east = (-180.0, 180.0) if wraps and len(boxes) > 1 else (min(b[0] for b in boxes), max(b[2] for b in boxes))
    if wraps and len(boxes) == 1:
        west, east = boxes[0][0], boxes[0][2]
    starts = [edition.item["properties"]["start_datetime"] for edition in layer.editions]
    ends = [edition.item["properties"]["end_datetime"] for edition in layer.editions]
    return {
        "spatial": {"bbox": [[west, min(b[1] for b in boxes), east, max(b[3] for b in boxes)]], "crs": CRS84},
        "temporal": {
            "interval": [[min(starts), max(ends)]],
            "trs": "http://www.opengis.net/def/uom/ISO-8601/0/Gregorian",
        },
    }


def _html(request: Request, f: str | None) -> bool:
    return format_for(f, request.headers.get("accept"), JSON_OR_HTML).name == "html"


def _json(document: dict[str, Any], media_type: str = "application/json") -> Response:
    return JSONResponse(document, media_type=media_type, headers={"Vary": "Accept", "Cache-Control": "no-cache"})
