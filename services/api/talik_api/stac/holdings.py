"""What the API searches: the items of one collection in groups of rows, wherever they are kept."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import shapely
from numpy.typing import NDArray

from talik_api.cql import Queryable
from talik_api.stac.index_file import IndexFile
from talik_api.stac.names import editions_id, imagery_id
from talik_api.stac.normal import SIDES, TIMES, bounds_of, normalised, raw_columns
from talik_api.stac.queryables import queryables_of
from talik_stac.editions import Edition
from talik_stac.items import parse_datetime

_NO_FRACTION = re.compile(r"(?<=T\d\d:\d\d:\d\d)\.0+Z\Z")


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Where and when the items of one group of rows lie."""

    rows: int
    bounds: tuple[float, float, float, float] | None
    """West, south, east, north; None where no item says where it lies."""
    first: datetime | None
    last: datetime | None
    """None where no item says when."""


class Holding(Protocol):
    """The items of one collection of the API."""

    @property
    def id(self) -> str:
        """The collection's id in the API."""

    @property
    def queryables(self) -> Mapping[str, Queryable]:
        """What filters may name."""

    @property
    def groups(self) -> Sequence[Limits]:
        """The groups of rows."""

    def may_hold(self, group: int, ranges: Mapping[str, tuple[Any, Any]]) -> bool:
        """Whether a group may have a row in all ranges (inclusive, None open)."""

    def read(self, group: int, columns: Sequence[str]) -> pa.Table:
        """Columns of a group as searches see them (see `normal`)."""

    def rows(self, group: int, places: NDArray[np.int64]) -> Any:
        """Whole rows of a group, in the form that `items` takes."""

    def items(self, rows: Any, first: int, last: int) -> list[dict[str, Any]]:
        """The items of rows first to last (exclusive), as they were put into the store."""


class ImageryHolding:
    """An imagery collection of the store's index."""

    def __init__(self, name: str, file: IndexFile) -> None:
        """`name` is that in the index."""
        self.name, self._file = name, file
        self.id = imagery_id(name)
        self.queryables = queryables_of(file.schema)
        # Not from the statistics: bounds over the antimeridian, and times that only have ends, need a look.
        self.groups = [_limits(self.read(group, ["bbox", *TIMES])) for group in range(file.groups)]

    def may_hold(self, group: int, ranges: Mapping[str, tuple[Any, Any]]) -> bool:
        """By the statistics of columns that mean in the index what they mean here."""
        plain = {name: limits for name, limits in ranges.items() if name not in (*TIMES, "collection", "geometry")}
        return all(self._file.may_hold(group, name, low, high) for name, (low, high) in plain.items())

    def read(self, group: int, columns: Sequence[str]) -> pa.Table:
        """Columns of a group as searches see them."""
        there = self._file.schema.names
        return normalised(self._file.read(group, raw_columns(columns, there)), columns, self.id)

    def rows(self, group: int, places: NDArray[np.int64]) -> pa.Table:
        """Whole rows of a group."""
        return self._file.read(group).take(pa.array(places))

    def items(self, rows: pa.Table, first: int, last: int) -> list[dict[str, Any]]:
        """The items as JSON, without the nulls that the table's schema brings in."""
        import stac_geoparquet.arrow  # late: it brings geopandas

        made = stac_geoparquet.arrow.stac_table_to_items(rows.slice(first, last - first))
        return [_whole(_without_nulls(item)) for item in made]


