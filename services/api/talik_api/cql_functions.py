"""What CQL2 computes from numbers, texts and lists: arithmetic, LIKE, CASEI, ACCENTI and the array functions."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from talik_api.cql_expressions import TIME, Expression, FilterError, joined, literal, require, total_size

MAX_PATTERN = 1000
"""Characters of a LIKE pattern: RE2 needs memory in proportion."""

_ARITHMETIC: dict[str, Callable[[Any, Any], Any]] = {
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
    "/": np.divide,
    "%": np.fmod,
    "div": lambda left, right: np.trunc(np.divide(left, right)),
    "^": np.power,
}
ARITHMETIC = frozenset(_ARITHMETIC)


def arithmetic(op: str, left: Expression, right: Expression) -> Expression:
    """Compute in float64; what is no finite number (a division by zero, a root of a negative) is null.

    `/` is a true division, `div` drops the fraction, and `%` has the sign of its left operand, as in PostgreSQL.
    """
    require(left, "number", f"'{op}'")
    require(right, "number", f"'{op}'")
    kernel = _ARITHMETIC[op]

    def evaluate(table: pa.Table) -> pa.Array:
        with np.errstate(all="ignore"):
            values = kernel(_floats(left.evaluate(table)), _floats(right.evaluate(table)))
        rows = np.broadcast_to(np.asarray(values, dtype=np.float64), (table.num_rows,))
        return pa.array(rows, mask=~np.isfinite(rows))

    if left.constant is not None and right.constant is not None:
        value = evaluate(pa.table({"row": [0]}))[0].as_py()
        if value is not None:
            return literal(value, "number")
    return Expression(kind="number", evaluate=evaluate, columns=joined(left, right), size=total_size(left, right))


def _floats(values: Any) -> Any:
    """Give NumPy a number or an array of them, NaN where null."""
    if isinstance(values, pa.Scalar):
        value = values.as_py()
        return np.float64("nan") if value is None else np.float64(value)
    return values.to_numpy(zero_copy_only=False).astype(np.float64, copy=False)


def without_case(text: str) -> str:
    """Fold the case as Unicode does: Straße is strasse (in NFC, so that one letter has one spelling)."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())


def without_accents(text: str) -> str:
    """Take the marks off the letters: décor is decor (Unicode NFD without category Mn)."""
    marked = unicodedata.normalize("NFD", text)
    return unicodedata.normalize("NFC", "".join(letter for letter in marked if unicodedata.category(letter) != "Mn"))


FOLDS: dict[str, Callable[[str], str]] = {"casei": without_case, "accenti": without_accents}


def folded(name: str, part: Expression) -> Expression:
    """Apply CASEI (Unicode case folding) or ACCENTI to a text."""
    require(part, "text", name)
    fold = FOLDS[name]
    if part.constant is not None:
        return literal(fold(part.constant), "text")

    def evaluate(table: pa.Table) -> pa.Array:
        encoded = part.evaluate(table).dictionary_encode()  # each different text is folded once
        texts = [None if text is None else fold(text) for text in encoded.dictionary.to_pylist()]
        return pa.array(texts, pa.string()).take(encoded.indices)

    return Expression(kind="text", evaluate=evaluate, columns=part.columns, size=total_size(part))


def like(value: Expression, pattern: Expression) -> Expression:
    r"""Match a whole text: % is any run of characters, _ is one, and \ takes the next one as it is."""
    require(value, "text", "LIKE")
    require(pattern, "text", "LIKE")
    if pattern.constant is None:
        raise FilterError("the pattern of LIKE is computed; expected a text such as 'lake%'")
    expression = _regex(pattern.constant)

    def evaluate(table: pa.Table) -> Any:
        return pc.match_substring_regex(value.evaluate(table), expression)

    return Expression(kind="boolean", evaluate=evaluate, columns=value.columns, size=total_size(value))


def _regex(pattern: str) -> str:
    """Translate for RE2, which Arrow uses and whose time grows in proportion to the text, whatever the pattern."""
    if len(pattern) > MAX_PATTERN:
        raise FilterError(f"a LIKE pattern has {len(pattern)} characters; at most {MAX_PATTERN} are taken")
    if "\0" in pattern:
        raise FilterError("a LIKE pattern holds a zero character; take it out")
    tokens = re.findall(r"\\.|[^\\]|\\\Z", pattern, flags=re.DOTALL)
    wild = {"%": ".*", "_": "."}
    return r"(?s)\A" + "".join(wild.get(token) or re.escape(token[-1]) for token in tokens) + r"\z"


