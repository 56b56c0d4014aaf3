"""The limit of the service: the same rows read by pyarrow and written by orjson in one process, without HTTP."""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import shapely
from numpy.typing import NDArray

from load import Times
from talik_stac.editions import Edition
from talik_stac.inventory import INVENTORY_SCHEMA
from talik_stac.reading import Box, InventoryReader, box_array
from talik_stac.store import open_store

LIMIT = 1000
"""Rows of a page."""


def in_process(store: str, edition: Edition, boxes: Sequence[Box]) -> tuple[Times, Times]:
    """Times of reading the rows of each page with pyarrow, and of that and writing them with orjson.

    Which rows those are is decided outside the time, by the bounds alone: a few outlines at a box's edge differ.
    """
    reader = InventoryReader(open_store(store), edition)
    path = Path(store) / edition.prefix / "inventory.parquet"
    footer = pq.read_metadata(path)
    whole, reading = Times(name="limit: pyarrow and orjson"), Times(name="limit: pyarrow alone")
    for box in boxes:
        rows = _rows_of_page(reader, box)
        started = time.perf_counter()
        page = _read_rows(path, footer, rows)
        read = time.perf_counter()
        body = _written(page)
        ended = time.perf_counter()
        reading.seconds.append(read - started)
        whole.seconds.append(ended - started)
        whole.sizes.append(len(body))
        whole.features.append(len(page))
    return reading, whole


def _rows_of_page(reader: InventoryReader, box: Box) -> list[tuple[int, NDArray[np.int64]]]:
    """(row group, places in it) of the first LIMIT rows whose bounds touch a box."""
    found, left = [], LIMIT
    for group in reader.touching([box]):
        bounds = box_array(reader.read(int(group), ["bbox"]))
        touches = (
            (bounds[:, 0] <= box[2]) & (bounds[:, 2] >= box[0]) & (bounds[:, 1] <= box[3]) & (bounds[:, 3] >= box[1])
        )
        places = np.flatnonzero(touches)[:left]
        left -= len(places)
        if len(places):
            found.append((int(group), places))
        if not left:
            break
    return found


def _read_rows(path: Path, footer: pq.FileMetaData, rows: Sequence[tuple[int, NDArray[np.int64]]]) -> pa.Table:
    with pq.ParquetFile(path, metadata=footer) as file:
        names = INVENTORY_SCHEMA.names
        parts = [file.read_row_group(group, columns=names, use_threads=False).take(places) for group, places in rows]
    return pa.concat_tables(parts)


def _written(page: pa.Table) -> bytes:
    """A FeatureCollection of polygons; times as orjson writes them."""
    _, points, (ring_ends, polygon_ends) = shapely.to_ragged_array(shapely.from_wkb(page["geometry"].to_numpy()))
    rings = [points[start:end] for start, end in pairwise(ring_ends.tolist())]
    polygons = [rings[start:end] for start, end in pairwise(polygon_ends.tolist())]
    properties = page.drop_columns(["id", "geometry"]).to_pylist()
    features = [
        {"type": "Feature", "id": key, "geometry": {"type": "Polygon", "coordinates": polygon}, "properties": row}
        for key, polygon, row in zip(page["id"].to_pylist(), polygons, properties, strict=True)
    ]
    return orjson.dumps({"type": "FeatureCollection", "features": features}, option=orjson.OPT_SERIALIZE_NUMPY)
