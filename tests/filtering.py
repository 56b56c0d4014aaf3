"""Short ways to run a CQL2 filter in a test."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import shapely

from talik_api.cql import Filter, FilterError, Queryable, parse_filter

KINDS = {
    "a": "number", "b": "integer", "t": "text", "u": "text", "k": "boolean", "names": "list", "codes": "list",
    "when": "time", "start": "time", "end": "time", "date": "time", "geom": "geometry", "other": "geometry",
    "proj:epsg": "integer",
}  # fmt: skip
QUERYABLES = {name: Queryable(name=name, kind=kind, column=name) for name, kind in KINDS.items()}  # type: ignore[arg-type]


def parse(source: str | dict[str, Any], crs: str = "OGC:CRS84") -> Filter:
    language = "cql2-text" if isinstance(source, str) else "cql2-json"
    return parse_filter(source, language=language, queryables=QUERYABLES, crs=crs)  # type: ignore[arg-type]


def matches(source: str | dict[str, Any], crs: str = "OGC:CRS84", **columns: Any) -> list[int]:
    """Return the numbers of the rows that match."""
    return np.flatnonzero(parse(source, crs).mask(pa.table(columns))).tolist()


def refused(source: str | dict[str, Any], *words: str, crs: str = "OGC:CRS84") -> None:
    with pytest.raises(FilterError) as caught:
        parse(source, crs)
    assert "\n" not in str(caught.value)
    assert [word for word in words if word not in str(caught.value)] == []


def with_shapes(geometries: list[Any], *, bbox: bool = False, name: str = "geom") -> dict[str, Any]:
    columns = {name: pa.array([None if each is None else shapely.to_wkb(each) for each in geometries], pa.binary())}
    if bbox:
        sides = shapely.bounds(np.array([each or shapely.Point(0, 0) for each in geometries], dtype=object)).T
        columns["bbox"] = pa.StructArray.from_arrays([pa.array(s) for s in sides], ["xmin", "ymin", "xmax", "ymax"])
    return columns