ARRAY_FUNCTIONS = frozenset(["a_contains", "a_containedby", "a_equals", "a_overlaps"])
_SETS: dict[str, Callable[[frozenset[Any], frozenset[Any]], bool]] = {
    "a_contains": lambda left, right: left >= right,
    "a_containedby": lambda left, right: left <= right,
    "a_equals": lambda left, right: left == right,
    "a_overlaps": lambda left, right: bool(left & right),
}
_SWAPPED = {"a_contains": "a_containedby", "a_containedby": "a_contains"}


def constant_list(values: tuple[Any, ...]) -> Expression:
    """Make a list literal of texts, numbers, truth values or times; it is used by its constant, never evaluated."""
    return Expression(kind="list", evaluate=lambda _: None, constant=values, size=0)


def array_function(op: str, left: Expression, right: Expression) -> Expression:
    """Compare two lists as sets: neither order nor repetition counts; a null list is unknown."""
    require(left, "list", op)
    require(right, "list", op)
    if left.constant is not None and right.constant is not None:
        return literal(_SETS[op](frozenset(left.constant), frozenset(right.constant)), "boolean")
    if left.constant is not None:
        return array_function(_SWAPPED.get(op, op), right, left)

    def evaluate(table: pa.Table) -> pa.Array:
        if right.constant is not None:
            return _with_constant(op, left.evaluate(table), right.constant)
        return _row_by_row(op, left.evaluate(table), right.evaluate(table))

    return Expression(kind="boolean", evaluate=evaluate, columns=joined(left, right), size=total_size(left, right))


def _row_by_row(op: str, left: pa.Array, right: pa.Array) -> pa.Array:
    check = _SETS[op]
    pairs = zip(left.to_pylist(), right.to_pylist(), strict=True)
    found = [None if a is None or b is None else check(frozenset(a), frozenset(b)) for a, b in pairs]
    return pa.array(found, pa.bool_())


def _with_constant(op: str, lists: pa.Array, wanted: tuple[Any, ...]) -> pa.Array:
    """Count, per row, the wanted values that it holds and the values that are not wanted."""
    if pa.types.is_null(lists.type):
        return pa.nulls(len(lists), pa.bool_())
    values, rows = pc.list_flatten(lists), pc.list_parent_indices(lists).to_numpy(zero_copy_only=False)
    codes = _codes(values, wanted)  # (value,), -1 where not wanted
    count, different = len(lists), len(set(wanted))
    other = np.bincount(rows[codes < 0], minlength=count)
    pairs = np.unique(rows[codes >= 0].astype(np.int64) * max(different, 1) + codes[codes >= 0])
    held = np.bincount(pairs // max(different, 1), minlength=count)
    found = {
        "a_contains": held == different,
        "a_containedby": other == 0,
        "a_equals": (held == different) & (other == 0),
        "a_overlaps": held > 0,
    }[op]
    return pa.array(found, mask=pc.is_null(lists).to_numpy(zero_copy_only=False))


def _codes(values: pa.Array, wanted: tuple[Any, ...]) -> NDArray[np.int64]:
    """Number the values by their place among the wanted ones; a wanted value of another type is never found."""
    kind: type
    if pa.types.is_integer(values.type) or pa.types.is_floating(values.type):
        values, kind = pc.add(values.cast(pa.float64(), safe=False), 0.0), float  # -0.0 is 0.0
    elif pa.types.is_timestamp(values.type) or pa.types.is_date(values.type):
        values, kind = values.cast(pa.timestamp("us")).cast(TIME), datetime
    else:
        kind = bool if pa.types.is_boolean(values.type) else str
    same = dict.fromkeys(value or kind() if kind is float else value for value in wanted if type(value) is kind)
    places = pc.index_in(values, value_set=pa.array(list(same), values.type), skip_nulls=True)
    return np.asarray(places.fill_null(-1).to_numpy(zero_copy_only=False), dtype=np.int64)
