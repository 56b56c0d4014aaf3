"""Tiles in WebMercatorQuad: inventories as vector tiles, probability and imagery as pictures (OGC API Tiles)."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import orjson
from fastapi import APIRouter, Depends, Path, Query, Request
from starlette.responses import Response

from talik_api.features.answer import layer_of
from talik_api.features.layers import Layer
from talik_api.links import link
from talik_api.pictures import raster_tiles, tilesets, vector_tiles
from talik_api.pictures.desk import desk_of, door_of
from talik_api.pictures.raster_tiles import Cog
from talik_api.pictures.scenes import Frame, file_grid, frame_of, search_bbox
from talik_api.pictures.tilesets import SET_ID, Tileset
from talik_api.pictures.web_mercator import TileAt, matrix_set, zoom_for
from talik_api.problems import Problem, not_found
from talik_api.routes.pictures import BANDS, parse_bands
from talik_api.sending import tag_of, unchanged
from talik_api.service import Served, Service
from talik_stac.editions import Edition
from talik_stac.imagery import index_key
from talik_stac.items import bbox_parts

router = APIRouter(tags=["Tiles"])
IMMUTABLE = "public, max-age=31536000, immutable"
FRESH = "public, max-age=3600"
FRESH_S = 60.0
_FOREVER_S = 1e9
_TILE = "/{tileMatrix}/{tileRow}/{tileCol}"

CollectionId = Annotated[str, Path(alias="collectionId", description="A landform, or an edition.", max_length=200)]
EditionName = Annotated[str, Path(alias="edition", max_length=200)]
ImageryId = Annotated[str, Path(alias="imageryId", description="A collection of imagery.", max_length=200)]
ItemId = Annotated[str, Path(alias="itemId", max_length=300)]
Matrix = Annotated[int, Path(alias="tileMatrix", description="Zoom.")]
Row = Annotated[int, Path(alias="tileRow", description="From the north.")]
Column = Annotated[int, Path(alias="tileCol", description="From the west.")]
Kind = Literal["png", "webp"]
Bands = Annotated[
    str | None, Query(description="Three bands such as nir,red,green, or one.", json_schema_extra={"pattern": BANDS})
]
_PICTURES: dict[int | str, dict[str, Any]] = {200: {"content": {"image/png": {}, "image/webp": {}}}}
_VECTORS: dict[int | str, dict[str, Any]] = {200: {"content": {tilesets.MVT: {}}}}


def _in_json(f: Annotated[Literal["json"] | None, Query()] = None) -> None:
    """Take f=json, which clients may say."""


def _in_mvt(f: Annotated[Literal["mvt"] | None, Query()] = None) -> None:
    """Take f=mvt, which clients may say."""


_JSON, _MVT = [Depends(_in_json)], [Depends(_in_mvt)]


@router.get("/tileMatrixSets", dependencies=_JSON)
def matrix_sets(request: Request, service: Served) -> Response:
    """The tile matrix sets that tiles are offered in."""
    address = f"{service.base_url(request)}/tileMatrixSets/{SET_ID}"
    entry = {"id": SET_ID, "uri": tilesets.SET_URI, "links": [link("self", address, title=SET_ID)]}
    return _json(request, {"tileMatrixSets": [entry]}, IMMUTABLE)


@router.get(f"/tileMatrixSets/{SET_ID}", dependencies=_JSON)
def matrix_set_document(request: Request) -> Response:
    """The definition of WebMercatorQuad."""
    return _json(request, matrix_set(), IMMUTABLE)


@router.get("/collections/{collectionId}/tiles", dependencies=_JSON)
def vector_tilesets(request: Request, service: Served, collection: CollectionId) -> Response:
    """The vector tilesets of a collection."""
    root = service.base_url(request)
    tileset = _vector_tileset(root, layer_of(service, collection))
    links = [link("self", f"{root}/collections/{collection}/tiles", title="Tilesets")]
    return _json(request, {"tilesets": [tilesets.tileset_item(tileset, root)], "links": links}, FRESH)


@router.get(f"/collections/{{collectionId}}/tiles/{SET_ID}", dependencies=_JSON)
def vector_tileset(request: Request, service: Served, collection: CollectionId) -> Response:
    """Metadata of a collection's vector tiles."""
    root = service.base_url(request)
    return _json(request, tilesets.tileset_document(_vector_tileset(root, layer_of(service, collection)), root), FRESH)


