"""Times in CQL2 filters: literals, intervals and the 15 temporal functions of the standard.

A DATE (and a date as the end of an interval) is an instant as long as a day, in UTC. Wherever it meets a
timestamp the two are compared by UTC days: `t = DATE('2020-07-01')` and `T_EQUALS(t, DATE('2020-07-01'))` are true
for each t on that day, `t > DATE('2020-07-01')` begins with the next. Both ends belong to an interval, and `..` is
an open end; a null end is unknown, not open. An instant is an interval whose ends are one, but only five functions
take it (T_AFTER, T_BEFORE, T_DISJOINT, T_EQUALS, T_INTERSECTS): the standard wants an error of the others.
Source: OGC 21-065r2, requirements class Temporal Functions (its table of the functions).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from talik_api.cql_expressions import (
    OPEN_END,
    OPEN_START,
    Expression,
    FilterError,
    all_true,
    any_true,
    compare,
    literal,
)

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}\Z", re.ASCII)
_TIMESTAMP = re.compile(r"\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}:\d{2}(\.\d+)?([Zz]|[+-]\d{2}:\d{2})\Z", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class Interval:
    """Two times that bound a stretch; both belong to it."""

    start: Expression
    end: Expression

    @property
    def is_instant(self) -> bool:
        """Whether the operand was given as one time."""
        return self.start is self.end


def time_literal(text: Any) -> Expression:
    """Read an RFC 3339 date or timestamp, to the microsecond."""
    try:
        if isinstance(text, str) and _DATE.match(text):
            return literal(datetime.fromisoformat(text).replace(tzinfo=UTC), "time", is_day=True)
        if isinstance(text, str) and _TIMESTAMP.match(text):
            return literal(datetime.fromisoformat(text.upper()).astimezone(UTC), "time")
    except (ValueError, OverflowError):
        pass
    raise FilterError(f"{str(text)[:60]!r} is no time; expected one such as 2020-07-01 or 2020-07-01T12:00:00Z")


def open_end(*, start: bool) -> Expression:
    """Return what `..` stands for."""
    return literal(OPEN_START if start else OPEN_END, "time")


# (end of the left operand, comparison, end of the right operand), all of which must hold.
_CONDITIONS: dict[str, tuple[tuple[str, str, str], ...]] = {
    "t_after": (("start", ">", "end"),),
    "t_before": (("end", "<", "start"),),
    "t_contains": (("start", "<", "start"), ("end", ">", "end")),
    "t_during": (("start", ">", "start"), ("end", "<", "end")),
    "t_equals": (("start", "=", "start"), ("end", "=", "end")),
    "t_finishedby": (("start", "<", "start"), ("end", "=", "end")),
    "t_finishes": (("start", ">", "start"), ("end", "=", "end")),
    "t_intersects": (("start", "<=", "end"), ("end", ">=", "start")),
    "t_meets": (("end", "=", "start"),),
    "t_metby": (("start", "=", "end"),),
    "t_overlappedby": (("start", ">", "start"), ("start", "<", "end"), ("end", ">", "end")),
    "t_overlaps": (("start", "<", "start"), ("end", ">", "start"), ("end", "<", "end")),
    "t_startedby": (("start", "=", "start"), ("end", ">", "end")),
    "t_starts": (("start", "=", "start"), ("end", "<", "end")),
}
TEMPORAL_FUNCTIONS = frozenset([*_CONDITIONS, "t_disjoint"])
_OF_INSTANTS = frozenset(["t_after", "t_before", "t_disjoint", "t_equals", "t_intersects"])


def temporal_function(op: str, left: Interval, right: Interval) -> Expression:
    """Compose a temporal function of comparisons of the ends, so that nulls and bounds follow by themselves."""
    if op not in _OF_INSTANTS and (left.is_instant or right.is_instant):
        raise FilterError(
            f"{op.upper()} takes two intervals, and one of these is an instant; "
            "use T_AFTER, T_BEFORE, T_DISJOINT, T_EQUALS or T_INTERSECTS, or write INTERVAL(t, t)"
        )
    if op == "t_disjoint":
        return any_true(compare("<", left.end, right.start), compare(">", left.start, right.end))
    return all_true(
        *(compare(sign, getattr(left, mine), getattr(right, other)) for mine, sign, other in _CONDITIONS[op])
    )
