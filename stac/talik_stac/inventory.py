"""The inventory table: columns, dtypes, units; written as GeoParquet 1.1 and FlatGeobuf, the same bytes each time."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import shapely
from numpy.typing import NDArray
from pyproj import CRS

from talik_stac.flatgeobuf import write_flatgeobuf
from talik_stac.hilbert import hilbert_codes

ROW_GROUP = 5_000
"""Rows of a row group: 3 ms to read where 20,000 take 11 ms, so that a small area reads little."""
PARQUET: dict[str, Any] = {
    "version": "2.6",
    "compression": "zstd",
    "compression_level": 3,
    # Values that repeat. A dictionary of numbers that do not makes reading take twice as long, and the file larger.
    "use_dictionary": [
        *("landform", "status", "edition", "model", "scenes.list.element"),
        *("observed_start", "observed_end"),
    ],
}
"""How inventories are written."""
STRETCH = 50_000
"""Rows that are gathered and sorted at a time."""


def _field(name: str, kind: pa.DataType, meaning: str, unit: str = "", *, nullable: bool = False) -> pa.Field:
    described = {"description": meaning, **({"unit": unit} if unit else {})}
    return pa.field(name, kind, nullable=nullable, metadata=described)


_TIME = pa.timestamp("ms", tz="UTC")

INVENTORY_SCHEMA = pa.schema(
    [
        _field("id", pa.string(), "stable across editions of an area"),
        _field("landform", pa.string(), "what it is"),
        _field("geometry", pa.binary(), "WKB polygon, lon/lat (OGC:CRS84)"),
        _field("area_m2", pa.float64(), "geodesic area on WGS 84", "m2"),
        _field("perimeter_m", pa.float64(), "geodesic perimeter on WGS 84, holes included", "m"),
        _field("shape_index", pa.float64(), "perimeter / (2 sqrt(pi area)); 1 is a circle"),
        _field("lon", pa.float64(), "of a point inside", "degree"),
        _field("lat", pa.float64(), "of a point inside", "degree"),
        _field("probability", pa.float64(), "mean over the pixels, 0-1"),
        _field("confidence", pa.float64(), "expert's, 0-1; null: nobody looked", nullable=True),
        _field("status", pa.string(), "candidate, confirmed, rejected or edited"),
        _field("observed_start", _TIME, "first scene that gave pixels", nullable=True),
        _field("observed_end", _TIME, "last scene that gave pixels", nullable=True),
        _field("scenes", pa.list_(pa.string()), "ids of the scenes that gave pixels"),
        _field("edition", pa.string(), "id of this edition"),
        _field("model", pa.string(), "name@version of the model"),
        _field("on_aoi_edge", pa.bool_(), "touches the edge of the area: may go on there"),
        _field("on_data_edge", pa.bool_(), "touches ground that was not seen: may go on there"),
        _field("pixels", pa.int64(), "count of pixels"),
    ]
)
"""The columns of every inventory, without `bbox`, which writing adds."""

ATTRIBUTES = pa.schema(
    [
        _field("initiated_after", pa.date32(), "last day without it, by an expert; null: unknown", nullable=True),
        _field("initiated_before", pa.date32(), "first day that shows it, by an expert; null: unknown", nullable=True),
    ]
)
"""Columns that only some inventories have, behind those of INVENTORY_SCHEMA."""

BBOX_FIELD = pa.field(
    "bbox",
    pa.struct([pa.field(name, pa.float64(), nullable=False) for name in ("xmin", "ymin", "xmax", "ymax")]),
    nullable=False,
    metadata={"description": "bounds of the geometry, lon/lat", "unit": "degree"},
)


def schema_with(attributes: Collection[str]) -> pa.Schema:
    """INVENTORY_SCHEMA with the named ATTRIBUTES, in their order."""
    return pa.schema([*INVENTORY_SCHEMA, *(field for field in ATTRIBUTES if field.name in attributes)])


def fresh_id(landform: str, wkb: bytes) -> str:
    """Name an object nobody named before, from its shape and place: landform and 13 letters (65 bits of SHA-256)."""
    digest = hashlib.sha256(landform.encode() + b"\0" + wkb).digest()
    return f"{landform}-{base64.b32encode(digest)[:13].decode().lower()}"


@dataclass(frozen=True, kw_only=True)
class InventorySummary:
    """What an inventory holds."""

    count: int
    area_m2: float
    bounds: tuple[float, float, float, float] | None
    """(west, south, east, north) of the geometries, degrees; None where there are none."""
    attributes: tuple[str, ...] = ()
    """The ATTRIBUTES that it has."""


class InventoryBuilder:
    """Sorts any number of rows along the Hilbert curve in bounded memory; the order they come in leaves no trace.

    Each batch is sorted and put on disk; then stretches of the curve are gathered from all batches. In memory lie
    the place of each row on the curve (8 bytes) and one stretch.
    """

    def __init__(self, workdir: Path, *, attributes: Collection[str] = ()) -> None:
        """`attributes` names the ATTRIBUTES that all rows bring."""
        workdir.mkdir(parents=True, exist_ok=True)
        self._workdir = workdir
        self._schema = schema_with(attributes)
        self._batches: list[tuple[Path, NDArray[np.uint64]]] = []

    def add(self, features: pa.Table) -> None:
        """Take rows in any order; columns of INVENTORY_SCHEMA and the attributes."""
        table = features.select(self._schema.names).cast(self._schema)
        codes = _codes(table)
        order = np.argsort(codes, kind="stable")
        path = self._workdir / f"{len(self._batches):06d}.arrow"
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table.take(pa.array(order)))
        self._batches.append((path, codes[order]))

    def tables(self) -> Iterator[pa.Table]:
        """Yield all rows, sorted, about STRETCH at a time."""
        every = np.sort(np.concatenate([codes for _, codes in self._batches])) if self._batches else np.empty(0)
        starts = np.unique(every[::STRETCH])
        for number, start in enumerate(starts):
            end = starts[number + 1] if number + 1 < len(starts) else None
            yield _sorted(pa.concat_tables([_slice(path, codes, start, end) for path, codes in self._batches]))

    def write(self, parquet: Path, fgb: Path, *, id_for: Mapping[str, str] | None = None) -> InventorySummary:
        """Write both files; `id_for` gives the id that an object has borne before for its fresh one."""
        summary = _write_geoparquet(self._named(id_for or {}), parquet, self._schema)
        write_flatgeobuf(parquet, fgb)
        return summary

    def _named(self, id_for: Mapping[str, str]) -> Iterator[pa.Table]:
        for table in self.tables():
            ids = [id_for.get(name, name) for name in table["id"].to_pylist()]
            yield table.set_column(0, INVENTORY_SCHEMA.field("id"), pa.array(ids, pa.string()))


def geo_metadata(*, bounds: tuple[float, float, float, float] | None, types: list[str]) -> dict[str, Any]:
    """The `geo` metadata of GeoParquet 1.1 for a WKB column `geometry` in OGC:CRS84 with a bbox column."""
    column: dict[str, Any] = {
        "encoding": "WKB",
        "geometry_types": types,
        "crs": json.loads(CRS.from_user_input("OGC:CRS84").to_json()),
        "edges": "planar",
        "covering": {"bbox": {side: ["bbox", side] for side in ("xmin", "ymin", "xmax", "ymax")}},
    }
    if bounds is not None:
        column["bbox"] = list(bounds)
    return {"version": "1.1.0", "primary_column": "geometry", "columns": {"geometry": column}}


def _write_geoparquet(tables: Iterator[pa.Table], path: Path, columns: pa.Schema) -> InventorySummary:
    """Stream sorted tables into row groups of ROW_GROUP rows."""
    schema = columns.append(BBOX_FIELD)
    count, area, bounds, types = 0, 0.0, Bounds(), set[str]()
    with pq.ParquetWriter(path, schema, **PARQUET) as writer:
        for table in regrouped(tables):
            geometry = shapely.from_wkb(table["geometry"].to_numpy(zero_copy_only=False))
            boxes = shapely.bounds(geometry)
            writer.write_table(table.append_column(BBOX_FIELD, bbox_column(boxes)), row_group_size=ROW_GROUP)
            count += len(table)
            area += pc.sum(table["area_m2"]).as_py()
            bounds.take(boxes)
            types |= {"MultiPolygon" if t == 6 else "Polygon" for t in np.unique(shapely.get_type_id(geometry))}
        geo = geo_metadata(bounds=bounds.value, types=sorted(types) or ["Polygon", "MultiPolygon"])
        writer.add_key_value_metadata({"geo": json.dumps(geo)})
    attributes = tuple(name for name in ATTRIBUTES.names if name in schema.names)
    return InventorySummary(count=count, area_m2=area, bounds=bounds.value, attributes=attributes)


class Bounds:
    """Bounds that grow."""

    def __init__(self) -> None:
        self.value: tuple[float, float, float, float] | None = None

    def take(self, boxes: NDArray[np.float64]) -> None:
        """Take in boxes (row, 4)."""
        every = boxes if self.value is None else np.vstack([boxes, self.value])
        low, high = every[:, :2].min(axis=0), every[:, 2:].max(axis=0)
        self.value = (float(low[0]), float(low[1]), float(high[0]), float(high[1]))


def bbox_column(boxes: NDArray[np.float64]) -> pa.StructArray:
    return pa.StructArray.from_arrays([pa.array(side) for side in boxes.T], fields=list(BBOX_FIELD.type))


def regrouped(tables: Iterator[pa.Table]) -> Iterator[pa.Table]:
    """Cut a stream of tables into tables of ROW_GROUP rows, wherever its parts begin and end."""
    held: pa.Table | None = None
    for table in tables:
        held = table if held is None else pa.concat_tables([held, table])
        while len(held) >= ROW_GROUP:
            yield held.slice(0, ROW_GROUP).combine_chunks()
            held = held.slice(ROW_GROUP)
    if held is not None and len(held):
        yield held.combine_chunks()


def _codes(table: pa.Table) -> NDArray[np.uint64]:
    return hilbert_codes(table["lon"].to_numpy(), table["lat"].to_numpy())


def _sorted(table: pa.Table) -> pa.Table:
    """Sort by place along the Hilbert curve, then by place and id, so that no two orders are possible."""
    keyed = table.append_column("hilbert", pa.array(_codes(table)))
    order = pc.sort_indices(keyed, sort_keys=[(key, "ascending") for key in ("hilbert", "lon", "lat", "id")])
    return table.take(order)


def _slice(path: Path, codes: NDArray[np.uint64], start: np.uint64, end: np.uint64 | None) -> pa.Table:
    """The rows of a sorted batch from `start` up to, not including, `end` along the curve."""
    first = int(np.searchsorted(codes, start))
    last = len(codes) if end is None else int(np.searchsorted(codes, end))
    with pa.memory_map(str(path)) as source:
        return pa.ipc.open_file(source).read_all().slice(first, last - first)
