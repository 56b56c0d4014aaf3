"""Time-lapse strips: one panel a date, the outline where the object is, one stretch for all dates."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import geopandas
import numpy as np
import pytest
import shapely
from numpy.typing import NDArray
from PIL import Image

from making import UTM33, grid_at, make_scene, write_tif
from talik_inference.indexing import IndexOptions, index_files
from talik_inference.review.chips import PANEL_PX, chosen_dates, shown_bands, view_of, write_strips
from talik_inference.review.strips import CAPTION_PX, GAP_PX, OUTLINE, Frame, draw_strip, stretched
from talik_inference.sidecar import Said
from talik_stac.errors import ImageryError, ReadError
from talik_stac.scenes import Scene
from talik_stac.store import Store, open_store
from world import World

GRID = grid_at(40_000, -540_000, 200, 200)
YEARS = range(2015, 2020)
SLUMP = shapely.box(400_900, 5_399_000, 401_100, 5_399_200)
"""20 x 20 px in UTM, in the middle of the imagery."""


def lonlat(polygon: shapely.Geometry) -> shapely.Geometry:
    (there,) = geopandas.GeoSeries([polygon], crs=UTM33.crs).to_crs("OGC:CRS84")
    return there


def ground(year: int) -> NDArray[np.uint16]:
    """(band, y, x): a ramp that never changes, and from 2018 on a bright square where the slump is."""
    ramp = np.broadcast_to(np.linspace(1000, 2000, 200).astype(np.uint16), (3, 200, 200)).copy()
    if year >= 2018:
        ramp[:, 80:100, 90:110] = 4000
    return ramp


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Five years of simulated imagery."""
    world = World(folder=tmp_path_factory.mktemp("years"))
    for year in YEARS:
        world.add(f"s_{year}0715", ground(year), GRID, bands=("red", "green", "blue"), scale=1e-4)
    return open_store(world.root)


def objects(**polygons: shapely.Geometry) -> geopandas.GeoDataFrame:
    return geopandas.GeoDataFrame({"id": list(polygons)}, geometry=list(polygons.values()), crs="OGC:CRS84")


def panels(path: Path, count: int) -> list[NDArray[np.uint8]]:
    """Cut a strip into its images."""
    pixels = np.asarray(Image.open(path))
    lefts = [GAP_PX + n * (PANEL_PX + GAP_PX) for n in range(count)]
    return [pixels[CAPTION_PX : CAPTION_PX + PANEL_PX, left : left + PANEL_PX] for left in lefts]


def test_five_years_lie_in_one_picture_under_one_stretch(store: Store, tmp_path: Path) -> None:
    done = write_strips(store, objects(slump=lonlat(SLUMP)), "test", tmp_path / "strips")
    assert done.paths == {"slump": tmp_path / "strips" / "slump.png"}
    before, _, _, after, last = panels(done.paths["slump"], 5)
    assert np.array_equal(after, last), "the same ground looks the same"
    middle = PANEL_PX // 2
    assert (after[middle, middle] > before[middle, middle]).all()
    corner = np.s_[:40, :40]
    assert np.array_equal(before[corner], after[corner]), "what did not change looks the same beside what did"
    assert "slump.png" in (tmp_path / "strips" / "index.html").read_text()


def test_strips_come_from_any_store(any_store: Store, tmp_path: Path) -> None:
    paths = [write_tif(tmp_path / f"s_{year}0715.tif", ground(year), GRID, nodata=0) for year in (2017, 2018)]
    said = Said(bands=("red", "green", "blue"), scale=1e-4)
    index_files(any_store, paths, IndexOptions(collection="test", said=said))
    done = write_strips(any_store, objects(slump=lonlat(SLUMP)), "test", tmp_path / "strips")
    before, after = panels(done.paths["slump"], 2)
    assert (after[128, 128] > before[128, 128]).all()


def test_the_outline_lies_on_the_object(store: Store, tmp_path: Path) -> None:
    done = write_strips(store, objects(slump=lonlat(SLUMP)), "test", tmp_path)
    *_, last = panels(done.paths["slump"], 5)
    rows, cols = np.nonzero((last == OUTLINE).all(axis=-1))
    # 60 px of imagery across the panel (20 of the object, as much on either side): a third to two thirds
    assert (rows.min(), rows.max()) == pytest.approx((PANEL_PX / 3, PANEL_PX * 2 / 3), abs=2)
    assert (cols.min(), cols.max()) == pytest.approx((PANEL_PX / 3, PANEL_PX * 2 / 3), abs=2)
    bright = (last > 250).all(axis=-1)
    assert bright[rows.min() + 3 : rows.max() - 3, cols.min() + 3 : cols.max() - 3].all()


def test_an_object_beyond_the_imagery_is_told(store: Store, tmp_path: Path) -> None:
    far = shapely.box(20, 50, 20.01, 50.01)
    done = write_strips(store, objects(far=far, slump=lonlat(SLUMP)), "test", tmp_path)
    assert done.without == ("far",)
    assert list(done.paths) == ["slump"]