@router.get(f"/collections/{{collectionId}}/tiles/{SET_ID}/tilejson.json")
def vector_tilejson(request: Request, service: Served, collection: CollectionId) -> Response:
    """TileJSON of a collection's vector tiles."""
    root = service.base_url(request)
    return _json(request, tilesets.tilejson(_vector_tileset(root, layer_of(service, collection))), FRESH)


@router.get(
    f"/collections/{{collectionId}}/tiles/{SET_ID}{_TILE}",
    response_class=Response,
    responses=_VECTORS,
    dependencies=_MVT,
)
def vector_tile(
    request: Request,
    service: Served,
    collection: CollectionId,
    zoom: Matrix,
    row: Row,
    column: Column,
) -> Response:
    """The polygons of one tile, clipped, as a Mapbox Vector Tile whose layer is the landform."""
    layer = layer_of(service, collection)
    at = _tile_at(zoom, row, column, (0, vector_tiles.MAX_ZOOM))
    tag = tag_of("mvt", layer.id, [_stamp(edition) for edition in layer.editions], at)
    headers = {"ETag": tag, "Cache-Control": "no-cache" if layer.qualified else IMMUTABLE}
    if unchanged(request, tag):
        return Response(status_code=304, headers=headers)
    sources = [
        (edition.id if layer.qualified else None, vector_tiles.rows_of(service.reader(edition)))
        for edition in layer.editions
        if _touches(edition, at)
    ]
    with desk_of(request).turn("picture"):
        rows = vector_tiles.together(sources) if sources else vector_tiles.no_rows
        made = vector_tiles.vector_tile(rows, at, layer=_landform(layer))
    headers |= {
        "OGC-NumberReturned": str(made.count),
        "Talik-Smallest-M2": f"{made.smallest_m2:.4g}",
        "Talik-Limited": "true" if made.limited else "false",
    }
    return Response(made.data, 200, headers, tilesets.MVT)


@router.get("/editions/{edition}/map/tiles", dependencies=_JSON)
def probability_tilesets(request: Request, service: Served, edition_id: EditionName) -> Response:
    """The raster tilesets of an edition: its probability."""
    root = service.base_url(request)
    tileset, _ = _probability(request, service, root, _edition(service, edition_id))
    links = [link("self", f"{root}/editions/{edition_id}/map/tiles", title="Tilesets")]
    return _json(request, {"tilesets": [tilesets.tileset_item(tileset, root)], "links": links}, FRESH)


@router.get(f"/editions/{{edition}}/map/tiles/{SET_ID}", dependencies=_JSON)
def probability_tileset(request: Request, service: Served, edition_id: EditionName) -> Response:
    """Metadata of the probability's tiles: viridis, violet is 0 and yellow is 1."""
    root = service.base_url(request)
    tileset, _ = _probability(request, service, root, _edition(service, edition_id))
    return _json(request, tilesets.tileset_document(tileset, root), FRESH)


@router.get(f"/editions/{{edition}}/map/tiles/{SET_ID}/tilejson.json")
def probability_tilejson(request: Request, service: Served, edition_id: EditionName) -> Response:
    """TileJSON of the probability's tiles."""
    tileset, _ = _probability(request, service, service.base_url(request), _edition(service, edition_id))
    return _json(request, tilesets.tilejson(tileset), FRESH)


