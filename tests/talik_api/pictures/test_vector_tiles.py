"""Vector tiles: other readers see the same polygons, within one quantum, and tiles fit together."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import mapbox_vector_tile
import morecantile
import numpy as np
import pyarrow as pa
import pyogrio
import pytest
import shapely
from pyproj import Geod
from shapely.geometry import shape

from talik_api.pictures import vector_tiles
from talik_api.pictures.vector_tiles import BUFFER, EXTENT, Bounds, Rows, VectorTile, vector_tile
from talik_api.pictures.web_mercator import TileAt, to_mercator

_GEOD = Geod(ellps="WGS84")


def area_m2(polygon: shapely.Geometry) -> float:
    """Geodesic area, as inventories state it."""
    return abs(float(_GEOD.geometry_area_perimeter(polygon)[0]))


def table_of(polygons: Sequence[shapely.Geometry]) -> pa.Table:
    """Rows with true areas."""
    geometry = np.array(polygons, object)
    return pa.table(
        {
            "geometry": pa.array(list(shapely.to_wkb(geometry)), pa.binary()),
            "id": [f"water-{number}" for number in range(len(polygons))],
            "area_m2": pa.array([area_m2(each) for each in polygons], pa.float64()),
            "probability": pa.array([0.5 + number / 1000 for number in range(len(polygons))], pa.float64()),
            "confidence": pa.array([None] * len(polygons), pa.float64()),
            "status": ["candidate"] * len(polygons),
            "observed_start": [datetime(2021, 7, 15, tzinfo=UTC)] * len(polygons),
        }
    )


def rows_of(polygons: Sequence[shapely.Geometry]) -> Rows:
    """What an inventory gives: rows whose bounds touch, of at least an area."""
    table = table_of(polygons)
    boxes = shapely.bounds(np.array(polygons, object)).reshape(-1, 4)

    def rows(bounds: Bounds, columns: Sequence[str], least: float) -> pa.Table:
        west, south, east, north = bounds
        touching = (boxes[:, 0] <= east) & (boxes[:, 2] >= west) & (boxes[:, 1] <= north) & (boxes[:, 3] >= south)
        kept = touching & (table["area_m2"].to_numpy() >= least)
        return table.filter(pa.array(kept)).select([name for name in columns if name in table.column_names])

    return rows


def in_quanta(polygon: shapely.Geometry, at: TileAt) -> shapely.Geometry:
    """The whole polygon in a tile's quanta, y down: the formula of the standard, written again."""
    left, bottom, right, top = at.bounds_m

    def change(lonlat: np.ndarray) -> np.ndarray:
        x, y = to_mercator(lonlat[:, 0], lonlat[:, 1])
        return np.column_stack([(x - left) / (right - left), (top - y) / (top - bottom)]) * EXTENT

    return shapely.transform(polygon, change)


def decoded(tile: VectorTile, layer: str = "water") -> dict[str, shapely.Geometry]:
    """Polygons by id, as mapbox_vector_tile reads them, y down."""
    content = mapbox_vector_tile.decode(tile.data, default_options={"y_coord_down": True})
    assert set(content) <= {layer}
    features = content.get(layer, {"features": []})["features"]
    return {each["properties"]["id"]: shape(each["geometry"]) for each in features}


def lakes(count: int, *, seed: int = 7, radius: float = 0.004) -> list[shapely.Polygon]:
    """Round lakes around 20 E 69 N with islands in some."""
    rng = np.random.default_rng(seed)
    places = rng.uniform((20.0, 69.0), (20.3, 69.1), (count, 2))
    made = []
    for number, place in enumerate(places):
        lake = shapely.Point(place).buffer(radius * rng.uniform(0.3, 1), quad_segs=12)
        made.append(lake.difference(shapely.Point(place).buffer(radius * 0.1)) if number % 3 == 0 else lake)
    return made


def tile_at(lon: float, lat: float, zoom: int) -> TileAt:
    """The tile that holds a place, as morecantile says."""
    found = morecantile.tms.get("WebMercatorQuad").tile(lon, lat, zoom)
    return TileAt(zoom=zoom, row=found.y, column=found.x)


AT = tile_at(20.2, 69.05, 10)
FRAME = shapely.box(-BUFFER, -BUFFER, EXTENT + BUFFER, EXTENT + BUFFER)


def test_polygons_come_back_within_one_quantum() -> None:
    polygons = lakes(60)
    seen = decoded(vector_tile(rows_of(polygons), AT, layer="water"))
    expected = {f"water-{number}": in_quanta(each, AT).intersection(FRAME) for number, each in enumerate(polygons)}
    expected = {name: each for name, each in expected.items() if not each.is_empty}
    assert len(seen) > 20
    assert set(seen) == set(expected)
    for name, polygon in seen.items():
        assert polygon.is_valid
        assert shapely.hausdorff_distance(polygon, expected[name], densify=0.1) <= 1.0


