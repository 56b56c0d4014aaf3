"""Despeckling as a step of a recipe: exact whatever the block, on radar only, by scene. The speckle is simulated."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import shapely
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from making import UTM33, grid_at, make_scene
from talik_inference.despeckle import BackscatterReader, check_despeckling, parameters_of, reader_for, stretched
from talik_inference.executors import InProcess
from talik_inference.grid import Rect
from talik_inference.pipeline import prepare
from talik_inference.read import Raster, read_scene
from talik_inference.speckle import PpbParameters, filter_ppb, halo_px
from talik_stac.errors import ImageryError, RecipeError
from talik_stac.landforms import Despeckle, recipe_for
from talik_stac.scenes import Scene
from tiny_models import dark
from world import World, around

SMALL = Despeckle(looks=4.0, search_px=3, patch_px=1)
TWICE = Despeckle(looks=4.0, search_px=2, patch_px=1, rounds=2, alpha=0.92)
GRID = grid_at(40_900, -540_620, 120, 150)


def lakes(shape: tuple[int, int] = (120, 150)) -> NDArray[np.bool_]:
    """Round lakes, some cut by the image's edge."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    centres = [(20, 30, 12), (60, 100, 22), (95, 20, 16), (118, 140, 10), (40, 66, 6)]
    return np.logical_or.reduce([(y - cy) ** 2 + (x - cx) ** 2 < r**2 for cy, cx, r in centres])


def backscatter(seed: int, *, looks: float = 4.0) -> NDArray[np.float32]:
    """Simulated gamma0 (1, y, x): lakes of -20 dB on land of -10 dB, with speckle; 0 without data in a corner."""
    truth = np.where(lakes(), 0.01, 0.1)
    noise = np.random.default_rng(seed).standard_gamma(looks, truth.shape) / looks
    power = (truth * noise).astype(np.float32)
    power[:25, 120:] = 0
    return power[np.newaxis]


