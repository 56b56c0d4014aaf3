"""Spatial functions of CQL2 against shapely, row by row, and literals across the antimeridian and round the pole."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from filtering import matches, parse, refused, with_shapes

RELATIONS = ["intersects", "disjoint", "contains", "within", "touches", "crosses", "overlaps", "equals"]
cells = st.tuples(st.integers(-3, 3), st.integers(-3, 3))
boxes = st.builds(
    lambda xy, w, h: shapely.box(xy[0], xy[1], xy[0] + w, xy[1] + h), cells, st.integers(1, 4), st.integers(1, 4)
)
lines = st.lists(cells, min_size=2, max_size=3, unique=True).map(shapely.LineString)
holed = st.just(shapely.Polygon([(-3, -3), (3, -3), (3, 3), (-3, 3)], [[(-1, -1), (1, -1), (1, 1), (-1, 1)]]))
shapes = st.one_of(
    boxes, lines, cells.map(shapely.Point), holed,
    st.tuples(boxes, boxes).map(lambda two: shapely.MultiPolygon([two[0], shapely.affinity.translate(two[1], 20, 0)])),
    st.lists(cells, min_size=2, max_size=3, unique=True).map(shapely.MultiPoint),
    lines.map(lambda line: shapely.MultiLineString([line])),
)  # fmt: skip


def meet(geometries: list[Any], bounds: Any) -> NDArray[np.bool_]:
    """Tell which geometries' bounds meet any of the boxes."""
    near = [
        bounds is None or any(shapely.box(*b).intersects(shapely.box(*g.bounds)) for b in bounds) for g in geometries
    ]
    return np.array(near, dtype=bool)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(RELATIONS), st.lists(shapes, min_size=1, max_size=5), shapes, st.booleans())
def test_spatial_functions_agree_with_shapely_row_by_row(
    name: str, geometries: list[Any], shape: Any, bbox: bool
) -> None:
    relation = getattr(shapely, name)
    table = pa.table(with_shapes([*geometries, None], bbox=bbox))
    for turned in (False, True):
        sides = (shape.wkt, "geom") if turned else ("geom", shape.wkt)
        found = parse(f"s_{name}({sides[0]}, {sides[1]})")
        expected = [bool(relation(shape, g) if turned else relation(g, shape)) for g in geometries]
        assert found.mask(table).tolist() == [*expected, False]
        assert parse(f"not {found.text()}").mask(table).tolist() == [*(not value for value in expected), False]
        assert meet(geometries, found.bounds())[expected].all()
    pairs = pa.table(with_shapes(geometries) | with_shapes([shape] * len(geometries), name="other"))
    assert parse(f"s_{name}(geom, other)").mask(pairs).tolist() == [bool(relation(g, shape)) for g in geometries]
    assert parse(f"s_{name}({shape.wkt}, {shape.wkt})").mask(pairs)[0] == relation(shape, shape)


@settings(max_examples=100, deadline=None)
@given(shapes, shapes, st.lists(shapes, min_size=1, max_size=6))
def test_bounds_never_lose_a_row(first: Any, second: Any, geometries: list[Any]) -> None:
    table = pa.table(with_shapes(geometries, bbox=True))
    for word in ("and", "or"):
        found = parse(f"s_intersects(geom, {first.wkt}) {word} s_intersects(geom, {second.wkt})")
        assert meet(geometries, found.bounds())[found.mask(table)].all()


FIJI = [shapely.box(178, -18, 179, -17), shapely.box(-179.5, -18, -179, -17), shapely.box(0, -18, 1, -17)]
FIJI.append(shapely.MultiPolygon([shapely.box(179.5, -18, 180, -17), shapely.box(-180, -18, -179.5, -17)]))


@pytest.mark.parametrize(
    "shape",
    [
        "BBOX(177, -20, -178, -15)",
        "BBOX(177, -20, 0, -178, -15, 100)",
        "POLYGON((177 -20, -178 -20, -178 -15, 177 -15, 177 -20))",
        "POLYGON((177 -20, 182 -20, 182 -15, 177 -15, 177 -20))",
        "MULTIPOLYGON(((177 -20, -178 -20, -178 -15, 177 -15, 177 -20)), ((90 0, 91 0, 91 1, 90 0)))",
    ],
)
def test_shapes_go_over_the_antimeridian_the_short_way(shape: str) -> None:
    for op in ("intersects", "within"):
        assert matches(f"s_{op}(geom, {shape})", **with_shapes(FIJI, bbox=True)) == [0, 1, 3]
    bounds = parse(f"s_intersects(geom, {shape})").bounds()
    assert bounds is not None
    assert all(east - west < 10 for west, _, east, _ in bounds)
    assert parse(f"not s_intersects(geom, {shape})").bounds() is None


