"""Reading, compositing and predicting: a pixel depends on its scene, never on what is read with it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox
from scipy.ndimage import uniform_filter

from making import UTM33, grid_at, make_scene, shifted
from talik_inference.chips import time_stack
from talik_inference.composite import composite
from talik_inference.grid import Rect
from talik_inference.model import load_model, open_predictor
from talik_inference.ndwi import SMALLEST_SUM, ndwi_card, ndwi_onnx
from talik_inference.plan import Windows
from talik_inference.predict import fill, landform_above, predict_block, quantise
from talik_inference.quality import clear_pixels
from talik_inference.radiometry import check_radiometry
from talik_inference.read import Raster, read_scene, with_grids
from talik_inference.vectorize import NO_DATA
from talik_stac.errors import ImageryError, ModelError, ReadError
from talik_stac.scenes import Scene
from talik_stac.store import open_store
from tiny_models import blurred_green, write_model

GRID = grid_at(40_000, -540_000, 130, 150)
RECT = Rect(col=40_000, row=-540_000, col_end=40_150, row_end=-539_870)


def noise(seed: int = 0, bands: int = 2) -> np.ndarray:
    return np.random.default_rng(seed).integers(1, 9000, (bands, 130, 150)).astype(np.uint16)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Scene]:
    folder = tmp_path_factory.mktemp("scenes")
    pixels = noise()
    pixels[:, :20, :30] = 0
    codes = np.random.default_rng(1).integers(0, 12, (65, 75)).astype(np.uint8)
    coarse = GeoBox((65, 75), GRID.affine * Affine.scale(2), GRID.crs)
    return {
        "native": make_scene(folder, pixels, GRID, scene_id="native", quality=("scl", codes, coarse)),
        "moved": make_scene(folder, pixels, shifted(GRID, 3.3, -2.2), scene_id="moved", quality=("scl", codes, coarse)),
        "endless": make_scene(folder, pixels, GRID, scene_id="endless", nodata=None),
    }


@settings(max_examples=30, deadline=None)
@given(
    name=st.sampled_from(["native", "moved", "endless"]),
    col=st.integers(-40, 140),
    row=st.integers(-40, 120),
    width=st.integers(1, 120),
    height=st.integers(1, 120),
)
def test_a_pixel_is_the_same_in_every_rectangle(
    scenes: dict[str, Scene], name: str, col: int, row: int, width: int, height: int
) -> None:
    whole_rect = RECT.expand(45)
    whole = read_scene(scenes[name], ["nir", "green"], UTM33, whole_rect)
    assert whole is not None
    part = Rect(col=RECT.col + col, row=RECT.row + row, col_end=RECT.col + col + width, row_end=RECT.row + row + height)
    read = read_scene(scenes[name], ["nir", "green"], UTM33, part)
    common = part.intersect(whole_rect)
    valid = whole.valid[common.within(whole_rect)]
    if read is None:
        assert not valid.any()
        return
    assert np.array_equal(read.valid[common.within(part)], valid)
    assert np.array_equal(read.data[:, *common.within(part)], whole.data[:, *common.within(whole_rect)])


def test_native_pixels_are_the_files_own(scenes: dict[str, Scene]) -> None:
    scene = scenes["native"]
    raster = read_scene(scene, ["nir", "green"], UTM33, RECT)
    assert raster is not None
    with rasterio.open(scene.bands["nir"].href) as source:
        numbers = source.read([2, 1])
    with rasterio.open(scene.quality.href) as source:  # type: ignore[union-attr]
        codes = np.repeat(np.repeat(source.read(1), 2, axis=0), 2, axis=1)
    expected = (numbers != 0).all(axis=0) & clear_pixels("scl", codes)
    assert np.array_equal(raster.valid, expected)
    assert np.array_equal(raster.data[:, expected], numbers[:, expected].astype(np.float32) * np.float32(1e-4))


def test_a_resampled_scene_is_what_gdal_makes_of_it(scenes: dict[str, Scene], tmp_path: Path) -> None:
    moved = make_scene(tmp_path, noise(3), shifted(GRID, 4.0, 3.0), nodata=0)
    raster = read_scene(moved, ["green"], UTM33, RECT)
    assert raster is not None
    with rasterio.open(moved.bands["green"].href) as source:
        expected = np.zeros((130, 150), np.uint16)
        rasterio.warp.reproject(
            rasterio.band(source, 1),
            expected,
            dst_transform=GRID.affine,
            dst_crs=str(GRID.crs),
            resampling=rasterio.warp.Resampling.bilinear,
            src_nodata=0,
            dst_nodata=0,
        )
    inner = np.s_[2:-2, 2:-2]
    numbers = np.rint(raster.data[0] * 1e4)
    assert np.abs(numbers[inner] - expected[inner]).max() <= 1


def test_a_file_is_not_valid_beyond_its_edge(scenes: dict[str, Scene]) -> None:
    raster = read_scene(scenes["endless"], ["green", "nir"], UTM33, RECT.expand(10))
    assert raster is not None
    assert raster.valid.sum() == 130 * 150


def test_a_file_that_is_not_what_its_item_says_is_named(scenes: dict[str, Scene], tmp_path: Path) -> None:
    scene = make_scene(tmp_path, noise(), GRID, scene_id="short")
    make_scene(tmp_path, noise()[:, :50], grid_at(40_000, -540_000, 50, 150), scene_id="short")
    with pytest.raises(ReadError, match=r"short\.tif.*item says"):
        read_scene(scene, ["green"], UTM33, RECT)
    Path(scene.bands["green"].href).write_bytes(b"not a raster")
    with pytest.raises(ReadError, match=r"short\.tif"):
        read_scene(scene, ["green"], UTM33, RECT)
    headless = replace(scene, bands={"green": replace(scene.bands["green"], grid=None)})
    with pytest.raises(ReadError, match=r"short\.tif"):
        with_grids(headless)


def test_dark_water_of_eight_bits_is_valid_though_one_band_equals_nodata(tmp_path: Path) -> None:
    pixels = np.full((2, 130, 150), 40, np.uint8)
    pixels[1] = 0
    pixels[:, :10] = 0
    raster = read_scene(make_scene(tmp_path, pixels, GRID, scale=1 / 255), ["green", "nir"], UTM33, RECT)
    assert raster is not None
    assert raster.valid.sum() == 120 * 150


QUALITY = {
    "scl": ([2, 4, 5, 6, 7], [0, 1, 3, 8, 9, 10, 11]),
    "udm2": ([1], [0]),
    "fmask": ([0, 32, 64], [2, 8, 16, 255]),
    "qa_pixel": ([64, 21824 & ~0b111111], [1, 2, 4, 8, 16, 32]),
    "valid": ([1], [0, 2]),
}


@pytest.mark.parametrize("kind", QUALITY)
def test_quality_codes_are_read_as_their_product_says(kind: str) -> None:
    clear, other = QUALITY[kind]
    assert clear_pixels(kind, np.array(clear)).all()  # type: ignore[arg-type]
    assert not clear_pixels(kind, np.array(other)).any()  # type: ignore[arg-type]


def stack_of(seed: int, count: int) -> list[tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(seed)
    return [(rng.random((2, 12, 14)).astype(np.float32), rng.random((12, 14)) > 0.4) for _ in range(count)]


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 999), count=st.integers(0, 6))
def test_composites_equal_their_definitions(seed: int, count: int) -> None:
    layers = stack_of(seed, count)
    rect = Rect(col=0, row=0, col_end=14, row_end=12)
    calls: list[int] = []

    def reader(scene, bands, lattice, where):  # type: ignore[no-untyped-def]
        calls.append(scene)
        data, valid = layers[scene]
        cut = where.within(rect)
        return Raster(data=np.where(valid, data, 0)[:, *cut].astype(np.float32), valid=valid[cut].copy())

    numbered = [(n, n) for n in range(count)]
    best = composite(reader, numbered, ["a", "b"], UTM33, rect, "best")  # type: ignore[arg-type]
    median = composite(reader, numbered, ["a", "b"], UTM33, rect, "median")  # type: ignore[arg-type]
    seen = np.array([valid for _, valid in layers]).reshape(count, 12, 14)
    values = np.array([data for data, _ in layers]).reshape(count, 2, 12, 14)
    some = seen.any(axis=0)
    assert np.array_equal(best.valid, some)
    assert np.array_equal(median.valid, some)
    sources = np.broadcast_to(best.sources, (12, 14))
    for y, x in zip(*np.nonzero(some), strict=True):
        first = int(np.argmax(seen[:, y, x]))
        assert np.array_equal(best.data[:, y, x], values[first, :, y, x])
        assert sources[y, x] == 1 << first
        middle = np.median(values[seen[:, y, x], :, y, x], axis=0)
        assert np.allclose(median.data[:, y, x], middle)
        assert median.sources[y, x] == sum(1 << n for n in range(count) if seen[n, y, x])  # type: ignore[index]


def test_a_full_composite_reads_no_further_scene() -> None:
    calls: list[int] = []

    def reader(scene, bands, lattice, where):  # type: ignore[no-untyped-def]
        calls.append(scene)
        return Raster(data=np.ones((1, *where.shape), np.float32), valid=np.ones(where.shape, bool))

    rect = Rect(col=0, row=0, col_end=5, row_end=5)
    composite(reader, [(0, 0), (1, 1), (2, 2)], ["a"], UTM33, rect, "best")  # type: ignore[list-item]
    assert calls == [0]


def test_the_shipped_ndwi_is_what_its_builder_makes_and_equals_the_formula() -> None:
    model = load_model("ndwi@1", open_store("nowhere"))
    assert model.onnx == ndwi_onnx()
    assert model.card == ndwi_card(model.onnx)
    window = np.random.default_rng(0).random((2, 40, 50), np.float32)
    window[:, 0, 0] = 0
    green, nir = window.astype(np.float64)
    expected = ((green - nir) / np.maximum(green + nir, SMALLEST_SUM) + 1) / 2
    answer = open_predictor(model, threads=1)(window)
    assert np.abs(answer - expected).max() < 1e-6
    assert answer[0, 0] == 0.5, "0 / 0 says nothing, and is not above the threshold"
    assert landform_above(model.card.threshold) == 125


@settings(max_examples=15, deadline=None)
@given(core_px=st.integers(5, 80), per_side=st.integers(1, 4), radius=st.integers(0, 3), seed=st.integers(0, 99))
def test_windows_with_a_halo_answer_as_the_whole_raster_does(
    tmp_path_factory: pytest.TempPathFactory, core_px: int, per_side: int, radius: int, seed: int
) -> None:
    model = load_model(blurred_green(tmp_path_factory.mktemp("m"), radius=radius, core_px=core_px), open_store("x"))
    predictor = open_predictor(model, threads=1)
    windows = Windows(core_px=core_px, halo_px=radius)
    side = core_px * per_side
    core = Rect(col=0, row=0, col_end=side, row_end=side)
    data = np.random.default_rng(seed).random((2, side + 2 * radius, side + 2 * radius), np.float32)
    valid = np.ones(data.shape[1:], bool)
    answer = predict_block(predictor, model.card, windows, data, valid, np.ones(core.shape, bool), core)
    green = data[0].astype(np.float64)
    whole = uniform_filter(green, 2 * radius + 1)[radius : radius + side, radius : radius + side]
    assert np.abs(answer.astype(int) - np.rint(whole * 250)).max() <= 1
    assert NO_DATA not in answer


def test_a_model_that_answers_nan_is_refused(tmp_path: Path) -> None:
    from onnx import helper

    nodes = [
        helper.make_node("ReduceMean", ["bands"], ["mean"], axes=[1], keepdims=1),
        helper.make_node("Mul", ["mean", "nan"], ["probability"]),
    ]
    model = load_model(write_model(tmp_path / "nan", nodes, {"nan": np.float32("nan")}), open_store("x"))
    rect = Rect(col=0, row=0, col_end=64, row_end=64)
    ones = np.ones(rect.shape, bool)
    windows = Windows(core_px=64, halo_px=0)
    with pytest.raises(ModelError, match="NaN"):
        predict_block(
            open_predictor(model, threads=1), model.card, windows, np.ones((2, 64, 64), np.float32), ones, ones, rect
        )


@pytest.mark.parametrize(("threshold", "above"), [(0.0, 0), (0.5, 125), (0.502, 125), (0.504, 126), (1.0, 250)])
def test_a_threshold_cuts_between_whole_steps(threshold: float, above: int) -> None:
    assert landform_above(threshold) == above


def test_quantising_keeps_no_data_apart() -> None:
    probability = np.array([[-1, 0, 0.5, 1, 2, np.nan]], np.float32)
    valid = np.array([[True, True, True, True, True, False]])
    assert quantise(probability, valid).tolist() == [[0, 0, 125, 250, 250, 255]]


def test_what_lies_beyond_the_valid_rectangle_is_its_mirror_image() -> None:
    data = np.arange(16, dtype=np.float32).reshape(1, 4, 4) + 1
    valid = np.zeros((4, 4), bool)
    valid[1:3, 0:3] = True
    filled = fill(data, valid)[0]
    assert filled[1, :].tolist() == [5, 6, 7, 6]
    assert filled[0, :].tolist() == filled[2, :].tolist()


def test_landsat_with_a_doubtful_offset_is_warned_of_and_left_alone(tmp_path: Path) -> None:
    scene = make_scene(tmp_path, noise(), GRID, scale=2.75e-5, offset=-0.2)
    checked = check_radiometry(scene, ["green", "nir"])
    assert checked.scene == scene
    assert "check scale and offset" in checked.warnings[0]


def test_a_time_stack_holds_native_pixels_date_by_date(tmp_path: Path) -> None:
    dates = [datetime(2021, 7, 20, tzinfo=UTC), datetime(2020, 7, 20, tzinfo=UTC)]
    made = [make_scene(tmp_path, noise(n), GRID, scene_id=f"s{n}", when=when) for n, when in enumerate(dates)]
    chip = GRID[20:60, 30:90]
    stack = time_stack(made, ["nir", "green"], chip)
    assert stack["scene"].values.tolist() == ["s1", "s0"]
    assert stack.shape == (2, 2, 40, 60)
    assert np.array_equal(stack.values[0], noise(1)[::-1, 20:60, 30:90] * np.float32(1e-4))
    assert stack.rio.crs.to_epsg() == 32633
    assert stack["x"].values[0] == pytest.approx(chip.boundingbox.left + 5)
    with pytest.raises(ImageryError, match="too large"):
        time_stack(made, ["nir"], grid_at(0, 0, 10, 5000))
