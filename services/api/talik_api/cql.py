"""Filters in CQL2 (OGC 21-065r2), evaluated over Arrow tables.

The library `cql2` parses; here its tree is checked, bound to the properties of a collection and compiled.
Choices that the standard leaves open: numbers are compared as float64; text by Unicode code points; dates by UTC days
(see `cql_time`); an arithmetic result that is no finite number is null; geometry is planar in lon/lat.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyproj import CRS

from talik_api.cql_expressions import (
    COMPARISONS,
    Box,
    Expression,
    FilterError,
    Kind,
    Limit,
    Queryable,
    all_true,
    any_true,
    compare,
    is_in,
    is_null,
    literal,
    negated,
    property_of,
    require,
)
from talik_api.cql_functions import (
    ARITHMETIC,
    ARRAY_FUNCTIONS,
    FOLDS,
    arithmetic,
    array_function,
    constant_list,
    folded,
    like,
)
from talik_api.cql_spatial import SPATIAL_FUNCTIONS, crs_of, geometry_literal, spatial_function
from talik_api.cql_text import canonical_text, parse_json, parse_text
from talik_api.cql_time import TEMPORAL_FUNCTIONS, Interval, open_end, temporal_function, time_literal

__all__ = ["CONFORMANCE", "Filter", "FilterError", "Kind", "Queryable", "all_of", "parse_filter"]

CONFORMANCE: tuple[str, ...] = tuple(
    f"http://www.opengis.net/spec/cql2/1.0/conf/{name}"
    for name in (
        "cql2-text",
        "cql2-json",
        "basic-cql2",
        "advanced-comparison-operators",
        "case-insensitive-comparison",
        "accent-insensitive-comparison",
        "basic-spatial-functions",
        "basic-spatial-functions-plus",
        "spatial-functions",
        "temporal-functions",
        "array-functions",
        "property-property",
        "arithmetic",
    )
)
"""The conformance classes of CQL2 that hold; tests/talik_api/test_cql.py has cases for each."""

MAX_SIZE = 2_000
"""Operations that may be evaluated per table; members of an IN list that are constants are not counted."""


@dataclass(frozen=True, kw_only=True)
class Filter:
    """A compiled filter."""

    expression: Expression
    canonical: str

    @property
    def columns(self) -> frozenset[str]:
        """Columns that `mask` needs; `bbox` is asked for beside a geometry, and not missed where there is none."""
        return self.expression.columns

    def mask(self, table: pa.Table) -> NDArray[np.bool_]:
        """Return (row,), True where the filter is true; unknown counts as false."""
        found = self.expression.evaluate(table)
        if isinstance(found, pa.Scalar):
            return np.full(table.num_rows, found.as_py() is True)
        filled: NDArray[np.bool_] = np.asarray(pc.fill_null(found, False).to_numpy(zero_copy_only=False), dtype=bool)
        return filled

    def bounds(self) -> tuple[Box, ...] | None:
        """Return lon/lat boxes (west, south, east, north) that every matching row's bounds meet; None: anywhere."""
        return self.expression.boxes

    def ranges(self) -> dict[str, tuple[Limit, Limit]]:
        """Return inclusive (lowest, highest) per column that every matching row keeps; None: open."""
        return dict(self.expression.ranges)

    def text(self) -> str:
        """Return the filter as CQL2 text, spelled in one way."""
        return self.canonical


def parse_filter(
    source: str | dict[str, Any],
    *,
    language: Literal["cql2-text", "cql2-json"],
    queryables: Mapping[str, Queryable],
    crs: str = "OGC:CRS84",
) -> Filter:
    """Parse, check and compile a filter; `crs` is that of its geometry literals, in its own axis order.

    Raises FilterError where it cannot be parsed, is too large, or names or compares what it must not.
    """
    tree = _tree(source, language)
    expression = _Compiler(queryables=queryables, crs=crs_of(crs)).condition(tree, "the filter")
    if expression.size > MAX_SIZE:
        raise FilterError(f"the filter has {expression.size} operations; at most {MAX_SIZE} are taken, so split it")
    return Filter(expression=expression, canonical=canonical_text(tree))


def all_of(*filters: Filter | None) -> Filter | None:
    """Return the filter that is true where all are; None where there is none."""
    given = [each for each in filters if each is not None]
    if len(given) < 2:
        return given[0] if given else None
    return Filter(
        expression=all_true(*(each.expression for each in given)),
        canonical=" AND ".join(f"({each.canonical})" for each in given),
    )


def _tree(source: str | dict[str, Any], language: str) -> Any:
    if language == "cql2-json":
        return parse_json(source)
    if not isinstance(source, str):
        raise FilterError("a filter in cql2-text must be a text; give filter-lang=cql2-json for a JSON object")
    return parse_text(source)


