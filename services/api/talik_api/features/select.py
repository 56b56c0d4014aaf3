"""Find the rows of a query, group by group, then read those of one page."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, time
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import shapely
from numpy.typing import NDArray

from talik_api.features.layers import Layer, group_of
from talik_api.features.place import Place
from talik_api.features.query import Cursor, Query
from talik_api.service import Service
from talik_api.times import Span
from talik_stac.editions import Edition
from talik_stac.reading import InventoryReader, box_array

KEPT_GROUPS = 32
"""A query of more row groups than this leaves nothing behind in memory."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """The rows of one row group that match."""

    reader: InventoryReader
    group: int
    rows: NDArray[np.int32] | None
    """Places in the group, ascending; None: all of them."""
    keep: bool
    """Few groups were looked at: what is read of this one may be wanted again."""

    @property
    def edition(self) -> Edition:
        """The edition that the rows belong to."""
        return self.reader.edition

    @property
    def first(self) -> int:
        """Number in the file of the group's first row."""
        return int(self.reader.groups.first[self.group])

    @property
    def count(self) -> int:
        """How many rows match."""
        return int(self.reader.groups.rows[self.group]) if self.rows is None else len(self.rows)

    def places(self) -> NDArray[np.int32]:
        """Places of the rows in the group."""
        return np.arange(self.count, dtype=np.int32) if self.rows is None else self.rows

    def cut(self, start: int, end: int) -> Part:
        """The matches number `start` up to, not including, `end`."""
        return self if start <= 0 and end >= self.count else replace(self, rows=self.places()[max(0, start) : end])

    def read(self, columns: Sequence[str]) -> pa.Table:
        """Read columns of the rows."""
        table = self.reader.read(self.group, columns, keep=self.keep)
        return table if self.rows is None else table.take(pa.array(self.rows))


def find(service: Service, layer: Layer, query: Query) -> list[Part]:
    """Every match in a collection, in the order of its editions and their files."""
    return [part for edition in layer.editions for part in _parts(service.reader(edition), query)]


def count(parts: Sequence[Part]) -> int:
    """How many rows match."""
    return sum(part.count for part in parts)


def after(parts: Sequence[Part], cursor: Cursor | None) -> list[Part]:
    """The matches behind a cursor, for answers in the order of the file."""
    if cursor is None:
        return list(parts)
    left = []
    for part in parts:
        group = order_of(part.edition)
        if group < cursor.group:
            continue
        if group == cursor.group and part.edition.id == cursor.edition:
            start = int(np.searchsorted(part.places() + part.first, cursor.row, side="right"))
            if start < part.count:
                left.append(part.cut(start, part.count))
        elif group != cursor.group:
            left.append(part)
    return left


def page(parts: Sequence[Part], limit: int | None) -> tuple[list[Part], bool]:
    """The first `limit` rows (None: all), and whether there are more."""
    if limit is None:
        return list(parts), False
    taken: list[Part] = []
    left = limit
    for part in parts:
        if left == 0:
            return taken, True
        taken.append(part.cut(0, left))
        left -= taken[-1].count
        if taken[-1].count < part.count:
            return taken, True
    return taken, False


def tables(parts: Sequence[Part], columns: Sequence[str]) -> Iterator[tuple[Edition, pa.Table]]:
    """Read the rows, part by part."""
    for part in parts:
        yield part.edition, part.read(columns)


def order_of(edition: Edition) -> str:
    """How a collection orders its editions: never by version (see `layers.newest`)."""
    return f"{edition.landform} {edition.area} {group_of(edition)}"


def cursor_behind(last: Part, *, at: str) -> Cursor:
    """Where the page behind these rows begins."""
    row = last.first + int(last.places()[-1])
    return Cursor(group=order_of(last.edition), edition=last.edition.id, row=row, at=at)


def _parts(reader: InventoryReader, query: Query) -> Iterator[Part]:
    groups = reader.touching(query.place.boxes if query.place is not None else None)
    if query.filter is not None:
        groups = np.intersect1d(groups, reader.touching(query.filter.bounds(), query.filter.ranges()))
    keep = len(groups) <= KEPT_GROUPS
    for group in groups:
        part = _part(reader, int(group), query, keep=keep)
        if part.count:
            yield part


def _part(reader: InventoryReader, group: int, query: Query, *, keep: bool) -> Part:
    """Decide the rows of one group; what its bounds decide already is not read."""
    place = query.place
    if place is not None and place.decided(reader.groups.bounds[group : group + 1])[0].all():
        query, place = replace(query, place=None), None
    if not query.columns:
        return Part(reader=reader, group=group, rows=None, keep=keep)
    table = reader.read(group, query.columns, keep=keep)
    found = np.ones(len(table), bool)
    if query.during is not None:
        found &= _seen_during(table, query.during, reader.edition)
    if place is not None:
        found &= _touching(place, table, found, partial(reader.read, group, keep=keep))
    if query.filter is not None:
        found &= query.filter.mask(table)
    rows = None if found.all() else np.flatnonzero(found).astype(np.int32)
    return Part(reader=reader, group=group, rows=rows, keep=keep)


def _touching(
    place: Place, table: pa.Table, asked: NDArray[np.bool_], read: Callable[[list[str]], pa.Table]
) -> NDArray[np.bool_]:
    """Which rows touch the place; outlines are read only where bounds leave it open."""
    inside, undecided = place.decided(box_array(table))
    rows = np.flatnonzero(undecided & asked)
    if len(rows):
        source = table if "geometry" in table.column_names else read(["geometry"])
        wkb = source["geometry"].take(pa.array(rows)).to_numpy(zero_copy_only=False)
        inside[rows] = place.touched(shapely.from_wkb(wkb))
    return inside


def _seen_during(table: pa.Table, span: Span, edition: Edition) -> NDArray[np.bool_]:
    """Whether rows were observed in the span; the edition's season stands in for unknown days."""
    kind = table.schema.field("observed_start").type
    first = datetime.combine(edition.season_start, time.min, UTC)
    last = datetime.combine(edition.season_end, time.max, UTC)
    start = pc.fill_null(table["observed_start"], _scalar(first, kind))
    end = pc.fill_null(table["observed_end"], _scalar(last, kind))
    found = np.ones(len(table), bool)
    if span.end is not None:
        found &= pc.less_equal(start, _scalar(span.end, pa.timestamp("us", tz="UTC"))).to_numpy()
    if span.start is not None:
        found &= pc.greater_equal(end, _scalar(span.start, pa.timestamp("us", tz="UTC"))).to_numpy()
    return found


def _scalar(moment: datetime, kind: pa.DataType) -> pa.Scalar:
    return pa.scalar(moment, pa.timestamp("us", tz="UTC")).cast(kind, safe=False)
