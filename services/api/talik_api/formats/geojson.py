"""GeoJSON (RFC 7946), written by blocks of features as they arrive."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import shapely
from pyproj import CRS

from talik_api.formats.answer import CRS84, Answer, FormatError, is_lonlat
from talik_api.formats.columns import Geometries, blocks, geometries, time_texts

BLOCK = 1000
"""Features that are written at once; 1-4 MB."""
CHUNK = 2**17
"""Bytes of a chunk."""
DEGREE_DECIMALS = 7
"""1 cm on the ground."""
METRE_DECIMALS = 3
_PLAIN = ("id", "geometry", "bbox")
"""Columns that are no properties."""


def write_geojson(answer: Answer) -> Iterator[bytes]:
    """Write one FeatureCollection in chunks of about CHUNK bytes; the same bytes however the tables are cut."""
    before = orjson.dumps({"type": "FeatureCollection", **answer.head})[:-1] + b',"features":['
    count = 0
    for block in blocks(answer.tables, BLOCK):
        text = memoryview(orjson.dumps(_features(block, answer.crs), option=orjson.OPT_SERIALIZE_NUMPY))
        features = text[1:-1]  # without brackets, so that blocks join into one array
        for start in range(0, len(features), CHUNK):
            yield before + features[start : start + CHUNK]
            before = b""
        before, count = b",", count + len(block)
    # Without features the head has not been sent yet.
    yield (b"" if count else before) + _ending(answer.foot(count))


def feature_bytes(table: pa.Table, links: list[dict[str, Any]], *, crs: CRS | str = CRS84) -> bytes:
    """Write the only row of a table as one Feature with links. Raises FormatError for any other number of rows."""
    if len(table) != 1:
        raise FormatError(f"one feature is written from one row, not from {len(table)}; read the feature by its id")
    return orjson.dumps({**_features(table, crs)[0], "links": links}, option=orjson.OPT_SERIALIZE_NUMPY)


def _ending(foot: dict[str, Any]) -> bytes:
    return b"]," + orjson.dumps(foot)[1:] if foot else b"]}"


def _features(table: pa.Table, crs: CRS | str) -> list[dict[str, Any]]:
    """Features, whose coordinates are arrays, which orjson writes without a Python number each."""
    shapes = _geometry_members(geometries(table, crs, always_xy=False), _decimals(crs))
    names = [name for name in table.column_names if name not in _PLAIN]
    rows = zip(*(_values(table[name]) for name in names), strict=True) if names else iter([()] * len(table))
    return [
        {"type": "Feature", "id": key, "geometry": shape, "properties": dict(zip(names, row, strict=True))}
        for key, shape, row in zip(table["id"].to_pylist(), shapes, rows, strict=True)
    ]


def _values(column: pa.ChunkedArray) -> list[Any]:
    """Python values of a column; orjson writes NaN and infinity as null."""
    if pa.types.is_timestamp(column.type):
        column = time_texts(column)
    values: list[Any] = column.to_pylist()
    return values


def _geometry_members(shapes: Geometries, decimals: int) -> list[dict[str, Any] | None]:
    """The `geometry` members of polygons and multipolygons."""
    members: list[dict[str, Any] | None] = []
    kinds = shapely.get_type_id(shapes).tolist()
    polygons = iter(_polygon_rings(shapes, decimals))
    for kind, count in zip(kinds, shapely.get_num_geometries(shapes).tolist(), strict=True):
        mine = [next(polygons) for _ in range(count)]
        if kind == shapely.GeometryType.POLYGON:
            members.append({"type": "Polygon", "coordinates": mine[0]})
        elif kind == shapely.GeometryType.MULTIPOLYGON:
            members.append({"type": "MultiPolygon", "coordinates": mine})
        else:
            members.append(None)
    return members


def _polygon_rings(shapes: Geometries, decimals: int) -> list[list[Any]]:
    """The rings of every polygon, parts of multipolygons one by one: arrays (vertex, 2)."""
    parts = shapely.get_parts(shapes)
    if not len(parts):
        return []
    _, points, (ring_ends, polygon_ends) = shapely.to_ragged_array(parts, include_z=False)
    # Adding 0 turns -0.0, which rounding makes, into 0.0.
    points = np.round(points, decimals) + 0.0
    cuts = ring_ends.tolist()
    rings = [points[start:end] for start, end in pairwise(cuts)]
    ends = polygon_ends.tolist()
    return [rings[start:end] for start, end in pairwise(ends)]


def _decimals(crs: CRS | str) -> int:
    geographic = is_lonlat(crs) or CRS.from_user_input(crs).is_geographic
    return DEGREE_DECIMALS if geographic else METRE_DECIMALS
