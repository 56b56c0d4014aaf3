"""What a user may call an area, and what is refused in one line."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import geopandas
import pytest
import shapely
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pyproj import Geod, Transformer
from shapely.geometry import MultiPolygon, Polygon, box, mapping

from talik_stac.aoi import AreaOfInterest, bbox_name, is_name, parse_aoi, slug
from talik_stac.errors import AoiError

SQUARE = box(10, 60, 11, 61)


def _area_of_cap_km2(lat: float) -> float:
    """Area north of a parallel of WGS 84, from the closed form of the ellipsoid's zone."""
    a, f = 6378.137, 1 / 298.257223563
    e = math.sqrt(f * (2 - f))
    b2 = (a * (1 - f)) ** 2

    def zone(phi: float) -> float:
        s = math.sin(phi)
        return math.pi * b2 * (s / (1 - e * e * s * s) + math.atanh(e * s) / e)

    return zone(math.pi / 2) - zone(math.radians(lat))


def test_a_bbox_is_west_south_east_north() -> None:
    aoi = parse_aoi(" -99.16, 46.99, -99.09, 47.02 ")
    assert aoi.bbox == (-99.16, 46.99, -99.09, 47.02)
    assert aoi.name == "w99p16-n46p99-w99p09-n47p02"
    assert aoi.geometry == shapely.normalize(box(-99.16, 46.99, -99.09, 47.02))


@pytest.mark.parametrize("text", ["179,65,-179,66", "179,65,181,66", "-181,65,-179,66"])
def test_a_bbox_from_179_to_minus_179_is_two_degrees_wide(text: str) -> None:
    aoi = parse_aoi(text)
    assert isinstance(aoi.geometry, MultiPolygon)
    assert aoi.bbox == (179, 65, -179, 66)
    assert sum(part.bounds[2] - part.bounds[0] for part in aoi.geometry.geoms) == 2
    assert aoi.area_km2 == pytest.approx(parse_aoi("-1,65,1,66").area_km2, rel=1e-9)


def test_a_bbox_wider_than_half_the_globe_is_as_wide_as_it_says() -> None:
    aoi = parse_aoi("-179.9,60,179.9,61", max_area_km2=1e9)
    assert aoi.bbox == (-179.9, 60, 179.9, 61)
    assert aoi.area_km2 == pytest.approx((_area_of_cap_km2(60) - _area_of_cap_km2(61)) * 359.8 / 360, rel=1e-6)


@pytest.mark.parametrize(("text", "lat"), [("-180,80,180,90", 80), ("-180,0,180,90", 0), ("-180,-90,180,-66.5", 66.5)])
def test_a_polar_bbox_has_the_area_of_the_cap(text: str, lat: float) -> None:
    aoi = parse_aoi(text, max_area_km2=1e9)
    assert aoi.bbox == tuple(float(part) for part in text.split(","))
    assert aoi.area_km2 == pytest.approx(_area_of_cap_km2(lat), rel=1e-6)


def test_the_whole_globe_has_the_area_of_the_globe() -> None:
    assert parse_aoi("-180,-90,180,90", max_area_km2=1e9).area_km2 == pytest.approx(2 * _area_of_cap_km2(0), rel=1e-6)