def test_a_scene_that_cannot_be_read_is_named_and_can_be_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    world = World(folder=tmp_path)
    paths = {
        day: world.add(f"s_{day}", ground(int(day[:4])), GRID, bands=("red", "green", "blue"), scale=1e-4)
        for day in ("20170715", "20180701", "20180715")
    }
    store, slump = open_store(world.root), objects(one=lonlat(SLUMP), two=lonlat(SLUMP))
    whole = write_strips(store, slump, "test", tmp_path / "whole")
    assert (whole.left_out, caplog.records) == ((), [])
    spoilt = paths["20180701"]
    spoilt.write_bytes(spoilt.read_bytes()[:2000])
    with pytest.raises(ReadError, match=r"scene s_20180701: cannot read .*s_20180701\.tif.*--skip-bad") as raised:
        write_strips(store, slump, "test", tmp_path / "strips")
    assert "\n" not in str(raised.value)
    done = write_strips(store, slump, "test", tmp_path / "strips", skip_bad=True)
    assert [each.scene_id for each in done.left_out] == ["s_20180701"]
    assert [record.getMessage().partition(":")[0] for record in caplog.records] == ["scene s_20180701 is left out"]
    before, after = panels(done.paths["two"], 2)
    first, _, last = panels(whole.paths["two"], 3)
    assert np.array_equal(before, first)
    assert np.array_equal(after, last)
    few = write_strips(store, slump, "test", tmp_path / "few", most_dates=2, skip_bad=True)
    assert np.array_equal(panels(few.paths["one"], 2)[1], last), "another date stands for the year"
    for path in paths.values():
        path.write_bytes(b"")
    none = write_strips(store, slump, "test", tmp_path / "none", skip_bad=True)
    assert none.without == ("one", "two")
    assert len(none.left_out) == 3


def test_a_collection_without_colours_is_shown_in_what_it_has(tmp_path: Path) -> None:
    world = World(folder=tmp_path)
    world.add("s_20200715", ground(2020)[:2], GRID, scale=1e-4)
    assert shown_bands(open_store(world.root), "test") == ("nir", "nir", "green")
    with pytest.raises(ImageryError, match="no imagery collection"):
        shown_bands(open_store(world.root), "nowhere")


def scene(folder: Path, when: datetime, cloud: float | None) -> Scene:
    return make_scene(folder, ground(2015)[:2], GRID, scene_id=f"s{when:%Y%m%d%H}", when=when, cloud_cover=cloud)


def test_of_many_dates_each_year_shows_its_clearest(tmp_path: Path) -> None:
    def at(year: int, month: int, cloud: float | None, hour: int = 10) -> Scene:
        return scene(tmp_path, datetime(year, month, 1, hour, tzinfo=UTC), cloud)

    scenes = [at(2020, 6, 5), at(2020, 7, 1), at(2020, 8, None), at(2021, 6, 9), at(2021, 6, 20, 11), at(2021, 7, 1)]
    few = chosen_dates(scenes, 2)
    assert [[s.id for s in day] for day in few] == [["s2020070110"], ["s2021070110"]]
    assert len(chosen_dates(scenes, 8)) == 5, "two scenes of one day are one date"
    years = [at(year, 7, 0) for year in range(2010, 2020)]
    assert [day[0].datetime.year for day in chosen_dates(years, 4)] == [2010, 2013, 2016, 2019]
    assert [day[0].datetime.year for day in chosen_dates(years, 4, 2014)] == [2010, 2014, 2016, 2019]


def test_a_large_object_is_shown_in_coarser_pixels(tmp_path: Path) -> None:
    one = scene(tmp_path, datetime(2020, 7, 1, tzinfo=UTC), 0)
    large = view_of(lonlat(shapely.box(400_000, 5_390_000, 410_000, 5_400_000)), one)
    assert large.shape == (PANEL_PX, PANEL_PX)
    assert float(large.affine.a) == pytest.approx(30_000 / PANEL_PX, rel=1e-3)
    small = view_of(lonlat(shapely.box(400_900, 5_399_000, 400_920, 5_399_020)), one)
    assert small.shape == (48, 48)
    assert small.affine.a == 10
    assert (small.affine.c % 10, small.affine.f % 10) == (0, 0), "on the scene's own pixels"


def test_the_dates_of_the_outlines_own_year_are_marked(store: Store, tmp_path: Path) -> None:
    slump = objects(slump=lonlat(SLUMP))
    plain = write_strips(store, slump, "test", tmp_path / "plain").paths["slump"]
    marked = write_strips(store, slump, "test", tmp_path / "marked", year=2018).paths["slump"]
    one, other = (np.asarray(Image.open(path)) for path in (plain, marked))
    differ = np.nonzero((one != other).any(axis=-1))
    left = GAP_PX + 3 * (PANEL_PX + GAP_PX)  # 2018 is the fourth of 2015-2019
    assert differ[0].min() >= CAPTION_PX + PANEL_PX
    assert left < differ[1].min() < differ[1].max() < left + PANEL_PX


def test_specks_of_an_outline_do_not_hide_the_ground() -> None:
    holes = [shapely.box(x, y, x + 1, y + 1) for x in range(6, 58, 2) for y in range(6, 58, 2)]
    sieve = shapely.box(4, 4, 60, 60).difference(shapely.union_all(holes))
    frame = Frame(date="2020-07-01", values=np.zeros((3, 64, 64), np.float32))

    def drawn(outline: shapely.Geometry) -> NDArray[np.bool_]:
        image = draw_strip([frame], outline, title="x", metres_per_px=10, panel_px=256)
        found: NDArray[np.bool_] = (np.asarray(image) == OUTLINE).all(axis=-1)
        return found

    assert np.array_equal(drawn(sieve), drawn(shapely.box(4, 4, 60, 60)))
    assert drawn(shapely.box(30, 30, 30.5, 30.5)).any(), "the outline itself is always drawn"


def test_pixels_that_were_not_seen_are_grey_and_do_not_stretch() -> None:
    values = np.full((3, 4, 4), np.nan, np.float32)
    values[:2, :2] = 0.1
    (shown,) = stretched([values])
    assert (shown[2:] == 128).all()
    frame = Frame(date="2020-07-01", values=values)
    image = draw_strip([frame], shapely.box(1, 1, 3, 3), title="x", metres_per_px=10, panel_px=64)
    assert image.size == (64 + 2 * GAP_PX, 64 + 2 * CAPTION_PX)
