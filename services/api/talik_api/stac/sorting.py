"""The order of an answer, and where its next page begins (STAC API Sort Extension)."""

from __future__ import annotations

import base64
import binascii
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from talik_api.cql import Kind, Queryable
from talik_api.problems import Problem
from talik_api.stac.normal import TIME

MAX_KEYS = 8
_TYPES: dict[Kind, pa.DataType] = {
    "number": pa.float64(),
    "integer": pa.float64(),
    "text": pa.string(),
    "boolean": pa.int8(),
    "time": TIME,
}


@dataclass(frozen=True, kw_only=True)
class SortKey:
    """One property to sort by; items without it come last, whichever the direction."""

    column: str
    kind: Kind
    descending: bool = False

    @property
    def sign(self) -> str:
        """As in a URL."""
        return f"{'-' if self.descending else '+'}{self.column}"


@dataclass(frozen=True, kw_only=True)
class Cursor:
    """The last item of a page by its sort values: the next begins behind it, whatever was added meanwhile."""

    values: tuple[Any, ...]

    def token(self, keys: Sequence[SortKey]) -> str:
        """Write it for a URL."""
        said = {"by": [key.sign for key in keys], "at": [_plain(value) for value in self.values]}
        text = json.dumps(said, separators=(",", ":"))
        return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")

    @staticmethod
    def parse(token: str, keys: Sequence[SortKey]) -> Cursor:
        """Read a token. Raises Problem 400 where it is none, or one of another order."""
        try:
            said = json.loads(base64.b64decode(f"{token}{'=' * (-len(token) % 4)}", altchars=b"-_", validate=True))
            by, at = said["by"], said["at"]
            if by != [key.sign for key in keys] or len(at) != len(keys):
                raise Problem(
                    400, "The token is not valid", "it belongs to another sortby; use the 'next' link as it is"
                )
            return Cursor(values=tuple(_value(each, key) for each, key in zip(at, keys, strict=True)))
        except (binascii.Error, ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
            detail = f"token={token[:100]} is no token of this service; use the 'next' link as it is"
            raise Problem(400, "The token is not valid", detail) from error


def sort_keys(asked: Sequence[tuple[str, bool]], queryables: Mapping[str, Queryable]) -> tuple[SortKey, ...]:
    """Find (name, descending) among the queryables; newest first, by collection and id, where nothing is asked.

    The collection and the id come last where they are not named, so that every order is total. Raises Problem 400.
    """
    if len(asked) > MAX_KEYS:
        raise Problem(400, "The order is not valid", f"sortby has {len(asked)} members; at most {MAX_KEYS} are taken")
    wanted = [(name.removeprefix("properties."), down) for name, down in asked] or [("datetime", True)]
    keys = {name: _key(name, down, queryables) for name, down in reversed(wanted)}
    ordered = [keys.pop(name) for name, _ in wanted if name in keys]
    named = {key.column for key in ordered}
    return (*ordered, *(SortKey(column=name, kind="text") for name in ("collection", "id") if name not in named))


def sort_columns(table: pa.Table, keys: Sequence[SortKey]) -> pa.Table:
    """The keys' columns as k0, k1, ... in the one type of their kind; what is no number is null."""
    return pa.table({f"k{place}": _typed(table[key.column], key) for place, key in enumerate(keys)})


def first_rows(rows: pa.Table, keys: Sequence[SortKey], count: int) -> pa.Table:
    """The `count` rows that come first."""
    order = [(f"k{place}", "descending" if key.descending else "ascending") for place, key in enumerate(keys)]
    found = pc.sort_indices(rows, sort_keys=order)  # nulls last, Arrow's default
    return rows.take(found[:count]).combine_chunks()


def behind(rows: pa.Table, keys: Sequence[SortKey], cursor: Cursor) -> pa.Table:
    """The rows that come after the cursor."""
    found: Any = pa.array(np.zeros(rows.num_rows, bool))
    for place, (key, value) in reversed(list(enumerate(zip(keys, cursor.values, strict=True)))):
        column = rows[f"k{place}"]
        if value is None:  # nulls are last: nothing lies beyond them
            found = pc.and_(pc.is_null(column), found)
            continue
        scalar = pa.scalar(value, _TYPES[key.kind])
        compare = pc.less if key.descending else pc.greater
        beyond = pc.fill_null(compare(column, scalar), True)
        found = pc.or_(beyond, pc.and_(pc.fill_null(pc.equal(column, scalar), False), found))
    return rows.filter(found)


def cursor_at(rows: pa.Table, row: int, keys: Sequence[SortKey]) -> Cursor:
    """The cursor behind a row."""
    return Cursor(values=tuple(rows[f"k{place}"][row].as_py() for place in range(len(keys))))


def _key(name: str, descending: bool, queryables: Mapping[str, Queryable]) -> SortKey:
    found = queryables.get(name)
    if found is None or found.kind not in _TYPES:
        there = ", ".join(sorted(each.name for each in queryables.values() if each.kind in _TYPES))
        raise Problem(400, "The order is not valid", f"sortby={name[:100]}; expected some of: {there}")
    return SortKey(column=found.name, kind=found.kind, descending=descending)


def _typed(column: pa.ChunkedArray, key: SortKey) -> pa.ChunkedArray:
    if isinstance(column.type, pa.DictionaryType):
        column = column.cast(column.type.value_type)
    values = column.cast(_TYPES[key.kind], safe=False)
    if key.kind in ("number", "integer"):
        return pc.if_else(pc.is_finite(values), values, pa.scalar(None, pa.float64()))
    return values


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value


def _value(said: Any, key: SortKey) -> Any:
    """Check a value of a token. Raises ValueError or TypeError."""
    if said is None:
        return None
    if key.kind == "time":
        moment = datetime.fromisoformat(said)
        if moment.tzinfo is None:
            raise ValueError(said)
        return moment
    if key.kind == "text":
        if not isinstance(said, str):
            raise TypeError(said)
        said.encode()  # lone surrogates cannot be compared
        return said
    if isinstance(said, bool) or not isinstance(said, int | float) or not math.isfinite(said):
        raise TypeError(said)
    if key.kind == "boolean":
        return {0: 0, 1: 1}[int(said)]
    return float(said)
