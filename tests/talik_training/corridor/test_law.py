"""The laws of the simulated corridor, and its shapes and hashes."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from scipy.stats import kstest

from talik_stac.errors import RecipeError
from talik_training.corridor.chance import hashes, nearly_normal, uniform
from talik_training.corridor.law import BANDS, SPECTRA, CorridorLaw, Kind, SizeLaw
from talik_training.corridor.shapes import REACH_PER_ROOT_SIZE, outline, toe


def test_the_size_law_and_its_inverse_agree() -> None:
    law = SizeLaw()
    shares = np.linspace(0, 1, 101)
    areas = law.area_m2(shares)
    assert np.allclose(law.share(areas), shares)
    assert areas[0] == pytest.approx(law.smallest_m2)
    assert areas[-1] == pytest.approx(law.largest_m2)
    assert 1e4 < float(law.area_m2(np.array(0.5))) < 2e4


def test_places_have_uniform_luck_that_depends_on_every_part_of_the_place() -> None:
    rows, cols = np.mgrid[-40:40, -40:40]
    luck = uniform(3, "name", rows, cols)
    assert kstest(luck.ravel(), "uniform").pvalue > 0.01
    assert abs(np.corrcoef(luck[:, 1:].ravel(), luck[:, :-1].ravel())[0, 1]) < 0.05
    assert len(np.unique(hashes(3, "name", rows, cols))) == rows.size
    assert not np.array_equal(luck, uniform(4, "name", rows, cols))
    assert not np.array_equal(luck, uniform(3, "other", rows, cols))
    assert uniform(3, "name", -40, -40) == luck[0, 0]


def test_nearly_normal_has_mean_0_and_variance_1() -> None:
    draws = nearly_normal(1, "noise", np.arange(100_000))
    assert abs(draws.mean()) < 0.01
    assert draws.std() == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("kind", list(Kind))
def test_outlines_are_valid_have_area_1_and_stay_within_reach(kind: Kind) -> None:
    random = np.random.default_rng(5)
    size = CorridorLaw().kinds[kind].relative_size ** 0.5
    for _ in range(60):
        ring = outline(kind, random.random(16))
        polygon = shapely.Polygon(ring)
        assert polygon.is_valid
        assert polygon.area == pytest.approx(1)
        assert np.hypot(*ring.T).max() * size < REACH_PER_ROOT_SIZE


def test_a_slump_is_wide_at_its_headwall_and_narrow_at_its_toe() -> None:
    for number in range(30):
        ring = outline(Kind.SLUMP, uniform(number, "shape", np.arange(16)))
        polygon = shapely.Polygon(ring)
        upper = polygon.intersection(shapely.box(0, -9, 9, 9)).bounds
        lower = polygon.intersection(shapely.box(-9, -9, toe(ring)[0] + 0.15, 9)).bounds
        assert upper[3] - upper[1] > 1.2 * (lower[3] - lower[1])


def test_every_surface_has_a_value_in_every_band() -> None:
    assert all(len(values) == len(BANDS) and 0 < min(values) < max(values) < 1 for values in SPECTRA.values())


def test_laws_that_contradict_themselves_are_refused() -> None:
    with pytest.raises(RecipeError, match="smallest"):
        SizeLaw(smallest_m2=20_000)
    with pytest.raises(RecipeError, match="ascending"):
        CorridorLaw(years=(2020, 2019))
    with pytest.raises(RecipeError, match="new_share"):
        CorridorLaw(new_share=1.5)
