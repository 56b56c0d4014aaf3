"""Columns as every format wants them: coordinates in another system, times and lists as text."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import shapely
from numpy.typing import NDArray
from pyproj import CRS, Transformer

from talik_api.formats.answer import CRS84, FormatError, is_lonlat

Geometries = NDArray[np.object_]


def geometries(table: pa.Table, crs: CRS | str, *, always_xy: bool) -> Geometries:
    """Read the geometries in `crs`, rings by the right-hand rule (RFC 7946 3.1.6); None where there is none.

    `always_xy` puts x (east, lon) first; else axes come as the authority says. Raises FormatError where a point has
    no place in `crs`.
    """
    shapes: Geometries = shapely.orient_polygons(shapely.from_wkb(table["geometry"].to_numpy(zero_copy_only=False)))
    if is_lonlat(crs):
        return shapes
    x, y = shapely.get_coordinates(shapes).T
    moved = np.column_stack(_transformer(crs, always_xy=always_xy).transform(x, y))
    if not np.isfinite(moved).all():
        raise FormatError(f"some features lie outside the area of {CRS.from_user_input(crs).name}; ask for {CRS84}")
    # The right-hand rule is told in lon/lat; axes that swap would turn it, as the authority's own order does.
    return np.asarray(shapely.set_coordinates(shapes, moved), object)


@lru_cache(maxsize=64)
def _transformer(crs: CRS | str, *, always_xy: bool) -> Transformer:
    """Threads may share it (pyproj makes one of PROJ's for each)."""
    return Transformer.from_crs(CRS84, crs, always_xy=always_xy)


def moved_wkb(table: pa.Table, crs: CRS | str) -> pa.ChunkedArray | pa.Array:
    """The geometry column in `crs`, x before y; as it is where that is lon/lat. Raises FormatError."""
    if is_lonlat(crs):
        return table["geometry"]
    return pa.array(shapely.to_wkb(geometries(table, crs, always_xy=True)), pa.binary())


def blocks(tables: Iterator[pa.Table], rows: int) -> Iterator[pa.Table]:
    """Cut tables into blocks of at most `rows` rows."""
    for table in tables:
        for start in range(0, len(table), rows):
            yield table.slice(start, rows)


def time_texts(column: pa.ChunkedArray) -> pa.Array:
    """Write times as RFC 3339 in UTC, with milliseconds only where there are any."""
    # Few scenes, so few times: each is written once. Without its zone, which is UTC, strftime needs no zone database.
    encoded = column.cast(pa.timestamp("ms")).combine_chunks().dictionary_encode()
    texts = pc.strftime(encoded.dictionary, format="%Y-%m-%dT%H:%M:%SZ")
    return pc.replace_substring(texts, pattern=".000Z", replacement="Z").take(encoded.indices)


def list_texts(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Join lists of names with commas, as the published FlatGeobuf does."""
    return pc.binary_join(column, ",")


def is_text_list(kind: pa.DataType) -> bool:
    """Say whether a column holds lists."""
    return bool(pa.types.is_list(kind))
