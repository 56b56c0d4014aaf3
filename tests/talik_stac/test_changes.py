"""What changed: every class by a case of its own, and laws that hold for any two editions."""

from __future__ import annotations

from pathlib import Path
from random import Random

import geopandas
import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from editing import publish_polygons, table_of
from talik_stac.changes import CHANGES, SEEN_SHARE, Changes, _seen, diff
from talik_stac.changes import compare as compare_frames
from talik_stac.errors import EditionError
from talik_stac.store import open_store


def compare(folder: Path, a: list[shapely.Geometry], b: list[shapely.Geometry], **seen: shapely.Geometry) -> Changes:
    store = open_store(str(folder / "store"))
    first = publish_polygons(store, folder / "a", a, year=2020, seen=seen.get("seen_a"))
    second = publish_polygons(store, folder / "b", b, year=2021, seen=seen.get("seen_b"))
    return diff(store, first.id, second.id)


def box(x: float, width: float = 0.1) -> shapely.Geometry:
    return shapely.box(x, 0, x + width, 0.1)


CASES = {
    "new": ([], [box(0)]),
    "gone": ([box(0)], []),
    "grown": ([box(0)], [box(0, 0.12)]),
    "shrunk": ([box(0)], [box(0, 0.08)]),
    "unchanged": ([box(0)], [box(0.001)]),
    "split": ([box(0, 0.3)], [box(0), box(0.2)]),
    "merged": ([box(0), box(0.2)], [box(0, 0.3)]),
    "reorganised": ([box(0, 0.2), box(0.3)], [box(0), box(0.15, 0.25)]),
}


@pytest.mark.parametrize("change", CASES)
def test_each_change_is_called_by_its_name(tmp_path: Path, change: str) -> None:
    changes = compare(tmp_path, *CASES[change])
    assert changes.table["change"].tolist() == [change]
    row = changes.table.iloc[0]
    assert row.change_m2 == pytest.approx(row.area_b_m2 - row.area_a_m2)


def test_what_the_other_edition_did_not_see_is_neither_new_nor_gone(tmp_path: Path) -> None:
    seen = shapely.box(0, -1, 1, 1)
    changes = compare(tmp_path, [box(0), box(5)], [box(0), box(0.5), box(7)], seen_a=seen, seen_b=seen)
    assert sorted(changes.table["change"]) == ["new", "unchanged", "unobserved", "unobserved"]


def test_editions_of_other_areas_are_refused_unless_asked(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "store"))
    a = publish_polygons(store, tmp_path / "a", [box(0)], year=2020)
    b = publish_polygons(store, tmp_path / "b", [box(0)], year=2021, area="elsewhere")
    with pytest.raises(EditionError, match="--any-area"):
        diff(store, a.id, b.id)
    assert diff(store, a.id, b.id, any_area=True).table["change"].tolist() == ["unchanged"]


@st.composite
def box_sets(draw: st.DrawFn) -> list[shapely.Geometry]:
    """Boxes that do not touch each other, as the objects of one edition do not."""
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    kept: list[shapely.Geometry] = []
    for _ in range(draw(st.integers(0, 12))):
        x, y, w, h = rng.uniform(0, 1, 2).tolist() + rng.uniform(0.02, 0.3, 2).tolist()
        candidate = shapely.box(x, y, x + w, y + h)
        if not any(candidate.intersects(other) for other in kept):
            kept.append(candidate)
    return kept


MIRROR = {"new": "gone", "gone": "new", "grown": "shrunk", "shrunk": "grown", "split": "merged", "merged": "split"}


def frame(polygons: list[shapely.Geometry], prefix: str = "a") -> geopandas.GeoDataFrame:
    """What `read_geo` gives for polygons, named a0, a1, ..."""
    rows = table_of(polygons)
    plain = rows.drop_columns("geometry").to_pandas()
    plain["id"] = [f"{prefix}{number}" for number in range(len(polygons))]
    return geopandas.GeoDataFrame(plain, geometry=polygons, crs="OGC:CRS84")


def groups_of(table: geopandas.GeoDataFrame, *, swapped: bool = False) -> set[tuple[object, ...]]:
    """Each row without its geometry; `swapped`: as the comparison the other way would say it."""
    one, other = ("b", "a") if swapped else ("a", "b")
    return {
        (
            MIRROR.get(row["change"], row["change"]) if swapped else row["change"],
            row[f"ids_{one}"],
            row[f"ids_{other}"],
            row[f"area_{one}_m2"],
            row[f"area_{other}_m2"],
            -row["change_m2"] if swapped else row["change_m2"],
            row["on_edge"],
        )
        for row in table.to_dict("records")
    }


@settings(max_examples=150, deadline=None)
@given(a=box_sets(), b=box_sets(), tolerance=st.sampled_from([0.0, 5.0, 30.0, 100.0]), seen=st.randoms())
def test_comparing_backwards_mirrors_every_group_and_areas_add_up(
    a: list[shapely.Geometry], b: list[shapely.Geometry], tolerance: float, seen: Random
) -> None:
    one, other = frame(a, "a"), frame(b, "b")
    seen_a, seen_b = (np.array([seen.random() < 0.7 for _ in each], dtype=bool) for each in (a, b))
    forth = compare_frames(one, other, seen_a, seen_b, tolerance_percent=tolerance)
    back = compare_frames(other, one, seen_b, seen_a, tolerance_percent=tolerance)
    assert groups_of(forth) == groups_of(back, swapped=True)
    assert forth["area_a_m2"].sum() == pytest.approx(one["area_m2"].sum(), rel=1e-12)
    assert forth["area_b_m2"].sum() == pytest.approx(other["area_m2"].sum(), rel=1e-12)
    for side, names in (("ids_a", one["id"]), ("ids_b", other["id"])):
        assert sorted(name for ids in forth[side] for name in ids.split(",") if name) == sorted(names)
    assert set(forth["change"]) <= set(CHANGES)
    assert forth["change_percent"].isna().tolist() == (forth["ids_a"] == "").tolist()


