"""Geometry literals and spatial functions of CQL2, over columns of WKB in lon/lat (OGC:CRS84).

Geometries are planar in degrees, as in GeoParquet with planar edges; rows lie within lon -180 to 180. A literal
comes in the CRS of the filter, in its axis order, and is brought to lon/lat and cut at the antimeridian.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import shapely
from numpy.typing import NDArray
from pyproj import CRS, Transformer
from pyproj.exceptions import ProjError
from shapely.geometry.base import BaseGeometry

from talik_api.cql_expressions import Box, Expression, FilterError, joined, literal, require, total_size
from talik_stac.antimeridian import split_polygon
from talik_stac.errors import AoiError

MAX_VERTICES = 100_000
LON_LAT = "OGC:CRS84"
_CRS_NAME = re.compile(
    r"\[?(https?://www\.opengis\.net/def/crs/[\w.]+/[\w.]+/\w+|urn:ogc:def:crs:\w+:[\w.]*:\w+|[A-Za-z]+:\w+)\]?\Z"
)
_DIMENSIONS = {
    "Point": 1, "MultiPoint": 2, "LineString": 2, "MultiLineString": 3, "Polygon": 3, "MultiPolygon": 4,
}  # fmt: skip
BBOX_COLUMN = "bbox"
_SIDES = ("xmin", "ymin", "xmax", "ymax")

Relation = Callable[[Any, Any], Any]
_RELATIONS: dict[str, Relation] = {
    "s_intersects": shapely.intersects,
    "s_disjoint": shapely.disjoint,
    "s_contains": shapely.contains,
    "s_within": shapely.within,
    "s_touches": shapely.touches,
    "s_crosses": shapely.crosses,
    "s_overlaps": shapely.overlaps,
    "s_equals": shapely.equals,
}
SPATIAL_FUNCTIONS = frozenset(_RELATIONS)
_SWAPPED = {"s_contains": "s_within", "s_within": "s_contains"}


def crs_of(name: str) -> CRS:
    """Look a CRS up by its URI, URN or authority code; other spellings (WKT, files) are not taken from outside."""
    if not _CRS_NAME.match(name):
        raise FilterError(f"filter-crs {name[:100]!r} is no name of a CRS; give one such as {LON_LAT} or EPSG:3413")
    try:
        crs = CRS.from_user_input(name.strip("[]"))
    except ProjError as error:
        raise FilterError(f"filter-crs {name[:100]!r} is not known; give one such as {LON_LAT} or EPSG:3413") from error
    if not (crs.is_geographic or crs.is_projected) or len(crs.axis_info) not in {2, 3}:
        raise FilterError(f"filter-crs {name[:100]!r} is neither geographic nor projected; give one such as {LON_LAT}")
    return crs


def geometry_literal(tree: dict[str, Any], crs: CRS) -> Expression:
    """Read a GeoJSON geometry or a {"bbox": [...]} into lon/lat; heights are left out.

    It is prepared: GEOS indexes it on first use, so that one filter is not to be shared between threads.
    """
    given = _bbox(tree["bbox"], crs) if "bbox" in tree else _from_geojson(tree, crs)
    geometry = _merged([_within_globe(part) for part in shapely.get_parts(given)], like=given)
    shapely.prepare(geometry)
    wkb = pa.scalar(shapely.to_wkb(geometry), pa.binary())
    return Expression(kind="geometry", evaluate=lambda _: wkb, constant=geometry, size=0)


def spatial_function(op: str, left: Expression, right: Expression) -> Expression:
    """Relate two geometries (DE-9IM, planar); a null geometry is unknown."""
    require(left, "geometry", op)
    require(right, "geometry", op)
    if left.constant is not None and right.constant is not None:
        return literal(bool(_RELATIONS[op](left.constant, right.constant)), "boolean")
    if left.constant is not None:
        return spatial_function(_SWAPPED.get(op, op), right, left)
    if right.constant is None:
        return _between_columns(op, left, right)
    return _with_literal(op, left, right)


def boxes_of(geometry: BaseGeometry) -> tuple[Box, ...]:
    """Cover a geometry by a few lon/lat boxes, apart on both sides of the antimeridian."""
    parts = shapely.get_parts(geometry)
    if len(parts) > 8:
        west_side = shapely.bounds(parts)[:, [0, 2]].mean(axis=1) < 0
        parts = np.array([shapely.GeometryCollection(list(side)) for side in (parts[west_side], parts[~west_side])])
        parts = parts[~shapely.is_empty(parts)]
    return tuple((west, south, east, north) for west, south, east, north in shapely.bounds(parts).tolist())


def _between_columns(op: str, left: Expression, right: Expression) -> Expression:
    def evaluate(table: pa.Table) -> pa.Array:
        sides = _decoded(left.evaluate(table)), _decoded(right.evaluate(table))
        unknown = shapely.is_missing(sides[0]) | shapely.is_missing(sides[1])
        return pa.array(_RELATIONS[op](*sides), mask=unknown)

    return Expression(kind="boolean", evaluate=evaluate, columns=joined(left, right), size=total_size(left, right))


def _with_literal(op: str, rows: Expression, shape: Expression) -> Expression:
    """Relate each row to a literal: rows whose `bbox` lies off the literal's boxes are never decoded."""
    geometry, boxes = shape.constant, boxes_of(shape.constant)
    # The literal comes first, for only the first geometry of a GEOS predicate can be prepared.
    relate = _RELATIONS[_SWAPPED.get(op, op)]
    far_off = op == "s_disjoint"

    def evaluate(table: pa.Table) -> pa.Array:
        wkb = rows.evaluate(table)
        known = wkb.is_valid().to_numpy(zero_copy_only=False)
        found = np.full(table.num_rows, far_off)
        near = np.flatnonzero(known & _near(table, boxes))
        if near.size:
            found[near] = relate(geometry, _decoded(wkb.take(pa.array(near))))
        return pa.array(found, mask=~known)

    return Expression(
        kind="boolean",
        evaluate=evaluate,
        columns=joined(rows) | {BBOX_COLUMN},
        boxes=None if far_off else boxes,
        size=total_size(rows),
    )


