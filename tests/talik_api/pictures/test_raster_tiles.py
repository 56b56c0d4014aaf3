"""Raster tiles against rasterio's own warp."""

from __future__ import annotations

from pathlib import Path

import morecantile
import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.enums import Resampling
from rasterio.vrt import WarpedVRT

from making import UTM33, grid_at, write_tif
from talik_api.pictures.raster_tiles import (
    Cog,
    image_tile,
    probability_cogs,
    probability_pixels,
    probability_tile,
    ramp_colours,
    union_bounds,
    zooms,
)
from talik_api.pictures.web_mercator import TileAt, matrix_set, to_lonlat, to_mercator, zoom_for
from talik_inference.grid import Lattice

from .painting import GRID, anywhere, coordinates, frame, rgba_of

TMS = morecantile.tms.get("WebMercatorQuad")


def probability(folder: Path, grid: GeoBox = GRID, *, name: str = "p", fill: int | None = None) -> Path:
    """Probability that says where it is, with a hole of no data."""
    rows, columns = np.indices(grid.shape)
    values = ((rows * 7 + columns) % 251).astype(np.uint8) if fill is None else np.full(grid.shape, fill, np.uint8)
    values[20:40, 30:60] = 255
    return write_tif(folder / f"{name}.tif", values[None], grid, nodata=255)


def tile_over(grid: GeoBox, zoom: int) -> TileAt:
    lon, lat = grid.extent.to_crs("EPSG:4326").centroid.coords[0]
    found = TMS.tile(lon, lat, zoom)
    return TileAt(zoom=zoom, row=found.y, column=found.x)


def warped(path: Path, at: TileAt, *, overview: int | None = None) -> NDArray[np.uint8]:
    """The oracle: rasterio's nearest warp onto the tile as morecantile has it."""
    box = TMS.xy_bounds(morecantile.Tile(x=at.column, y=at.row, z=at.zoom))
    transform = rasterio.transform.from_bounds(*box, 256, 256)
    options = {} if overview is None else {"OVERVIEW_LEVEL": overview}
    with (
        rasterio.open(path, **options) as source,
        WarpedVRT(
            source,
            crs="EPSG:3857",
            transform=transform,
            width=256,
            height=256,
            resampling=Resampling.nearest,
            src_nodata=255,
            nodata=255,
        ) as vrt,
    ):
        read: NDArray[np.uint8] = vrt.read(1)
        return read


@pytest.mark.parametrize("zoom", [10, 13, 14, 16])
def test_a_probability_tile_is_rasterios_nearest_warp(tmp_path: Path, zoom: int) -> None:
    path, at = probability(tmp_path), tile_over(GRID, zoom)
    cogs = probability_cogs((str(path),), anywhere)
    pixels = probability_pixels(cogs, at, anywhere)
    np.testing.assert_array_equal(pixels, warped(path, at))
    assert (pixels != 255).any()
    shown = rgba_of(probability_tile(cogs, at, anywhere).data)
    np.testing.assert_array_equal(shown[..., 3] == 0, pixels == 255)
    np.testing.assert_array_equal(shown, ramp_colours(pixels))


def test_a_small_zoom_reads_the_overview(tmp_path: Path) -> None:
    grid = GeoBox((1024, 1024), GRID.affine, GRID.crs)
    path = probability(tmp_path, grid)
    with rasterio.open(path, "r+") as target:
        target.build_overviews([2, 4, 8], Resampling.nearest)
    at = tile_over(grid, 11)  # 76 m on the map, 26 m on the ground: the overview of 20 m
    pixels = probability_pixels(probability_cogs((str(path),), anywhere), at, anywhere)
    np.testing.assert_array_equal(pixels, warped(path, at, overview=0))


def test_the_whole_world_is_one_tile(tmp_path: Path) -> None:
    grid = GeoBox((4096, 4096), GRID.affine, GRID.crs)
    path = probability(tmp_path, grid)
    with rasterio.open(path, "r+") as target:
        target.build_overviews([2, 4, 8, 16], Resampling.nearest)
    cogs = probability_cogs((str(path),), anywhere)
    tile = probability_tile(cogs, TileAt(zoom=0, row=0, column=0), anywhere)
    assert rgba_of(tile.data)[..., 3].sum() <= 4 * 255  # 41 km on pixels of 157 km


def test_the_ramp_is_violet_at_0_and_yellow_at_1() -> None:
    colours = ramp_colours(np.array([[0, 125, 250, 255]], np.uint8))[0]
    assert colours[0].tolist() == [68, 1, 84, 255]
    assert colours[2].tolist() == [253, 231, 36, 255]
    assert colours[3].tolist() == [0, 0, 0, 0]