@router.get(f"/editions/{{edition}}/map/tiles/{SET_ID}{_TILE}.{{kind}}", response_class=Response, responses=_PICTURES)
def probability_tile(
    request: Request, service: Served, edition_id: EditionName, zoom: Matrix, row: Row, column: Column, kind: Kind
) -> Response:
    """The probability of an edition in the colours of viridis; transparent where nothing was seen."""
    edition = _edition(service, edition_id)
    tileset, cogs = _probability(request, service, "", edition)
    at = _tile_at(zoom, row, column, tileset.zooms)
    tag = tag_of("probability", _stamp(edition), at, kind)
    headers = {"ETag": tag, "Cache-Control": IMMUTABLE}
    if unchanged(request, tag):
        return Response(status_code=304, headers=headers)
    with desk_of(request).turn("picture"):
        tile = raster_tiles.probability_tile(cogs, at, door_of(service), kind=kind)
    return Response(tile.data, 200, headers, f"image/{kind}")


@router.get(f"/imagery/{{imageryId}}/{{itemId}}/tiles/{SET_ID}", dependencies=_JSON)
def image_tileset(request: Request, service: Served, imagery: ImageryId, item: ItemId, bands: Bands = None) -> Response:
    """Metadata of the tiles of one scene."""
    root = service.base_url(request)
    tileset = _image_tileset(request, service, root, _frame(request, service, imagery, item, bands), bands)
    return _json(request, tilesets.tileset_document(tileset, root), FRESH)


@router.get(f"/imagery/{{imageryId}}/{{itemId}}/tiles/{SET_ID}/tilejson.json")
def image_tilejson(
    request: Request, service: Served, imagery: ImageryId, item: ItemId, bands: Bands = None
) -> Response:
    """TileJSON of the tiles of one scene."""
    frame = _frame(request, service, imagery, item, bands)
    return _json(
        request, tilesets.tilejson(_image_tileset(request, service, service.base_url(request), frame, bands)), FRESH
    )


@router.get(
    f"/imagery/{{imageryId}}/{{itemId}}/tiles/{SET_ID}{_TILE}.{{kind}}", response_class=Response, responses=_PICTURES
)
def image_tile(  # noqa: PLR0913, PLR0917
    request: Request,
    service: Served,
    imagery: ImageryId,
    item: ItemId,
    zoom: Matrix,
    row: Row,
    column: Column,
    kind: Kind,
    bands: Bands = None,
) -> Response:
    """One scene of the store's index: reflectance 0 to 0.3 from black to white, transparent where it has no data."""
    frame = _frame(request, service, imagery, item, bands)
    at = _tile_at(zoom, row, column, _image_tileset(request, service, "", frame, bands).zooms)
    tag = tag_of("imagery", imagery, frame.scenes[0].bands, item, at, kind)
    headers = {"ETag": tag, "Cache-Control": FRESH}
    if unchanged(request, tag):
        return Response(status_code=304, headers=headers)
    with desk_of(request).turn("picture"):
        tile = raster_tiles.image_tile(frame, at, door_of(service), kind=kind)
    return Response(tile.data, 200, headers, f"image/{kind}")


def _json(request: Request, document: dict[str, Any], cache: str) -> Response:
    body = orjson.dumps(document)
    tag = tag_of(body)
    headers = {"ETag": tag, "Cache-Control": cache}
    return (
        Response(status_code=304, headers=headers)
        if unchanged(request, tag)
        else Response(body, 200, headers, "application/json")
    )


def _tile_at(zoom: int, row: int, column: int, zooms: tuple[int, int]) -> TileAt:
    """Raises Problem 404 for a tile outside the tileset or the world."""
    try:
        at = TileAt(zoom=zoom, row=row, column=column)
    except ValueError as error:
        raise Problem(404, "Not found", str(error)) from error
    if not zooms[0] <= zoom <= zooms[1]:
        raise Problem(
            404, "Not found", f"there are no tiles of zoom {zoom}; there are those of {zooms[0]} to {zooms[1]}"
        )
    return at