def _near(table: pa.Table, boxes: tuple[Box, ...]) -> NDArray[np.bool_]:
    """Tell which rows' `bbox` meets any of the boxes; all rows where the table has none, or the row's is null."""
    if BBOX_COLUMN not in table.column_names or not pa.types.is_struct(table.schema.field(BBOX_COLUMN).type):
        return np.ones(table.num_rows, dtype=bool)
    struct = table[BBOX_COLUMN].combine_chunks()
    xmin, ymin, xmax, ymax = (struct.field(side).to_numpy(zero_copy_only=False) for side in _SIDES)
    near: NDArray[np.bool_] = ~np.asarray(struct.is_valid().to_numpy(zero_copy_only=False), dtype=bool)
    for west, south, east, north in boxes:
        near |= (xmin <= east) & (xmax >= west) & (ymin <= north) & (ymax >= south)
    return near


def _decoded(wkb: Any) -> NDArray[np.object_]:
    return np.asarray(shapely.from_wkb(wkb.to_numpy(zero_copy_only=False).astype(object)), dtype=object)


def _bbox(numbers: Any, crs: CRS) -> BaseGeometry:
    """Make the lon/lat boxes of a bbox in the axis order of its CRS; west > east goes over the antimeridian."""
    if not isinstance(numbers, list) or len(numbers) not in {4, 6} or not all(map(_is_number, numbers)):
        raise FilterError(f"bbox {str(numbers)[:100]} is not usable; expected 4 or 6 numbers")
    half = len(numbers) // 2
    (x0, y0), (x1, y1) = numbers[:2], numbers[half : half + 2]
    if crs.is_projected:
        if x0 > x1 or y0 > y1:
            raise FilterError(f"bbox {numbers} has a minimum above its maximum; give the lower left corner first")
        return _transformed(_box(x0, y0, x1, y1), crs)
    (west, south), (east, north) = (
        shapely.get_coordinates(_transformed(shapely.Point(x, y), crs))[0] for x, y in ((x0, y0), (x1, y1))
    )
    _check_globe(west, south, east, north, numbers)
    if west <= east:
        return _box(west, south, east, north)
    return shapely.union_all([_box(west, south, 180, north), _box(-180, south, east, north)])


