"""The simulated imagery on disk and the chips that a round learns from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import shapely

from talik_inference.grid import Rect
from talik_stac.errors import RecipeError
from talik_training.corridor.scene import Corridor, make_scene
from talik_training.corridor.truth import corridor_truth
from talik_training.rounds.corridor_ground import BANDS, FILE, KNOWN_AROUND_M, Chips, Ground, outline_of, rect_of
from talik_training.rounds.words import Known, Labelled
from talik_training.samples import LANDFORM, OTHER, UNKNOWN

CORRIDOR = Corridor(seed=5, tiles_x=2, tiles_y=1, tile_px=256)
YEAR = 2022


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Ground:
    return Ground.open(CORRIDOR, tmp_path_factory.mktemp("ground"), YEAR, lambda text: None)


def square(col: int, row: int, size_px: int) -> shapely.Polygon:
    polygon = outline_of(Rect(col=col, row=row, col_end=col + size_px, row_end=row + size_px))
    assert isinstance(polygon, shapely.Polygon)
    return polygon


def test_the_imagery_is_the_scenes_in_steps_of_a_ten_thousandth(ground: Ground) -> None:
    scene = make_scene(CORRIDOR, (0, 1), YEAR)
    seen = ground.reflectance(Rect(col=256, row=0, col_end=512, row_end=256))
    assert np.array_equal(~np.isnan(seen).any(axis=0), scene.valid)
    red = scene.reflectance[scene.bands.index("red")]
    assert np.nanmax(np.abs(seen[BANDS.index("red")] - red)) <= 0.5001e-4


def test_beyond_the_corridor_nothing_is_seen(ground: Ground) -> None:
    seen = ground.reflectance(Rect(col=-3, row=250, col_end=2, row_end=260))
    assert np.isnan(seen[:, :, :3]).all()
    assert np.isnan(seen[:, 6:]).all()
    assert np.isnan(ground.reflectance(Rect(col=900, row=900, col_end=910, row_end=910))).all()


def test_an_outline_becomes_its_pixels_and_back() -> None:
    for col, row, size in ((0, 0, 1), (17, 200, 40)):
        there = rect_of(square(col, row, size))
        assert there == Rect(col=col, row=row, col_end=col + size, row_end=row + size)


def test_a_chip_knows_its_slump_the_ground_around_and_nothing_farther(ground: Ground) -> None:
    slump, plain = Labelled(id="s", outline=square(100, 100, 8)), Labelled(id="n", outline=square(140, 100, 8))
    known = Known(positives=(slump,), negatives=(plain,))
    (chip,) = Chips(ground=ground, known=known, chosen=(slump,), size_px=128)
    assert chip.label.shape == (128, 128)
    assert (chip.label == LANDFORM).sum() == 64
    assert chip.label[64, 64] == LANDFORM
    assert chip.label[64, 64 + 40] == OTHER, "the neighbour is labelled, too"
    reach = int(KNOWN_AROUND_M / 10)
    assert chip.label[64, 60 - reach] == OTHER
    assert chip.label[64, 60 - reach - 1] == UNKNOWN
    assert chip.label[0, 0] == UNKNOWN


def test_a_slump_stays_a_slump_where_the_ground_of_a_rejected_neighbour_reaches_it(ground: Ground) -> None:
    slump, plain = Labelled(id="s", outline=square(100, 100, 8)), Labelled(id="n", outline=square(110, 100, 8))
    chips = Chips(ground=ground, known=Known(positives=(slump,), negatives=(plain,)), chosen=(plain,), size_px=64)
    assert (chips[0].label == LANDFORM).sum() == 64


def test_chips_are_a_sequence_of_places_of_their_own(ground: Ground) -> None:
    slumps = tuple(Labelled(id=f"s{n}", outline=square(40 * n, 50, 8)) for n in range(3))
    chips = Chips(ground=ground, known=Known(positives=slumps, negatives=()), chosen=slumps, size_px=32)
    assert [chip.group for chip in chips] == ["s0", "s1", "s2"]
    assert [chip.id for chip in chips[1:]] == ["s1", "s2"]


def test_the_share_of_a_slump_that_is_seen_is_what_no_cloud_hides(ground: Ground) -> None:
    scene = make_scene(CORRIDOR, (0, 0), YEAR)
    truth = corridor_truth(CORRIDOR.seed, CORRIDOR.area, year=YEAR)
    assert all(0 <= ground.seen_share(outline) <= 1 for outline in truth.geometry)
    whole = square(0, 0, 256)
    assert ground.seen_share(whole) == pytest.approx(scene.valid.mean())
    assert ground.seen_share(square(-20, -20, 8)) == 0


def test_imagery_of_another_corridor_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / FILE, np.zeros((4, 8, 8), np.uint16))
    with pytest.raises(RecipeError, match=r"holds \(4, 8, 8\), expected \(4, 256, 512\)"):
        Ground.open(CORRIDOR, tmp_path, YEAR, lambda text: None)


def test_an_object_without_an_outline_has_no_chip(ground: Ground) -> None:
    nowhere = Labelled(id="patch-1")
    with pytest.raises(RecipeError, match="without an outline"):
        Chips(ground=ground, known=Known(positives=(nowhere,), negatives=()), chosen=(nowhere,), size_px=32)[0]
