"""Item tables as searches see them: one time, plain bounds and cut geometries, whoever wrote the index.

Columns that differ from the index: `collection` is the id of the API; `datetime` is `start_datetime` where an item
has none; `geometry` is WKB within +-180, cut at the antimeridian; `bbox` has west <= east (the whole width of the
globe where the item crosses the antimeridian), heights left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import shapely
from numpy.typing import NDArray

from talik_stac.items import split_antimeridian

TIME = pa.timestamp("us", tz="UTC")
SIDES = ("xmin", "ymin", "xmax", "ymax")
TIMES = ("datetime", "start_datetime", "end_datetime")
BBOX = pa.struct([(side, pa.float64()) for side in SIDES])
_NEEDED = {"datetime": ("datetime", "start_datetime"), "geometry": ("geometry", "bbox"), "collection": ("id",)}


def raw_columns(columns: Sequence[str], there: Sequence[str]) -> list[str]:
    """The columns of an index that must be read to make these."""
    wanted = [raw for column in columns for raw in _NEEDED.get(column, (column,))]
    return [name for name in dict.fromkeys(["id", *wanted]) if name in there]


def normalised(raw: pa.Table, columns: Sequence[str], collection: str) -> pa.Table:
    """Make `columns` of a table of items; a column that is not there is null."""
    made = {name: _column(raw, name, collection) for name in dict.fromkeys(columns)}
    if not made:
        return raw.select([])
    return pa.table(list(made.values()), names=list(made))


def bounds_of(table: pa.Table) -> NDArray[np.float64]:
    """The `bbox` column of a normalised table as (row, 4): west, south, east, north; NaN where there is none."""
    boxes = _combined(table["bbox"])
    return np.column_stack([_numbers(boxes, side) for side in SIDES])


def _column(raw: pa.Table, name: str, collection: str) -> pa.Array:
    if name == "collection":
        return pa.array([collection] * raw.num_rows, pa.string())
    if name in TIMES:
        return _time(raw, name)
    if name == "bbox":
        return _bbox(raw)
    if name == "geometry":
        return _geometry(raw)
    return _combined(raw[name]) if name in raw.column_names else pa.nulls(raw.num_rows)


def _time(raw: pa.Table, name: str) -> pa.Array:
    found = _moments(raw, name)
    return pc.coalesce(found, _moments(raw, "start_datetime")) if name == "datetime" else found


def _moments(raw: pa.Table, name: str) -> pa.Array:
    if name not in raw.column_names:
        return pa.nulls(raw.num_rows, TIME)
    values = _combined(raw[name])
    if pa.types.is_timestamp(values.type) and values.type.tz is None:
        values = values.cast(pa.timestamp("us"), safe=False)
    return values.cast(TIME, safe=False)


def _bbox(raw: pa.Table) -> pa.Array:
    if "bbox" not in raw.column_names or not pa.types.is_struct(raw.schema.field("bbox").type):
        return pa.nulls(raw.num_rows, BBOX)
    boxes = _combined(raw["bbox"])
    west, south, east, north = (_numbers(boxes, side) for side in SIDES)
    crossing = west > east
    unknown = np.isnan(west) | np.isnan(south) | np.isnan(east) | np.isnan(north)
    sides = [np.where(crossing, -180.0, west), south, np.where(crossing, 180.0, east), north]
    return pa.StructArray.from_arrays([pa.array(side) for side in sides], names=list(SIDES), mask=pa.array(unknown))


def _geometry(raw: pa.Table) -> pa.Array:
    if "geometry" not in raw.column_names:
        return pa.nulls(raw.num_rows, pa.binary())
    values = _combined(raw["geometry"])
    if isinstance(values, pa.ExtensionArray):
        values = values.storage
    values = values.cast(pa.binary())
    boxes = _combined(_bbox(raw))
    # Only what spans half the globe can cross its edge; other geometries are not decoded here.
    wide = np.flatnonzero(~(_numbers(boxes, "xmax") - _numbers(boxes, "xmin") <= 180))
    if not len(wide):
        return values
    changed = values.to_pylist()
    for row in wide:
        changed[row] = _cut(changed[row])
    return pa.array(changed, pa.binary())


def _cut(wkb: bytes | None) -> bytes | None:
    geometry = None if wkb is None else shapely.from_wkb(wkb)
    if geometry is None or "Polygon" not in geometry.geom_type:
        return wkb
    cut: bytes = shapely.to_wkb(split_antimeridian(geometry))
    return cut


def _numbers(boxes: pa.StructArray, side: str) -> NDArray[np.float64]:
    """One side of boxes (row,), NaN where it is not known."""
    place = boxes.type.get_field_index(side)
    if place < 0:
        return np.full(len(boxes), np.nan)
    values = boxes.flatten()[place].cast(pa.float64())  # flatten carries the nulls of the boxes along
    return np.asarray(values.to_numpy(zero_copy_only=False), dtype=np.float64)


def _combined(column: Any) -> pa.Array:
    """One array of a column, whatever its chunks."""
    if not isinstance(column, pa.ChunkedArray):
        return column
    return (
        column.chunk(0)
        if column.num_chunks == 1
        else pa.concat_arrays(column.chunks)
        if column.num_chunks
        else (pa.array([], column.type))
    )