def test_the_area_of_a_polygon_with_a_hole_is_geodesic() -> None:
    polygon = Polygon(SQUARE.exterior.coords, [box(10.4, 60.4, 10.6, 60.6).exterior.coords])
    geod = Geod(ellps="WGS84")
    fine = [
        abs(geod.geometry_area_perimeter(shapely.segmentize(part, 0.001))[0])
        for part in (SQUARE, box(10.4, 60.4, 10.6, 60.6))
    ]
    assert AreaOfInterest(name="a", geometry=polygon).area_km2 == pytest.approx((fine[0] - fine[1]) / 1e6, rel=1e-5)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("46.99,-99.16,47.02,-99.09", r"not in the order west,south,.* did you mean -99.16,46.99,-99.09,47.02\?"),
        ("1,2,3", "has 3 numbers; expected four"),
        ("1,2,3,4,5,6", "has 6 numbers; expected four"),
        ("10,61,11,60", "south 61 lies north of 60"),
        ("10,60,10,61", "has no area"),
        ("180,60,-180,61", "has no area"),
        ("10,60,11,60", "has no area"),
        ("nan,60,11,61", "not finite"),
        ("10,60,11,inf", "not finite"),
        ("500000,5000000,600000,5100000", "latitude 5e\\+06 .* metres of a projection"),
        ("1000,60,1001,61", "longitude 1000 to 1001"),
        ("-200,60,200,61", "longitude -200 to 200"),
        ("", "no area of interest given"),
        ("   ", "no area of interest given"),
        ("no/such.gpkg", "there is no file 'no/such.gpkg'"),
        ("x" * 5000, "there is no file"),
        ("a\0b", "there is no file"),
        ("POINT (1 1)", "holds a Point; expected polygons alone"),
        ("LINESTRING (0 0, 1 1)", "holds a LineString"),
        ("GEOMETRYCOLLECTION (POINT (1 1), POLYGON ((0 0, 1 0, 1 1, 0 0)))", "holds a Point"),
        ("POLYGON EMPTY", "is empty"),
        ("GEOMETRYCOLLECTION EMPTY", "is empty"),
        ("POLYGON ((0 0, 1 0, 1", "WKT cannot be read"),
        ("POLYGON ((0 0, 1 1, 1 0, 0 1, 0 0))", r"Self-intersection\[0.5 0.5\] .* QGIS"),
        ("POLYGON ((0 0, 1 1, 2 2, 0 0))", "not a valid polygon: (Self-intersection|Too few points)"),
        ("POLYGON ((46 -99, 46 -98, 47 -98, 46 -99))", "seem to be in the order lat,lon"),
        ("POLYGON ((500000 5e6, 600000 5e6, 600000 51e5, 500000 5e6))", "metres of a projection"),
        ("POLYGON ((0 0, 1e-9 0, 1e-9 1e-9, 0 0))", "has no area"),
        ("{", "GeoJSON cannot be read: Expecting property name"),
        ('{"type": "Polygon"}', "GeoJSON cannot be read"),
        ('{"type": "Feature", "geometry": null}', "is empty"),
        ('{"type": "FeatureCollection", "features": []}', "is empty"),
        ('{"type": "Polygon", "coordinates": "no"}', "GeoJSON cannot be read"),
        ('{"type": "Banana", "coordinates": []}', "GeoJSON cannot be read"),
        ('{"type": "Polygon", "coordinates": [[[0, 0], [NaN, 0], [1, 1], [0, 0]]]}', "not finite"),
        ('{"type": "Polygon", "coordinates": [[[0, 0], [1e999, 0], [1, 1], [0, 0]]]}', "not finite"),
        ("POLYGON ((0 0, nan 0, 1 1, 0 0))", "not finite"),
        ("SRID=3857;POLYGON ((0 0, 1 0, 1 1, 0 0))", "there is no file"),
        ('{"a": ' * 3000 + "1" + "}" * 3000, "GeoJSON cannot be read"),
    ],
)  # fmt: skip
def test_what_is_no_area_is_refused_in_one_line(text: str, said: str) -> None:
    with pytest.raises(AoiError, match=said) as caught:
        parse_aoi(text)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


def test_an_area_over_the_limit_is_told_with_both_numbers() -> None:
    with pytest.raises(AoiError, match=r"is 6,123 km2, more than the limit of 1,000 km2; .* TALIK_MAX_AREA_KM2"):
        parse_aoi("0,60,1,61", max_area_km2=1000)


def test_too_many_vertices_are_told_with_both_numbers() -> None:
    circle = shapely.Point(0, 60).buffer(1, quad_segs=300)
    with pytest.raises(AoiError, match=r"has 1,201 vertices, more than the limit of 1,000; .* TALIK_MAX_VERTICES"):
        parse_aoi(circle.wkt, max_vertices=1000)


