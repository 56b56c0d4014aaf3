"""The lattice, the region and the zones: which pixel is whose, whatever is asked."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox
from pyproj import Transformer

from making import UTM33, footprint_of, grid_at, make_scene, shifted
from talik_inference.grid import Lattice, Rect, lattice_of, pixel_metres
from talik_inference.plan import Windows, plan_blocks
from talik_inference.region import pixels_inside, touches
from talik_inference.zones import MAX_SOURCES, number_sources, zones_of
from talik_stac.errors import ImageryError, RecipeError

LATTICES = [
    UTM33,
    Lattice(crs="EPSG:26914", resolution=5.0, phase_x=0.0, phase_y=2.0),
    Lattice(crs="EPSG:32601", resolution=30.0, phase_x=15.0, phase_y=15.0),
    Lattice(crs="EPSG:3413", resolution=100.0),
]


@pytest.mark.parametrize("lattice", LATTICES, ids=lambda lattice: lattice.crs)
def test_a_grid_of_a_lattice_lies_on_it_and_a_moved_one_does_not(lattice: Lattice) -> None:
    grid = lattice.geobox(Rect(col=100, row=-200, col_end=150, row_end=-120))
    assert lattice_of(grid) == lattice
    assert lattice.holds(grid)
    assert not lattice.holds(shifted(grid, lattice.resolution / 3, 0))
    assert not Lattice(crs=lattice.crs, resolution=lattice.resolution * 2).holds(grid)
    box = grid.boundingbox
    assert lattice.rect_of((box.left, box.bottom, box.right, box.top)).shape == grid.shape


def test_a_turned_or_stretched_grid_lies_on_no_lattice() -> None:
    grid = grid_at(0, 0, 10, 10)
    assert lattice_of(grid.rotate(10)) is None
    assert lattice_of(GeoBox((10, 10), grid.affine.scale(1, 2), grid.crs)) is None


@settings(max_examples=50, deadline=None)
@given(
    st.integers(-5000, 5000), st.integers(-5000, 5000), st.integers(1, 3000), st.integers(1, 3000), st.integers(1, 999)
)
def test_cells_cover_a_rectangle_once(col: int, row: int, width: int, height: int, size: int) -> None:
    rect = Rect(col=col, row=row, col_end=col + width, row_end=row + height)
    if width * height / size**2 > 2000:
        return
    parts = [cell.intersect(rect) for cell in rect.cells(size)]
    assert sum(p.width * p.height for p in parts) == width * height
    assert all(p.col // size == (p.col_end - 1) // size for p in parts)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), lattice=st.sampled_from(LATTICES))
def test_a_pixel_is_inside_by_its_own_centre_whatever_rectangle_it_is_asked_in(seed: int, lattice: Lattice) -> None:
    rng = np.random.default_rng(seed)
    col, row = (int(v) for v in rng.integers(2000, 3000, 2) * [1, -1] * (10 if lattice.resolution < 50 else 1))
    rect = Rect(col=col, row=row, col_end=col + 150, row_end=row + 130)
    x, y = np.meshgrid(np.arange(rect.col, rect.col_end) + 0.5, np.arange(rect.row, rect.row_end) + 0.5)
    to_lonlat = Transformer.from_crs(lattice.crs, "OGC:CRS84", always_xy=True)
    lon, lat = to_lonlat.transform(*(lattice.transform * (x, y)))
    centre = shapely.Point(float(lon.mean()), float(lat.mean()))
    size = float(np.ptp(lat))
    region = centre.buffer(0.4 * size).union(
        shapely.box(centre.x, centre.y, centre.x + 2 * size, centre.y + 0.1 * size)
    )
    expected = shapely.contains_xy(region, lon, lat)
    assert np.array_equal(pixels_inside(lattice, rect, region), expected)
    part = Rect(col=rect.col + 37, row=rect.row + 11, col_end=rect.col_end + 40, row_end=rect.row + 99)
    common = part.intersect(rect)
    assert np.array_equal(pixels_inside(lattice, part, region)[common.within(part)], expected[common.within(rect)])
    assert touches(lattice, rect, region) or not expected.any()


@settings(max_examples=20, deadline=None)
@given(share=st.floats(0.05, 0.95))
def test_halves_of_an_area_share_no_pixel_and_miss_none(share: float) -> None:
    rect = Rect(col=40_000, row=-540_000, col_end=40_300, row_end=-539_800)
    whole = footprint_of(UTM33.geobox(rect)).buffer(-0.003)
    west, _, east, _ = whole.bounds
    middle = west + share * (east - west)
    halves = [whole.intersection(shapely.box(*box)) for box in ((-180, -90, middle, 90), (middle, -90, 180, 90))]
    left, right = (pixels_inside(UTM33, rect, half) for half in halves)
    assert not (left & right).any()
    assert np.array_equal(left | right, pixels_inside(UTM33, rect, whole))


@pytest.mark.parametrize("crs", ["EPSG:32601", "EPSG:32660"])
def test_a_region_across_the_antimeridian_holds_the_pixels_on_both_sides(crs: str) -> None:
    x = 364_000 if crs == "EPSG:32601" else 636_000  # 180 degrees, seen from either zone
    lattice = Lattice(crs=crs, resolution=500.0)
    rect = lattice.rect_of((x - 80_000, 7_300_000, x + 80_000, 7_360_000))
    region = shapely.MultiPolygon([shapely.box(179.5, 65.9, 180, 66.2), shapely.box(-180, 65.9, -179.5, 66.2)])
    inside = pixels_inside(lattice, rect, region)
    expected_km2 = 1.0 * 0.3 * 111.32**2 * np.cos(np.radians(66.05))
    assert inside.sum() * 0.25 == pytest.approx(expected_km2, rel=0.02)


def test_zones_divide_the_ground_at_the_meridian_without_gap_or_overlap(tmp_path: Path) -> None:
    scenes = []
    for crs, x in (("EPSG:32605", 613_000), ("EPSG:32606", 387_000)):
        lattice = Lattice(crs=crs, resolution=100.0)
        grid = lattice.geobox(lattice.rect_of((x - 10_000, 7_760_000, x + 10_000, 7_780_000)))
        scenes.append(make_scene(tmp_path, np.ones((2, *grid.shape), np.uint16), grid, scene_id=crs[-5:]))
    area = shapely.box(-150.1, 69.97, -149.9, 70.03)
    five, six = zones_of(scenes, area)
    assert five.territory.intersection(six.territory).area == pytest.approx(0, abs=1e-12)
    both = shapely.union_all([s.footprint for s in scenes])
    assert five.territory.union(six.territory).symmetric_difference(both).area == pytest.approx(0, abs=1e-12)
    inside = shapely.box(-150.03, 69.98, -149.97, 70.02)  # where both zones have imagery
    assert five.territory.intersection(inside).bounds[2] == pytest.approx(-150)
    assert six.territory.intersection(inside).bounds[0] == pytest.approx(-150)


def test_ground_that_one_zone_alone_covers_is_that_zones(tmp_path: Path) -> None:
    lattice = Lattice(crs="EPSG:32605", resolution=100.0)
    grid = lattice.geobox(lattice.rect_of((603_000, 7_760_000, 623_000, 7_780_000)))
    scene = make_scene(tmp_path, np.ones((2, *grid.shape), np.uint16), grid)
    (zone,) = zones_of([scene], shapely.box(-150.1, 69.97, -149.8, 70.03))
    assert zone.territory.equals(scene.footprint)
    assert zone.seam is None


def test_scenes_over_the_same_ground_never_share_a_bit(tmp_path: Path) -> None:
    grid = grid_at(40_000, -540_000, 20, 20)
    one = make_scene(tmp_path, np.ones((2, 20, 20), np.uint16), grid)
    far = replace(one, footprint=shapely.box(100, 0, 101, 1))
    few = [replace(one, id=str(i)) for i in range(5)]
    assert number_sources(few)[1] == (0, 1, 2, 3, 4)
    many = [replace(one, id=str(i)) for i in range(MAX_SOURCES + 5)] + [far]
    kept, bits = number_sources(many)
    assert len(kept) == MAX_SOURCES + 1, "the best 63 here, and the one far away"
    assert sorted(bits[:-1]) == list(range(MAX_SOURCES))
    assert bits[-1] == 0


def test_mixed_pixel_sizes_are_refused_with_both(tmp_path: Path) -> None:
    fine, coarse = (
        grid_at(40_000, -540_000, 20, 20),
        grid_at(20_000, -270_000, 10, 10, Lattice(crs="EPSG:32633", resolution=20.0)),
    )
    scenes = [
        make_scene(tmp_path, np.ones((2, *grid.shape), np.uint16), grid, scene_id=str(n))
        for n, grid in enumerate((fine, coarse))
    ]
    area = footprint_of(fine)
    with pytest.raises(ImageryError, match=r"10\.0, 20\.0.*--resolution"):
        zones_of(scenes, area)
    (zone,) = zones_of(scenes, area, resolution=20.0)
    assert zone.lattice.resolution == 20.0


@settings(max_examples=15, deadline=None)
@given(block_px=st.integers(1, 900), core_px=st.integers(20, 300))
def test_blocks_of_any_size_hold_every_pixel_of_the_area_once(
    tmp_path_factory: pytest.TempPathFactory, block_px: int, core_px: int
) -> None:
    grid = grid_at(40_000, -540_000, 300, 400)
    scene = make_scene(tmp_path_factory.mktemp("scene"), np.ones((2, 300, 400), np.uint16), grid)
    area = footprint_of(grid).buffer(-0.004)
    (zone,) = zones_of([scene], area)
    plan = plan_blocks([zone], Windows(core_px=core_px, halo_px=3), block_px=block_px)
    rect = Rect(col=39_000, row=-541_000, col_end=41_000, row_end=-539_000)
    count = np.zeros(rect.shape, np.uint8)
    for block in plan.blocks:
        assert block.core.col % core_px == block.core.row % core_px == 0
        here = block.core.intersect(rect)
        count[here.within(rect)] += 1
    inside = pixels_inside(UTM33, rect, area)
    assert (count[inside] == 1).all()
    assert count.max() == 1
    assert len({block.id for block in plan.blocks}) == len(plan.blocks)


def test_a_block_too_large_for_memory_is_refused(tmp_path: Path) -> None:
    grid = grid_at(40_000, -540_000, 20, 20)
    scene = make_scene(tmp_path, np.ones((2, 20, 20), np.uint16), grid)
    with pytest.raises(RecipeError, match="too large"):
        plan_blocks(zones_of([scene], footprint_of(grid)), Windows(core_px=512, halo_px=0), block_px=100_000)


def test_pixels_of_degrees_are_measured_in_metres() -> None:
    assert pixel_metres(Lattice(crs="EPSG:4326", resolution=0.001)) == pytest.approx(111.32)
    assert pixel_metres(UTM33) == 10.0
