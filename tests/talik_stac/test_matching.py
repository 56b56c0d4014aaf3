"""Ids stay with their objects from one edition to the next."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely.geometry.base import BaseGeometry

from editing import table_of
from talik_stac.inventory import INVENTORY_SCHEMA
from talik_stac.matching import MIN_SHARE, carried_ids, overlapping


def _box(west: float, south: float, width: float = 1, height: float = 1) -> BaseGeometry:
    """A box in hundredths of a degree from 20 E 70 N."""
    return shapely.box(20 + west / 100, 70 + south / 100, 20 + (west + width) / 100, 70 + (south + height) / 100)


def _boxes(*corners: tuple[float, ...]) -> list[BaseGeometry]:
    return [_box(*each) for each in corners]


def _previous(polygons: list[BaseGeometry]) -> pa.Table:
    names = pa.array([f"old-{number}" for number in range(len(polygons))], pa.string())
    return table_of(polygons).set_column(0, INVENTORY_SCHEMA.field("id"), names)


def _carried(new: list[BaseGeometry], previous: list[BaseGeometry]) -> list[str | None]:
    """The id that each new object gets from `previous`."""
    rows = table_of(new)
    given = carried_ids([rows], _previous(previous))
    return [given.get(name) for name in rows["id"].to_pylist()]


def test_an_unchanged_object_keeps_its_id() -> None:
    lakes = _boxes((0, 0), (5, 5), (9, 0))
    assert _carried(lakes, lakes) == ["old-0", "old-1", "old-2"]


def test_objects_in_another_order_keep_their_ids() -> None:
    lakes = _boxes((0, 0), (5, 5), (9, 0))
    assert _carried(lakes[::-1], lakes) == ["old-2", "old-1", "old-0"]


def test_a_new_object_gets_no_old_id() -> None:
    assert _carried(_boxes((0, 0), (5, 5)), _boxes((0, 0))) == ["old-0", None]


def test_the_largest_part_of_a_split_keeps_the_id() -> None:
    assert _carried(_boxes((0, 0, 1), (1.5, 0, 2.5)), _boxes((0, 0, 4))) == [None, "old-0"]


def test_a_merged_object_bears_the_id_of_the_larger() -> None:
    assert _carried(_boxes((0, 0, 5)), _boxes((0, 0, 1), (2, 0, 3))) == ["old-1"]


def test_each_id_goes_to_one_object_and_the_largest_overlap_chooses_first() -> None:
    # 0 overlaps both old ones most with old-1, which 1 overlaps more: 0 takes what is left.
    new, old = _boxes((0, 0, 5), (5, 0, 9)), _boxes((0, 0, 2), (2, 0, 12))
    assert _carried(new, old) == ["old-0", "old-1"]


def test_objects_that_only_touch_are_strangers() -> None:
    pairs = overlapping(np.array(_boxes((0, 0))), np.array(_boxes((1, 0), (0, 1), (1, 1))))
    assert len(pairs.a) == 0


@pytest.mark.parametrize(("share", "count"), [(MIN_SHARE * 1.01, 1), (MIN_SHARE * 0.99, 0)])
def test_a_tenth_of_the_smaller_makes_a_pair(share: float, count: int) -> None:
    pairs = overlapping(np.array(_boxes((0, 0, 4, 4))), np.array(_boxes((4 - share, 0))))
    assert len(pairs.a) == count


def test_a_small_lake_in_the_place_of_a_large_one_is_its_heir() -> None:
    assert _carried(_boxes((4, 4, 0.1, 0.1)), _boxes((0, 0, 10, 10))) == ["old-0"]


def test_nothing_matches_nothing() -> None:
    assert _carried([], _boxes((0, 0))) == []
    assert _carried(_boxes((0, 0)), []) == [None]


@st.composite
def _scattered(draw: st.DrawFn) -> list[BaseGeometry]:
    corner = st.tuples(st.integers(0, 12), st.integers(0, 12), st.integers(1, 4), st.integers(1, 4))
    return [_box(*each) for each in draw(st.lists(corner, max_size=8, unique=True))]


@given(new=_scattered(), old=_scattered(), seed=st.integers(0, 99), cut=st.integers(0, 8))
@settings(max_examples=60, deadline=None)
def test_the_order_and_the_chunks_of_the_rows_change_no_id(
    new: list[BaseGeometry], old: list[BaseGeometry], seed: int, cut: int
) -> None:
    rng = np.random.default_rng(seed)
    rows, previous = table_of(new), _previous(old)
    expected = carried_ids([rows], previous)
    mixed = rows.take(pa.array(rng.permutation(len(rows)), pa.int64()))
    mixed_previous = previous.take(pa.array(rng.permutation(len(previous)), pa.int64()))
    assert carried_ids([mixed.slice(0, cut), mixed.slice(cut)], mixed_previous) == expected
    assert len(set(expected.values())) == len(expected)
    assert set(expected.values()) <= set(previous["id"].to_pylist())


@given(a=_scattered(), b=_scattered())
@settings(max_examples=60, deadline=None)
def test_pairs_are_those_that_a_look_at_every_pair_finds(a: list[BaseGeometry], b: list[BaseGeometry]) -> None:
    pairs = overlapping(np.array(a, dtype=object), np.array(b, dtype=object))
    expected = {
        (i, j)
        for i, one in enumerate(a)
        for j, other in enumerate(b)
        if one.intersection(other).area > MIN_SHARE * 1.001 * min(one.area, other.area)
    }
    borderline = {
        (i, j)
        for i, one in enumerate(a)
        for j, other in enumerate(b)
        if one.intersection(other).area > MIN_SHARE * 0.999 * min(one.area, other.area)
    }
    found = set(zip(pairs.a.tolist(), pairs.b.tolist(), strict=True))
    assert expected <= found <= borderline


def test_a_part_with_the_shape_that_an_id_was_made_from_gets_another_id() -> None:
    pond, rest = _boxes((0, 0), (1.5, 0, 8))
    rows = table_of([pond, rest])
    made_from_the_pond = rows["id"][0].as_py()
    grown = table_of([_box(0, 0, 10)]).set_column(
        0, INVENTORY_SCHEMA.field("id"), pa.array([made_from_the_pond], pa.string())
    )
    given = carried_ids([rows], grown)
    names = [given.get(name, name) for name in rows["id"].to_pylist()]
    assert names[1] == made_from_the_pond
    assert names[0].startswith("water-")
    assert len(set(names)) == 2


@given(series=st.lists(_scattered(), min_size=2, max_size=5))
@settings(max_examples=60, deadline=None)
def test_no_two_objects_of_an_edition_ever_bear_one_id(series: list[list[BaseGeometry]]) -> None:
    previous = table_of([])
    for polygons in series:
        rows = table_of(polygons)
        given = carried_ids([rows], previous)
        names = [given.get(name, name) for name in rows["id"].to_pylist()]
        assert len(set(names)) == len(set(rows["id"].to_pylist()))
        previous = rows.set_column(0, INVENTORY_SCHEMA.field("id"), pa.array(names, pa.string()))
