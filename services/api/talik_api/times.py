"""The `datetime` parameter of OGC API Features and STAC: an instant, or an interval that may be open."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from talik_api.problems import Problem

_RFC3339 = re.compile(r"\d{4}-\d{2}-\d{2}[Tt]\d{2}:\d{2}:\d{2}(?:\.\d+)?(?:[Zz]|[+-]\d{2}:\d{2})", re.ASCII)
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_FORMS = (
    "expected 2020-07-01T00:00:00Z, 2020-07-01, or an interval such as 2020-06-01/2020-09-30, 2020-06-01/.. "
    "or ../2020-09-30"
)


@dataclass(frozen=True, kw_only=True)
class Span:
    """Moments from start to end, both inclusive; None is open."""

    start: datetime | None
    end: datetime | None


def parse_span(text: str, *, days: bool = True) -> Span:
    """Read `datetime`; a day stands for all of it in UTC. Raises Problem 400.

    `days` False takes RFC 3339 date-times only, as STAC asks.
    """
    parts = text.split("/")
    if len(parts) > 2 or not text.strip():
        raise _problem(text)
    ends = [_moments(part, text, days=days) for part in parts]
    if len(ends) == 1:
        if ends[0] is None:
            raise _problem(text)
        return Span(start=ends[0][0], end=ends[0][1])
    first, last = ends
    if first is None and last is None:
        raise _problem(text)
    span = Span(start=None if first is None else first[0], end=None if last is None else last[1])
    if span.start is not None and span.end is not None and span.start > span.end:
        raise Problem(400, "The datetime is not valid", f"datetime={text[:200]} ends before it begins")
    return span


def _moments(part: str, text: str, *, days: bool) -> tuple[datetime, datetime] | None:
    """First and last moment of one side; None where it is open."""
    if part in ("", ".."):
        return None
    try:
        if days and _DAY.fullmatch(part):
            day = date.fromisoformat(part)
            first = datetime.combine(day, time.min, UTC)
            return first, first + timedelta(days=1, microseconds=-1)
        if _RFC3339.fullmatch(part):
            moment = _moment(part)
            return moment, moment
    except (ValueError, OverflowError) as error:
        raise _problem(text) from error
    raise _problem(text)


def _moment(part: str) -> datetime:
    # Python reads up to six decimals; RFC 3339 allows any number.
    trimmed = re.sub(r"(\.\d{6})\d+", r"\1", part.upper())
    return datetime.fromisoformat(trimmed.replace("Z", "+00:00")).astimezone(UTC)


def _problem(text: str) -> Problem:
    return Problem(400, "The datetime is not valid", f"datetime={text[:200]}; {_FORMS}")
