"""Cutting at the antimeridian and over the poles: against areas known by calculation and a sphere as oracle."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely.geometry import Polygon

from talik_stac.antimeridian import polygons_of, split_polygon, split_unwrapped
from talik_stac.errors import AoiError


def _wrapped(lon: float) -> float:
    return (lon + 180) % 360 - 180


def test_a_polygon_that_needs_no_cut_is_the_same_object() -> None:
    polygon = shapely.box(-180, -90, 180, 90)
    assert split_polygon(polygon) is polygon


@pytest.mark.parametrize("east", [-179.3, 180.7])
def test_a_jump_and_a_longitude_past_180_mean_the_same(east: float) -> None:
    polygon = Polygon([(179.1, 65), (east, 65), (east, 66), (179.1, 66)])
    expected = shapely.union_all([shapely.box(179.1, 65, 180, 66), shapely.box(-180, 65, -179.3, 66)])
    assert shapely.normalize(split_polygon(polygon)) == shapely.normalize(expected)


def test_longitudes_from_0_to_360_are_understood() -> None:
    assert split_polygon(shapely.box(190, 60, 200, 61)).equals(shapely.box(-170, 60, -160, 61))
    assert split_polygon(shapely.box(-200, 60, -190, 61)).equals(shapely.box(160, 60, 170, 61))


def test_a_hole_across_the_antimeridian_stays_a_hole() -> None:
    polygon = Polygon([(178, 60), (-178, 60), (-178, 64), (178, 64)], [[(179, 61), (-179, 61), (-179, 63), (179, 63)]])
    cut = split_polygon(polygon)
    assert cut.area == pytest.approx(4 * 4 - 2 * 2)
    assert not cut.contains(shapely.Point(179.5, 62))
    assert not cut.contains(shapely.Point(-179.5, 62))


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("reverse", [False, True])
def test_a_ring_round_a_pole_holds_the_pole(sign: int, reverse: bool) -> None:
    ring = [(_wrapped(lon), sign * lat) for lon, lat in zip(range(7, 367, 30), [70, 75, 72] * 4, strict=True)]
    cut = split_polygon(Polygon(ring[::-1] if reverse else ring))
    assert cut.is_valid
    assert cut.covers(shapely.box(-180, sign * 76, 180, sign * 90))
    assert cut.disjoint(shapely.box(-180, -69, 180, 69))


def test_a_ring_round_the_equator_has_no_inside() -> None:
    ring = [(_wrapped(lon), 10 if i % 2 else -10) for i, lon in enumerate(range(0, 360, 60))]
    with pytest.raises(AoiError, match=r"goes 360 degrees round the globe .* its inside is not known"):
        split_polygon(Polygon(ring))


def test_a_hole_outside_its_outline_is_refused_also_across_the_antimeridian() -> None:
    polygon = Polygon([(179, 60), (-179, 60), (-179, 61), (179, 61)], [[(10, 60), (11, 60), (11, 61), (10, 60)]])
    with pytest.raises(AoiError, match="hole that lies outside its outline"):
        split_polygon(polygon)


def test_a_bow_tie_is_told_with_its_place() -> None:
    with pytest.raises(AoiError, match=r"Self-intersection\[0\.5 0\.5\] .* 'Fix geometries' in QGIS"):
        split_polygon(Polygon([(0, 0), (1, 1), (1, 0), (0, 1)]))
    with pytest.raises(AoiError, match=r"Self-intersection\[180 65\.5\]"):
        split_polygon(Polygon([(179, 65), (-179, 66), (-179, 65), (179, 66)]))


@settings(deadline=None, max_examples=150)
@given(centre=st.floats(-180, 180), lat=st.floats(-80, 80), seed=st.integers(0, 10_000), count=st.integers(3, 30))
def test_wherever_a_polygon_lies_its_cut_has_its_area_and_its_points(
    centre: float, lat: float, seed: int, count: int
) -> None:
    """The oracle is the same star drawn away from the antimeridian."""
    rng = np.random.default_rng(seed)
    angle = np.sort(rng.uniform(0, 2 * np.pi, count)) + np.linspace(0, 1e-3, count)
    radius = rng.uniform(1, 8, count)
    star = Polygon(np.column_stack([radius * np.cos(angle), radius * np.sin(angle)]))
    if not star.is_valid or star.area < 1e-3:
        return
    away = shapely.transform(star, lambda xy: xy + np.array([0, lat]))
    moved = shapely.transform(star, lambda xy: np.column_stack([_wrapped_all(xy[:, 0] + centre), xy[:, 1] + lat]))
    cut = split_polygon(moved)
    assert cut.is_valid
    assert cut.area == pytest.approx(star.area, rel=1e-9)
    assert cut.bounds[0] >= -180
    assert cut.bounds[2] <= 180
    points = rng.uniform(-8, 8, (50, 2))
    ours = shapely.contains_xy(cut, _wrapped_all(points[:, 0] + centre), points[:, 1] + lat)
    truth = shapely.contains_xy(away, points[:, 0], points[:, 1] + lat)
    near = shapely.distance(away.boundary, shapely.points(points + np.array([0, lat]))) < 1e-6
    assert (ours == truth)[~near].all()


def _wrapped_all(lon: np.ndarray) -> np.ndarray:
    return (lon + 180) % 360 - 180


@settings(deadline=None, max_examples=100)
@given(west=st.floats(-360, 0), width=st.floats(0.5, 360))
def test_a_box_of_any_width_keeps_it(west: float, width: float) -> None:
    cut = split_unwrapped(shapely.box(west, 0, west + width, 1))
    assert cut.area == pytest.approx(width, rel=1e-6)


def test_points_and_lines_of_an_overlay_are_left_out() -> None:
    mixed = shapely.GeometryCollection(
        [shapely.Point(0, 0), shapely.box(0, 0, 1, 1), shapely.LineString([(0, 0), (1, 1)])]
    )
    assert polygons_of(mixed) == shapely.box(0, 0, 1, 1)
    assert polygons_of(shapely.Point(0, 0)).is_empty
