"""Search: which items meet all conditions, in order, a page at a time.

Row groups that their limits rule out are not read; of the others first the columns that conditions and order need,
and whole rows only for the page. So memory is bounded by the page, not by the collections.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from talik_api.cql import Filter
from talik_api.features.place import Place
from talik_api.stac.holdings import Holding, Limits
from talik_api.stac.normal import TIME
from talik_api.stac.sorting import Cursor, SortKey, behind, cursor_at, first_rows, sort_columns
from talik_api.times import Span

Box = tuple[float, float, float, float]
_AT_A_TIME = 200
"""Items that are JSON in memory at once."""
_KEPT_ROWS = 4_000
"""Sort values are gathered up to about so many rows before all but one page of them are dropped."""


@dataclass(frozen=True, kw_only=True)
class Conditions:
    """What an item must meet; None lets all pass."""

    ids: frozenset[str] | None = None
    place: Place | None = None
    span: Span | None = None
    filter: Filter | None = None

    @property
    def columns(self) -> frozenset[str]:
        """Columns that are looked at."""
        found = set() if self.filter is None else set(self.filter.columns)
        if self.place is not None:
            found |= {"bbox", "geometry"}
        if self.span is not None:
            found |= {"datetime", "start_datetime", "end_datetime"}
        return frozenset(found | ({"id"} if self.ids is not None else set()))

    def may_hold(self, holding: Holding, group: int) -> bool:
        """Whether a group of rows may have a match."""
        limits = holding.groups[group]
        if self.place is not None and not _meets(limits, self.place.boxes):
            return False
        if self.span is not None and not _overlaps(limits, self.span):
            return False
        if self.filter is None:
            return limits.rows > 0
        boxes = self.filter.bounds()
        return (boxes is None or _meets(limits, boxes)) and holding.may_hold(group, self.filter.ranges())

    def matches(self, table: pa.Table) -> NDArray[np.bool_]:
        """Which rows of a normalised table match: cheap conditions first, geometries only for what they leave."""
        found = np.ones(table.num_rows, bool)
        if self.ids is not None:
            found &= _array(pc.is_in(table["id"], value_set=pa.array(sorted(self.ids), pa.string())))
        if self.span is not None:
            found &= _during(table, self.span)
        for condition in (self.place, self.filter):
            rows = np.flatnonzero(found)
            if condition is not None and len(rows):
                found[rows] = condition.mask(table.take(pa.array(rows)))
        return found


@dataclass(frozen=True, kw_only=True)
class Page:
    """The items of a page, still in columns."""

    matched: int
    returned: int
    following: Cursor | None
    """Where the next page begins; None at the end."""
    rows: dict[int, Any]
    """Number of the holding -> its rows, in the order of the page."""
    order: NDArray[np.int64]
    """Number of the holding of each item of the page."""
    holdings: tuple[Holding, ...]

    def items(self) -> Iterator[tuple[Holding, dict[str, Any]]]:
        """The items in order, as they were put into the store."""
        done = dict.fromkeys(self.rows, 0)
        for start in range(0, self.returned, _AT_A_TIME):
            part = self.order[start : start + _AT_A_TIME]
            ready = {}
            for number in np.unique(part).tolist():
                first, last = done[number], done[number] + int((part == number).sum())
                ready[number] = iter(self.holdings[number].items(self.rows[number], first, last))
                done[number] = last
            for number in part.tolist():
                yield self.holdings[number], next(ready[number])


def search(
    holdings: Sequence[Holding], conditions: Conditions, keys: Sequence[SortKey], limit: int, cursor: Cursor | None
) -> Page:
    """Find a page of at most `limit` items behind the cursor, and count all matches."""
    matched, kept = 0, None
    for number, holding in enumerate(holdings):
        for group in range(len(holding.groups)):
            if not conditions.may_hold(holding, group):
                continue
            found = _matching(holding, group, conditions, keys)
            matched += found.num_rows
            rows = found if cursor is None else behind(found, keys, cursor)
            rows = rows.append_column("#holding", pa.array(np.full(rows.num_rows, number), pa.int64()))
            kept = rows if kept is None else pa.concat_tables([kept, rows])
            if kept.num_rows > limit + 1 + _KEPT_ROWS:
                kept = first_rows(kept, keys, limit + 1)
    if kept is None:
        return Page(matched=0, returned=0, following=None, rows={}, order=np.empty(0, np.int64), holdings=())
    ordered = first_rows(kept, keys, limit + 1)
    return _page(holdings, ordered, keys, limit, matched)


def _matching(holding: Holding, group: int, conditions: Conditions, keys: Sequence[SortKey]) -> pa.Table:
    """Sort values of the matches in a group, with their group and place in it."""
    table = holding.read(group, sorted(conditions.columns | {key.column for key in keys}))
    places = np.flatnonzero(conditions.matches(table))
    return (
        sort_columns(table.take(pa.array(places)), keys)
        .append_column("#group", pa.array(np.full(len(places), group), pa.int64()))
        .append_column("#place", pa.array(places, pa.int64()))
    )


def _page(holdings: Sequence[Holding], ordered: pa.Table, keys: Sequence[SortKey], limit: int, matched: int) -> Page:
    more = ordered.num_rows > limit
    shown = ordered.slice(0, limit)
    order = shown["#holding"].to_numpy()
    groups, places = shown["#group"].to_numpy(), shown["#place"].to_numpy()
    rows = {
        number: _rows(holdings[number], groups[order == number], places[order == number])
        for number in np.unique(order).tolist()
    }
    return Page(
        matched=matched,
        returned=shown.num_rows,
        following=cursor_at(shown, limit - 1, keys) if more else None,
        rows=rows,
        order=order,
        holdings=tuple(holdings),
    )


def _rows(holding: Holding, groups: NDArray[np.int64], places: NDArray[np.int64]) -> pa.Table:
    """Whole rows in the order given; each group is read once, and only its wanted rows are kept."""
    tables, position, done = [], np.empty(len(groups), np.int64), 0
    for group in np.unique(groups).tolist():
        wanted = np.flatnonzero(groups == group)
        tables.append(holding.rows(group, places[wanted]))
        position[wanted] = np.arange(done, done + len(wanted))
        done += len(wanted)
    return pa.concat_tables(tables).take(pa.array(position)).combine_chunks()


def _meets(limits: Limits, boxes: Sequence[Box]) -> bool:
    if limits.bounds is None:
        return False
    left, bottom, right, top = limits.bounds
    return any(
        left <= east and right >= west and bottom <= north and top >= south for west, south, east, north in boxes
    )


def _overlaps(limits: Limits, span: Span) -> bool:
    if limits.first is None or limits.last is None:
        return False
    return (span.end is None or limits.first <= span.end) and (span.start is None or limits.last >= span.start)


def _during(table: pa.Table, span: Span) -> NDArray[np.bool_]:
    """Items that have a start and an end last from one to the other; the others are a moment."""
    start, end = table["start_datetime"], table["end_datetime"]
    lasts = pc.and_(pc.is_valid(start), pc.is_valid(end))
    first = pc.if_else(lasts, start, table["datetime"])
    last = pc.if_else(lasts, end, table["datetime"])
    found = _array(pc.is_valid(first))
    if span.start is not None:
        found &= _array(pc.greater_equal(last, pa.scalar(span.start, TIME)))
    if span.end is not None:
        found &= _array(pc.less_equal(first, pa.scalar(span.end, TIME)))
    return found


def _array(values: Any) -> NDArray[np.bool_]:
    filled: NDArray[np.bool_] = np.array(pc.fill_null(values, False).to_numpy(zero_copy_only=False), dtype=bool)
    return filled
