"""Vector tiles (Mapbox Vector Tile 2.1) of an edition's polygons in WebMercatorQuad."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import shapely
from numpy.typing import NDArray

from talik_api.pictures.web_mercator import TileAt, to_mercator
from talik_stac.inventory import INVENTORY_SCHEMA
from talik_stac.reading import InventoryReader, box_array

EXTENT = 4096
"""Quanta across a tile."""
BUFFER = 64
"""Quanta around it, so that outlines have no seams."""
MAX_FEATURES = 20_000
MAX_VERTICES = 1_000_000
MIN_AREA_QUANTA = 64.0
"""Smaller polygons are dropped: a screen pixel where a tile is 512 wide. At most 262,144 larger ones fit."""
SIMPLER = 0.29
"""Quanta that a line may move when vertices are left out, beside 0.71 by rounding."""
MAX_ZOOM = 16
MEDIA_TYPE = "application/vnd.mapbox-vector-tile"
ATTRIBUTES = ("id", "area_m2", "probability", "confidence", "status", "observed_start", "observed_end", "change")
"""Properties of each polygon, where the inventory has them."""

Bounds = tuple[float, float, float, float]
Rows = Callable[[Bounds, Sequence[str], float], pa.Table]
"""(west, south, east, north) in degrees, columns, least area in m2 -> the rows whose bbox touches the bounds."""


@dataclass(frozen=True, kw_only=True)
class VectorTile:
    """The bytes of a tile and what was left out of it."""

    data: bytes
    count: int
    """Polygons in the tile."""
    smallest_m2: float
    """About the area below which polygons were left out, as no one would see them."""
    limited: bool
    """True where larger polygons filled the tile and some were left out for that."""


def vector_tile(rows: Rows, at: TileAt, *, layer: str, columns: Sequence[str] = ATTRIBUTES) -> VectorTile:
    """Clip, quantise and encode the polygons of a tile: one layer, the largest where there are too many.

    `rows` may leave out columns that it does not have; `geometry` is WKB in lon/lat. Areas are read first, so that
    the geometry of no more than about MAX_FEATURES polygons is ever in memory.
    """
    bounds = at.lonlat_bounds(margin=BUFFER / EXTENT)
    least = _least_area_m2(at, bounds)
    areas = rows(bounds, ["area_m2"], least)["area_m2"].to_numpy()
    limited = len(areas) > MAX_FEATURES
    if limited:
        least = float(np.partition(areas, -MAX_FEATURES)[-MAX_FEATURES])
    table = rows(bounds, ["geometry", *columns], least)
    shapes, chosen = _quantised(table["geometry"].to_numpy(zero_copy_only=False), at)
    within = np.sort(_largest(shapes))
    kept = table.drop_columns(["geometry"]).take(pa.array(chosen[within]))
    data = _encoded(shapes[within], kept, layer)
    return VectorTile(data=data, count=len(kept), smallest_m2=least, limited=limited or len(within) < len(shapes))


def rows_of(reader: InventoryReader) -> Rows:
    """The rows of a published inventory, group by group, so that only those that are kept are ever in memory."""

    def rows(bounds: Bounds, columns: Sequence[str], least: float) -> pa.Table:
        there = [name for name in columns if name in reader.schema.names]
        parts = [reader.schema.empty_table().select(there)]
        for group in reader.touching([bounds], {"area_m2": (least, None)}):
            decided = reader.read(int(group), ["bbox", "area_m2"])
            large = pc.greater_equal(decided["area_m2"], least).to_numpy()
            kept = np.flatnonzero(large & _touching(box_array(decided), bounds))
            if len(kept):
                parts.append(reader.read(int(group), there).take(pa.array(kept)))
        return pa.concat_tables(parts)

    return rows


def together(sources: Sequence[tuple[str | None, Rows]]) -> Rows:
    """The rows of several inventories; where a name is given, ids become '<name>:<id>'."""

    def rows(bounds: Bounds, columns: Sequence[str], least: float) -> pa.Table:
        return pa.concat_tables([_named(source(bounds, columns, least), name) for name, source in sources])

    return rows


def no_rows(bounds: Bounds, columns: Sequence[str], least: float) -> pa.Table:  # noqa: ARG001 (a Rows)
    """No row at all."""
    schema = INVENTORY_SCHEMA
    return pa.schema([schema.field(name) for name in columns if name in schema.names]).empty_table()


def _named(table: pa.Table, name: str | None) -> pa.Table:
    if name is None or "id" not in table.column_names:
        return table
    ids = pc.binary_join_element_wise(pa.scalar(name), table["id"], ":")
    return table.set_column(table.schema.get_field_index("id"), table.schema.field("id"), ids)


def _touching(boxes: NDArray[np.float64], bounds: Bounds) -> NDArray[np.bool_]:
    west, south, east, north = bounds
    return np.asarray((boxes[:, 0] <= east) & (boxes[:, 2] >= west) & (boxes[:, 1] <= north) & (boxes[:, 3] >= south))


def _least_area_m2(at: TileAt, bounds: Bounds) -> float:
    """An area that MIN_AREA_QUANTA is not less than anywhere in the tile; a pixel shrinks by cos(latitude)."""
    left, _, right, _ = at.bounds_m
    latitude = max(abs(bounds[1]), abs(bounds[3]))
    # The sphere of Web Mercator and the ellipsoid of area_m2 differ by less than 2 %.
    return 0.95 * MIN_AREA_QUANTA * ((right - left) / EXTENT * math.cos(math.radians(latitude))) ** 2


def _quantised(wkb: NDArray[Any], at: TileAt) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """WKB -> polygons in quanta (whole numbers, y down), clipped to the tile and its buffer, and their rows."""
    left, _, right, top = at.bounds_m
    scale = EXTENT / (right - left)

    def quanta(lonlat: NDArray[np.float64]) -> NDArray[np.float64]:
        x, y = to_mercator(lonlat[:, 0], lonlat[:, 1])
        return np.column_stack([(x - left) * scale, (top - y) * scale])

    if len(wkb) == 0:
        return np.empty(0, object), np.empty(0, np.int64)
    shapes = np.asarray(shapely.transform(shapely.from_wkb(wkb), quanta))
    order = np.flatnonzero(shapely.area(shapes) >= MIN_AREA_QUANTA)  # before clipping: neighbours drop the same
    clipped = _polygonal(_snapped(shapes[order]))
    there = ~shapely.is_empty(clipped)
    return clipped[there], order[there]


def _snapped(shapes: NDArray[Any]) -> NDArray[Any]:
    """Clip, round to whole quanta, and leave out vertices that no one would miss; no point moves by a quantum.

    Shapes that are not valid are mended first. Simplifying before rounding took three times as long.
    """
    try:
        rounded = shapely.set_precision(_clipped(shapes), 1.0)
    except shapely.errors.GEOSException:
        rounded = shapely.set_precision(_clipped(shapely.make_valid(shapes)), 1.0)
    return np.asarray(shapely.simplify(rounded, SIMPLER, preserve_topology=True))


def _clipped(shapes: NDArray[Any]) -> NDArray[Any]:
    """Cut to the tile and its buffer; most polygons lie inside and stay as they are."""
    low, high = -BUFFER, EXTENT + BUFFER
    bounds = shapely.bounds(shapes).reshape(-1, 4)
    crossing = (bounds[:, :2] < low).any(axis=1) | (bounds[:, 2:] > high).any(axis=1)
    result = shapes.copy()
    result[crossing] = shapely.intersection(shapes[crossing], shapely.box(low, low, high, high))
    return result


def _polygonal(shapes: NDArray[Any]) -> NDArray[Any]:
    """Polygons and multipolygons, oriented as MVT wants (exterior positive where y points down)."""
    kinds = shapely.get_type_id(shapes)
    result = shapes.copy()
    for number in np.flatnonzero((kinds != 3) & (kinds != 6)):
        parts = [part for part in shapely.get_parts(shapes[number]) if part.geom_type == "Polygon"]
        result[number] = shapely.MultiPolygon(parts)
    return np.asarray(shapely.orient_polygons(result))


def _largest(shapes: NDArray[Any]) -> NDArray[np.int64]:
    """The rows of the largest, as many as MAX_FEATURES and MAX_VERTICES allow, one at least."""
    order = np.argsort(-shapely.area(shapes), kind="stable")[:MAX_FEATURES]
    held = np.cumsum(shapely.get_num_coordinates(shapes[order]))
    return np.asarray(order[: max(int(np.searchsorted(held, MAX_VERTICES, side="right")), 1)])


def _encoded(shapes: NDArray[Any], table: pa.Table, layer: str) -> bytes:
    """Encode polygons in quanta; nulls are left out, times are ISO text."""
    import mapbox_vector_tile

    described = [_properties(row) for row in table.to_pylist()]
    features = [
        {"geometry": shape, "properties": properties} for shape, properties in zip(shapes, described, strict=True)
    ]
    options = {"extents": EXTENT, "y_coord_down": True, "check_winding_order": False}
    data: bytes = mapbox_vector_tile.encode({"name": layer, "features": features}, default_options=options)
    return data


def _properties(row: dict[str, Any]) -> dict[str, Any]:
    plain = {name: value.isoformat() if hasattr(value, "isoformat") else value for name, value in row.items()}
    return {name: value for name, value in plain.items() if isinstance(value, str | bool | int | float)}
