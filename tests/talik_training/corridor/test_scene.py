"""Simulated scenes: deterministic, seamless, and true to their polygons."""

from __future__ import annotations

import numpy as np
import pytest
import shapely

from talik_stac.errors import RecipeError
from talik_training.corridor.law import BANDS
from talik_training.corridor.scene import Corridor, cover, make_scene, make_window, scene_date
from talik_training.corridor.terrain import Window
from talik_training.corridor.truth import corridor_truth, window_bounds

SMALL = Corridor(seed=1, tiles_x=6, tiles_y=6, tile_px=256)
CLEAR = Corridor(seed=1, tiles_x=6, tiles_y=6, tile_px=256, cloud_share=0.0)


def across_tiles() -> tuple[Corridor, int, int]:
    """A corridor, and the western one of two tiles (row, column) whose common edge cuts a slump in two."""
    for seed in range(1, 30):
        corridor = Corridor(seed=seed, tiles_x=6, tiles_y=6, tile_px=256)
        left, _, _, top = corridor.area
        for outline in corridor_truth(seed, corridor.area).geometry:
            west, _, east, _ = outline.bounds
            col = int((west - left) // 2_560)
            edge = left + (col + 1) * 2_560
            row = int((top - outline.centroid.y) // 2_560)
            if west + 60 < edge < east - 60 and 0 <= row < 6 and 0 <= col < 5:
                return corridor, row, col
    raise LookupError("no slump across tiles in 29 corridors")


def test_the_same_tile_has_the_same_bytes_whatever_was_made_before() -> None:
    first = make_scene(SMALL, (2, 3), 2021)
    make_scene(SMALL, (0, 0), 2018)
    make_scene(SMALL, (5, 5), 2019)
    again = make_scene(SMALL, (2, 3), 2021)
    assert first.reflectance.tobytes() == again.reflectance.tobytes()
    assert first.valid.tobytes() == again.valid.tobytes()
    assert first.date == again.date


def test_tiles_join_a_slump_across_two_tiles_is_the_same_pixels() -> None:
    corridor, row, col = across_tiles()
    window = corridor.window((row, col))
    pair = Window(row=window.row, col=window.col, row_end=window.row_end, col_end=window.col_end + 256)
    both = make_window(corridor, pair, 2022)
    west, east = (make_scene(corridor, (row, col + step), 2022) for step in (0, 1))
    assert west.slump[:, -1].any()
    assert east.slump[:, 0].any()
    for name in ("reflectance", "valid", "slump"):
        joined = np.concatenate([getattr(west, name), getattr(east, name)], axis=-1)
        assert joined.tobytes() == getattr(both, name).tobytes()


def test_any_window_has_the_pixels_of_the_tiles() -> None:
    whole = make_scene(SMALL, (1, 1), 2020)
    part = make_window(SMALL, Window(row=300, col=301, row_end=367, col_end=390), 2020)
    assert part.reflectance.tobytes() == whole.reflectance[:, 44:111, 45:134].tobytes()
    assert part.grid.boundingbox == whole.grid[44:111, 45:134].boundingbox


def test_truth_pixels_have_the_area_of_the_truth_polygons() -> None:
    window = Window(row=0, col=0, row_end=1_536, col_end=1_536)
    scene = make_window(CLEAR, window, 2022)
    polygons = corridor_truth(1, window_bounds(window), year=2022)
    inside = polygons.intersection(shapely.box(*window_bounds(window))).area.sum()
    assert scene.slump.sum() * 100.0 == pytest.approx(inside, rel=0.03)


def test_cover_adds_up_to_the_area_of_the_polygon() -> None:
    window = Window(row=0, col=0, row_end=40, col_end=40)
    left, bottom, _, _ = window_bounds(window)
    polygon = shapely.Point(left + 200, bottom + 200).buffer(87)
    assert cover(polygon, window).sum() * 100 == pytest.approx(polygon.area, rel=0.01)


def test_scenes_are_reflectance_on_their_grid() -> None:
    scene = make_scene(SMALL, (0, 0), 2019)
    assert scene.reflectance.dtype == np.float32
    assert scene.reflectance.shape == (len(BANDS), 256, 256) == (len(scene.bands), *scene.grid.shape)
    assert scene.reflectance[:, scene.valid].min() > 0
    assert scene.reflectance.max() < 0.6
    assert (scene.reflectance[:, ~scene.valid] == 0).all()
    assert scene.date == scene_date(SMALL, 2019)
    assert scene.date.year == 2019
    assert scene.date.month in (7, 8)
    assert str(scene.grid.crs) == "EPSG:32646"
    assert abs(scene.grid.affine.a) == 10


def test_slumps_are_barer_than_the_ground_around_and_not_all_of_bare_ground_is_slump() -> None:
    scene = make_window(CLEAR, Window(row=0, col=0, row_end=1_024, col_end=1_024), 2022)
    red, nir = scene.reflectance[BANDS.index("red")], scene.reflectance[BANDS.index("nir")]
    greenness = (nir - red) / (nir + red)
    assert np.median(greenness[scene.slump]) < np.median(greenness[~scene.slump]) - 0.08
    bare = greenness < np.median(greenness[scene.slump])
    assert (bare & ~scene.slump).sum() > 0.5 * (bare & scene.slump).sum()


def test_clouds_take_about_their_share_and_leave_shadows() -> None:
    cloudy = Corridor(seed=1, tiles_x=2, tiles_y=2, tile_px=512, cloud_share=0.2)
    clear = Corridor(seed=1, tiles_x=2, tiles_y=2, tile_px=512, cloud_share=0.0)
    window = Window(row=0, col=0, row_end=1_024, col_end=1_024)
    seen = make_window(cloudy, window, 2020)
    plain = make_window(clear, window, 2020)
    assert 0.08 < 1 - seen.valid.mean() < 0.35
    dark = seen.valid & (seen.reflectance[3] < 0.7 * plain.reflectance[3])
    assert dark.mean() > 0.02
    assert plain.valid.all()


def test_tiles_years_and_sizes_outside_are_refused() -> None:
    with pytest.raises(RecipeError, match="tile"):
        make_scene(SMALL, (6, 0), 2020)
    with pytest.raises(RecipeError, match="year 1999"):
        make_scene(SMALL, (0, 0), 1999)
    with pytest.raises(RecipeError, match="at least one tile"):
        Corridor(seed=1, tiles_x=0)