@settings(deadline=None, max_examples=80)
@given(cut=st.floats(10.0001, 10.9999), vertical=st.booleans())
@example(cut=10.5, vertical=True)
def test_an_area_in_two_halves_is_the_same_area(cut: float, vertical: bool) -> None:
    halves = [box(10, 60, cut, 61), box(cut, 60, 11, 61)]
    if not vertical:
        halves = [box(10, 60, 11, cut + 50), box(10, cut + 50, 11, 61)]
    whole = parse_aoi(SQUARE.wkt)
    assert parse_aoi(shapely.to_wkt(MultiPolygon(halves), rounding_precision=-1)) == whole
    collection = {
        "type": "FeatureCollection",
        "features": [{"type": "Feature", "properties": {}, "geometry": mapping(half)} for half in halves],
    }
    assert parse_aoi(json.dumps(collection), name=whole.name) == whole


def test_an_area_cut_at_the_antimeridian_is_the_area_that_crosses_it() -> None:
    halves = MultiPolygon([box(179.1, 65, 180, 66), box(-180, 65, -179.3, 66)])
    crossing = "POLYGON ((179.1 65, -179.3 65, -179.3 66, 179.1 66, 179.1 65))"
    assert parse_aoi(halves.wkt) == parse_aoi(crossing) == parse_aoi("179.1,65,-179.3,66")


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 4), st.booleans())
def test_an_area_is_equal_wherever_its_ring_begins_and_whichever_way_it_runs(start: int, reverse: bool) -> None:
    ring = [(10.0, 60.0), (12.0, 60.5), (11.5, 62.0), (10.5, 61.5), (9.5, 61.0)]
    turned = ring[start:] + ring[:start]
    assert parse_aoi(Polygon(turned[::-1] if reverse else turned).wkt) == parse_aoi(Polygon(ring).wkt)


def test_an_area_hashes_and_holds_no_minus_zero_and_no_height() -> None:
    one = AreaOfInterest(name="a", geometry=Polygon([(-0.0, 0, 5), (1, 0, 5), (1, 1, 5)]))
    other = AreaOfInterest(name="a", geometry=Polygon([(0, 0), (1, 0), (1, 1)]))
    assert one == other
    assert hash(one) == hash(other)
    assert one.geometry.wkb == other.geometry.wkb


@pytest.mark.parametrize(
    "geometry",
    [
        Polygon(),
        Polygon([(0, 0), (1, 1), (1, 0), (0, 1)]),
        box(170, 60, 190, 61),
        shapely.Point(0, 0),
        box(0, 80, 1, 91),
    ],
)
def test_an_area_of_interest_validates_itself(geometry: Polygon) -> None:
    with pytest.raises(AoiError):
        AreaOfInterest(name="a", geometry=geometry)


def test_a_bbox_leaves_out_the_widest_empty_stretch() -> None:
    parts = [box(170, 60, 180, 61), box(-180, 60, -175, 62), box(-170, 59, -160, 60)]
    assert AreaOfInterest(name="a", geometry=MultiPolygon(parts)).bbox == (170, 59, -160, 62)
    apart = MultiPolygon([box(-170, 60, -160, 61), box(160, 60, 170, 61)])  # does not cross: RFC 7946 takes it plain
    assert AreaOfInterest(name="a", geometry=apart).bbox == (-170, 60, 170, 61)


@pytest.fixture
def frame() -> geopandas.GeoDataFrame:
    """One square degree in two features."""
    return geopandas.GeoDataFrame({"id": [1, 2]}, geometry=[box(10, 60, 10.4, 61), box(10.4, 60, 11, 61)], crs=4326)


