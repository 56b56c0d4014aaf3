"""The compiled form of a CQL2 filter: one `Expression` per node, evaluated over an Arrow table at once.

Arrow's kernels carry the nulls: comparisons and arithmetic with a null are null, and AND, OR, NOT follow Kleene.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import reduce
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc

from talik_stac.errors import TalikError

Kind = Literal["number", "integer", "text", "boolean", "time", "date", "list", "geometry"]
Box = tuple[float, float, float, float]
Limit = float | datetime | str | None
Ranges = Mapping[str, tuple[Limit, Limit]]
Evaluate = Callable[[pa.Table], Any]
"""Table -> Arrow array of its rows, or an Arrow scalar that holds for every row."""

TIME = pa.timestamp("us", tz="UTC")
OPEN_START = datetime.min.replace(tzinfo=UTC)
OPEN_END = datetime.max.replace(tzinfo=UTC)
"""What `..` stands for at the start and at the end of an interval."""
_ARROW_TYPES = {"number": pa.float64(), "text": pa.string(), "boolean": pa.bool_(), "time": TIME}


class FilterError(TalikError):
    """A filter cannot be parsed, names what is not there, compares what cannot be compared, or is too large."""


@dataclass(frozen=True, kw_only=True)
class Queryable:
    """One property that filters may name."""

    name: str
    kind: Kind
    column: str
    """Name of the column; a path such as `a.b` goes into a struct where no column bears the whole name."""
    description: str = ""
    unit: str = ""
    values: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Expression:
    """A value of each row: a number, a text, a truth value, a time, a list or a geometry."""

    kind: str
    """One of Kind without `integer` (a number) and `date` (a time that `is_day`)."""
    evaluate: Evaluate
    columns: frozenset[str] = frozenset()
    column: str | None = None
    """The column, where the expression is a property and nothing else."""
    constant: Any = None
    """The value in Python (str, float, bool, aware datetime, tuple, geometry) where it is the same for every row."""
    is_day: bool = False
    """Whether a time is a date: it is then compared by UTC days."""
    boxes: tuple[Box, ...] | None = None
    """Of a condition: lon/lat boxes outside which it is never true; None where that is not known."""
    ranges: Ranges = field(default_factory=dict)
    """Of a condition: inclusive bounds of columns outside which it is never true."""
    size: int = 1
    """Count of the nodes that are evaluated for each table."""


def joined(*parts: Expression) -> frozenset[str]:
    """Return the columns of all parts."""
    return frozenset().union(*(part.columns for part in parts))


def total_size(*parts: Expression) -> int:
    """Return the size of a node above these parts."""
    return 1 + sum(part.size for part in parts)


def literal(value: Any, kind: str, *, is_day: bool = False) -> Expression:
    """Make a constant number, text, truth value or time."""
    scalar = pa.scalar(value, _ARROW_TYPES[kind])
    return Expression(kind=kind, evaluate=lambda _: scalar, constant=value, is_day=is_day, size=0)


def property_of(queryable: Queryable) -> Expression:
    """Read a property; a column that a table lacks is null everywhere, and so is a number that is NaN."""
    kind = {"integer": "number", "date": "time"}.get(queryable.kind, queryable.kind)
    name = queryable.column
    return Expression(
        kind=kind,
        evaluate=lambda table: _read(table, name, kind),
        columns=frozenset([name]),
        column=name,
        is_day=queryable.kind == "date",
    )


def _read(table: pa.Table, name: str, kind: str) -> pa.Array:
    """Return a column as its kind's Arrow type (lists and geometries as they are stored)."""
    values = _column(table, name)
    if isinstance(values.type, pa.DictionaryType):
        values = values.dictionary_decode()
    if kind not in _ARROW_TYPES:
        return values
    if kind == "time" and not pa.types.is_timestamp(values.type):
        values = values.cast(pa.timestamp("us")) if pa.types.is_date(values.type) else values
    values = values.cast(_ARROW_TYPES[kind], safe=kind not in {"time", "number"})
    return _finite(values) if kind == "number" else values


def _column(table: pa.Table, name: str) -> pa.Array:
    """Find a column by its name, then as a path into structs; nulls where there is none."""
    if name in table.column_names:
        return table[name].combine_chunks()
    first, *rest = name.split(".")
    if not rest or first not in table.column_names:
        return pa.nulls(table.num_rows)
    values = table[first].combine_chunks()
    for step in rest:
        if not pa.types.is_struct(values.type) or values.type.get_field_index(step) < 0:
            return pa.nulls(table.num_rows)
        values = pc.struct_field(values, step)
    return values


def _finite(values: Any) -> Any:
    """Turn what is no finite number into null."""
    return pc.if_else(pc.is_finite(values), values, pa.scalar(None, pa.float64()))


def floor_day(time: Any) -> Any:
    """Return the UTC midnight before each time."""
    return pc.floor_temporal(time, unit="day")


_COMPARE = {
    "=": pc.equal,
    "<>": pc.not_equal,
    "<": pc.less,
    "<=": pc.less_equal,
    ">": pc.greater,
    ">=": pc.greater_equal,
}
COMPARISONS = frozenset(_COMPARE)
_TURNED = {"=": "=", "<>": "<>", "<": ">", "<=": ">=", ">": "<", ">=": "<="}