@settings(max_examples=50, deadline=None)
@given(a=box_sets())
def test_any_edition_compared_with_itself_is_unchanged(a: list[shapely.Geometry]) -> None:
    seen = np.zeros(len(a), dtype=bool)  # even where nothing was seen: the object is in both
    table = compare_frames(frame(a), frame(a), seen, seen, tolerance_percent=0)
    assert table["change"].tolist() == ["unchanged"] * len(a)
    assert table["ids_a"].tolist() == table["ids_b"].tolist() == [f"a{number}" for number in range(len(a))]
    assert (table["change_m2"] == 0).all()
    assert shapely.equals_identical(table.geometry.to_numpy(), np.array(a, dtype=object)).all()


def test_a_group_shows_the_union_of_the_later_edition_and_of_the_earlier_where_it_is_gone() -> None:
    seen = np.ones(2, dtype=bool)
    table = compare_frames(
        frame([box(0, 0.3), box(1)], "a"), frame([box(0), box(0.2)], "b"), seen, seen, tolerance_percent=5
    )
    assert table["change"].tolist() == ["split", "gone"]
    assert table.geometry[0].equals(shapely.MultiPolygon([box(0), box(0.2)]))
    assert table.geometry[1].equals(box(1))
    assert table["ids_b"].tolist() == ["b0,b1", ""]


def test_a_group_is_on_an_edge_where_any_object_of_it_is() -> None:
    one, other = frame([box(0), box(1), box(2)]), frame([box(0), box(1), box(2)], "b")
    one.loc[0, "on_aoi_edge"] = True
    other.loc[2, "on_data_edge"] = True
    seen = np.ones(3, dtype=bool)
    assert compare_frames(one, other, seen, seen, tolerance_percent=5)["on_edge"].tolist() == [True, False, True]


@pytest.mark.parametrize(("width", "change"), [(0.1049, "unchanged"), (0.106, "grown"), (0.0951, "unchanged")])
def test_the_tolerance_is_a_share_of_the_larger_area(tmp_path: Path, width: float, change: str) -> None:
    assert compare(tmp_path, [box(0)], [box(0, width)]).table["change"].tolist() == [change]


def test_an_edition_without_a_record_of_what_it_saw_has_seen_everything(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "store"))
    nothing = shapely.box(50, 50, 51, 51)
    a = publish_polygons(store, tmp_path / "a", [box(0)], year=2020)
    b = publish_polygons(store, tmp_path / "b", [], year=2021, seen=nothing)
    assert diff(store, a.id, b.id).table["change"].tolist() == ["unobserved"]
    store.delete(f"{b.prefix}/observed.parquet")
    assert diff(store, a.id, b.id).table["change"].tolist() == ["gone"]


@pytest.mark.parametrize(("seen_to", "change"), [(0.049, "unobserved"), (0.051, "gone")])
def test_half_of_an_object_must_have_been_seen_for_it_to_be_gone(tmp_path: Path, seen_to: float, change: str) -> None:
    changes = compare(tmp_path, [box(0)], [], seen_b=shapely.box(-1, -1, seen_to, 1))
    assert changes.table["change"].tolist() == [change]


def test_two_editions_of_nothing_have_no_changes(tmp_path: Path) -> None:
    changes = compare(tmp_path, [], [])
    assert len(changes.table) == 0
    assert [summary.groups for summary in changes.summary()] == [0] * len(CHANGES)


@pytest.mark.parametrize("tolerance", [-1.0, 101.0, float("nan")])
def test_a_tolerance_that_is_no_share_is_refused(tmp_path: Path, tolerance: float) -> None:
    with pytest.raises(EditionError, match="0 to 100"):
        diff(open_store(str(tmp_path)), "water-a-2020-v1", "water-a-2021-v1", tolerance_percent=tolerance)


def test_an_edition_compared_with_itself_is_unchanged(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "store"))
    a = publish_polygons(store, tmp_path / "a", [box(0), box(1), box(2)], year=2020)
    assert set(diff(store, a.id, a.id).table["change"]) == {"unchanged"}


def test_what_was_seen_of_an_object_is_the_same_by_cover_and_by_intersection() -> None:
    rng = np.random.default_rng(0)
    clouds = shapely.union_all(shapely.buffer(shapely.points(rng.uniform(0, 2, (60, 2))), 0.1))
    tiles = [shapely.box(x, 0, x + 1, 2).difference(clouds) for x in (0, 1)]
    corners = rng.uniform(-0.2, 2, (400, 2))
    objects = shapely.box(corners[:, 0], corners[:, 1], corners[:, 0] + 0.1, corners[:, 1] + 0.1)
    share = sum(shapely.area(shapely.intersection(objects, tile)) for tile in tiles) / shapely.area(objects)
    ground = geopandas.GeoDataFrame(geometry=tiles, crs="OGC:CRS84")
    found = _seen(geopandas.GeoDataFrame(geometry=objects, crs="OGC:CRS84"), ground)
    assert found.tolist() == (share >= SEEN_SHARE).tolist()
    assert 0 < found.sum() < len(found)
