"""FlatGeobuf beside the GeoParquet: the same rows for clients that stream by bbox, written by GDAL."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

BATCH = 20_000


def write_flatgeobuf(parquet: Path, path: Path) -> None:
    """Write the rows of an inventory's GeoParquet as FlatGeobuf with a spatial index, batch by batch.

    Lists become comma-separated text (FlatGeobuf has none); the bbox column is left out.
    """
    import pyogrio  # late: it brings geopandas, which reading inventories does without

    source = pq.ParquetFile(parquet)
    schema = _plain_schema(source.schema_arrow)
    reader = pa.RecordBatchReader.from_batches(schema, _batches(source, schema))
    pyogrio.write_arrow(
        reader,
        path,
        driver="FlatGeobuf",
        layer="inventory",
        geometry_name="geometry",
        geometry_type="Unknown",
        crs="OGC:CRS84",
        SPATIAL_INDEX="YES",
    )


def _plain_schema(schema: pa.Schema) -> pa.Schema:
    return pa.schema(
        [
            pa.field(field.name, pa.string() if pa.types.is_list(field.type) else field.type)
            for field in schema
            if field.name != "bbox"
        ]
    )


def _batches(source: pq.ParquetFile, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    for batch in source.iter_batches(BATCH, columns=schema.names):
        columns = [_plain(batch.column(field.name)) for field in schema]
        yield pa.RecordBatch.from_arrays(columns, schema=schema)


def _plain(column: pa.Array) -> pa.Array:
    if not pa.types.is_list(column.type):
        return column
    return pa.array([None if names is None else ",".join(names) for names in column.to_pylist()], pa.string())
