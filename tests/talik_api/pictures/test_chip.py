"""Chips: pixels where they belong, outline where the feature is, nothing where there are no data."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import rasterio
import shapely
from odc.geo.geobox import GeoBox
from PIL import Image

from making import make_scene
from talik_api.pictures.chip import Look, chip, ground_metres, metric_crs, view_of
from talik_api.pictures.render import FIXED, coloured, limits_for, ring_pixels, round_length
from talik_api.pictures.scenes import Frame, fixed_range, read_frame
from talik_stac.errors import ReadError, TalikError

from .painting import GRID, anywhere, coordinates, frame, lonlat_box, rgba_of

LAKE = lonlat_box(100, 80, 40, 30)


def test_each_pixel_of_a_chip_is_the_files_own_pixel_at_that_place(tmp_path: Path) -> None:
    shown = frame(tmp_path)
    view = view_of(LAKE, GRID, Look(size_px=256, buffer_m=100.0))
    pixels = read_frame(shown, view.grid, anywhere)
    rows, columns = np.indices(view.grid.shape) + 0.5
    xs, ys = view.grid.affine * (columns.ravel(), rows.ravel())
    with rasterio.open(tmp_path / "scene-15.tif") as source:
        expected = np.array(list(source.sample(zip(xs, ys, strict=True)))).T.reshape(3, *view.grid.shape)
    assert pixels.valid.all()
    # A grid line may fall on a pixel's middle: rounding there may go either way.
    same = np.isclose(pixels.data, expected * 1e-4).all(axis=0)
    assert same.mean() > 0.999


def test_a_chip_shows_reflectance_0_to_0_3_as_0_to_255(tmp_path: Path) -> None:
    pixels = read_frame(frame(tmp_path), GRID, anywhere)
    rgba = coloured(pixels, limits_for([pixels], "fixed"))
    expected = np.rint(np.clip(coordinates() * 1e-4 / FIXED[1], 0, 1) * 255).transpose(1, 2, 0)
    assert np.abs(rgba[..., :3].astype(int) - expected).max() <= 1
    assert (rgba[..., 3] == 255).all()


def test_the_outline_lies_where_shapely_says(tmp_path: Path) -> None:
    shown = frame(tmp_path, np.full((3, *GRID.shape), 900, np.uint16))
    view = view_of(LAKE, GRID, Look(size_px=400))
    rgba = rgba_of(chip(LAKE, shown, anywhere, look=Look(size_px=400)))
    yellow = (rgba[..., 0] > 240) & (rgba[..., 1] > 200) & (rgba[..., 2] < 60)
    line = shapely.MultiLineString(list(ring_pixels(view.outline, view.grid)))
    rows, columns = np.nonzero(yellow)
    away = shapely.distance(line, shapely.points(columns, rows))
    assert away.max() <= 2.0
    drawn = shapely.MultiPoint(np.column_stack([columns, rows]))
    along = [line.interpolate(share, normalized=True) for share in np.linspace(0, 1, 200)]
    assert max(shapely.distance(along, drawn)) <= 1.0


def test_ground_without_data_is_transparent_in_png_and_webp(tmp_path: Path) -> None:
    pixels = coordinates()
    pixels[:, :, :120] = 0  # nodata: the west of the scene
    shown = frame(tmp_path, pixels)
    lake = lonlat_box(100, 80, 40, 40)
    for kind in ("png", "webp"):
        rgba = rgba_of(chip(lake, shown, anywhere, look=Look(size_px=256, buffer_m=300), kind=kind))
        assert (rgba[100, 5:60, 3] == 0).all()
        assert (rgba[100, 200:250, 3] == 255).all()


def test_outside_the_scene_is_transparent_where_the_file_states_no_nodata(tmp_path: Path) -> None:
    when = datetime(2021, 7, 15, tzinfo=UTC)
    scene = make_scene(tmp_path, coordinates(), GRID, bands=("red", "green", "blue"), nodata=None, when=when)
    view = view_of(lonlat_box(0, 80, 20, 20), GRID, Look(size_px=100, buffer_m=400))
    pixels = read_frame(Frame(day=when.date(), scenes=(scene,)), view.grid, anywhere)
    assert not pixels.valid[:, :39].any()
    assert pixels.valid[:, 41:].all()


def test_two_scenes_of_one_date_fill_each_other(tmp_path: Path) -> None:
    west, east = coordinates(), coordinates()
    west[:, :, 120:], east[:, :, :120] = 0, 0
    first, second = frame(tmp_path / "a", west), frame(tmp_path / "b", east)
    both = read_frame(Frame(day=first.day, scenes=first.scenes + second.scenes), GRID, anywhere)
    assert both.valid.all()
    np.testing.assert_allclose(both.data, coordinates() * 1e-4, rtol=1e-5)


def test_bands_of_different_files_are_put_together(tmp_path: Path) -> None:
    when = datetime(2021, 7, 15, tzinfo=UTC)
    one = make_scene(tmp_path / "1", coordinates()[:1], GRID, bands=("red",), when=when)
    two = make_scene(tmp_path / "2", coordinates()[1:], GRID, bands=("green", "blue"), when=when)
    bands = {name: {**one.bands, **two.bands}[name] for name in ("blue", "red", "green")}
    scene = type(one)(**{**vars(one), "bands": bands})
    pixels = read_frame(Frame(day=when.date(), scenes=(scene,)), GRID, anywhere)
    np.testing.assert_allclose(pixels.data, coordinates()[[2, 0, 1]] * 1e-4, rtol=1e-5)


def test_the_feature_and_its_buffer_fit_the_square() -> None:
    view = view_of(LAKE, GRID, Look(size_px=300, buffer_m=150.0))
    left, bottom, right, top = view.outline.bounds
    box = view.grid.boundingbox
    assert box.left == pytest.approx(left - 150, abs=0.5)
    assert box.right == pytest.approx(right + 150, abs=0.5)
    assert box.top > top + 150 - 0.5
    assert box.bottom < bottom - 150 + 0.5


def test_metres_are_ground_metres_whatever_the_projection() -> None:
    web = GeoBox.from_bbox((1e6, 11e6, 1.01e6, 11.01e6), "EPSG:3857", shape=(100, 100))
    lon, lat = web.extent.to_crs("EPSG:4326").centroid.coords[0]
    assert ground_metres(web) == pytest.approx(100 * np.cos(np.radians(lat)), rel=0.01)
    place = shapely.Point(lon, lat).buffer(0.01)
    view = view_of(place, web, Look())
    assert "Lambert Azimuthal Equal Area" in metric_crs(web, place).to_wkt()
    assert view.metres_per_px == pytest.approx(view.grid.resolution.x, rel=1e-4)


@pytest.mark.parametrize(("metres", "shown"), [(0.13, 0.1), (1, 1), (87, 50), (100, 100), (266, 200), (4999, 2000)])
def test_a_scale_bar_has_a_round_length(metres: float, shown: float) -> None:
    assert round_length(metres) == pytest.approx(shown)


def test_percentiles_stretch_dark_ground_to_the_full_range(tmp_path: Path) -> None:
    dark = (coordinates() // 20 + 1).astype(np.uint16)
    pixels = read_frame(frame(tmp_path, dark), GRID, anywhere)
    rgba = coloured(pixels, limits_for([pixels], "percentile"))
    assert rgba[..., 0].min() == 0
    assert rgba[..., 0].max() == 255
    assert coloured(pixels, limits_for([pixels], "fixed"))[..., :2].max() < 20


def test_one_band_is_grey(tmp_path: Path) -> None:
    shown = frame(tmp_path, coordinates()[:1])
    rgba = coloured(read_frame(shown, GRID, anywhere), np.array([[0, 0.3]]))
    assert (rgba[..., 0] == rgba[..., 1]).all()
    assert (rgba[..., 0] == rgba[..., 2]).all()


def test_a_chip_of_a_large_feature_reads_overviews(tmp_path: Path) -> None:
    grid = GeoBox((2048, 2048), GRID.affine, GRID.crs)
    shown = frame(tmp_path, np.full((3, 2048, 2048), 800, np.uint16), grid=grid)
    with rasterio.open(tmp_path / "scene-15.tif", "r+") as target:
        target.build_overviews([2, 4, 8], rasterio.enums.Resampling.average)
    with rasterio.open(tmp_path / "scene-15.tif", "r+", OVERVIEW_LEVEL=1) as target:
        target.write(np.full((3, 512, 512), 1600, np.uint16))  # so that one sees which level was read
    data = chip(lonlat_box(64, 64, 1900, 1900, grid), shown, anywhere, look=Look(size_px=400, buffer_m=0))
    assert rgba_of(data)[200, 200, 0] == round(0.16 / 0.3 * 255)


def test_too_many_pixels_are_refused_before_they_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("talik_api.pictures.reading.MAX_SOURCE_PX", 100)
    with pytest.raises(TalikError, match="overviews"):
        chip(LAKE, frame(tmp_path), anywhere, look=Look())


def test_a_file_that_is_no_geotiff_is_not_opened(tmp_path: Path) -> None:
    shown = frame(tmp_path)
    secret = tmp_path / "secret.tif"
    (tmp_path / "scene-15.tif").rename(secret)
    (tmp_path / "scene-15.tif").write_text(
        '<VRTDataset rasterXSize="9" rasterYSize="9"><VRTRasterBand dataType="UInt16" band="1"><SimpleSource>'
        f"<SourceFilename>{secret}</SourceFilename></SimpleSource></VRTRasterBand></VRTDataset>"
    )
    with pytest.raises(ReadError, match="scene-15"):
        chip(LAKE, shown, anywhere, look=Look())


@pytest.mark.parametrize(
    "href",
    ["/vsicurl/http://127.0.0.1/a.tif", "GTIFF_DIR:1:/a.tif", "zip+file:///a.zip", "/data/../etc/a.tif", "a.tif"],
)
def test_hrefs_that_mean_more_than_a_file_are_refused(tmp_path: Path, href: str) -> None:
    shown = frame(tmp_path)
    bands = {name: type(band)(**{**vars(band), "href": href}) for name, band in shown.scenes[0].bands.items()}
    scene = type(shown.scenes[0])(**{**vars(shown.scenes[0]), "bands": bands})
    with pytest.raises(TalikError, match="names"):
        chip(LAKE, Frame(day=shown.day, scenes=(scene,)), anywhere, look=Look())


def test_what_is_not_allowed_is_not_opened(tmp_path: Path) -> None:
    def refuse(href: str) -> None:
        raise TalikError(f"no: {Path(href).name}")

    with pytest.raises(TalikError, match="no: scene-15"):
        chip(LAKE, frame(tmp_path), refuse, look=Look())


def test_a_chip_is_as_large_as_asked_and_the_same_each_time(tmp_path: Path) -> None:
    shown = frame(tmp_path)
    for size in (64, 1024):
        first = chip(LAKE, shown, anywhere, look=Look(size_px=size))
        assert first == chip(LAKE, shown, anywhere, look=Look(size_px=size))
        with Image.open(io.BytesIO(first)) as image:
            assert image.size == (size, size)


def test_eight_bit_pictures_are_shown_as_they_were_made(tmp_path: Path) -> None:
    when = datetime(2021, 7, 15, tzinfo=UTC)
    numbers = np.full((3, *GRID.shape), 180, np.uint8)
    bands = ("red", "green", "blue")
    scene = make_scene(tmp_path, numbers, GRID, bands=bands, scale=1 / 255, when=when)
    shown = Frame(day=when.date(), scenes=(scene,))
    assert fixed_range(shown) == (0.0, 1.0)
    assert fixed_range(frame(tmp_path / "other")) == FIXED
    assert rgba_of(chip(LAKE, shown, anywhere, look=Look(size_px=400)))[100, 390].tolist() == [180, 180, 180, 255]
