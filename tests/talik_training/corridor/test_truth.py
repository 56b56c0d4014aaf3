"""The simulated truth: sizes, density, growth, and that any part can be asked for alone."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
import shapely
from scipy.stats import kstest

from talik_stac.errors import AoiError, RecipeError
from talik_training.corridor.law import CorridorLaw, Kind
from talik_training.corridor.scene import Corridor
from talik_training.corridor.terrain import Window, relief_at, slope_deg
from talik_training.corridor.truth import (
    LEFT_M,
    PIXEL_M,
    TOP_M,
    corridor_lookalikes,
    corridor_truth,
    objects_near,
    window_bounds,
)

CORRIDOR = Corridor(seed=1)


@cache
def truth(year: int | None = None) -> Any:
    return corridor_truth(1, CORRIDOR.area, year=year)


def test_thousands_of_km2_hold_hundreds_of_slumps_of_the_size_law() -> None:
    assert CORRIDOR.area_km2 == pytest.approx(4194.3, abs=0.1)
    slumps = truth()
    assert 300 < len(slumps) < 700
    law = CorridorLaw()
    assert kstest(slumps["area_m2"], lambda area: law.sizes.share(np.asarray(area))).pvalue > 0.01
    assert slumps["area_m2"].between(law.sizes.smallest_m2 * 0.999, law.sizes.largest_m2 * 1.001).all()
    assert np.allclose(slumps.geometry.area, slumps["area_m2"])


def test_the_density_on_suitable_slopes_is_that_of_the_law() -> None:
    random = np.random.default_rng(2)
    rows, cols = random.random((2, 4_000)) * [[5_120], [8_192]]
    steepness = slope_deg(*relief_at(1, rows, cols))
    suitable_km2 = ((steepness >= 3) & (steepness < 8)).mean() * CORRIDOR.area_km2
    # Ice comes in patches, so that the number varies by more than Poisson: a quarter.
    assert len(truth()) == pytest.approx(0.20 * suitable_km2, rel=0.25)


def test_slumps_lie_on_their_slopes_and_never_touch_another_object() -> None:
    slumps = truth()
    assert slumps["slope_deg"].between(3, 8).all()
    every = [*slumps.geometry, *corridor_lookalikes(1, CORRIDOR.area).geometry]
    first, second = shapely.STRtree(every).query(every, predicate="intersects")
    assert np.array_equal(np.sort(first), np.arange(len(every)))
    assert np.array_equal(first, second)
    assert all(shapely.is_valid(every))


def test_every_kind_of_look_alike_is_there() -> None:
    kinds = set(corridor_lookalikes(1, CORRIDOR.area)["kind"])
    assert kinds == {kind.value for kind in Kind if kind is not Kind.SLUMP}


def test_slumps_appear_and_grow_and_never_shrink() -> None:
    years = {year: truth(year).set_index("id") for year in CorridorLaw().years}
    for year, following in zip(CorridorLaw().years, CorridorLaw().years[1:], strict=False):
        before, after = years[year], years[following]
        assert set(before.index) < set(after.index)
        assert (set(after.index) - set(before.index)) == set(after.index[after["initiated"] == following])
        grown = after.loc[before.index]
        assert (grown["area_m2"] >= before["area_m2"] * 0.999).all()
        kept = shapely.intersection(grown.geometry.values, before.geometry.values)
        assert (shapely.area(kept) > 0.93 * before["area_m2"]).all()
    new = (years[2022]["initiated"] > 2018).mean()
    assert new == pytest.approx(CorridorLaw().new_share, abs=0.08)


def test_a_part_of_the_corridor_gives_the_slumps_of_the_whole_that_touch_it() -> None:
    part = window_bounds(Window(row=700, col=1_000, row_end=2_300, col_end=2_600))
    whole = truth()
    expected = whole[whole.intersects(shapely.box(*part))]
    found = corridor_truth(1, part)
    assert len(found) > 5
    assert list(found["id"]) == list(expected["id"])
    assert shapely.equals_exact(found.geometry.values, expected.geometry.values, 0).all()


def test_another_seed_gives_another_corridor_and_the_same_seed_the_same() -> None:
    area = window_bounds(Window(row=0, col=0, row_end=1_500, col_end=1_500))
    once, again, other = (corridor_truth(seed, area) for seed in (4, 4, 5))
    assert once.geometry.to_wkb().tolist() == again.geometry.to_wkb().tolist()
    assert set(once["id"]) != set(other["id"])


def test_headwalls_look_upslope() -> None:
    slumps = [
        one
        for one in objects_near(1, Window(row=0, col=0, row_end=1_500, col_end=1_500), CorridorLaw())
        if one.kind is Kind.SLUMP
    ]
    for one in slumps:
        step = 5
        south, east = relief_at(1, np.array([one.row]), np.array([one.col]))
        assert float(east[0]) * np.cos(one.upslope) - float(south[0]) * np.sin(one.upslope) > 0.05
        middle = shapely.Point(LEFT_M + one.col * PIXEL_M, TOP_M - one.row * PIXEL_M)
        assert one.polygon(2022, CorridorLaw()).distance(middle) < step


def test_areas_and_years_outside_are_refused() -> None:
    with pytest.raises(AoiError, match="left < right"):
        corridor_truth(1, (1.0, 0.0, 0.0, 1.0))
    with pytest.raises(RecipeError, match="at most 2022"):
        corridor_truth(1, CORRIDOR.area, year=2030)
