"""The demonstration: a simulation whose truth is true, scores that are what they say, and the whole run."""

from __future__ import annotations

from pathlib import Path

import geopandas
import numpy as np
import pytest
import rasterio
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox

from talik_inference.demo import run_demo
from talik_inference.score import Score, object_score, pixel_score
from talik_inference.simulate import BANDS, VIEWS, Simulation, index_simulation, simulate, view_grid
from talik_inference.simulated_ground import SMALLEST_M2
from talik_stac.changes import diff
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


def test_scores_of_a_case_made_by_hand() -> None:
    truth = np.array([[1, 1, 0, 0]], bool)
    found = np.array([[1, 0, 1, 0]], bool)
    score = pixel_score(truth, found, np.ones((1, 4), bool))
    assert (score.precision, score.recall, score.f1) == (0.5, 0.5, 0.5)
    assert score.iou == pytest.approx(1 / 3)
    unseen = pixel_score(truth, found, np.array([[1, 0, 0, 1]], bool))
    assert unseen == Score(true_positive=1, false_positive=0, false_negative=0)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 99), st.integers(0, 99), st.integers(0, 99))
def test_iou_and_f1_do_not_contradict_each_other(tp: int, fp: int, fn: int) -> None:
    score = Score(true_positive=tp, false_positive=fp, false_negative=fn)
    assert score.iou == pytest.approx(score.f1 / (2 - score.f1))


def test_objects_match_one_to_one_at_half_overlap() -> None:
    truth = np.array([shapely.box(0, 0, 2, 1), shapely.box(5, 0, 6, 1), shapely.box(9, 0, 10, 1)], object)
    found = np.array([shapely.box(0, 0, 1.5, 1), shapely.box(5.9, 0, 7, 1)], object)
    assert object_score(truth, found) == Score(true_positive=1, false_positive=1, false_negative=2)
    assert object_score(truth, np.empty(0, object)) == Score(true_positive=0, false_positive=0, false_negative=3)


def test_the_demonstration_maps_three_years_and_says_what_changed(tmp_path: Path) -> None:
    said: list[str] = []
    made = run_demo(tmp_path / "demo", seed=1, size_px=400, workers=2, say=said.append)
    assert len(said) == 6
    assert [score.year for score in made.years] == [2021, 2022, 2023]
    for score in made.years:
        assert score.result.edition.count > 20
        assert 0.5 < score.pixels.f1 <= 1, "NDWI is no good map, but no random one either"
        assert 0.7 < score.observed <= 1
    assert made.picture.read_bytes().startswith(b"\x89PNG")
    changes = diff(made.store, made.years[0].result.edition.id, made.years[2].result.edition.id)
    assert {"merged", "grown", "unchanged"} <= set(changes.table["change"])