def test_files_of_two_zones_fill_one_tile(tmp_path: Path) -> None:
    zone34 = Lattice(crs="EPSG:32634", resolution=10.0)
    x, y = to_mercator(np.array([18.0]), np.array([0.0]))
    west = grid_at(83_000, -776_000, 600, 800, UTM33)
    east_of = west.extent.to_crs("EPSG:32634").boundingbox
    column, row = round(east_of.right / 10) - 100, round(-east_of.top / 10)
    east = grid_at(column, row, 600, 800, zone34)
    paths = (probability(tmp_path, west, name="w", fill=50), probability(tmp_path, east, name="e", fill=200))
    cogs = probability_cogs(tuple(map(str, paths)), anywhere)
    lon = (cogs[0].bounds[2] + cogs[1].bounds[0]) / 2
    found = TMS.tile(lon, (cogs[0].bounds[1] + cogs[0].bounds[3]) / 2, 12)
    at = TileAt(zoom=12, row=found.y, column=found.x)
    pixels = probability_pixels(cogs, at, anywhere)
    first, second = warped(paths[0], at), warped(paths[1], at)
    assert (first != 255).any()
    assert (second != 255).any()
    np.testing.assert_array_equal(pixels, np.where(first != 255, first, second))
    assert x[0] > 0
    assert abs(y[0]) < 1e-6


def test_a_tile_without_data_is_transparent(tmp_path: Path) -> None:
    cogs = probability_cogs((str(probability(tmp_path)),), anywhere)
    tile = probability_tile(cogs, TileAt(zoom=10, row=0, column=0), anywhere)
    assert tile.empty
    assert not rgba_of(tile.data).any()
    assert rgba_of(tile.data).shape == (256, 256, 4)
    assert probability_tile([], TileAt(zoom=0, row=0, column=0), anywhere, kind="webp").empty


def test_an_image_tile_shows_the_scene(tmp_path: Path) -> None:
    at = tile_over(GRID, 14)
    shown = rgba_of(image_tile(frame(tmp_path), at, anywhere).data)
    for band in range(3):
        source = coordinates()[band]
        path = write_tif(tmp_path / f"{band}.tif", source[None], GRID, nodata=0)
        with (
            rasterio.open(path) as file,
            WarpedVRT(
                file, crs="EPSG:3857", transform=at.grid().affine, width=256, height=256, src_nodata=0, nodata=0
            ) as vrt,
        ):
            expected = vrt.read(1)
        valid = expected > 0
        np.testing.assert_array_equal(shown[..., 3] > 0, valid)
        wanted = np.rint(np.clip(expected * 1e-4 / 0.3, 0, 1) * 255)
        assert np.abs(shown[..., band].astype(int) - wanted)[valid].max() <= 1


def test_tile_addresses_are_morecantiles() -> None:
    for zoom, row, column in ((0, 0, 0), (3, 2, 7), (14, 4000, 9001), (24, 2**24 - 1, 0)):
        at = TileAt(zoom=zoom, row=row, column=column)
        tile = morecantile.Tile(x=column, y=row, z=zoom)
        np.testing.assert_allclose(at.bounds_m, TMS.xy_bounds(tile), rtol=1e-12, atol=1e-6)
        np.testing.assert_allclose(at.lonlat_bounds(), TMS.bounds(tile), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("zoom", "row", "column"), [(-1, 0, 0), (25, 0, 0), (2, 4, 0), (2, 0, 4), (2, -1, 0)])
def test_a_tile_that_is_not_there_cannot_be_named(zoom: int, row: int, column: int) -> None:
    with pytest.raises(ValueError, match="outside WebMercatorQuad"):
        TileAt(zoom=zoom, row=row, column=column)


def test_mercator_there_and_back() -> None:
    lon, lat = np.array([-180.0, 0, 33.3, 180]), np.array([-85.05, 0, 68.1, 85.05])
    np.testing.assert_allclose(to_lonlat(*to_mercator(lon, lat)), (lon, lat), atol=1e-9)


def test_the_native_zoom_follows_the_latitude() -> None:
    assert zoom_for(156_543.03392804097, 0.0) == 0
    assert zoom_for(10.0, 0.0) == 14
    assert zoom_for(10.0, 70.0) == 13
    cog = Cog(href="a", bounds=(20.0, 69.0, 21.0, 70.0), pixel_m=10)
    assert zooms([cog]) == (0, 15)
    assert zooms([cog] * 65) == (6, 15)


def test_the_matrix_set_is_the_standards() -> None:
    document = matrix_set()
    assert document["id"] == "WebMercatorQuad"
    assert len(document["tileMatrices"]) == 25
    assert document["tileMatrices"][3]["matrixWidth"] == 8


def test_a_file_over_the_antimeridian_touches_both_sides() -> None:
    cog = Cog(href="a", bounds=(179.0, 60.0, -179.0, 61.0), pixel_m=10)
    assert cog.touches((179.5, 60, 180, 60.5))
    assert cog.touches((-180, 60, -179.5, 60.5))
    assert not cog.touches((0, 60, 10, 60.5))
    assert union_bounds([cog]) == (-180.0, 60.0, 180.0, 61.0)
