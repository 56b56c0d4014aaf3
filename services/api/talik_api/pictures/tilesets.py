"""Documents about tiles: tileset metadata (OGC 17-083r4, OGC API Tiles 20-057) and TileJSON 3.0."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from talik_api.links import link
from talik_api.pictures.vector_tiles import MEDIA_TYPE as MVT
from talik_api.pictures.web_mercator import MAX_LATITUDE, TileAt, to_mercator

SET_ID = "WebMercatorQuad"
SET_URI = "http://www.opengis.net/def/tilematrixset/OGC/1.0/WebMercatorQuad"
CRS_URI = "http://www.opengis.net/def/crs/EPSG/0/3857"
CRS84_URI = "http://www.opengis.net/def/crs/OGC/1.3/CRS84"
SCHEME_REL = "http://www.opengis.net/def/rel/ogc/1.0/tiling-scheme"
FIELDS = {
    "id": ("string", "stable across editions of an area"),
    "area_m2": ("number", "geodesic area, square metres"),
    "probability": ("number", "mean over the pixels, 0-1"),
    "confidence": ("number", "of experts, 0-1; absent where nobody looked"),
    "status": ("string", "candidate, confirmed, rejected or edited"),
    "observed_start": ("string", "first scene that gave pixels, ISO 8601"),
    "observed_end": ("string", "last scene that gave pixels, ISO 8601"),
}


@dataclass(frozen=True, kw_only=True)
class Tileset:
    """One tileset in WebMercatorQuad."""

    title: str
    home: str
    """Address of its metadata, without a slash at the end."""
    template: str
    """Behind `home`, with {tileMatrix}, {tileRow} and {tileCol}."""
    media_type: str
    bounds: tuple[float, float, float, float]
    """West, south, east, north in degrees; west > east crosses the antimeridian."""
    zooms: tuple[int, int]
    layer: str | None = None
    """The name of the layer of vector tiles; None: raster."""

    @property
    def data_type(self) -> str:
        """Vector or map."""
        return "map" if self.layer is None else "vector"


def tileset_item(tileset: Tileset, root: str) -> dict[str, Any]:
    """A tileset in a list of tilesets."""
    return {
        "title": tileset.title,
        "dataType": tileset.data_type,
        "crs": CRS_URI,
        "tileMatrixSetURI": SET_URI,
        "links": [
            link("self", tileset.home, title="Tileset metadata"),
            link(SCHEME_REL, f"{root}/tileMatrixSets/{SET_ID}", title=SET_ID),
        ],
    }


def tileset_document(tileset: Tileset, root: str) -> dict[str, Any]:
    """Tileset metadata with a templated link to its tiles."""
    item = tileset_item(tileset, root)
    west, south, east, north = tileset.bounds
    document = {
        **item,
        "tileMatrixSetLimits": limits(tileset),
        "boundingBox": {"lowerLeft": [west, south], "upperRight": [east, north], "crs": CRS84_URI},
        "links": [
            *item["links"],
            link("item", tileset.home + tileset.template, tileset.media_type, "Tiles", templated=True),
            link("describedby", f"{tileset.home}/tilejson.json", title="TileJSON"),
        ],
    }
    if tileset.layer is not None:
        schema = {name: {"type": kind, "description": said} for name, (kind, said) in FIELDS.items()}
        document["layers"] = [
            {
                "id": tileset.layer,
                "dataType": "vector",
                "geometryDimension": 2,
                "minTileMatrix": str(tileset.zooms[0]),
                "maxTileMatrix": str(tileset.zooms[1]),
                "propertiesSchema": {"type": "object", "properties": schema},
            }
        ]
    return document


def tilejson(tileset: Tileset) -> dict[str, Any]:
    """TileJSON 3.0.0, which MapLibre, Leaflet plug-ins and QGIS read."""
    names = {"{tileMatrix}": "{z}", "{tileRow}": "{y}", "{tileCol}": "{x}"}
    address = tileset.home + tileset.template
    for ours, theirs in names.items():
        address = address.replace(ours, theirs)
    west, south, east, north = tileset.bounds
    if west > east:
        west, east = -180.0, 180.0
    document: dict[str, Any] = {
        "tilejson": "3.0.0",
        "name": tileset.title,
        "version": "1.0.0",
        "scheme": "xyz",
        "tiles": [address],
        "minzoom": tileset.zooms[0],
        "maxzoom": tileset.zooms[1],
        "bounds": [west, south, east, north],
        "center": [(west + east) / 2, (south + north) / 2, tileset.zooms[0]],
    }
    if tileset.layer is not None:
        fields = {name: said for name, (_, said) in FIELDS.items()}
        document["vector_layers"] = [
            {"id": tileset.layer, "fields": fields, "minzoom": tileset.zooms[0], "maxzoom": tileset.zooms[1]}
        ]
    return document


def limits(tileset: Tileset) -> list[dict[str, Any]]:
    """The rows and columns of each zoom that touch the bounds; all columns where they cross the antimeridian."""
    return [_limit(tileset, zoom) for zoom in range(tileset.zooms[0], tileset.zooms[1] + 1)]


def _limit(tileset: Tileset, zoom: int) -> dict[str, Any]:
    import numpy as np

    west, south, east, north = tileset.bounds
    lon = np.array([west, east] if west <= east else [-180.0, 180.0])
    lat = np.clip(np.array([north, south]), -MAX_LATITUDE, MAX_LATITUDE)
    left, _, right, top = TileAt(zoom=zoom, row=0, column=0).bounds_m
    x, y = to_mercator(lon, lat)
    side, last = right - left, 2**zoom - 1
    columns = np.clip((x - left) // side, 0, last).astype(int)
    rows = np.clip((top - y) // side, 0, last).astype(int)
    return {
        "tileMatrix": str(zoom),
        "minTileRow": int(rows[0]),
        "maxTileRow": int(rows[1]),
        "minTileCol": int(columns[0]),
        "maxTileCol": int(columns[1]),
    }


__all__ = ["MVT", "Tileset", "limits", "tilejson", "tileset_document", "tileset_item"]