def test_gdal_reads_the_same_polygons(tmp_path: Path) -> None:
    polygons = lakes(60)
    tile = vector_tile(rows_of(polygons), AT, layer="water")
    path = tmp_path / str(AT.zoom) / str(AT.column) / f"{AT.row}.mvt"
    path.parent.mkdir(parents=True)
    path.write_bytes(tile.data)
    # CLIP=NO: the buffer too
    frame = pyogrio.read_dataframe(path, layer="water", CLIP="NO")
    left, bottom, right, top = AT.bounds_m
    quantum = (right - left) / EXTENT
    assert len(frame) == tile.count
    assert frame.crs.to_epsg() == 3857
    for name, geometry in zip(frame["id"], frame.geometry, strict=True):
        ours = decoded(tile)[name]
        pixels = shapely.transform(
            geometry, lambda xy: np.column_stack([(xy[:, 0] - left) / quantum, (top - xy[:, 1]) / quantum])
        )
        assert shapely.equals(pixels.normalize().simplify(0), ours.normalize().simplify(0)) or (
            shapely.hausdorff_distance(pixels, ours) < 0.01
        )
    assert bottom < top


def test_islands_stay_islands() -> None:
    lake = shapely.Point(20.2, 69.05).buffer(0.02).difference(shapely.Point(20.2, 69.05).buffer(0.005))
    (polygon,) = decoded(vector_tile(rows_of([lake]), AT, layer="water")).values()
    assert len(polygon.interiors) == 1
    assert polygon.area == pytest.approx(in_quanta(lake, AT).intersection(FRAME).area, rel=0.005)


def test_neighbouring_tiles_sum_up_to_the_whole() -> None:
    lake = shapely.Point(20.0, 69.03).buffer(0.3, quad_segs=64)
    zoom = 9
    whole = in_quanta(lake, TileAt(zoom=zoom, row=0, column=0))
    west, north, east, south = (int(side // EXTENT) for side in whole.bounds)
    core, total, tiles = shapely.box(0, 0, EXTENT, EXTENT), 0.0, 0
    for row in range(north, south + 1):
        for column in range(west, east + 1):
            tile = vector_tile(rows_of([lake]), TileAt(zoom=zoom, row=row, column=column), layer="water")
            part = sum(each.intersection(core).area for each in decoded(tile).values())
            total, tiles = total + part, tiles + 1
    assert tiles >= 3
    assert total == pytest.approx(whole.area, abs=whole.length)  # half a quantum along the shore at most


def test_attributes_are_kept_and_nulls_left_out() -> None:
    lake = shapely.Point(20.2, 69.05).buffer(0.02)
    tile = vector_tile(rows_of([lake]), AT, layer="thaw_slump")
    layer = mapbox_vector_tile.decode(tile.data)["thaw_slump"]
    assert layer["extent"] == EXTENT
    assert layer["version"] == 2
    properties = layer["features"][0]["properties"]
    assert properties["id"] == "water-0"
    assert properties["area_m2"] == pytest.approx(area_m2(lake))
    assert properties["observed_start"] == "2021-07-15T00:00:00+00:00"
    assert "confidence" not in properties


def test_at_a_small_zoom_what_no_one_sees_is_left_out() -> None:
    polygons = [*lakes(50), shapely.Point(20.2, 69.05).buffer(3.0)]
    tile = vector_tile(rows_of(polygons), TileAt(zoom=2, row=0, column=2), layer="water")
    assert set(decoded(tile)) == {"water-50"}
    assert tile.smallest_m2 > 1e6
    assert not tile.limited


def test_no_polygon_of_a_pixel_or_more_is_ever_left_out() -> None:
    for latitude in (-70.0, -20.0, 0.0, 45.0, 80.0):
        half = 11 * 360 / 2**6 / EXTENT / 2  # 11 quanta wide: 121 or more square quanta
        lake = shapely.box(10 - half, latitude - half, 10 + half, latitude + half)
        at = tile_at(10.0, latitude, 6)
        assert vector_tile(rows_of([lake]), at, layer="water").count == 1


def test_the_largest_stay_where_there_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vector_tiles, "MAX_FEATURES", 10)
    polygons = [each for each in lakes(80) if in_quanta(each, AT).intersects(FRAME)]
    tile = vector_tile(rows_of(polygons), AT, layer="water")
    areas = {f"water-{n}": area_m2(each) for n, each in enumerate(polygons)}
    assert tile.limited
    assert set(decoded(tile)) == set(sorted(areas, key=lambda name: -areas[name])[:10])


def test_vertices_are_bounded_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vector_tiles, "MAX_VERTICES", 200)
    tile = vector_tile(rows_of(lakes(80)), AT, layer="water")
    assert tile.limited
    assert sum(shapely.get_num_coordinates(each) for each in decoded(tile).values()) <= 200


def test_a_tile_of_nothing_has_no_features() -> None:
    tile = vector_tile(rows_of(lakes(3)), TileAt(zoom=5, row=30, column=2), layer="water")
    assert (tile.count, tile.limited) == (0, False)
    assert decoded(tile) == {}


def test_a_bow_tie_cannot_break_a_tile() -> None:
    bow = shapely.Polygon([(20.1, 69.0), (20.3, 69.1), (20.3, 69.0), (20.1, 69.12)])
    rows = rows_of([bow])
    tile = vector_tile(lambda bounds, columns, least: rows(bounds, columns, 0.0), AT, layer="water")
    assert tile.count <= 1


def test_parts_on_both_sides_of_the_antimeridian_lie_in_their_own_tiles() -> None:
    lake = shapely.MultiPolygon([shapely.box(179.9, 66, 180, 66.1), shapely.box(-180, 66, -179.9, 66.1)])
    for lon in (-179.95, 179.95):
        (part,) = decoded(vector_tile(rows_of([lake]), tile_at(lon, 66.05, 8), layer="water")).values()
        assert part.geom_type == "Polygon"
