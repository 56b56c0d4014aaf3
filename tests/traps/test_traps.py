"""The traps of ../shared/TRAPS.md: what broke in the systems before us, each written so that the faulty way fails."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
import shapely
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from pyproj import Geod
from rasterio.features import shapes
from scipy.ndimage import uniform_filter

from making import grid_at, make_scene, write_tif
from talik_inference.executors import InProcess
from talik_inference.grid import Lattice, Rect
from talik_inference.pipeline import MapResult
from talik_inference.radiometry import check_radiometry
from tiny_models import always_one, blurred_green
from world import World, around, paint

WGS84 = Geod(ellps="WGS84")


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(folder=tmp_path)


def blobs(height: int, width: int, seed: int = 0, density: float = 0.35) -> NDArray[np.bool_]:
    """Ragged water: bool (y, x)."""
    noise = uniform_filter(np.random.default_rng(seed).standard_normal((height, width)), 3)
    return np.asarray(noise > np.quantile(noise, 1 - density))


def read_probability(world: World, result: MapResult, grid: GeoBox) -> NDArray[np.uint8]:
    """Paste the published probability COGs into a grid; 255 where none lies."""
    out = np.full(grid.shape, 255, np.uint8)
    for path in world.probability(result):
        with rasterio.open(path) as source:
            col, row = (round(v) for v in ~grid.affine * (source.transform.c, source.transform.f))
            here = Rect(col=col, row=row, col_end=col + source.width, row_end=row + source.height)
            whole = Rect(col=0, row=0, col_end=grid.shape.x, row_end=grid.shape.y)
            common = here.intersect(whole)
            out[common.within(whole)] = source.read(1)[common.within(here)]
    return out


@pytest.mark.parametrize("halo_px", [0, 1, 16])
def test_01_a_model_that_answers_one_gives_exactly_one_on_every_valid_pixel(world: World, halo_px: int) -> None:
    grid = grid_at(40_010, -540_020, 150, 170)
    world.add("a_20210715", paint(blobs(150, 170)), grid)
    model = always_one(world.folder / "one", halo_px=halo_px)
    result = world.map(around(grid), model=model)
    assert (read_probability(world, result, grid) == 250).all()


@pytest.mark.parametrize("core_px", [7, 64, 512])
def test_02_no_halo_and_windows_without_overlap_work(world: World, core_px: int) -> None:
    water = blobs(90, 80)
    grid = grid_at(40_003, -540_005, 90, 80)
    world.add("a_20210715", paint(water), grid)
    result = world.map(around(grid), model=always_one(world.folder / "one", halo_px=0, core_px=core_px))
    assert (read_probability(world, result, grid) == 250).all()


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (5, 1), (3, 4)])
def test_03_a_scene_smaller_than_a_window_is_mapped(world: World, shape: tuple[int, int]) -> None:
    grid = grid_at(40_050, -540_050, *shape)
    world.add("a_20210715", paint(np.ones(shape, bool)), grid)
    model = blurred_green(world.folder / "blur", radius=2)
    result = world.map(around(grid), model=model, threshold=0.05)
    inventory = world.inventory(result)
    assert inventory["pixels"].tolist() == [shape[0] * shape[1]]
    # Green is 0.1 everywhere, also in what the model is shown beyond the scene: reflected, not filled with 0.
    assert (read_probability(world, result, grid) == 25).all()


def test_04_a_nodata_or_nan_pixel_is_invalid_and_no_other(world: World) -> None:
    grid = grid_at(40_000, -540_000, 70, 70)
    pixels = paint(blobs(70, 70)).astype(np.float32) * np.float32(1e-4)
    pixels[:, 10, 10] = np.nan
    pixels[1, 40, 50] = np.nan
    world.add("a_20210715", pixels, grid, nodata=float("nan"))
    result = world.map(around(grid), model=blurred_green(world.folder / "blur", radius=3))
    seen = read_probability(world, result, grid) != 255
    expected = np.ones((70, 70), bool)
    expected[10, 10] = expected[40, 50] = False
    assert np.array_equal(seen, expected)


def test_05_nodata_is_neither_background_nor_landform(world: World) -> None:
    grid = grid_at(40_000, -540_000, 60, 60)
    pixels = paint(np.zeros((60, 60), bool))
    pixels[:, :, 30:] = 0
    world.add("a_20210715", pixels, grid)
    result = world.map(around(grid), model=always_one(world.folder / "one"))
    probability = read_probability(world, result, grid)
    assert (probability[:, :30] == 250).all()
    assert (probability[:, 30:] == 255).all()
    assert world.inventory(result)["pixels"].sum() == 60 * 30
    empty = world.map(around(grid), name="dry")
    dry = read_probability(world, empty, grid)
    assert len(world.inventory(empty)) == 0
    assert (dry[:, :30] < 125).all(), "looked, found nothing"
    assert (dry[:, 30:] == 255).all(), "nobody looked"


def test_06_a_lake_across_windows_blocks_and_scenes_is_one_polygon_and_filters_act_on_the_whole(world: World) -> None:
    lattice_grid = grid_at(40_900, -540_700, 300, 400)
    water = np.zeros((300, 400), bool)
    water[140:150, 20:380] = True
    pixels = paint(water)
    west, east = grid_at(40_900, -540_700, 300, 250), grid_at(41_100, -540_700, 300, 200)
    world.add("west_20210715", pixels[:, :, :250], west)
    world.add("east_20210716", pixels[:, :, 200:], east)
    area = around(lattice_grid)
    whole = 10 * 360 * 100.0
    result = world.map(area, block_px=1024, min_area_m2=0.9 * whole)
    inventory = world.inventory(result)
    assert inventory["pixels"].tolist() == [3600]
    assert inventory["scenes"].iloc[0].tolist() == ["west_20210715", "east_20210716"]
    again = World(folder=world.folder / "other-order")
    again.add("east_20210716", pixels[:, :, 200:], east)
    again.add("west_20210715", pixels[:, :, :250], west)
    assert again.bytes_of(again.map(area, min_area_m2=0.9 * whole)) == world.bytes_of(result)


def test_07_areas_are_geodesic_and_never_degrees_or_web_mercator(world: World) -> None:
    lattice = Lattice(crs="EPSG:32633", resolution=10.0)
    grid = grid_at(50_000, -777_000, 40, 40, lattice)  # 70 degrees north
    water = np.zeros((40, 40), bool)
    water[10:24, 10:23] = True
    world.add("a_20210715", paint(water), grid)
    row = world.inventory(world.map(around(grid))).iloc[0]
    area, perimeter = WGS84.geometry_area_perimeter(row.geometry)
    assert row.area_m2 == pytest.approx(abs(area), rel=1e-9)
    assert row.perimeter_m == pytest.approx(perimeter, rel=1e-9)
    assert row.area_m2 == pytest.approx(14 * 13 * 100, rel=2e-3), "UTM scale is 0.9996 at its meridian"
    assert row.perimeter_m == pytest.approx(2 * (140 + 130), rel=5e-3)
    mercator = world.inventory(world.map(around(grid), name="b")).to_crs(3857).area.iloc[0]
    assert mercator > 8 * row.area_m2, "what this test is for"


def test_08_one_pixel_is_one_pixels_area(world: World) -> None:
    grid = grid_at(50_000, -540_000, 30, 30)
    water = np.zeros((30, 30), bool)
    for n, (y, x) in enumerate([(2, 2), (2, 8), (10, 2), (10, 12)], start=1):
        water[y : y + n, x : x + n] = True
    world.add("a_20210715", paint(water), grid)
    inventory = world.inventory(world.map(around(grid)))
    for _, row in inventory.iterrows():
        assert row.area_m2 == pytest.approx(row.pixels * 100 / 0.9996**2, rel=1e-4)
    assert sorted(inventory["pixels"]) == [1, 4, 9, 16]


def test_09_islands_stay_islands_and_lakes_on_islands_stay_lakes(world: World) -> None:
    grid = grid_at(40_000, -540_000, 64, 64)
    water = np.zeros((64, 64), bool)
    water[5:60, 5:60] = True
    water[15:50, 15:50] = False
    water[25:40, 25:40] = True
    water[2, 2] = water[3, 3] = True  # corner to corner: two objects, as labels of connectivity 4 say
    world.add("a_20210715", paint(water), grid)
    inventory = world.inventory(world.map(around(grid), block_px=64))
    oracle = sum(1 for _ in shapes(water.astype(np.uint8), mask=water, connectivity=4))
    assert len(inventory) == oracle == 4
    largest = inventory.loc[inventory["pixels"].idxmax()].geometry
    assert len(largest.interiors) == 1
    lake_on_island = inventory[inventory["pixels"] == 15 * 15].geometry.iloc[0]
    assert shapely.Polygon(largest.interiors[0]).contains(lake_on_island)
    assert not largest.intersects(lake_on_island)


def test_10_mean_probability_is_exact_over_many_pixels(world: World) -> None:
    grid = grid_at(40_000, -540_000, 300, 300)
    green = np.full((300, 300), 8000, np.uint16)
    green[::2] = 9000
    world.add("a_20210715", np.stack([green, green]), grid)
    model = blurred_green(world.folder / "green", radius=0)
    row = world.inventory(world.map(around(grid), model=model)).iloc[0]
    assert row.pixels == 90_000, "more than any uint8 or uint16 counts"
    assert row.probability == pytest.approx((200 + 225) / 2 / 250, abs=1e-12), "no integer division, no float16"


def test_11_the_same_ground_answers_the_same_whatever_lies_next_door(world: World) -> None:
    grid = grid_at(40_000, -540_000, 64, 64)
    ground = np.random.default_rng(3).integers(100, 3000, (2, 64, 64)).astype(np.uint16)
    glaring = np.full((2, 64, 64), 60_000, np.uint16)
    world.add("a_20210715", ground, grid)
    bright = World(folder=world.folder / "bright")
    bright.add("a_20210715", np.concatenate([ground, glaring], axis=2), grid_at(40_000, -540_000, 64, 128))
    answers = []
    for w in (world, bright):
        result = w.map(around(grid_at(40_000, -540_000, 64, 128)))
        answers.append(read_probability(w, result, grid))
    assert np.array_equal(*answers)


def test_12_the_offset_is_checked_against_the_pixels(tmp_path: Path) -> None:
    grid = grid_at(40_000, -540_000, 200, 200)
    honest = np.random.default_rng(0).integers(200, 3000, (2, 200, 200)).astype(np.uint16)
    sentinel = {"constellation": "sentinel-2", "platform": "sentinel-2a"}
    with_offset = make_scene(tmp_path, honest + 1000, grid, scene_id="a", offset=-0.1, properties=sentinel)
    taken_off = make_scene(tmp_path, honest, grid, scene_id="b", offset=-0.1, properties=sentinel)
    unsaid = make_scene(tmp_path, honest + 1000, grid, scene_id="c", offset=0.0, properties=sentinel)
    bands = ["green", "nir"]
    assert check_radiometry(with_offset, bands).warnings == ()
    corrected = check_radiometry(taken_off, bands)
    assert corrected.scene.bands["green"].offset == 0
    assert "taken off before" in corrected.warnings[0]
    assert "may still be in it" in check_radiometry(unsaid, bands).warnings[0]


def test_13_a_block_counts_as_done_only_by_the_manifest_of_its_own_configuration(world: World) -> None:
    from talik_inference.blocks import finished, manifest_key
    from talik_inference.pipeline import prepare
    from talik_stac.store import open_store

    grid = grid_at(40_000, -540_000, 64, 64)
    world.add("a_20210715", paint(blobs(64, 64)), grid)
    job = prepare(world.request(around(grid))).job
    store, block = open_store(world.root), job.plan.blocks[0]
    store.put(f"{job.prefix}/{block.id}.tif", b"half a raster")
    assert finished(job, store, block) is None
    store.put(manifest_key(job, block), b'{"configuration": "another", "id": "x"}')
    assert finished(job, store, block) is None
    store.put(manifest_key(job, block), b'{"configurat')
    assert finished(job, store, block) is None


@pytest.mark.parametrize("crs", ["EPSG:32601", "EPSG:32660"])
def test_14_an_area_across_the_antimeridian_is_as_wide_as_it_is(world: World, crs: str) -> None:
    from talik_stac.aoi import parse_aoi

    aoi = parse_aoi("179.5,66.0,-179.5,66.3", name="across")
    assert aoi.area_km2 < 2000
    x = 300_000 if crs == "EPSG:32601" else 700_000
    lattice = Lattice(crs=crs, resolution=100.0)
    there = lattice.rect_of((x - 60_000, 7_320_000, x + 60_000, 7_360_000))
    grid = lattice.geobox(there)
    water = np.zeros(grid.shape, bool)
    water[100:300, 10:-10] = True
    world.add("a_20210715", paint(water), grid)
    inventory = world.inventory(world.map(aoi.geometry))
    assert len(inventory) >= 1
    assert inventory["area_m2"].sum() < 1e6 * aoi.area_km2
    assert (shapely.length(inventory.geometry) < 10).all(), "no polygon runs round the globe"


def test_14_a_polar_area_is_mapped_on_a_polar_grid(world: World) -> None:
    lattice = Lattice(crs="EPSG:3413", resolution=100.0)
    grid = lattice.geobox(lattice.rect_of((-20_000, -20_000, 20_000, 20_000)))  # the pole in the middle
    water = np.zeros(grid.shape, bool)
    water[50:80, 100:150] = True
    world.add("a_20210715", paint(water), grid)
    row = world.inventory(world.map(shapely.box(-180, 89, 180, 90))).iloc[0]
    assert row.pixels == 30 * 50
    # True scale is at 70 N; at the pole an EPSG:3413 metre is 1/0.97 of a true one (Snyder 1987, 21-33).
    assert row.area_m2 == pytest.approx(30 * 50 * 100**2, rel=0.08)


def test_15_objects_on_the_edge_of_the_area_or_of_valid_data_are_kept_and_flagged(world: World) -> None:
    grid = grid_at(40_000, -540_000, 100, 100)
    water = np.zeros((100, 100), bool)
    water[40:50, 5:15] = water[40:50, 45:55] = water[40:50, 85:95] = True
    pixels = paint(water)
    pixels[:, :, 92:] = 0
    world.add("a_20210715", pixels, grid)
    west = grid.extent.to_crs("OGC:CRS84").boundingbox
    cut = shapely.box(
        west.left + 0.1 * (west.right - west.left), west.bottom - 0.01, west.right + 0.01, west.top + 0.01
    )
    inventory = world.inventory(world.map(cut)).sort_values("lon")
    assert inventory["on_aoi_edge"].tolist() == [True, False, False]
    assert inventory["on_data_edge"].tolist() == [False, False, True]


def test_16_probabilities_are_computed_whole_and_cut_once(world: World) -> None:
    """No logits are averaged and no labels pasted: across window edges the answer is that of the whole raster."""
    grid = grid_at(40_000, -540_000, 200, 200)
    pixels = paint(blobs(200, 200, seed=5))
    world.add("a_20210715", pixels, grid)
    model = blurred_green(world.folder / "blur", radius=3, core_px=37, halo_px=3)
    probability = read_probability(world, world.map(around(grid), model=model), grid)
    green = pixels[0].astype(np.float64) * 1e-4
    expected = np.rint(uniform_filter(green, 7)[3:-3, 3:-3] * 250)
    difference = np.abs(probability[3:-3, 3:-3].astype(int) - expected)
    assert difference.max() <= 1, "float32 sums against float64 ones: at most the last step"
    assert (difference == 0).mean() > 0.99


def add_a_strip_seen_from_two_zones(world: World) -> shapely.Geometry:
    """A strip of water across the border of UTM zones 5 and 6, seen by one scene in each; returns an area round it."""
    for name, crs in (("five_20210715", "EPSG:32605"), ("six_20210716", "EPSG:32606")):
        lattice = Lattice(crs=crs, resolution=20.0)
        x = 613_000 if crs == "EPSG:32605" else 387_000  # -150 E at 70 N, seen from either zone
        grid = lattice.geobox(lattice.rect_of((x - 6_000, 7_766_000, x + 6_000, 7_774_000)))
        y, x_px = np.mgrid[0 : grid.shape.y, 0 : grid.shape.x] + 0.5
        lon, lat = lonlat(crs, *(grid.affine * (x_px, y)))
        world.add(name, paint((np.abs(lat - 70.0) < 0.008) & (np.abs(lon + 150) < 0.1)), grid)
    return shapely.box(-150.12, 69.98, -149.88, 70.02)


def test_17_two_zones_make_no_duplicates_and_no_gap(world: World) -> None:
    result = world.map(add_a_strip_seen_from_two_zones(world))
    inventory = world.inventory(result)
    assert len(inventory) == 1
    expected = abs(
        WGS84.geometry_area_perimeter(shapely.segmentize(shapely.box(-150.1, 69.992, -149.9, 70.008), 0.01))[0]
    )
    assert inventory["area_m2"].iloc[0] == pytest.approx(expected, rel=0.01)
    polygon = inventory.geometry.iloc[0]
    assert polygon.geom_type == "Polygon"
    assert len(polygon.interiors) == 0, "no gap along the meridian"
    assert sorted(inventory["scenes"].iloc[0]) == ["five_20210715", "six_20210716"]


def test_17_objects_across_zones_are_the_same_bytes_for_any_blocks(tmp_path: Path) -> None:
    digests = []
    for block_px in (64, 300, 4096):
        world = World(folder=tmp_path / str(block_px))
        area = add_a_strip_seen_from_two_zones(world)
        model = blurred_green(tmp_path / "green", radius=2, core_px=64, threshold=0.08)
        digests.append(world.bytes_of(world.map(area, block_px=block_px, model=model)))
    assert digests[0] == digests[1] == digests[2]


def lonlat(crs: str, x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    from pyproj import Transformer

    lon, lat = Transformer.from_crs(crs, "OGC:CRS84", always_xy=True).transform(x, y)
    return lon, lat


def test_18_bands_are_matched_by_name_whatever_their_order_or_files(world: World) -> None:
    grid = grid_at(40_000, -540_000, 80, 90)
    colours = {
        name: np.random.default_rng(n).integers(1, 5000, (80, 90)).astype(np.uint16)
        for n, name in enumerate(("blue", "green", "red", "nir"))
    }
    inventories = []
    for order in (("blue", "green", "red", "nir"), ("red", "green", "blue", "nir")):
        w = World(folder=world.folder / "-".join(order))
        w.add("a_20210715", np.stack([colours[name] for name in order]), grid, bands=order)
        inventories.append(w.bytes_of(w.map(around(grid))))
    single = World(folder=world.folder / "single")
    folder = single.folder / "imagery"
    single.index(
        [write_tif(folder / f"a_20210715_{name}.tif", colours[name][np.newaxis], grid, nodata=0) for name in colours]
    )
    inventories.append(single.bytes_of(single.map(around(grid))))
    assert inventories[0] == inventories[1] == inventories[2]


def test_the_run_record_says_what_was_done(world: World) -> None:
    grid = grid_at(40_000, -540_000, 64, 64)
    world.add("a_20210715", paint(blobs(64, 64)), grid)
    result = world.map(around(grid), executor=InProcess(workers=1))
    record = json.loads((Path(world.root) / result.edition.prefix / "run.json").read_text())
    assert record["scenes"][0]["id"] == "a_20210715"
    assert record["pixels"] == {"inside": record["pixels"]["inside"], "observed": 64 * 64}
    assert record["configuration"] == result.edition.configuration