def _box(west: float, south: float, east: float, north: float) -> BaseGeometry:
    """Make a box; one without width or height is a line or a point, so that it still meets what lies there."""
    corners = [(west, south), (east, north)]
    if west == east or south == north:
        return shapely.Point(corners[0]) if corners[0] == corners[1] else shapely.LineString(corners)
    return shapely.geometry.box(west, south, east, north)


def _check_globe(west: float, south: float, east: float, north: float, numbers: Any) -> None:
    if south > north:
        raise FilterError(f"bbox {numbers} has its south above its north; the order is that of the axes of filter-crs")
    if min(west, east) < -180 or max(west, east) > 180 or south < -90 or north > 90:
        raise FilterError(f"bbox {numbers} leaves the globe; expected lon -180 to 180 and lat -90 to 90")


def _from_geojson(tree: dict[str, Any], crs: CRS) -> BaseGeometry:
    """Build and transform a geometry; raises FilterError where it is malformed or too large."""
    _check_vertices(tree)
    try:
        geometry = shapely.force_2d(shapely.from_geojson(_checked_json(tree)))
    except (shapely.errors.GEOSException, ValueError, TypeError) as error:
        raise FilterError(f"a {tree.get('type')} of the filter cannot be read: {error}"[:300]) from error
    if geometry.is_empty or not np.isfinite(shapely.get_coordinates(geometry)).all():
        raise FilterError(f"a {tree.get('type')} of the filter is empty or not finite; give its coordinates")
    return _transformed(geometry, crs)


def _check_vertices(tree: dict[str, Any]) -> None:
    count = sum(1 for _ in _numbers(tree)) // 2
    if count > MAX_VERTICES:
        raise FilterError(f"a geometry of the filter has over {MAX_VERTICES} vertices; simplify it")


def _numbers(tree: Any) -> Iterator[float]:
    """Walk all numbers below, without recursion."""
    stack = [tree]
    while stack:
        node = stack.pop()
        if isinstance(node, (list, dict)):
            stack.extend(node.values() if isinstance(node, dict) else node)
        elif _is_number(node):
            yield node


def _checked_json(tree: dict[str, Any]) -> str:
    """Check rings by hand (readers close them silently, and differ), then give the text of the geometry."""
    import json

    for member in tree.get("geometries", [tree]):
        depth = _DIMENSIONS.get(member.get("type"))
        if depth is None:
            raise FilterError(f"geometry type {member.get('type')!r} is not known; expected one of GeoJSON's")
        rings = {3: [member["coordinates"]], 4: member["coordinates"]}.get(depth, [])
        for ring in [ring for polygon in rings for ring in polygon] if "Polygon" in member["type"] else []:
            if len(ring) < 4 or ring[0] != ring[-1]:
                raise FilterError(
                    f"a ring of a {member['type']} has {len(ring)} positions from {ring[:1]} to {ring[-1:]}; "
                    "expected at least 4, the last like the first"
                )
    return json.dumps(tree)


