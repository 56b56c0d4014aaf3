"""The `query` parameter (STAC API Query Extension), written as a filter in CQL2."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from talik_api.problems import Problem

_COMPARISONS = {"eq": "=", "neq": "<>", "lt": "<", "lte": "<=", "gt": ">", "gte": ">="}
_PATTERNS = {"startsWith": "{}%", "endsWith": "%{}", "contains": "%{}%"}
OPERATORS = (*_COMPARISONS, *_PATTERNS, "in")


def as_cql2(query: Any) -> dict[str, Any] | None:
    """Write {"eo:cloud_cover": {"lt": 10}} as CQL2 JSON; None where it asks nothing. Raises Problem 400."""
    if not isinstance(query, dict):
        raise _problem('expected an object such as {"eo:cloud_cover": {"lt": 10}}')
    parts = [part for name, conditions in query.items() for part in _parts(name, conditions)]
    if not parts:
        return None
    return parts[0] if len(parts) == 1 else {"op": "and", "args": parts}


def _parts(name: str, conditions: Any) -> Iterator[dict[str, Any]]:
    if not isinstance(conditions, dict):
        raise _problem(f"'{name[:100]}' has no operators; expected some of: {', '.join(OPERATORS)}")
    for operator, value in conditions.items():
        yield _part({"property": name.removeprefix("properties.")}, operator, value)


def _part(named: dict[str, str], operator: str, value: Any) -> dict[str, Any]:
    if operator in _COMPARISONS:
        if value is None:  # nothing is equal to null in CQL2; here it is asked for
            empty = {"op": "isNull", "args": [named]}
            if operator in ("eq", "neq"):
                return empty if operator == "eq" else {"op": "not", "args": [empty]}
        return {"op": _COMPARISONS[operator], "args": [named, value]}
    if operator in _PATTERNS:
        if not isinstance(value, str):
            raise _problem(f"'{operator}' takes a text")
        escaped = re.sub(r"([%_\\])", r"\\\1", value)
        return {"op": "like", "args": [named, _PATTERNS[operator].format(escaped)]}
    if operator == "in":
        if not isinstance(value, list) or not value:
            raise _problem("'in' takes a list of values")
        return {"op": "in", "args": [named, value]}
    raise _problem(f"operator '{operator[:100]}' is not known; there is: {', '.join(OPERATORS)}")


def _problem(detail: str) -> Problem:
    return Problem(400, "The query is not valid", detail)
