"""Footprints hold every valid pixel, in lon/lat, across the antimeridian and around poles."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pyproj import CRS, Geod, Transformer
from shapely import box

from talik_inference.footprint import lonlat_bbox, to_lonlat, valid_footprint
from talik_stac.items import footprint_of

UTM33 = Affine(10.0, 0.0, 400_000.0, 0.0, -10.0, 7_000_000.0)


def footprint(
    tmp: Path, pixels: NDArray[np.uint16], transform: Affine = UTM33, crs: str = "EPSG:32633"
) -> shapely.Geometry | None:
    path = tmp / "a.tif"
    height, width = pixels.shape
    with rasterio.open(
        path, "w", driver="GTiff", count=1, height=height, width=width, dtype="uint16", crs=crs, transform=transform
    ) as target:
        target.write(pixels, 1)
    with rasterio.open(path) as source:
        return valid_footprint(source, [1], [0.0])


def corners_lonlat(pixels: NDArray[np.uint16], transform: Affine, crs: str) -> shapely.Geometry:
    """All four corners of every valid pixel, moved a hair inwards."""
    rows, cols = np.nonzero(pixels)
    inside = [(c + dx, r + dy) for c, r in zip(cols, rows, strict=True) for dx in (0.01, 0.99) for dy in (0.01, 0.99)]
    x, y = np.transpose([transform @ point for point in inside])
    lon, lat = Transformer.from_crs(crs, "OGC:CRS84", always_xy=True).transform(x, y)
    return shapely.multipoints(np.column_stack([lon, lat]))


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), size=st.integers(1, 60), share=st.floats(0.02, 1.0))
def test_every_valid_pixel_lies_in_the_footprint(
    tmp_path_factory: pytest.TempPathFactory, seed: int, size: int, share: float
) -> None:
    rng = np.random.default_rng(seed)
    pixels = (rng.random((size, size + 3)) < share).astype(np.uint16)
    area = footprint(tmp_path_factory.mktemp("f"), pixels)
    if not pixels.any():
        assert area is None
        return
    assert area is not None
    assert area.is_valid
    assert area.covers(corners_lonlat(pixels, UTM33, "EPSG:32633"))


def test_a_large_raster_is_decimated_and_still_holds_its_valid_pixels(tmp_path: Path) -> None:
    pixels = np.zeros((1500, 1300), dtype=np.uint16)
    for row in range(1500):
        pixels[row, max(0, row // 3 - 40) : 700 + row // 4] = 1  # a slanted swath
    area = footprint(tmp_path, pixels)
    assert area is not None
    assert area.covers(corners_lonlat(_only_edges(pixels), UTM33, "EPSG:32633"))
    assert shapely.get_num_coordinates(area) < 400
    geodesic = abs(Geod(ellps="WGS84").geometry_area_perimeter(area)[0])
    assert geodesic == pytest.approx(pixels.sum() * 100, rel=0.04)  # cells of 4 px, grown by one


def _only_edges(pixels: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """The first and last valid pixel of each row."""
    edges = np.zeros_like(pixels)
    for row, line in enumerate(pixels):
        valid = np.nonzero(line)[0]
        edges[row, [valid[0], valid[-1]]] = 1
    return edges


def test_a_full_raster_has_its_own_outline(tmp_path: Path) -> None:
    area = footprint(tmp_path, np.ones((40, 50), dtype=np.uint16))
    assert area is not None
    geodesic = abs(Geod(ellps="WGS84").geometry_area_perimeter(area)[0])
    scale = 0.9996 * (1 + (100_000**2) / (2 * 6.371e6**2))  # UTM point scale 100 km from its meridian
    assert geodesic == pytest.approx(40 * 50 * 100 / scale**2, rel=0.01)


def test_a_scene_across_the_antimeridian_is_split_and_stays_narrow() -> None:
    # UTM zone 60, its eastern edge: 180 degrees at 70 N lies near easting 614,000
    area = to_lonlat(
        box(0, 0, 4000, 4000), Affine(10, 0, 595_000, 0, -10, 7_800_000), CRS.from_user_input("EPSG:32660")
    )
    west, south, east, north = lonlat_bbox(area)
    assert area.geom_type == "MultiPolygon"
    assert area.is_valid
    assert west > 179
    assert east < -179
    assert 69 < south < north < 71
    total = sum(abs(Geod(ellps="WGS84").geometry_area_perimeter(part)[0]) for part in area.geoms)
    assert total == pytest.approx(1.6e9, rel=0.01)
    item = {"id": "i", "geometry": shapely.geometry.mapping(area), "bbox": [west, south, east, north]}
    assert footprint_of(item).equals(area)


def test_a_polar_grid_around_the_pole_covers_the_pole_and_all_longitudes() -> None:
    area = to_lonlat(
        box(0, 0, 1000, 1000), Affine(1000, 0, -500_000, 0, -1000, 500_000), CRS.from_user_input("EPSG:3413")
    )
    assert area.is_valid
    assert area.bounds[0] == pytest.approx(-180)
    assert area.bounds[2] == pytest.approx(180)
    assert area.bounds[3] == pytest.approx(90)
    lon, lat = Transformer.from_crs("EPSG:3413", "OGC:CRS84", always_xy=True).transform(
        np.linspace(-490_000, 490_000, 50), np.linspace(480_000, -495_000, 50)
    )
    assert shapely.covers(area, shapely.points(lon, lat)).all()
    geodesic = abs(Geod(ellps="WGS84").geometry_area_perimeter(area)[0])
    assert geodesic == pytest.approx(1e12, rel=0.07)  # the projection is not of equal area


def test_a_polar_swath_beside_the_pole_across_the_antimeridian_is_split() -> None:
    area = to_lonlat(
        box(0, 0, 300, 300), Affine(1000, 0, -900_000, 0, -1000, 900_000), CRS.from_user_input("EPSG:3413")
    )
    assert area.is_valid
    lon, lat = Transformer.from_crs("EPSG:3413", "OGC:CRS84", always_xy=True).transform(-750_000, 750_000)
    assert area.covers(shapely.Point(lon, lat))
    assert abs(Geod(ellps="WGS84").geometry_area_perimeter(area)[0]) < 1.2e11