@pytest.fixture(scope="module")
def radar(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Two acquisitions, the second a pixel aside and wider than the first."""
    world = World(folder=tmp_path_factory.mktemp("radar"))
    world.add("a_20210705", backscatter(1), GRID, bands=("vv",))
    world.add("b_20210717", backscatter(2), grid_at(40_880, -540_600, 120, 150), bands=("vv",))
    return world


def model_of(world: World) -> str:
    folder = world.folder / "dark"
    return str(folder) if folder.exists() else dark(folder, bands=("vv",), below=0.035, radius=2, core_px=24)


def fresh(world: World, folder: Path) -> World:
    """The same imagery in a store without editions."""
    shutil.copytree(Path(world.root) / "imagery", folder / "store" / "imagery")
    shutil.copy(Path(world.root) / "catalog.json", folder / "store" / "catalog.json")
    return World(folder=folder)


def area_of(grid: GeoBox) -> shapely.Geometry:
    return around(grid, 0.001)


CASES = [(SMALL, "best"), (SMALL, "median"), (TWICE, "best")]


@pytest.fixture(scope="module")
def references(radar: World, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, str]]:
    """What each case gives in one block."""
    found = []
    for step, composite in CASES:
        world = fresh(radar, tmp_path_factory.mktemp("whole"))
        recipe = {"despeckle": step, "composite": composite, "model": model_of(radar)}
        result = world.map(area_of(GRID), block_px=4096, executor=InProcess(workers=1), **recipe)
        assert result.edition.count >= 4
        found.append(world.bytes_of(result))
    return found


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(case=st.integers(0, len(CASES) - 1), block_px=st.integers(1, 200), workers=st.integers(1, 3))
def test_a_despeckled_edition_has_the_same_bytes_whatever_the_blocks(
    radar: World,
    references: list[dict[str, str]],
    tmp_path_factory: pytest.TempPathFactory,
    case: int,
    block_px: int,
    workers: int,
) -> None:
    step, composite = CASES[case]
    world = fresh(radar, tmp_path_factory.mktemp("run"))
    recipe = {"despeckle": step, "composite": composite, "model": model_of(radar)}
    result = world.map(area_of(GRID), block_px=block_px, executor=InProcess(workers=workers), **recipe)
    assert world.bytes_of(result) == references[case]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(col=st.integers(-20, 140), row=st.integers(-20, 110), width=st.integers(1, 60), height=st.integers(1, 60))
def test_a_rectangle_read_alone_has_the_pixels_of_the_whole_scene_filtered(
    tmp_path_factory: pytest.TempPathFactory, col: int, row: int, width: int, height: int
) -> None:
    scene, power = _scene(tmp_path_factory)
    parameters = parameters_of(SMALL)
    whole = filter_ppb(np.where(power == 0, np.float32(np.nan), power), parameters)
    expected = np.pad(np.nan_to_num(whole, nan=0.0), 80)
    rect = Rect(col=40_900 + col, row=-540_620 + row, col_end=40_900 + col + width, row_end=-540_620 + row + height)
    seen = BackscatterReader(reader=read_scene, parameters=parameters)(scene, ["vv"], UTM33, rect)
    wanted = expected[80 + row : 80 + row + height, 80 + col : 80 + col + width]
    if seen is None:
        assert not wanted.any()
        return
    assert seen.data[0].tobytes() == wanted.tobytes()
    assert np.array_equal(seen.valid, wanted > 0)


_scenes: list[tuple[Scene, NDArray[np.float32]]] = []


def _scene(factory: pytest.TempPathFactory) -> tuple[Scene, NDArray[np.float32]]:
    """One scene for all examples."""
    if not _scenes:
        pixels = backscatter(3)
        folder = factory.mktemp("scene")
        _scenes.append((make_scene(folder, pixels, GRID, bands=("vv",), scale=1.0, nodata=0), pixels[0]))
    return _scenes[0]


def test_the_filter_sees_linear_power_and_leaves_other_bands_alone() -> None:
    rng = np.random.default_rng(5)
    both = rng.gamma(4.0, 0.25, (2, 60, 60)).astype(np.float32)

    def reader(_scene: Scene, _bands: object, _lattice: object, rect: Rect) -> Raster:
        assert rect.shape == (60, 60), "the reader is asked for the halo too"
        return Raster(data=both, valid=np.ones((60, 60), bool))

    parameters = parameters_of(SMALL)
    reach = halo_px(parameters)
    rect = Rect(col=0, row=0, col_end=60 - 2 * reach, row_end=60 - 2 * reach)
    despeckling = BackscatterReader(reader=reader, parameters=parameters)
    seen = despeckling(None, ["red", "vv"], UTM33, rect)  # type: ignore[arg-type]
    assert seen is not None
    inside = (slice(reach, -reach), slice(reach, -reach))
    assert np.array_equal(seen.data[0], both[0][inside])
    assert np.array_equal(seen.data[1], filter_ppb(both[1], parameters)[inside])


def test_power_is_stretched_after_the_filter_and_pictures_are_not(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    curve = ((-20.0, 0.0), (-10.0, 0.5), (0.0, 1.0))
    scene, _ = _scene(tmp_path_factory)
    rect = Rect(col=40_900, row=-540_620, col_end=40_960, row_end=-540_560)
    parameters = parameters_of(SMALL)
    filtered = BackscatterReader(reader=read_scene, parameters=parameters)(scene, ["vv"], UTM33, rect)
    both = BackscatterReader(reader=read_scene, parameters=parameters, stretch=curve)(scene, ["vv"], UTM33, rect)
    assert filtered is not None
    assert both is not None
    decibels = 10 * np.log10(filtered.data[0].astype(np.float64))
    assert np.allclose(both.data[0], np.clip((decibels + 20) / 20, 0, 1), atol=1e-6)
    picture = np.full((1, 60, 60), 51, np.uint8)
    bytes_ = make_scene(tmp_path, picture, grid_at(0, 0, 60, 60), bands=("vv",), scale=1 / 255)
    seen = BackscatterReader(reader=read_scene, stretch=curve)(
        bytes_, ["vv"], UTM33, Rect(col=0, row=0, col_end=9, row_end=9)
    )
    assert seen is not None
    assert np.allclose(seen.data, 0.2)


def test_the_ends_of_a_curve_hold_beyond_it_and_zero_power_is_the_darkest() -> None:
    power = np.array([[0.0, 1e-5, 0.1, 1e3]], np.float32)
    assert stretched(power, ((-20.0, 0.25), (0.0, 0.75))).tolist() == [[0.25, 0.25, 0.5, 0.75]]


def test_a_scene_that_fills_no_gap_is_not_filtered(radar: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A season of radar has dozens of scenes; "best" takes most pixels of the first."""
    filtered = []

    def counted(power: NDArray[np.float32], parameters: PpbParameters) -> NDArray[np.float32]:
        filtered.append(power.shape)
        return filter_ppb(power, parameters)

    monkeypatch.setattr("talik_inference.despeckle.filter_ppb", counted)
    inner = grid_at(40_950, -540_570, 20, 20)
    result = radar.map(around(inner, -0.0002), model=model_of(radar), despeckle=SMALL, name="inner")
    assert result.blocks_done == 1
    assert len(filtered) == 1
    assert max(filtered[0]) < 3 * 24 + 2 * (2 + halo_px(parameters_of(SMALL))), "only the windows of the area are read"


def test_despeckling_makes_fewer_false_holes_and_specks(tmp_path: Path) -> None:
    """Known truth: five lakes of simulated backscatter, with a model that looks at single pixels."""
    world = World(folder=tmp_path)
    world.add("a_20210705", backscatter(1), GRID, bands=("vv",))
    model = dark(tmp_path / "alone", bands=("vv",), below=0.04, core_px=64)
    plain = world.inventory(world.map(area_of(GRID), name="plain", model=model))
    step = Despeckle(looks=4.0, search_px=7, patch_px=2)
    filtered = world.inventory(world.map(area_of(GRID), name="filtered", model=model, despeckle=step))
    assert len(plain) > 200, "specks of one pixel or a few"
    assert len(filtered) < len(plain) / 20
    assert (filtered["pixels"] > 50).sum() == 5
    assert filtered["pixels"].sum() == pytest.approx(lakes().sum(), rel=0.05)


def test_the_step_is_part_of_the_configuration_only_where_it_is_taken(radar: World) -> None:
    area, model = area_of(GRID), model_of(radar)
    plain = prepare(radar.request(area, model=model)).job.configuration
    none = prepare(radar.request(area, model=model, despeckle=None)).job.configuration
    small = prepare(radar.request(area, model=model, despeckle=SMALL)).job.configuration
    other = prepare(radar.request(area, model=model, despeckle=Despeckle(looks=3.0))).job.configuration
    assert plain == none
    assert len({plain, small, other}) == 3


def test_the_record_of_a_run_says_how_it_was_despeckled(radar: World) -> None:
    result = radar.map(area_of(GRID), name="record", model=model_of(radar), despeckle=SMALL)
    record = json.loads((Path(radar.root) / result.edition.prefix / "run.json").read_text())
    assert record["recipe"]["despeckle"] == SMALL.model_dump()


def test_despeckling_imagery_that_is_no_radar_is_refused(tmp_path: Path) -> None:
    world = World(folder=tmp_path)
    grid = grid_at(40_000, -540_000, 40, 40)
    world.add("a_20210715", np.full((2, 40, 40), 900, np.uint16), grid)
    with pytest.raises(RecipeError, match=r"ndwi@1 reads green, nir; speckle is of radar \(hh, hv, vh, vv\)"):
        world.map(around(grid), despeckle=SMALL)


def test_pictures_of_eight_bits_are_despeckled_with_a_warning(tmp_path: Path) -> None:
    world = World(folder=tmp_path)
    grid = grid_at(40_000, -540_000, 60, 60)
    picture = np.random.default_rng(1).integers(1, 256, (1, 60, 60)).astype(np.uint8)
    world.add("a_20210715", picture, grid, bands=("vv",))
    model = dark(tmp_path / "dark", bands=("vv",), below=0.3)
    result = world.map(around(grid), model=model, despeckle=SMALL)
    assert [w for w in result.warnings if "8 bits, no linear power" in w]
    assert not world.map(around(grid), model=model).warnings


def test_decibels_are_refused_before_anything_is_mapped(tmp_path: Path) -> None:
    world = World(folder=tmp_path)
    grid = grid_at(40_000, -540_000, 60, 60)
    decibels = np.random.default_rng(1).normal(-12, 3, (1, 60, 60)).astype(np.float32)
    world.add("a_20210715", decibels, grid, bands=("vv",), nodata=None)
    with pytest.raises(ImageryError, match=r"decibels\? Talik reads linear power"):
        world.map(around(grid), model=dark(tmp_path / "dark", bands=("vv",), below=0.3))


def test_radar_in_linear_power_is_mapped_without_a_word(radar: World) -> None:
    assert prepare(radar.request(area_of(GRID), model=model_of(radar), despeckle=SMALL)).warnings == ()


def test_a_model_of_another_landform_is_refused(radar: World, tmp_path: Path) -> None:
    model = dark(tmp_path / "dark", bands=("vv",), below=0.3, landform="glacial_lake")
    with pytest.raises(RecipeError, match="maps 'glacial_lake', not 'water'; give --landform glacial_lake"):
        radar.map(area_of(GRID), model=model)


def test_recipes_without_the_step_read_as_ever() -> None:
    assert reader_for(recipe_for("water")) is read_scene
    assert check_despeckling(recipe_for("water"), ["green", "nir"], []) == []
