"""Pages of an answer in the order of its columns: the smallest rows behind the cursor, held in memory."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from talik_api.features.query import Cursor, SortKey
from talik_api.features.select import Part, order_of
from talik_api.problems import Problem

_KEPT = 4
"""Rows are gathered up to so many pages before all but one page of them are dropped."""
_PART, _PLACE, _ROW = "part", "place", "row"


def sorted_rows(parts: Sequence[Part], keys: Sequence[SortKey], limit: int, cursor: Cursor | None) -> pa.Table:
    """The first `limit` + 1 matches behind the cursor: key columns, `part`, `place` in its group, `row` in its file.

    Nulls come last; rows that are equal lie in the order of the collection.
    """
    kept: pa.Table | None = None
    for number, part in enumerate(parts):
        rows = _behind(_rows(part, number, keys), keys, cursor, part)
        kept = rows if kept is None else pa.concat_tables([kept, rows])
        if len(kept) > _KEPT * (limit + 1):
            kept = _first(kept, keys, limit + 1)
    if kept is None:
        return pa.table({_PART: pa.array([], pa.int64()), _PLACE: pa.array([], pa.int32())})
    return _first(kept, keys, limit + 1)


def read_sorted(parts: Sequence[Part], rows: pa.Table, columns: Sequence[str]) -> pa.Table:
    """Read columns of the rows in their order; each row group is read once."""
    number = rows[_PART].to_numpy()
    place = rows[_PLACE].to_numpy()
    tables, position = [], np.empty(len(rows), np.int64)
    done = 0
    for part in np.unique(number):
        wanted = np.flatnonzero(number == part)
        tables.append(parts[part].reader.read(parts[part].group, columns).take(pa.array(place[wanted])))
        position[wanted] = np.arange(done, done + len(wanted))
        done += len(wanted)
    return pa.concat_tables(tables).take(pa.array(position)).combine_chunks()


def cursor_behind_row(parts: Sequence[Part], rows: pa.Table, last: int, keys: Sequence[SortKey], *, at: str) -> Cursor:
    """Where the page behind row number `last` begins."""
    part = parts[rows[_PART][last].as_py()]
    values = tuple(_plain(rows[key.column][last].as_py()) for key in keys)
    row = rows[_ROW][last].as_py()
    return Cursor(group=order_of(part.edition), edition=part.edition.id, row=row, at=at, values=values)


def _rows(part: Part, number: int, keys: Sequence[SortKey]) -> pa.Table:
    table = part.read([key.column for key in keys])
    places = part.places()
    return (
        table.append_column(_PART, pa.array(np.full(len(table), number), pa.int64()))
        .append_column(_PLACE, pa.array(places, pa.int32()))
        .append_column(_ROW, pa.array(places.astype(np.int64) + part.first, pa.int64()))
    )


def _first(rows: pa.Table, keys: Sequence[SortKey], count: int) -> pa.Table:
    order = [(key.column, "descending" if key.descending else "ascending") for key in keys]
    found = pc.sort_indices(rows, sort_keys=[*order, (_PART, "ascending"), (_ROW, "ascending")])  # nulls at the end
    return rows.take(found[:count]).combine_chunks()


def _behind(rows: pa.Table, keys: Sequence[SortKey], cursor: Cursor | None, part: Part) -> pa.Table:
    """The rows that sort behind the cursor."""
    if cursor is None:
        return rows
    here = (order_of(part.edition), part.edition.id)
    there = (cursor.group, cursor.edition)
    tied = pa.scalar(here > there) if here != there else pc.greater(rows[_ROW], cursor.row)
    behind: Any = tied
    for key, value in zip(reversed(keys), reversed(cursor.values), strict=True):
        behind = pc.or_(_beyond(rows[key.column], value, key), pc.and_(_equal(rows[key.column], value), behind))
    return rows.filter(behind)


def _beyond(column: pa.ChunkedArray, value: Any, key: SortKey) -> Any:
    if value is None:
        return pc.and_(pc.is_null(column), False)
    compare = pc.less if key.descending else pc.greater
    return pc.fill_null(compare(column, _scalar(value, column.type, key)), True)


def _equal(column: pa.ChunkedArray, value: Any) -> Any:
    if value is None:
        return pc.is_null(column)
    return pc.fill_null(pc.equal(column, _scalar(value, column.type, None)), False)


def _scalar(value: Any, kind: pa.DataType, key: SortKey | None) -> pa.Scalar:
    try:
        if pa.types.is_timestamp(kind):
            return pa.scalar(datetime.fromisoformat(value), kind)
        if pa.types.is_date(kind):
            return pa.scalar(date.fromisoformat(value), kind)
        return pa.scalar(value, kind)
    except (pa.ArrowInvalid, pa.ArrowTypeError, TypeError, ValueError) as error:
        named = f" of {key.column}" if key else ""
        raise Problem(400, "The token is not valid", f"value {value!r}{named}; use the 'next' link as it is") from error


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, date) else value  # a datetime is a date, too
