"""Schemas of the documents that the service answers with, by the names that the OGC and STAC standards give them.

OpenAPI 3.0 in its own words; `openapi.py` puts them into the description of the API. Members that the standards leave
open stay open, since collections and items carry what their makers put into them.
"""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]

_TEXT: Schema = {"type": "string"}
_NUMBER: Schema = {"type": "number"}
_FLAG: Schema = {"type": "boolean"}
_COUNT: Schema = {"type": "integer", "minimum": 0}
_MOMENT: Schema = {"type": "string", "format": "date-time"}
_POSITION: Schema = {"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 3}


def ref(name: str) -> Schema:
    """Point at a schema of this file."""
    return {"$ref": f"#/components/schemas/{name}"}


def _list(items: Schema, least: int = 0, most: int | None = None) -> Schema:
    return {"type": "array", "items": items, "minItems": least, **({"maxItems": most} if most is not None else {})}


def _object(required: Schema, optional: Schema | None = None) -> Schema:
    """An object whose other members are free."""
    properties = {"type": "object", "properties": {**required, **(optional or {})}}
    return {**properties, "required": list(required)} if required else properties


def _one(*values: str) -> Schema:
    return {"type": "string", "enum": list(values)}


_BBOX: Schema = _list(_NUMBER, 4, 6)
_LINKS: Schema = _list(ref("Link"))
_GEOMETRY_TYPES = ("Point", "MultiPoint", "LineString", "MultiLineString", "Polygon", "MultiPolygon")
_EXTENT_TIME: Schema = {"type": "array", "items": {**_MOMENT, "nullable": True}, "minItems": 2, "maxItems": 2}
_JSON_SCHEMA: Schema = _object(
    {
        "$schema": _TEXT,
        "$id": {"type": "string", "format": "uri"},
        "type": _one("object"),
        "title": _TEXT,
        "properties": {"type": "object", "additionalProperties": {"type": "object"}},
    }
)

COMMON: dict[str, Schema] = {
    "Problem": _object(
        {"type": _TEXT, "title": _TEXT, "status": {"type": "integer", "minimum": 400, "maximum": 599}},
        {
            "detail": _TEXT,
            "instance": _TEXT,
            "incident": {"type": "string", "description": "Tell the operator this number."},
            "errors": _list(_object({"name": _TEXT, "reason": _TEXT})),
        },
    ),
    "Link": _object(
        {"href": {"type": "string", "minLength": 1}, "rel": {"type": "string", "minLength": 1}},
        {"type": _TEXT, "title": _TEXT, "templated": _FLAG, "method": _one("GET", "POST"), "body": {"type": "object"}},
    ),
    "LandingPage": _object(
        {"title": _TEXT, "description": _TEXT, "links": _list(ref("Link"), 1)}, {"attribution": _TEXT}
    ),
    "ConfClasses": _object({"conformsTo": _list({"type": "string", "format": "uri"}, 1)}),
    "Health": _object({"status": _one("ok")}),
    "JsonSchema": _JSON_SCHEMA,
    "OpenApi": _object(
        {"openapi": _TEXT, "info": _object({"title": _TEXT, "version": _TEXT}), "paths": {"type": "object"}}
    ),
}

FEATURES: dict[str, Schema] = {
    "Extent": _object(
        {
            "spatial": _object({"bbox": _list(_BBOX, 1)}, {"crs": _TEXT}),
            "temporal": _object({"interval": _list(_EXTENT_TIME, 1)}, {"trs": _TEXT}),
        }
    ),
    "Collection": _object(
        {
            "id": _TEXT,
            "title": _TEXT,
            "description": _TEXT,
            "itemType": _one("feature"),
            "extent": ref("Extent"),
            "crs": _list(_TEXT, 1),
            "storageCrs": _TEXT,
            "license": _TEXT,
            "links": _list(ref("Link"), 1),
        }
    ),
    "Collections": _object(
        {"links": _list(ref("Link"), 1), "collections": _list(ref("Collection"))}, {"crs": _list(_TEXT)}
    ),
    "Geometry": _object(
        {
            "type": _one(*_GEOMETRY_TYPES),
            "coordinates": {"type": "array", "items": {"anyOf": [_NUMBER, {"type": "array", "items": {}}]}},
        }
    ),
    "Feature": _object(
        {
            "type": _one("Feature"),
            "id": _TEXT,
            "geometry": {"allOf": [ref("Geometry")], "nullable": True},
            "properties": ref("FeatureProperties"),
        },
        {"links": _LINKS},
    ),
    "FeatureProperties": _object(
        {},
        {
            "landform": _TEXT,
            "area_m2": {"type": "number", "minimum": 0},
            "perimeter_m": {"type": "number", "minimum": 0},
            "lon": {"type": "number", "minimum": -180, "maximum": 180},
            "lat": {"type": "number", "minimum": -90, "maximum": 90},
            "probability": {"type": "number", "minimum": 0, "maximum": 1, "nullable": True},
            "confidence": {"type": "number", "minimum": 0, "maximum": 1, "nullable": True},
            "status": _one("candidate", "confirmed", "rejected", "edited"),
            "observed_start": {**_MOMENT, "nullable": True},
            "observed_end": {**_MOMENT, "nullable": True},
            "scenes": {**_list(_TEXT), "nullable": True},
            "edition": _TEXT,
            "on_aoi_edge": _FLAG,
            "on_data_edge": _FLAG,
            "pixels": _COUNT,
            "initiated_after": {"type": "string", "format": "date", "nullable": True},
            "initiated_before": {"type": "string", "format": "date", "nullable": True},
        },
    ),
    "FeatureCollection": _object(
        {
            "type": _one("FeatureCollection"),
            "features": _list(ref("Feature")),
            "numberMatched": _COUNT,
            "numberReturned": _COUNT,
            "links": _list(ref("Link"), 1),
        }
    ),
}

EDITIONS: dict[str, Schema] = {
    "EditionSummary": _object(
        {
            "id": _TEXT,
            "title": _TEXT,
            "landform": _TEXT,
            "area": _TEXT,
            "version": {"type": "integer", "minimum": 1},
            "season": _list({"type": "string", "format": "date"}, 2, 2),
            "count": _COUNT,
            "area_m2": {"type": "number", "minimum": 0},
            "license": _TEXT,
            "bbox": _BBOX,
            "links": _list(ref("Link"), 1),
        }
    ),
    "Editions": _object({"editions": _list(ref("EditionSummary")), "links": _LINKS}),
    "EditionFile": _object(
        {
            "name": _TEXT,
            "title": {**_TEXT, "nullable": True},
            "href": {"type": "string", "minLength": 1},
            "type": _TEXT,
            "length": {**_COUNT, "nullable": True},
            "sha256": {"type": "string", "pattern": "^[0-9a-f]{64}$", "nullable": True},
        }
    ),
    "Edition": {
        "allOf": [
            ref("EditionSummary"),
            _object(
                {
                    "description": _TEXT,
                    "lineage": _TEXT,
                    "doi": {**_TEXT, "nullable": True},
                    "published": {"type": "string", "nullable": True},
                    "citation": _TEXT,
                    "files": _list(ref("EditionFile")),
                }
            ),
        ]
    },
}

_DATA_TYPE = _one("vector", "map", "coverage")
TILES: dict[str, Schema] = {
    "TileMatrixSets": _object({"tileMatrixSets": _list(_object({"id": _TEXT, "uri": _TEXT, "links": _LINKS}), 1)}),
    "TileMatrixSet": _object(
        {
            "id": _TEXT,
            "crs": {},
            "tileMatrices": _list(
                _object(
                    {
                        "id": _TEXT,
                        "scaleDenominator": _NUMBER,
                        "cellSize": _NUMBER,
                        "pointOfOrigin": _list(_NUMBER, 2, 2),
                        "tileWidth": {"type": "integer", "minimum": 1},
                        "tileHeight": {"type": "integer", "minimum": 1},
                        "matrixWidth": {"type": "integer", "minimum": 1},
                        "matrixHeight": {"type": "integer", "minimum": 1},
                    }
                ),
                1,
            ),
        }
    ),
    "TileSetItem": _object(
        {"dataType": _DATA_TYPE, "crs": _TEXT, "links": _list(ref("Link"), 1)},
        {"title": _TEXT, "tileMatrixSetURI": _TEXT},
    ),
    "TileSets": _object({"tilesets": _list(ref("TileSetItem"))}, {"links": _LINKS}),
    "TileSet": {
        "allOf": [
            ref("TileSetItem"),
            _object(
                {
                    "tileMatrixSetLimits": _list(
                        _object(
                            {
                                "tileMatrix": _TEXT,
                                "minTileRow": _COUNT,
                                "maxTileRow": _COUNT,
                                "minTileCol": _COUNT,
                                "maxTileCol": _COUNT,
                            }
                        )
                    )
                }
            ),
        ]
    },
    "TileJson": _object(
        {"tilejson": _one("3.0.0"), "tiles": _list(_TEXT, 1)},
        {
            "name": _TEXT,
            "minzoom": _COUNT,
            "maxzoom": _COUNT,
            "bounds": _list(_NUMBER, 4, 4),
            "center": _list(_NUMBER, 3, 3),
        },
    ),
}

_PROCESS_SUMMARY = {
    "id": _TEXT,
    "title": _TEXT,
    "description": _TEXT,
    "version": _TEXT,
    "jobControlOptions": _list(_one("sync-execute", "async-execute", "dismiss"), 1),
    "outputTransmission": _list(_one("value", "reference"), 1),
    "links": _LINKS,
}
_OBJECTS: Schema = {"type": "object", "additionalProperties": {"type": "object"}}
PROCESSES: dict[str, Schema] = {
    "ProcessSummary": _object(_PROCESS_SUMMARY),
    "ProcessList": _object({"processes": _list(ref("ProcessSummary")), "links": _list(ref("Link"), 1)}),
    "Process": _object({**_PROCESS_SUMMARY, "inputs": _OBJECTS, "outputs": _OBJECTS}),
    "StatusInfo": _object(
        {
            "jobID": _TEXT,
            "type": _one("process"),
            "status": _one("accepted", "running", "successful", "failed", "dismissed"),
            "links": _LINKS,
        },
        {
            "processID": _TEXT,
            "message": {**_TEXT, "nullable": True},
            "progress": {"type": "integer", "minimum": 0, "maximum": 100, "nullable": True},
            "created": _MOMENT,
            "started": _MOMENT,
            "finished": _MOMENT,
            "updated": _MOMENT,
            "warnings": _list({}),
        },
    ),
    "JobList": _object({"jobs": _list(ref("StatusInfo")), "links": _list(ref("Link"), 1)}),
    "Results": {"type": "object", "additionalProperties": ref("Link")},
    "Outputs": {
        "description": "The outputs by name, or the one that was asked for.",
        "anyOf": [{"type": "object"}, _list({})],
    },
}

_STAC_ASSET = _object(
    {"href": {"type": "string", "minLength": 1}}, {"type": _TEXT, "title": _TEXT, "roles": _list(_TEXT)}
)
_STAC_HEAD = {"type": _TEXT, "stac_version": _one("1.0.0", "1.1.0"), "id": _TEXT, "links": _LINKS}
STAC: dict[str, Schema] = {
    "StacCatalog": _object(
        {**_STAC_HEAD, "type": _one("Catalog"), "description": _TEXT, "conformsTo": _list(_TEXT, 1)}, {"title": _TEXT}
    ),
    "StacCollection": _object(
        {**_STAC_HEAD, "type": _one("Collection"), "description": _TEXT, "license": _TEXT, "extent": ref("Extent")},
        {"title": _TEXT, "stac_extensions": _list(_TEXT), "keywords": _list(_TEXT), "summaries": {"type": "object"}},
    ),
    "StacCollections": _object({"collections": _list(ref("StacCollection")), "links": _list(ref("Link"), 1)}),
    "StacItem": _object(
        {
            **_STAC_HEAD,
            "type": _one("Feature"),
            "collection": _TEXT,
            "geometry": {"allOf": [ref("Geometry")], "nullable": True},
            "properties": _object({"datetime": {**_MOMENT, "nullable": True}}),
            "assets": {"type": "object", "additionalProperties": _STAC_ASSET},
        },
        {"bbox": _BBOX, "stac_extensions": _list(_TEXT)},
    ),
    # `fields` may leave out any member of an item of a page but these two.
    "StacItemPart": _object(
        {"id": _TEXT, "collection": _TEXT},
        {
            "type": _one("Feature"),
            "geometry": {"allOf": [ref("Geometry")], "nullable": True},
            "properties": {"type": "object"},
            "links": _LINKS,
            "bbox": _BBOX,
            "assets": {"type": "object", "additionalProperties": {"type": "object"}},
        },
    ),
    "StacItemCollection": _object(
        {
            "type": _one("FeatureCollection"),
            "features": _list(ref("StacItemPart")),
            "links": _list(ref("Link"), 1),
            "numberReturned": _COUNT,
        },
        {"numberMatched": {**_COUNT, "nullable": True}, "timeStamp": _MOMENT},
    ),
}

SCHEMAS: dict[str, Schema] = {**COMMON, **FEATURES, **EDITIONS, **TILES, **PROCESSES, **STAC}
"""By the names that `$ref` has."""
