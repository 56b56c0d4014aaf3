"""CSV (RFC 4180) with outlines as WKT, written by blocks of features as they arrive.

Texts are written as they are: one that begins with =, +, - or @ may be taken for a formula by a spreadsheet. Ids,
statuses and names of models and scenes come from Talik's own files, so no value is changed to guard against it.
"""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.csv
import shapely

from talik_api.formats.answer import Answer
from talik_api.formats.columns import blocks, geometries, is_text_list, list_texts, time_texts

BLOCK = 1000
"""Features that are written at once; 1-4 MB."""
WKT_DECIMALS = 9
"""0.1 mm in degrees, as `talik editions export` writes."""


def write_csv(answer: Answer) -> Iterator[bytes]:
    """Write a header and one row a feature; times as RFC 3339, lists with commas, null as nothing, `wkt` last."""
    names = [name for name in answer.schema.names if name not in ("geometry", "bbox")]
    before = ",".join(f'"{name}"' for name in [*names, "wkt"]).encode() + b"\r\n"
    options = pyarrow.csv.WriteOptions(include_header=False, eol="\r\n")
    for table in blocks(answer.tables, BLOCK):
        sink = pa.BufferOutputStream()
        pyarrow.csv.write_csv(_plain(table, names, answer), sink, options)
        yield before + sink.getvalue().to_pybytes()
        before = b""
    if before:
        yield before


def _plain(table: pa.Table, names: list[str], answer: Answer) -> pa.Table:
    """The columns as CSV can hold them."""
    shapes = geometries(table, answer.crs, always_xy=False)
    columns = [_column(table[name]) for name in names]
    wkt = pa.array(shapely.to_wkt(shapes, rounding_precision=WKT_DECIMALS), pa.string())
    return pa.table([*columns, wkt], names=[*names, "wkt"])


def _column(column: pa.ChunkedArray) -> pa.ChunkedArray | pa.Array:
    if pa.types.is_timestamp(column.type):
        return time_texts(column)
    return list_texts(column) if is_text_list(column.type) else column
