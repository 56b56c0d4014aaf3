"""The simulated lowland: the same from a seed, the same ground in every zone, and hard where it should be."""

from __future__ import annotations

import math
from pathlib import Path

import geopandas
import numpy as np
import pytest
import rasterio
import shapely
from odc.geo.geobox import GeoBox

from talik_inference.simulate import BANDS, SCL, VIEWS, Simulation, index_simulation, simulate, view_grid
from talik_inference.simulated_ground import LAT0, LON0, SMALLEST_M2, make_ground
from talik_stac.imagery import scenes_from_index
from talik_stac.store import open_store


@pytest.fixture(scope="module")
def simulation(tmp_path_factory: pytest.TempPathFactory) -> Simulation:
    return simulate(tmp_path_factory.mktemp("simulated"), size_px=400)


def test_the_same_seed_gives_the_same_files(simulation: Simulation, tmp_path: Path) -> None:
    again = simulate(tmp_path, size_px=400, years=(2021, 2022, 2023))
    for ours, theirs in zip(simulation.files[2022], again.files[2022], strict=True):
        with rasterio.open(ours) as a, rasterio.open(theirs) as b:
            assert np.array_equal(a.read(), b.read())


def test_both_zones_show_the_same_ground(simulation: Simulation) -> None:
    """The truth sampled on a grid of each zone covers the same area of the same lakes."""
    areas = []
    for crs in ("EPSG:32605", "EPSG:32606"):
        box = shapely.box(-150.03, 69.985, -149.99, 70.01)
        extent = geopandas.GeoSeries([box], crs="OGC:CRS84").to_crs(crs).total_bounds
        grid = GeoBox.from_bbox(tuple(float(v) for v in extent), crs, resolution=5)
        water = simulation.truth(2021, grid)
        row, col = np.nonzero(water)
        x, y = grid.affine * (col + 0.5, row + 0.5)
        lonlat = geopandas.GeoSeries(geopandas.points_from_xy(x, y), crs=crs).to_crs("OGC:CRS84")
        areas.append(int(lonlat.within(box).sum()) * 25)
    assert areas[0] > 10_000
    assert areas[0] == pytest.approx(areas[1], rel=0.01)


def test_truth_polygons_are_the_truth_of_the_pixels(simulation: Simulation) -> None:
    grid = view_grid(VIEWS[0], 400)
    truth = simulation.truth(2021, grid)
    polygons = geopandas.GeoSeries(simulation.truth_polygons(2021), crs="OGC:CRS84").to_crs(str(grid.crs))
    row, col = np.mgrid[0 : grid.shape.y, 0 : grid.shape.x] + 0.5
    x, y = grid.affine * (col, row)
    inside = shapely.contains_xy(polygons.union_all(), x.ravel(), y.ravel()).reshape(truth.shape)
    assert (inside != truth).mean() < 0.001
    assert polygons.area.min() > 0.3 * SMALLEST_M2


def test_the_landscape_has_what_makes_mapping_hard(simulation: Simulation) -> None:
    assert {view.crs for view in VIEWS} == {"EPSG:32605", "EPSG:32606"}
    with rasterio.open(simulation.files[2021][2]) as wedge, rasterio.open(simulation.files[2021][3]) as codes:
        assert (wedge.read(1) == 0).mean() > 0.04
        assert {0, 2, 3, 4, 5, 6, 9, 11} <= set(np.unique(codes.read(1)).tolist())
    rings = [len(p.interiors) for p in simulation.truth_polygons(2021)]
    assert max(rings) >= 1
    assert len(simulation.truth_polygons(2023)) != len(simulation.truth_polygons(2021))


def test_scenes_are_indexed_with_their_quality_bands(simulation: Simulation, tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    index_simulation(store, simulation, collection="simulated")
    scenes = scenes_from_index(store, "simulated", bands=BANDS)
    assert len(scenes) == 9
    assert all(scene.quality is not None and scene.quality.kind == "scl" for scene in scenes)


def test_another_seed_is_another_landscape(simulation: Simulation, tmp_path: Path) -> None:
    other = simulate(tmp_path, seed=2, size_px=400, years=(2021,))
    grid = view_grid(VIEWS[0], 400)
    assert not np.array_equal(simulation.truth(2021, grid), other.truth(2021, grid))


def test_areas_of_lakes_follow_the_power_law_down_to_500_m2() -> None:
    """At full size: N(>A) ~ A^-0.65, within 4 standard errors, with no lake lost in scattering them."""
    lakes = make_ground(1, years=3, scale=1.0).lakes
    assert len(lakes) == 508  # eight are placed by hand, first
    area = np.array([math.pi * lake.radius**2 for lake in lakes[8:]])
    assert SMALLEST_M2 <= area.min() < 1.1 * SMALLEST_M2
    low, high = SMALLEST_M2**-0.65, 1.5e6**-0.65
    for above in (1_000, 10_000, 100_000):
        share = (above**-0.65 - high) / (low - high)
        assert (area > above).mean() == pytest.approx(share, abs=4 * math.sqrt(share * (1 - share) / 500))


def test_years_hold_every_kind_of_change() -> None:
    lakes = make_ground(1, years=3, scale=1.0).lakes
    first, last = (np.array([lake.levels[year] for lake in lakes]) for year in (0, 2))
    both = (first > 0) & (last > 0)
    kinds = {
        "new": (first == 0) & (last > 0),
        "gone": (first > 0) & (last == 0),
        "grown": both & (last > first),
        "shrunk": both & (last < first),
        "same": both & (last == first),
    }
    assert min(int(which.sum()) for which in kinds.values()) > 5, {k: int(v.sum()) for k, v in kinds.items()}


def test_a_lake_lies_across_the_zones_border_and_has_a_lake_on_its_island() -> None:
    on_border = shapely.LineString([(LON0, LAT0 - 0.1), (LON0, LAT0 + 0.1)])
    polygons = make_ground(1, years=1, scale=1.0).polygons(0)
    crossing = [lake for lake in polygons if lake.crosses(on_border)]
    holes = [shapely.Polygon(ring) for lake in crossing for ring in lake.interiors]
    assert len(crossing) >= 3
    assert any(hole.contains(lake) for hole in holes for lake in polygons)


def test_the_quality_band_misses_the_rim_of_clouds_and_hits_their_inside(simulation: Simulation) -> None:
    with rasterio.open(simulation.files[2021][0]) as scene, rasterio.open(simulation.files[2021][1]) as codes:
        bright = (scene.read(1) > 4500)[::2, ::2] & (scene.read(1) < 6800)[::2, ::2]
        said = codes.read(1) == SCL["cloud"]
    assert bright[said].mean() > 0.95
    assert 0.005 < 1 - said[bright].mean() < 0.3


@pytest.mark.parametrize("size_px", [300, 301])
def test_the_quality_band_covers_its_scene(tmp_path: Path, size_px: int) -> None:
    made = simulate(tmp_path, size_px=size_px, years=(2021,))
    for scene_path, codes_path in zip(made.files[2021][::2], made.files[2021][1::2], strict=True):
        with rasterio.open(scene_path) as scene, rasterio.open(codes_path) as codes:
            assert codes.res == (20.0, 20.0)
            assert (codes.bounds.left, codes.bounds.top) == (scene.bounds.left, scene.bounds.top)
            assert 0 <= codes.bounds.right - scene.bounds.right < 20
            assert 0 <= scene.bounds.bottom - codes.bounds.bottom < 20