def compare(op: str, left: Expression, right: Expression) -> Expression:
    """Compare two scalars of one kind; times by UTC day where either is a date, and false goes before true."""
    if left.kind != right.kind or left.kind not in _ARROW_TYPES:
        raise FilterError(f"'{op}' compares {left.kind} with {right.kind}; give two of number, text, boolean or time")
    kernel, by_day = _COMPARE[op], left.kind == "time" and left.is_day != right.is_day

    def evaluate(table: pa.Table) -> Any:
        sides = left.evaluate(table), right.evaluate(table)
        return kernel(*(map(floor_day, sides) if by_day else sides))

    return Expression(
        kind="boolean",
        evaluate=evaluate,
        columns=joined(left, right),
        ranges=_range(op, left, right) or _range(_TURNED[op], right, left),
        size=total_size(left, right),
    )


def _range(op: str, left: Expression, right: Expression) -> Ranges:
    """Bound a property that is compared with a constant; a date is the whole of its day."""
    value = right.constant
    if left.column is None or value is None or op == "<>" or left.kind == "boolean" or left.is_day:
        return {}
    last = end_of_day(value) if right.is_day else value
    lowest = (last if op == ">" and right.is_day else value) if op in {"=", ">", ">="} else None
    highest = (value if op == "<" else last) if op in {"=", "<", "<="} else None
    lowest, highest = (None if limit in {OPEN_START, OPEN_END} else limit for limit in (lowest, highest))
    return {} if lowest is None and highest is None else {left.column: (lowest, highest)}


def end_of_day(day: datetime) -> datetime:
    """Return the last microsecond of the day that begins here."""
    return day + timedelta(days=1, microseconds=-1)


def all_true(*parts: Expression) -> Expression:
    """AND: false where any part is false, unknown where none is false and one unknown."""
    return _logical(pc.and_kleene, parts, boxes=_tightest(parts), ranges=_narrowed(parts))


def any_true(*parts: Expression) -> Expression:
    """OR: true where any part is true, unknown where none is true and one unknown."""
    return _logical(pc.or_kleene, parts, boxes=_together(parts), ranges={})


def negated(part: Expression) -> Expression:
    """NOT: unknown stays unknown."""
    require(part, "boolean", "NOT")
    return Expression(
        kind="boolean",
        evaluate=lambda table: pc.invert(part.evaluate(table)),
        columns=part.columns,
        size=total_size(part),
    )


def is_null(part: Expression) -> Expression:
    """IS NULL: the one predicate that is never unknown."""
    if part.constant is not None:
        return literal(False, "boolean")
    return Expression(
        kind="boolean",
        evaluate=lambda table: pc.is_null(part.evaluate(table)),
        columns=part.columns,
        size=total_size(part),
    )


def is_in(value: Expression, members: list[Expression]) -> Expression:
    """IN: equal to one of the members, of which there must be one at least."""
    one_by_one = [compare("=", value, member) for member in members]  # also checks the kinds
    if any(member.constant is None or member.is_day for member in members) or value.is_day:
        return any_true(*one_by_one)
    is_number = value.kind == "number"
    # Adding zero turns -0.0 into 0.0: Arrow's sets tell them apart, which equality must not.
    constants = [member.constant + 0.0 if is_number else member.constant for member in members]
    known = pa.array(constants, _ARROW_TYPES[value.kind])

    def evaluate(table: pa.Table) -> Any:
        values = pc.add(value.evaluate(table), 0.0) if is_number else value.evaluate(table)
        return pc.if_else(pc.is_valid(values), pc.is_in(values, value_set=known), pa.scalar(None, pa.bool_()))

    ordered = value.column is not None and value.kind != "boolean"
    ranges = {value.column: (min(constants), max(constants))} if ordered and value.column else {}
    return Expression(kind="boolean", evaluate=evaluate, columns=value.columns, ranges=ranges, size=total_size(value))


def require(part: Expression, kind: str, where: str) -> None:
    """Raise FilterError where a part is not of the kind that its place needs."""
    if part.kind != kind:
        raise FilterError(f"{where} takes {kind}, not {part.kind}{_named(part)}")


def _named(part: Expression) -> str:
    if part.column is not None:
        return f" (property of column '{part.column}')"
    return f" ({str(part.constant)[:60]!r})" if part.constant is not None else ""


def _logical(
    kernel: Callable[[Any, Any], Any], parts: tuple[Expression, ...], *, boxes: tuple[Box, ...] | None, ranges: Ranges
) -> Expression:
    for part in parts:
        require(part, "boolean", "AND or OR")
    return Expression(
        kind="boolean",
        evaluate=lambda table: reduce(kernel, (part.evaluate(table) for part in parts)),
        columns=joined(*parts),
        boxes=boxes,
        ranges=ranges,
        size=total_size(*parts),
    )


def _tightest(parts: tuple[Expression, ...]) -> tuple[Box, ...] | None:
    """Choose one part's boxes. Not their intersection: a large polygon may meet two boxes and not what they share."""
    known = [part.boxes for part in parts if part.boxes is not None]
    return min(
        known,
        key=lambda boxes: sum((east - west) * (north - south) for west, south, east, north in boxes),
        default=None,
    )


def _together(parts: tuple[Expression, ...]) -> tuple[Box, ...] | None:
    """Gather the boxes of all parts, where each part has some and they are few."""
    if any(part.boxes is None for part in parts):
        return None
    boxes = reduce(operator.add, (part.boxes or () for part in parts), ())
    return boxes if len(boxes) <= 64 else None


def _narrowed(parts: tuple[Expression, ...]) -> Ranges:
    """Keep, for each column, the highest low and the lowest high."""
    found: dict[str, tuple[Any, Any]] = {}
    for part in parts:
        for column, (low, high) in part.ranges.items():
            known_low, known_high = found.get(column, (None, None))
            lows = [limit for limit in (low, known_low) if limit is not None]
            highs = [limit for limit in (high, known_high) if limit is not None]
            found[column] = max(lows, default=None), min(highs, default=None)
    return found