def _transformed(geometry: BaseGeometry, crs: CRS) -> BaseGeometry:
    """Bring a geometry to lon/lat, honouring the axis order of its CRS; edges of projected ones are cut short first."""
    if crs.is_projected and shapely.length(geometry) > 0:
        _, _, x_extent, y_extent = geometry.bounds
        west, south, _, _ = geometry.bounds
        diagonal = float(np.hypot(x_extent - west, y_extent - south))
        # The second bound keeps a shape of very many long edges below 10,000 new vertices.
        geometry = shapely.segmentize(geometry, max(diagonal / 200, shapely.length(geometry) / 10_000))
    transformer = Transformer.from_crs(crs, LON_LAT, always_xy=False)
    try:
        moved = shapely.transform(geometry, lambda xy: np.column_stack(transformer.transform(xy[:, 0], xy[:, 1])))
    except ProjError as error:
        raise FilterError(f"a geometry of the filter does not lie in {crs.name}: {error}") from error
    xy = shapely.get_coordinates(moved)
    if not len(xy):
        raise FilterError(f"a {geometry.geom_type} of the filter has no extent; give its coordinates")
    if not np.isfinite(xy).all() or np.abs(xy[:, 1]).max() > 90:
        raise FilterError(f"a geometry of the filter leaves {crs.name}; its axes are {_axes(crs)}, in this order")
    return moved


def _axes(crs: CRS) -> str:
    return ", ".join(axis.name for axis in crs.axis_info[:2])


def _within_globe(part: BaseGeometry) -> BaseGeometry:
    """Bring one part into lon -180 to 180, cut where it goes over the antimeridian."""
    if isinstance(part, shapely.Polygon):
        try:
            return split_polygon(part)
        except AoiError as error:
            raise FilterError(str(error).replace("the area of interest", "a polygon of the filter")) from error
    if isinstance(part, shapely.LineString):
        return _split_line(part)
    return shapely.transform(part, lambda xy: np.column_stack([_wrapped(xy[:, 0]), xy[:, 1]]))


def _wrapped(lon: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(np.abs(lon) > 180, (lon + 180) % 360 - 180, lon)


def _split_line(line: shapely.LineString) -> BaseGeometry:
    """Walk a line the short way from vertex to vertex, then cut it at each turn of the globe."""
    xy = shapely.get_coordinates(line)
    jumps = np.diff(xy[:, 0])
    turns = np.where(np.abs(jumps) > 180, -np.round(jumps / 360), 0)
    walked = shapely.LineString(np.column_stack([xy[:, 0] + 360 * np.concatenate([[0], np.cumsum(turns)]), xy[:, 1]]))
    west, _, east, _ = walked.bounds
    if west >= -180 and east <= 180:
        return walked
    pieces = []
    for turn in range(int(np.floor((west + 180) / 360)), int(np.ceil((east + 180) / 360))):
        world = shapely.box(360 * turn - 180, -90, 360 * turn + 180, 90)
        piece = shapely.intersection(walked, world)
        pieces.append(_shifted(piece, -360.0 * turn))
    return shapely.union_all(pieces)


def _shifted(geometry: BaseGeometry, degrees: float) -> BaseGeometry:
    return shapely.transform(geometry, lambda xy: xy + np.array([degrees, 0.0]))


def _merged(parts: list[BaseGeometry], *, like: BaseGeometry) -> BaseGeometry:
    """Put parts together again; raises FilterError where parts of a multipolygon cross each other."""
    if len(parts) == 1:
        return parts[0]
    if isinstance(like, shapely.MultiPolygon) and not all(isinstance(part, shapely.Polygon) for part in parts):
        return shapely.union_all(parts)
    merged: BaseGeometry = shapely.union_all(parts)
    if all(len(shapely.get_parts(part)) == 1 for part in parts):
        merged = _collected(parts, like)
    if not merged.is_valid and not isinstance(like, shapely.GeometryCollection):
        raise FilterError(f"a geometry of the filter is not valid: {shapely.is_valid_reason(merged)}; repair it")
    return merged


def _collected(parts: list[BaseGeometry], like: BaseGeometry) -> BaseGeometry:
    makers: dict[str, Callable[[Any], BaseGeometry]] = {
        "MultiPoint": shapely.MultiPoint,
        "MultiLineString": shapely.MultiLineString,
        "MultiPolygon": shapely.MultiPolygon,
    }
    return makers.get(like.geom_type, shapely.GeometryCollection)(parts)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