def _edition(service: Service, edition_id: str) -> Edition:
    found = service.shelf.find(edition_id)
    if found is None:
        raise not_found("edition", edition_id, "see /collections")
    return found


def _stamp(edition: Edition) -> tuple[str, str, object]:
    """Tells an edition also from one of the same name in a store that was made anew."""
    return edition.id, edition.configuration, edition.item["properties"].get("created")


def _landform(layer: Layer) -> str:
    return layer.editions[0].landform


def _touches(edition: Edition, at: TileAt) -> bool:
    """By the bbox of the edition's footprint, wider by the largest object that may lie over its edge: a degree."""
    west, south, east, north = at.lonlat_bounds(margin=0.1)
    parts = bbox_parts(edition.item["bbox"])
    return any(p[0] - 1 <= east and p[2] + 1 >= west and p[1] - 1 <= north and p[3] + 1 >= south for p in parts)


def _vector_tileset(root: str, layer: Layer) -> Tileset:
    parts = [part for edition in layer.editions for part in bbox_parts(edition.item["bbox"])]
    bounds = (
        min(p[0] for p in parts), min(p[1] for p in parts), max(p[2] for p in parts), max(p[3] for p in parts)
    )  # fmt: skip
    return Tileset(
        title=layer.title,
        home=f"{root}/collections/{layer.id}/tiles/{SET_ID}",
        template=f"{_TILE}?f=mvt",
        media_type=tilesets.MVT,
        bounds=bounds,
        zooms=(0, vector_tiles.MAX_ZOOM),
        layer=_landform(layer),
    )


def _probability(request: Request, service: Service, root: str, edition: Edition) -> tuple[Tileset, tuple[Cog, ...]]:
    """The tileset and files of an edition's probability. Raises Problem 404 where it has none."""
    names = [
        str(asset["href"]).removeprefix("./")
        for key, asset in sorted(edition.item["assets"].items())
        if key.startswith("probability-")
    ]
    if not names:
        raise Problem(404, "Not found", f"edition '{edition.id}' has no probability rasters")
    hrefs = [service.store.url(f"{edition.prefix}/{name}") for name in names]
    door = door_of(service)
    cogs = desk_of(request).remember(
        ("cogs", _stamp(edition)), lambda: raster_tiles.probability_cogs(hrefs, door), fresh_s=_FOREVER_S
    )
    tileset = Tileset(
        title=f"Probability of {edition.id}",
        home=f"{root}/editions/{edition.id}/map/tiles/{SET_ID}",
        template=f"{_TILE}.png",
        media_type="image/png",
        bounds=raster_tiles.union_bounds(cogs),
        zooms=raster_tiles.zooms(cogs),
    )
    return tileset, cogs


def _frame(request: Request, service: Service, imagery: str, item: str, bands: str | None) -> Frame:
    names = parse_bands(bands)
    key = ("item", imagery, item, names)
    return desk_of(request).remember(key, lambda: frame_of(service.store, imagery, item, names), fresh_s=FRESH_S)


def _image_tileset(request: Request, service: Service, root: str, frame: Frame, bands: str | None) -> Tileset:
    scene = frame.scenes[0]
    key = ("grid", index_key(scene.collection), scene.id, scene.bands[next(iter(scene.bands))].href)
    grid = desk_of(request).remember(key, lambda: file_grid(scene, door_of(service)), fresh_s=FRESH_S)
    west, south, east, north = search_bbox(scene.footprint)
    pixel_m = abs(grid.affine.a) * (111_320.0 if grid.crs is not None and grid.crs.geographic else 1.0)
    zoom = zoom_for(pixel_m, max(abs(south), abs(north)))
    return Tileset(
        title=f"{scene.collection} {scene.id}",
        home=f"{root}/imagery/{scene.collection}/{scene.id}/tiles/{SET_ID}",
        template=f"{_TILE}.png" + (f"?bands={bands}" if bands else ""),
        media_type="image/png",
        bounds=(west, south, east, north),
        zooms=(0, min(zoom + 2, 22)),
    )