@dataclass(frozen=True, kw_only=True)
class _Compiler:
    """Turns the library's tree into expressions over the columns of one collection."""

    queryables: Mapping[str, Queryable]
    crs: CRS

    def condition(self, tree: Any, where: str) -> Expression:
        """Compile what must be true or false."""
        part = self.value(tree)
        require(part, "boolean", where)
        return part

    def value(self, tree: Any) -> Expression:
        """Compile any node but an interval."""
        if isinstance(tree, (bool, int, float, str)):
            return _scalar(tree)
        if isinstance(tree, list):
            return self._list(tree)
        if not isinstance(tree, dict):
            raise FilterError("the filter holds null, to which nothing is equal; write IS NULL")
        if "op" in tree:
            return self._operation(str(tree["op"]).lower(), tree.get("args", []))
        return self._leaf(tree)

    def _leaf(self, tree: dict[str, Any]) -> Expression:
        if "property" in tree:
            return property_of(self._queryable(tree["property"]))
        if "timestamp" in tree or "date" in tree:
            return time_literal(tree.get("timestamp", tree.get("date")))
        if "interval" in tree:
            raise FilterError("an interval stands where a single value must; use it in functions such as T_INTERSECTS")
        return geometry_literal(tree, self.crs)

    def _queryable(self, name: Any) -> Queryable:
        found = self.queryables.get(name)
        if found is None:
            known = ", ".join(sorted(self.queryables)) or "none"
            raise FilterError(f"property {str(name)[:60]!r} is not known; queryables are: {known}")
        return found

    def _operation(self, op: str, args: Any) -> Expression:
        """Compile an operation. Its name comes from outside: it is looked up, never called."""
        if op in {"and", "or"}:
            parts = [self.condition(arg, op.upper()) for arg in args]
            if not parts:
                raise FilterError(f"'{op}' has no arguments; expected two or more")
            return all_true(*parts) if op == "and" else any_true(*parts)
        if op in TEMPORAL_FUNCTIONS:
            left, right = self._counted(op, args, 2)
            return temporal_function(op, self._interval(left), self._interval(right))
        if op in {"between", "in"}:
            return self._between(args) if op == "between" else self._in(args)
        if op in {"not", "isnull"} | FOLDS.keys():
            return self._unary(op, self._counted(op, args, 1)[0])
        return self._binary(op, args)

    def _unary(self, op: str, arg: Any) -> Expression:
        if op == "not":
            return negated(self.condition(arg, "NOT"))
        part = self.value(arg)
        return is_null(part) if op == "isnull" else folded(op, part)

    def _binary(self, op: str, args: Any) -> Expression:
        if op not in COMPARISONS | ARITHMETIC | ARRAY_FUNCTIONS | SPATIAL_FUNCTIONS | {"like"}:
            known = sorted(FOLDS.keys() | ARRAY_FUNCTIONS | SPATIAL_FUNCTIONS | TEMPORAL_FUNCTIONS)
            raise FilterError(f"function {op[:60]!r} is not known; functions are: {', '.join(known)}")
        left, right = (self.value(arg) for arg in self._counted(op, args, 2))
        if op in COMPARISONS:
            return compare(op, *_as_times(left, right))
        if op in ARITHMETIC:
            return arithmetic(op, left, right)
        if op in ARRAY_FUNCTIONS:
            return array_function(op, _as_list(left), _as_list(right))
        return like(left, right) if op == "like" else spatial_function(op, left, right)

    def _between(self, args: Any) -> Expression:
        value, low, high = (self.value(arg) for arg in self._counted("between", args, 3))
        return all_true(compare(">=", *_as_times(value, low)), compare("<=", *_as_times(value, high)))

    def _in(self, args: Any) -> Expression:
        tested, members = self._counted("in", args, 2)
        if not isinstance(members, list) or not members:
            raise FilterError("IN takes a list in parentheses, such as status IN ('confirmed', 'edited')")
        value = self.value(tested)
        return is_in(value, [_as_times(value, self.value(member))[1] for member in members])

    def _list(self, members: list[Any]) -> Expression:
        values = [self.value(member) for member in members]
        if any(value.constant is None or value.kind in {"list", "geometry"} for value in values):
            raise FilterError(
                "a list holds properties, lists or geometries; give texts, numbers, truth values or times"
            )
        return constant_list(tuple(value.constant for value in values))

    def _interval(self, tree: Any) -> Interval:
        """Compile an operand of a temporal function; a single time is an interval of which both ends are one."""
        if not isinstance(tree, dict) or "interval" not in tree:
            time = self._time(tree)
            return Interval(start=time, end=time)
        start, end = self._counted("interval", tree["interval"], 2)
        made = Interval(
            start=open_end(start=True) if start == ".." else self._time(start),
            end=open_end(start=False) if end == ".." else self._time(end),
        )
        first, last = made.start.constant, made.end.constant
        if first is not None and last is not None and first > last:
            raise FilterError(f"the interval from {start} to {end} ends before it starts; swap its ends")
        return made

    def _time(self, tree: Any) -> Expression:
        time = time_literal(tree) if isinstance(tree, str) else self.value(tree)
        require(time, "time", "a temporal function")
        return time

    @staticmethod
    def _counted(op: str, args: Any, count: int) -> list[Any]:
        if not isinstance(args, list) or len(args) != count:
            found = len(args) if isinstance(args, list) else 1
            raise FilterError(f"'{op}' has {found} arguments; expected {count}")
        return args


def _as_list(part: Expression) -> Expression:
    """Read a constant as a list of one: the parser takes the parentheses of (DATE('2020-01-01')) for plain ones."""
    single = part.constant is not None and part.kind in {"text", "number", "boolean", "time"}
    return constant_list((part.constant,)) if single else part


def _scalar(value: bool | float | str) -> Expression:
    if isinstance(value, (bool, str)):
        return literal(value, "boolean" if isinstance(value, bool) else "text")
    if not math.isfinite(value):
        raise FilterError(f"number {value} is out of range; expected one of at most 1.8e308")
    return literal(float(value), "number")


def _as_times(left: Expression, right: Expression) -> tuple[Expression, Expression]:
    """Read a text that is compared with a time as a time, as STAC clients write it."""
    if left.kind == "time" and right.kind == "text" and right.constant is not None:
        return left, time_literal(right.constant)
    if right.kind == "time" and left.kind == "text" and left.constant is not None:
        return time_literal(left.constant), right
    return left, right
