"""GeoParquet 1.1, sent row group by row group as its rows arrive."""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import shapely
from pyproj import CRS

from talik_api.formats.answer import Answer, is_lonlat
from talik_api.formats.columns import moved_wkb


def write_parquet(answer: Answer) -> Iterator[bytes]:
    """Write row groups of ROW_GROUP rows with a bbox column; bounds and types of the geometries stand in the footer."""
    import pyarrow.parquet as pq

    from talik_stac.inventory import PARQUET, ROW_GROUP, Bounds, bbox_column, geo_metadata, regrouped

    schema, bounds, types = _schema(answer), Bounds(), set[str]()
    sink = _Sink()
    with pq.ParquetWriter(sink, schema, **PARQUET) as writer:
        for table in regrouped(answer.tables):
            wkb = moved_wkb(table, answer.crs)
            shapes = shapely.from_wkb(wkb.to_numpy(zero_copy_only=False))
            boxes = shapely.bounds(shapes)
            columns = [table[name] for name in schema.names if name != "bbox"]
            columns[schema.get_field_index("geometry")] = wkb
            row_group = pa.table([*columns, bbox_column(boxes)], schema=schema)
            writer.write_table(row_group, row_group_size=ROW_GROUP)
            bounds.take(boxes)
            types |= {"MultiPolygon" if kind == 6 else "Polygon" for kind in np.unique(shapely.get_type_id(shapes))}
            yield sink.take()
        geo = geo_metadata(bounds=bounds.value, types=sorted(types) or ["Polygon", "MultiPolygon"])
        geo["columns"]["geometry"]["crs"] = json.loads(CRS.from_user_input(answer.crs).to_json())
        writer.add_key_value_metadata({"geo": json.dumps(geo)})
    yield sink.take()


def _schema(answer: Answer) -> pa.Schema:
    """The answer's columns and `bbox`; those that hold coordinates name their system."""
    from talik_stac.inventory import BBOX_FIELD

    fields = [*(field for field in answer.schema if field.name != "bbox"), BBOX_FIELD]
    if is_lonlat(answer.crs):
        return pa.schema(fields)
    name = CRS.from_user_input(answer.crs).name
    said = {
        "geometry": {"description": f"WKB polygon, x before y ({name})"},
        "bbox": {"description": f"bounds of the geometry ({name})"},
    }
    return pa.schema([f.with_metadata(said[f.name]) if f.name in said else f for f in fields])


class _Sink:
    """A file that is only written to, whose bytes are taken away as they come."""

    closed = False

    def __init__(self) -> None:
        self._held = bytearray()

    def write(self, piece: bytes) -> int:
        self._held += piece
        return len(piece)

    def take(self) -> bytes:
        taken, self._held = bytes(self._held), bytearray()
        return taken

    def flush(self) -> None:
        """Nothing waits."""

    def close(self) -> None:
        """Nothing is open."""