class EditionsHolding:
    """The editions of a landform."""

    def __init__(self, landform: str, editions: Sequence[Edition]) -> None:
        """Keep the items, which are few, and a table of their properties."""
        self.landform = landform
        self.id = editions_id(landform)
        self.editions = tuple(editions)
        self._table = _editions_table(self.editions)
        self.queryables = queryables_of(self._table.schema)
        self.groups = [_limits(self.read(0, ["bbox", *TIMES]))]

    def may_hold(self, group: int, ranges: Mapping[str, tuple[Any, Any]]) -> bool:  # noqa: ARG002 - one group
        """They are few: each is looked at."""
        return True

    def read(self, group: int, columns: Sequence[str]) -> pa.Table:  # noqa: ARG002 - one group
        """Columns as searches see them."""
        return normalised(self._table.select(raw_columns(columns, self._table.column_names)), columns, self.id)

    def rows(self, group: int, places: NDArray[np.int64]) -> pa.Table:  # noqa: ARG002 - one group
        """The items as text: one column of a table, so that rows of any holding are cut and joined alike."""
        return pa.table({"item": [json.dumps(self.editions[place].item) for place in places]})

    def items(self, rows: pa.Table, first: int, last: int) -> list[dict[str, Any]]:
        """The items as JSON."""
        return [json.loads(text) for text in rows["item"].slice(first, last - first).to_pylist()]


def _limits(table: pa.Table) -> Limits:
    """Measure normalised columns."""
    bounds = bounds_of(table)
    known = bounds[~np.isnan(bounds).any(axis=1)]
    times = [pc.min_max(table[name]).as_py() for name in TIMES]
    firsts = [each["min"] for each in times if each["min"] is not None]
    lasts = [each["max"] for each in times if each["max"] is not None]
    west_south, east_north = (known[:, :2].min(axis=0), known[:, 2:].max(axis=0)) if len(known) else (None, None)
    return Limits(
        rows=table.num_rows,
        bounds=None if west_south is None or east_north is None else (*map(float, west_south), *map(float, east_north)),  # type: ignore[arg-type]
        first=min(firsts, default=None),
        last=max(lasts, default=None),
    )


def _editions_table(editions: Sequence[Edition]) -> pa.Table:
    items = [edition.item for edition in editions]
    properties = [item["properties"] for item in items]
    names = dict.fromkeys(name for each in properties for name in each if name not in TIMES)
    columns: dict[str, Any] = {name: _scalars([each.get(name) for each in properties]) for name in names}
    columns |= {name: pa.array([_moment(each.get(name)) for each in properties]) for name in TIMES}
    columns |= {name: pa.array([_moment(each.get(name)) for each in properties]) for name in ("created",)}
    boxes = [dict(zip(SIDES, map(float, item["bbox"]), strict=True)) for item in items]
    columns["bbox"] = pa.array(boxes, pa.struct([(side, pa.float64()) for side in SIDES]))
    shapes = [shapely.geometry.shape(item["geometry"]) for item in items]
    columns["geometry"] = pa.array(shapely.to_wkb(np.array(shapes, dtype=object)), pa.binary())
    columns["id"] = pa.array([item["id"] for item in items], pa.string())
    return pa.table({name: column for name, column in columns.items() if column is not None})


def _scalars(values: list[Any]) -> pa.Array | None:
    """A column of plain values; None where they are objects, lists or of several kinds."""
    kinds = {type(value) for value in values if value is not None}
    if kinds <= {int, float} and kinds:
        return (
            pa.array([None if value is None else float(value) for value in values])
            if float in kinds
            else (pa.array(values, pa.int64()))
        )
    return pa.array(values) if kinds in ({str}, {bool}) else None


def _moment(value: str | None) -> datetime | None:
    return None if value is None else parse_datetime(value)


def _without_nulls(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _without_nulls(each) for name, each in value.items() if each is not None}
    if isinstance(value, list | tuple):
        return [_without_nulls(each) for each in value]
    return value


def _short(value: Any) -> Any:
    """2021-07-01T00:00:00.000000Z, as Arrow writes it -> 2021-07-01T00:00:00Z."""
    return _NO_FRACTION.sub("Z", value) if isinstance(value, str) else value


def _whole(item: dict[str, Any]) -> dict[str, Any]:
    """Put back the nulls that STAC asks for."""
    item["properties"] = {name: _short(value) for name, value in item["properties"].items()}
    item["properties"].setdefault("datetime", None)
    item.setdefault("geometry", None)
    item.setdefault("links", [])
    item.setdefault("assets", {})
    return item
