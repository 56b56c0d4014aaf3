"""Which scenes show a place: dates in order, the edition's own imagery, both sides of the antimeridian."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pytest
import shapely
from odc.geo.geobox import GeoBox

from making import shifted
from talik_api.pictures.chip import Look, best_frame, view_of
from talik_api.pictures.scenes import Wanted, frame_bands, frame_of, frames_over, imagery_of, search_bbox
from talik_stac.errors import ImageryError, NoScenesError
from talik_stac.store import open_store
from world import World

from .painting import GRID, lonlat_box

LAKE = lonlat_box(100, 80, 40, 30)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Two scenes of one day, one of the next year with fewer bands, one that lies elsewhere."""
    made = World(folder=tmp_path_factory.mktemp("world"))
    pixels = np.full((4, *GRID.shape), 700, np.uint16)
    elsewhere = shifted(GRID, 90_000, 0)
    bands = ("blue", "green", "red", "nir")
    made.add("cloudy_20200701", pixels, GRID, bands=bands, cloud_cover=80.0)
    made.add("clear_20200701", pixels, GRID, bands=bands, cloud_cover=3.0)
    made.add("next_20210701", pixels[:2], GRID, bands=("green", "nir"), cloud_cover=0.0)
    made.add("far_20200801", pixels, elsewhere, bands=bands)
    return made


def test_the_scenes_of_a_day_are_one_frame_and_the_clearest_comes_first(world: World) -> None:
    frames = frames_over(open_store(world.root), "test", LAKE, Wanted(end=datetime(2020, 12, 31, tzinfo=UTC)))
    assert [frame.day for frame in frames] == [date(2020, 7, 1)]
    assert [scene.id for scene in frames[0].scenes] == ["clear_20200701", "cloudy_20200701"]
    assert frame_bands(frames[0]) == ("red", "green", "blue")


def test_bands_that_all_dates_share_are_shown(world: World) -> None:
    frames = frames_over(open_store(world.root), "test", LAKE, Wanted())
    assert [frame.day.year for frame in frames] == [2020, 2021]
    assert {frame_bands(frame) for frame in frames} == {("nir",)}


def test_dates_without_the_bands_asked_for_are_left_out(world: World) -> None:
    frames = frames_over(open_store(world.root), "test", LAKE, Wanted(bands=("nir", "red", "green")))
    assert [frame.day.year for frame in frames] == [2020]
    with pytest.raises(ImageryError, match="there is: blue, green, nir, red"):
        frames_over(open_store(world.root), "test", LAKE, Wanted(bands=("swir16",)))


def test_the_best_date_covers_the_feature_before_it_is_clear(world: World) -> None:
    frames = frames_over(open_store(world.root), "test", LAKE, Wanted())
    assert best_frame(frames, LAKE).day.year == 2021  # no cloud at all
    edge = shapely.union(lonlat_box(0, 0, 5, 5), LAKE)
    assert best_frame(frames, edge).day.year == 2021


def test_a_place_that_no_scene_shows_is_said_so(world: World) -> None:
    with pytest.raises(NoScenesError, match="none of any date"):
        frames_over(open_store(world.root), "test", shapely.box(100, 10, 100.1, 10.1), Wanted())
    with pytest.raises(NoScenesError, match="2020-07-01, 2021-07-01"):
        frames_over(open_store(world.root), "test", LAKE, Wanted(start=datetime(2030, 1, 1, tzinfo=UTC)))


def test_a_scene_is_found_by_its_id(world: World) -> None:
    store = open_store(world.root)
    assert frame_of(store, "test", "clear_20200701").scenes[0].id == "clear_20200701"
    assert frame_bands(frame_of(store, "test", "clear_20200701", ("nir",))) == ("nir",)
    with pytest.raises(NoScenesError, match="no scene 'nothing'"):
        frame_of(store, "test", "nothing")


@pytest.mark.parametrize("imagery", [None, {"collection": "s2", "catalog": "https://example.org"}, {}])
def test_an_edition_whose_imagery_the_store_does_not_index_says_so(tmp_path: Path, imagery: object) -> None:
    store = open_store(str(tmp_path))
    store.put("inventories/water/e/run.json", json.dumps({"imagery": imagery}).encode())
    with pytest.raises(ImageryError, match="collection="):
        imagery_of(store, "inventories/water/e")
    store.put("inventories/water/f/run.json", json.dumps({"imagery": {"collection": "x", "catalog": None}}).encode())
    assert imagery_of(store, "inventories/water/f") == "x"


def test_a_lake_over_the_antimeridian_is_one_place() -> None:
    lake = shapely.MultiPolygon([shapely.box(179.99, 66, 180, 66.01), shapely.box(-180, 66, -179.99, 66.01)])
    assert search_bbox(lake) == (179.99, 66.0, -179.99, 66.01)
    native = GeoBox.from_bbox((600_000, 7_300_000, 700_000, 7_400_000), "EPSG:32660", resolution=10)
    view = view_of(lake, native, Look(size_px=100, buffer_m=0))
    assert view.grid.resolution.x * 100 == pytest.approx(1_120, rel=0.05)  # not around the globe