def test_lines_and_points_go_over_the_antimeridian_too() -> None:
    assert matches("s_intersects(geom, LINESTRING(170 -17.5, -170 -17.5))", **with_shapes(FIJI)) == [0, 1, 3]
    assert matches("s_intersects(geom, POINT(180.75 -17.5))", **with_shapes(FIJI)) == [1]


def test_literals_come_in_the_axis_order_of_their_crs() -> None:
    near = with_shapes([shapely.Point(23.5, 70.5), shapely.Point(70.5, 23.5)])
    for crs in ("OGC:CRS84", "http://www.opengis.net/def/crs/OGC/1.3/CRS84"):
        assert matches("s_intersects(geom, BBOX(23, 70, 24, 71))", crs, **near) == [0]
    for crs in ("EPSG:4326", "[EPSG:4326]", "http://www.opengis.net/def/crs/EPSG/0/4326", "urn:ogc:def:crs:EPSG::4326"):
        assert matches("s_intersects(geom, BBOX(70, 23, 71, 24))", crs, **near) == [0]
        assert matches("s_intersects(geom, POLYGON((70 23, 71 23, 71 24, 70 24, 70 23)))", crs, **near) == [0]
    mercator = "http://www.opengis.net/def/crs/EPSG/0/3857"
    assert matches("s_intersects(geom, BBOX(2560000, 11000000, 2670000, 11600000))", mercator, **near) == [0]
    fiji = with_shapes(FIJI)
    assert matches("s_intersects(geom, BBOX(-20, 177, -15, -178))", "EPSG:4326", **fiji) == [0, 1, 3]


def test_a_polar_box_follows_its_own_edges_round_the_pole() -> None:
    # The middle of an edge lies 1,000 km from the pole (81 degrees north), a corner 1,414 km (77).
    ring = [shapely.Point(lon, 79.0) for lon in (0, 45, 90, 135, 180, -135, -90, -45)]
    box = "s_intersects(geom, BBOX(-1000000, -1000000, 1000000, 1000000))"
    assert matches(box, "EPSG:3413", **with_shapes(ring)) == [0, 2, 4, 6]  # lon of the central meridian is -45
    assert matches(box, "EPSG:3413", **with_shapes([shapely.Point(13, 89.9)])) == [0]


def test_bad_shapes_are_refused() -> None:
    refused("s_intersects(geom, POLYGON((0 0, 1 1, 0 1, 1 0, 0 0)))", "Self-intersection")
    refused("s_intersects(geom, POLYGON((0 0, 1 1, 1 0)))", "last like the first")
    overlapping = "MULTIPOLYGON(((0 0, 2 0, 2 2, 0 0)), ((0 0, 2 0, 2 1, 0 0)))"
    refused(f"s_intersects(geom, {overlapping})", "not valid")
    refused("s_intersects(geom, POINT(0 91))", "leaves")
    refused("s_intersects(geom, BBOX(0, 10, 1, 5))", "south above its north")
    refused("s_intersects(geom, BBOX(0, 0, 200, 5))", "leaves the globe")
    refused("s_intersects(geom, POINT EMPTY)", "")
    refused({"op": "s_intersects", "args": [{"property": "geom"}, {"type": "Polygon", "coordinates": []}]}, "empty")
    refused("s_intersects(geom, t)", "takes geometry")
    refused("true", "not known", crs="EPSG:999999")
    refused("true", "no name of a CRS", crs="+proj=pipeline +step +proj=longlat")
    many = ",".join(f"{np.cos(a):.7f} {np.sin(a):.7f}" for a in np.linspace(0, 1, 45_000))
    several = " or ".join([f"s_intersects(geom, LINESTRING({many}))"])
    assert len(several) < 1_000_000
    assert parse(several).bounds() is not None
    line = {"type": "LineString", "coordinates": [[n % 2, n % 3] for n in range(100_001)]}
    refused({"op": "s_intersects", "args": [{"property": "geom"}, line]}, "100000 vertices")