@pytest.mark.parametrize("suffix", ["geojson", "gpkg", "shp", "fgb", "parquet"])
def test_a_file_of_any_format_is_the_same_area(frame: geopandas.GeoDataFrame, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"Lena Delta_1.{suffix}"
    frame.to_parquet(path) if suffix == "parquet" else frame.to_file(path)
    aoi = parse_aoi(str(path))
    assert aoi == AreaOfInterest(name="lena-delta-1", geometry=SQUARE)


@pytest.mark.parametrize("crs", ["EPSG:32632", "EPSG:3413", "EPSG:3857", "EPSG:3995", "ESRI:102018", "EPSG:2227"])
def test_a_file_in_another_crs_covers_the_same_ground(tmp_path: Path, crs: str) -> None:
    """Oracle: pyproj carries points of the projected polygon one by one."""
    centre = Transformer.from_crs("OGC:CRS84", crs, always_xy=True).transform(
        -122 if crs == "EPSG:2227" else 10, 38 if crs == "EPSG:2227" else 65
    )
    projected = box(centre[0] - 40_000, centre[1] - 30_000, centre[0] + 40_000, centre[1] + 30_000)
    path = tmp_path / "a.gpkg"
    geopandas.GeoDataFrame(geometry=[projected], crs=crs).to_file(path)
    aoi = parse_aoi(str(path))
    back = Transformer.from_crs(crs, "OGC:CRS84", always_xy=True)
    edge = shapely.get_coordinates(shapely.segmentize(projected, 333.0).exterior)
    outline = shapely.points(*back.transform(edge[:, 0], edge[:, 1]))
    assert shapely.distance(aoi.geometry.boundary, outline).max() < 1e-5  # degrees: 1 m
    lon, lat = back.transform(*centre)
    assert aoi.geometry.contains(shapely.Point(lon, lat))


def test_halves_in_a_projected_crs_are_the_same_area(tmp_path: Path) -> None:
    whole, halves = tmp_path / "a.gpkg", tmp_path / "b.gpkg"
    geopandas.GeoDataFrame(geometry=[box(5e5, 7e6, 5.5e5, 7.05e6)], crs=32632).to_file(whole)
    parts = [box(5e5, 7e6, 5.13e5, 7.05e6), box(5.13e5, 7e6, 5.5e5, 7.05e6)]
    geopandas.GeoDataFrame(geometry=parts, crs=32632).to_file(halves)
    assert parse_aoi(str(whole), name="x") == parse_aoi(str(halves), name="x")


def test_a_projected_square_round_the_pole_holds_the_pole(tmp_path: Path) -> None:
    path = tmp_path / "pole.gpkg"
    geopandas.GeoDataFrame(geometry=[box(-2e5, -3e5, 2e5, 1e5)], crs=3413).to_file(path)
    aoi = parse_aoi(str(path))
    assert aoi.bbox[0::2] == (-180, 180)
    assert aoi.bbox[3] == 90
    # 400 km squared in a projection whose scale at the pole is 0.97: 161,000 to 172,000 km2 on the ground
    assert 161_000 < aoi.area_km2 < 172_000


def test_a_projected_square_across_the_antimeridian_is_cut(tmp_path: Path) -> None:
    path = tmp_path / "chukotka.gpkg"
    geopandas.GeoDataFrame(geometry=[box(5.8e5, 7.2e6, 7e5, 7.3e6)], crs=32660).to_file(path)
    aoi = parse_aoi(str(path))
    west, _, east, _ = aoi.bbox
    assert west > east
    assert aoi.area_km2 == pytest.approx(120 * 100, rel=2e-3)


def test_an_outline_through_the_pole_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "pole.gpkg"
    geopandas.GeoDataFrame(geometry=[box(0, 0, 1e5, 1e5)], crs=3413).to_file(path)
    with pytest.raises(AoiError, match="passes through a pole"):
        parse_aoi(str(path))


def test_coordinates_far_outside_their_crs_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "far.gpkg"
    geopandas.GeoDataFrame(geometry=[box(1e12, 0, 2e12, 1e12)], crs=32632).to_file(path)
    with pytest.raises(AoiError, match="check that its CRS is right"):
        parse_aoi(str(path))


def test_a_bow_tie_in_metres_is_told_in_metres(tmp_path: Path) -> None:
    path = tmp_path / "tie.gpkg"
    tie = Polygon([(5e5, 7e6), (6e5, 7.1e6), (6e5, 7e6), (5e5, 7.1e6)])
    geopandas.GeoDataFrame(geometry=[tie], crs=32632).to_file(path)
    with pytest.raises(AoiError, match=r"Self-intersection\[550000 7050000\] \(units of WGS 84 / UTM zone 32N\)"):
        parse_aoi(str(path))


def test_a_shapefile_without_its_prj_is_refused(frame: geopandas.GeoDataFrame, tmp_path: Path) -> None:
    frame.to_file(tmp_path / "a.shp")
    (tmp_path / "a.prj").unlink()
    with pytest.raises(AoiError, match=r"states no CRS \(a Shapefile needs its \.prj\)"):
        parse_aoi(str(tmp_path / "a.shp"))


def test_a_geopackage_of_two_layers_asks_for_one(frame: geopandas.GeoDataFrame, tmp_path: Path) -> None:
    for layer in ("lakes", "rivers"):
        frame.to_file(tmp_path / "a.gpkg", layer=layer)
    with pytest.raises(AoiError, match=r"has 2 layers with geometry \(lakes, rivers\); expected one"):
        parse_aoi(str(tmp_path / "a.gpkg"))


def test_an_old_geojson_that_names_its_crs_is_reprojected(tmp_path: Path) -> None:
    path = tmp_path / "old.geojson"
    projected = geopandas.GeoDataFrame(geometry=[box(5e5, 7e6, 5.1e5, 7.01e6)], crs=32632)
    crs = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32632"}}
    path.write_text(json.dumps({**mapping(projected), "crs": crs}))
    projected.to_file(tmp_path / "new.gpkg")
    assert parse_aoi(str(path), name="x") == parse_aoi(str(tmp_path / "new.gpkg"), name="x")


@pytest.mark.parametrize("name", ["a.geojson", "a.gpkg", "a.shp", "a.parquet", "a.fgb", "a.txt"])
def test_a_file_that_is_none_is_named(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(b"\xff\xfenothing of the kind" * 10)
    with pytest.raises(AoiError, match=re.escape(str(path))) as caught:
        parse_aoi(str(path))
    assert "\n" not in str(caught.value)


def test_a_file_named_in_another_script_is_called_after_its_bbox(frame: geopandas.GeoDataFrame, tmp_path: Path) -> None:
    frame.to_file(tmp_path / "Лена.gpkg")
    assert parse_aoi(str(tmp_path / "Лена.gpkg")).name == "e10-n60-e11-n61"
    assert parse_aoi(str(tmp_path / "Лена.gpkg"), name="lena").name == "lena"


@pytest.mark.parametrize("name", ["", "Lena", "a b", "a--b", "-a", "a_b", "../x", "ü", "a" * 65])
def test_a_name_that_is_no_slug_is_refused_with_one_that_is(name: str) -> None:
    with pytest.raises(AoiError, match="cannot name an area; expected up to 64 of a-z"):
        AreaOfInterest(name=name, geometry=SQUARE)


@settings(deadline=None, max_examples=200)
@given(st.text())
def test_a_slug_is_a_name_or_nothing(text: str) -> None:
    made = slug(text)
    assert made == "" or is_name(made)
    assert slug(made) == made


@settings(deadline=None, max_examples=200)
@given(st.tuples(*[st.floats(-180, 180)] * 4))
def test_a_bbox_has_a_name(bbox: tuple[float, float, float, float]) -> None:
    assert is_name(bbox_name(bbox))


def test_names_of_bboxes_read_well() -> None:
    assert slug("Лена Tórshavn — Delta_2") == "torshavn-delta-2"
    assert bbox_name((-180.0, -0.00001, 10.5, 66.5623)) == "w180-n0-e10p5-n66p5623"
