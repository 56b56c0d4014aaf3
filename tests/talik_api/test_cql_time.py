"""Temporal functions of CQL2 against the counts of the standard's own test table, and dates as whole days."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest

from filtering import matches, parse

TIMES = pa.timestamp("ms", "UTC")
# Three rows that the counts below, of the standard's own test table, determine (OGC 21-065r2, annex A).
PLACES = {
    "date": pa.array([datetime(year, 4, 16).date() for year in (2021, 2022, 2023)]),
    "start": pa.array(["2021-04-16T10:15:59Z", "2022-04-16T10:13:19Z", "2022-04-16T10:15:10Z"]).cast(TIMES),
    "end": pa.array(["2022-04-16T10:16:06Z", "2023-04-16T10:16:06Z", "2022-04-16T10:16:06Z"]).cast(TIMES),
}
MOMENT = "timestamp('2022-04-16T10:13:19Z')"
YEAR = "interval('2022-01-01T00:00:00Z','2022-12-31T23:59:59Z')"
SHORT = "interval('2022-04-16T10:13:19Z','2022-04-16T10:15:10Z')"


@pytest.mark.parametrize(
    ("predicate", "count"),
    [
        ("t_after(date,date('2022-04-16'))", 1),
        ("t_before(date,date('2022-04-16'))", 1),
        ("t_disjoint(date,date('2022-04-16'))", 2),
        ("t_equals(date,date('2022-04-16'))", 1),
        ("t_intersects(date,date('2022-04-16'))", 1),
        ("t_after(date,interval('2022-01-01','2022-12-31'))", 1),
        ("t_before(date,interval('2022-01-01','2022-12-31'))", 1),
        ("t_disjoint(date,interval('2022-01-01','2022-12-31'))", 2),
        ("t_equals(date,interval('2022-01-01','2022-12-31'))", 0),
        ("t_equals(date,interval('2022-04-16','2022-04-16'))", 1),
        ("t_intersects(date,interval('2022-01-01','2022-12-31'))", 1),
        (f"t_after(start,{MOMENT})", 1),
        (f"t_before(start,{MOMENT})", 1),
        (f"t_disjoint(start,{MOMENT})", 2),
        (f"t_equals(start,{MOMENT})", 1),
        (f"t_intersects(start,{MOMENT})", 1),
        (f"t_after(start,{YEAR})", 0),
        (f"t_before(start,{YEAR})", 1),
        (f"t_disjoint(start,{YEAR})", 1),
        (f"t_equals(start,{YEAR})", 0),
        (f"t_intersects(start,{YEAR})", 2),
        ("t_after(interval(start,end),interval('..','2022-04-16T10:13:19Z'))", 1),
        ("t_before(interval(start,end),interval('2023-01-01T00:00:00Z','..'))", 2),
        ("t_disjoint(interval(start,end),interval('2022-04-16T10:13:19Z','2022-04-16T10:15:09Z'))", 1),
        ("t_equals(interval(start,end),interval('2021-04-16T10:15:59Z','2022-04-16T10:16:06Z'))", 1),
        ("t_intersects(interval(start,end),interval('2022-04-16T10:13:19Z','2022-04-16T10:15:09Z'))", 2),
        (f"T_CONTAINS(interval(start,end),{SHORT})", 1),
        (f"T_DURING(interval(start,end),{YEAR})", 1),
        ("T_FINISHES(interval(start,end),interval('2022-04-16T10:13:19Z','2022-04-16T10:16:06Z'))", 1),
        ("T_FINISHEDBY(interval(start,end),interval('2022-04-16T10:13:19Z','2022-04-16T10:16:06Z'))", 1),
        (f"T_MEETS(interval(start,end),{SHORT})", 0),
        (f"T_METBY(interval(start,end),{SHORT})", 1),
        ("T_OVERLAPPEDBY(interval(start,end),interval('2020-04-16T10:13:19Z','2022-04-16T10:15:10Z'))", 2),
        ("T_OVERLAPS(interval(start,end),interval('2022-04-16T10:13:19Z','2023-04-16T10:15:10Z'))", 1),
        (f"T_STARTEDBY(interval(start,end),{SHORT})", 1),
        (f"T_STARTS(interval(start,end),{SHORT})", 0),
        ("date in (DATE('2021-04-16'),DATE('2022-04-16'),DATE('2022-04-18'))", 2),
        ("date not in ('2021-04-16','2022-04-16','2022-04-18')", 1),
        (f"start in ({MOMENT})", 1),
        (f"start not in ({MOMENT})", 2),
    ],
)
def test_times_have_the_counts_of_the_standards_test_table(predicate: str, count: int) -> None:
    assert len(matches(predicate, **PLACES)) == count


def test_a_date_is_the_whole_of_its_day_in_utc() -> None:
    first = datetime(2020, 7, 1, tzinfo=UTC)
    when = pa.array(
        [first - timedelta(milliseconds=1), first, first + timedelta(hours=23.9), first + timedelta(1)], TIMES
    )
    day = "DATE('2020-07-01')"
    for sign, expected in {"=": [1, 2], "<>": [0, 3], "<": [0], "<=": [0, 1, 2], ">": [3], ">=": [1, 2, 3]}.items():
        assert matches(f"when {sign} {day}", when=when) == expected
    last = datetime(2020, 7, 1, 23, 59, 59, 999_999, tzinfo=UTC)
    assert parse(f"when = {day}").ranges() == {"when": (first, last)}
    assert parse(f"when < {day} and when >= {day}").ranges() == {"when": (first, first)}
    assert parse(f"when > {day}").ranges() == {"when": (last, None)}
    assert matches(f"t_after(when, {day})", when=when) == [3]
    assert matches("t_intersects(when, interval('2020-06-30', '2020-07-01'))", when=when) == [0, 1, 2]
    assert matches("when = timestamp('2020-07-01T02:00:00+02:00')", when=when) == [1]
    assert matches("when between '2020-07-01' and '2020-07-01'", when=when) == [1, 2]


def test_a_null_end_is_unknown_and_dots_are_open() -> None:
    start = pa.array([datetime(2020, 1, 1, tzinfo=UTC), None, None], TIMES)
    end = pa.array([None, datetime(2020, 1, 1, tzinfo=UTC), None], TIMES)
    found = "t_intersects(interval(start, end), interval('2021-01-01', '..'))"
    assert matches(found, start=start, end=end) == []
    assert matches(f"not {found}", start=start, end=end) == [1]
    assert matches("t_intersects(interval(start, '..'), interval('2021-01-01', '..'))", start=start) == [0]
    assert matches("t_equals(interval('..', '..'), interval('..', '..'))", start=start) == [0, 1, 2]
