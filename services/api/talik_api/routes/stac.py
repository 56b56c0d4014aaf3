"""STAC API 1.0.0: imagery and editions as collections of items, and the search over all of them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import orjson
from fastapi import APIRouter, Body, Path, Query, Request
from starlette.responses import Response

from talik_api.crs import SUPPORTED
from talik_api.links import link
from talik_api.problems import not_found
from talik_api.service import Served, Service
from talik_api.stac.answers import answered
from talik_api.stac.asked import MAX_LIMIT, Asked, of_parameters, understand
from talik_api.stac.assets import asset_response
from talik_api.stac.conformance import CONFORMANCE
from talik_api.stac.documents import SCHEMA, collection_document, collections_document, landing_document
from talik_api.stac.holdings import Holding, ImageryHolding
from talik_api.stac.items import GEOJSON, Addresses, addresses, item_document
from talik_api.stac.queryables import schema_document, together
from talik_api.stac.search import Conditions, search
from talik_api.stac.shelf import shelf_of
from talik_api.stac.sorting import sort_keys

router = APIRouter(prefix="/stac", tags=["STAC"])

CollectionId = Annotated[
    str, Path(alias="collectionId", description="An imagery collection, or inventories-{landform}.", max_length=200)
]
ItemId = Annotated[str, Path(alias="itemId", max_length=500)]
Bbox = Annotated[str | None, Query(description="West,south,east,north; west > east crosses the antimeridian.")]
Datetime = Annotated[
    str | None, Query(description="RFC 3339: a moment, or an interval such as 2020-06-01T00:00:00Z/..")
]
Limit = Annotated[
    int | None,
    Query(ge=1, description="Items of a page.", json_schema_extra={"maximum": MAX_LIMIT}),
]
Filter = Annotated[str | None, Query(alias="filter", description="A condition in CQL2.")]
FilterLang = Annotated[Literal["cql2-text", "cql2-json"] | None, Query(alias="filter-lang")]
FilterCrs = Annotated[
    str | None,
    Query(
        alias="filter-crs",
        description="URI of the CRS of geometries in the filter.",
        json_schema_extra={"enum": list(SUPPORTED)},
    ),
]
SortBy = Annotated[str | None, Query(description="Properties joined by commas; '-' before one sorts downwards.")]
Fields = Annotated[str | None, Query(description="Members to include, and with '-' before them to exclude.")]
QueryText = Annotated[str | None, Query(alias="query", description='JSON such as {"eo:cloud_cover":{"lt":10}}.')]
Token = Annotated[str | None, Query(description="From a 'next' link.", min_length=1)]


@router.get("")
def landing(request: Request, service: Served) -> Response:
    """The landing page."""
    return _json(landing_document(service, shelf_of(request, service).all(), _at(service, request)))


@router.get("/conformance")
def conformance() -> Response:
    """Conformance classes."""
    return _json({"conformsTo": list(CONFORMANCE)})


@router.get("/queryables", responses={200: {"content": {SCHEMA: {}}}})
def queryables(request: Request, service: Served) -> Response:
    """What filters may name, of all collections together."""
    named = together(holding.queryables for holding in shelf_of(request, service).all())
    document = schema_document("All collections", f"{_at(service, request).stac}/queryables", named)
    return _json(document, SCHEMA)


@router.get("/collections")
def collections(request: Request, service: Served) -> Response:
    """All collections."""
    return _json(collections_document(service, shelf_of(request, service).all(), _at(service, request)))


@router.get("/collections/{collectionId}")
def collection(request: Request, service: Served, collection_id: CollectionId) -> Response:
    """One collection."""
    return _json(collection_document(service, _holding(service, request, collection_id), _at(service, request)))


@router.get("/collections/{collectionId}/queryables", responses={200: {"content": {SCHEMA: {}}}})
def collection_queryables(request: Request, service: Served, collection_id: CollectionId) -> Response:
    """What filters may name."""
    holding = _holding(service, request, collection_id)
    address = f"{_at(service, request).collection(holding.id)}/queryables"
    return _json(schema_document(holding.id, address, holding.queryables), SCHEMA)


@router.get("/collections/{collectionId}/items", responses={200: {"content": {GEOJSON: {}}}})
def items(  # noqa: PLR0913, PLR0917 - one parameter a query parameter
    request: Request,
    service: Served,
    collection_id: CollectionId,
    bbox: Bbox = None,
    datetime: Datetime = None,
    limit: Limit = None,
    query: QueryText = None,
    filter_: Filter = None,
    filter_lang: FilterLang = None,
    filter_crs: FilterCrs = None,
    sortby: SortBy = None,
    fields: Fields = None,
    token: Token = None,
) -> Response:
    """Items of a collection that meet all conditions."""
    holding, at = _holding(service, request, collection_id), _at(service, request)
    asked = of_parameters(
        {
            "bbox": bbox,
            "datetime": datetime,
            "limit": limit,
            "query": query,
            "filter": filter_,
            "filter-lang": filter_lang,
            "filter-crs": filter_crs,
            "sortby": sortby,
            "token": token,
        }
    )
    question = understand(asked, [holding], fields=fields)
    address = at.collection(holding.id)
    more = [link("parent", address), link("collection", address)]
    return answered(service, request, [holding], asked, question, at, more)


@router.get("/collections/{collectionId}/items/{itemId}", responses={200: {"content": {GEOJSON: {}}}})
def item(request: Request, service: Served, collection_id: CollectionId, item_id: ItemId) -> Response:
    """One item."""
    holding = _holding(service, request, collection_id)
    return _json(item_document(holding, _item(holding, item_id), _at(service, request)), GEOJSON)


@router.get(
    "/collections/{collectionId}/items/{itemId}/assets/{assetKey:path}",
    responses={200: {"content": {"application/octet-stream": {}}}, 206: {}, 302: {}},
)
def asset(
    request: Request,
    service: Served,
    collection_id: CollectionId,
    item_id: ItemId,
    key: Annotated[str, Path(alias="assetKey", max_length=500)],
) -> Response:
    """A file of indexed imagery, whole or in ranges; where it lies elsewhere, a redirect."""
    holding = _holding(service, request, collection_id)
    if not isinstance(holding, ImageryHolding):
        raise not_found("asset", key, "files of editions lie at /editions/{edition}/files/{name}")
    return asset_response(service, holding, _item(holding, item_id), key)


@router.get("/search", responses={200: {"content": {GEOJSON: {}}}})
def search_by_url(  # noqa: PLR0913, PLR0917 - one parameter a query parameter
    request: Request,
    service: Served,
    bbox: Bbox = None,
    intersects: Annotated[str | None, Query(description="A GeoJSON geometry.")] = None,
    datetime: Datetime = None,
    ids: Annotated[str | None, Query(description="Ids of items, joined by commas.")] = None,
    collections: Annotated[str | None, Query(description="Ids of collections, joined by commas.")] = None,
    limit: Limit = None,
    query: QueryText = None,
    filter_: Filter = None,
    filter_lang: FilterLang = None,
    filter_crs: FilterCrs = None,
    sortby: SortBy = None,
    fields: Fields = None,
    token: Token = None,
) -> Response:
    """Items of any collection that meet all conditions."""
    asked = of_parameters(
        {
            "bbox": bbox,
            "intersects": intersects,
            "datetime": datetime,
            "ids": ids,
            "collections": collections,
            "limit": limit,
            "query": query,
            "filter": filter_,
            "filter-lang": filter_lang,
            "filter-crs": filter_crs,
            "sortby": sortby,
            "token": token,
        }
    )
    return _searched(service, request, asked, fields)


@router.post("/search", responses={200: {"content": {GEOJSON: {}}}})
def search_by_body(request: Request, service: Served, asked: Annotated[Asked, Body()]) -> Response:
    """Like GET, for areas and filters too long for a URL."""
    return _searched(service, request, asked, None)


def _searched(service: Service, request: Request, asked: Asked, fields: str | None) -> Response:
    shelf = shelf_of(request, service)
    if asked.collections is None:
        holdings = shelf.all()
    else:  # a collection that is not there has no items
        found = [shelf.find(each) for each in sorted(set(asked.collections))]
        holdings = [holding for holding in found if holding is not None]
    question = understand(asked, holdings or shelf.all(), fields=fields)
    return answered(service, request, holdings, asked, question, _at(service, request), [])


def _holding(service: Service, request: Request, collection_id: str) -> Holding:
    shelf = shelf_of(request, service)
    holding = shelf.find(collection_id)
    if holding is None:
        known = ", ".join(each.id for each in shelf.all()) or "none yet"
        raise not_found("collection", collection_id, f"there is: {known}"[:1000])
    return holding


def _item(holding: Holding, item_id: str) -> dict[str, Any]:
    """The item as it was put into the store; the newest of several with one id."""
    conditions = Conditions(ids=frozenset([item_id]))
    page = search([holding], conditions, sort_keys([], holding.queryables), 1, None)
    for _, found in page.items():
        return found
    raise not_found("item", item_id, f"collection '{holding.id}' has items at /stac/collections/{holding.id}/items")


def _at(service: Service, request: Request) -> Addresses:
    return addresses(service, service.base_url(request))


def _json(document: dict[str, Any], media_type: str = "application/json") -> Response:
    return Response(orjson.dumps(document), 200, {"Cache-Control": "no-cache"}, media_type)
