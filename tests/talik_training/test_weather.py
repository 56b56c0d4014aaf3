"""Simulated weather over samples: what it may change and what never."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from talik_training.samples import LANDFORM, OTHER, UNKNOWN
from talik_training.weather import SNOW, WATERS, WeatherRules, field_of, weathered

KINDS = list(WeatherRules.model_fields)
LAND_KINDS = ["relief", "snow", "dark_land", "bright_land"]


def chip(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A lake in a meadow, some of both unknown or without data."""
    chance = np.random.default_rng(seed)
    label = np.full((48, 64), OTHER, np.uint8)
    label[10:30, 10:40] = LANDFORM
    label[5:8, 5:50] = UNKNOWN
    image = np.empty((4, 48, 64), np.float32)
    image[:] = np.array([0.04, 0.08, 0.05, 0.35], np.float32)[:, None, None]
    image[:, label == LANDFORM] = np.array([0.05, 0.05, 0.03, 0.01], np.float32)[:, None]
    image += chance.normal(0, 0.002, image.shape).astype(np.float32)
    image[:, :3, :3] = np.nan
    return np.maximum(image, 0), label


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(KINDS), st.integers(0, 2**31))
def test_no_data_stays_no_data_and_all_else_is_finite(kind: str, seed: int) -> None:
    image, label = chip()
    drawn, _ = weathered(image, label, WeatherRules(**{kind: 1.0}), np.random.default_rng(seed))

    assert drawn.dtype == np.float32
    assert np.isnan(drawn[np.isnan(image)]).all()
    assert kind == "gaps" or np.array_equal(np.isnan(drawn), np.isnan(image))
    assert np.nanmin(drawn) >= -1e-6


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(KINDS), st.integers(0, 2**31))
def test_unknown_stays_unknown(kind: str, seed: int) -> None:
    image, label = chip()
    _, drawn = weathered(image, label, WeatherRules(**{kind: 1.0}), np.random.default_rng(seed))

    assert (drawn[label == UNKNOWN] != LANDFORM).all()


@pytest.mark.parametrize("kind", LAND_KINDS)
def test_what_is_drawn_on_land_leaves_water_as_it_is(kind: str) -> None:
    image, label = chip()
    drawn, after = weathered(image, label, WeatherRules(**{kind: 1.0}), np.random.default_rng(5))

    assert np.array_equal(after, label)
    assert np.array_equal(drawn[:, label == LANDFORM], image[:, label == LANDFORM])
    assert not np.array_equal(drawn[:, label == OTHER], image[:, label == OTHER])


def test_new_water_is_labelled_where_its_colour_covers_the_land() -> None:
    image, label = chip()
    found = 0
    for seed in range(10):
        drawn, after = weathered(image, label, WeatherRules(new_water=1), np.random.default_rng(seed))
        new = (after == LANDFORM) & (label == OTHER)
        found += int(new.sum())
        brightest = max(water.high[3] for water in WATERS)
        # At most a quarter of the meadow shines through.
        assert (drawn[3][new] <= brightest * 1.6 + 0.25 * 0.36).all()
    assert found > 100


def test_opaque_cloud_over_water_is_not_water_and_thin_cloud_is_unknown() -> None:
    image, label = chip()
    seen = set()
    for seed in range(30):
        drawn, after = weathered(image, label, WeatherRules(cloud=1), np.random.default_rng(seed))
        lake = label == LANDFORM
        seen |= set(np.unique(after[lake]))
        # Water that stays water is nearly as dark as it was.
        assert (drawn[3][lake & (after == LANDFORM)] < 0.25).all()
        assert not (after[~lake] == LANDFORM).any()
    assert seen == {OTHER, LANDFORM, UNKNOWN}


def test_gaps_are_unknown_and_leave_all_else_as_it_is() -> None:
    image, label = chip()
    drawn, after = weathered(image, label, WeatherRules(gaps=1), np.random.default_rng(3))
    hidden = np.isnan(drawn).all(axis=0)

    assert 0 < hidden.sum() < hidden.size
    assert (after[hidden & ~np.isnan(image).all(axis=0)] == UNKNOWN).all()
    assert np.array_equal(after[~hidden], label[~hidden])
    assert np.array_equal(drawn[:, ~hidden], image[:, ~hidden])


def test_the_same_chance_draws_the_same() -> None:
    image, label = chip()
    rules = WeatherRules(**dict.fromkeys(KINDS, 0.5))
    first, second = (weathered(image, label, rules, np.random.default_rng(11)) for _ in range(2))

    assert np.array_equal(first[0], second[0], equal_nan=True)
    assert np.array_equal(first[1], second[1])


def test_without_rules_nothing_is_drawn() -> None:
    image, label = chip()
    drawn, after = weathered(image, label, WeatherRules(), np.random.default_rng(0))

    assert not WeatherRules().any
    assert np.array_equal(drawn, image, equal_nan=True)
    assert np.array_equal(after, label)


def test_simulated_snow_fools_the_water_index_as_real_snow_does() -> None:
    green, nir = SNOW.high[1], SNOW.high[3]

    assert green > nir


@given(st.floats(2, 90), st.integers(0, 1000))
@settings(max_examples=20, deadline=None)
def test_a_field_has_mean_nought_and_deviation_one(knot_px: float, seed: int) -> None:
    field = field_of((70, 50), np.random.default_rng(seed), knot_px=knot_px)

    assert field.shape == (70, 50)
    assert abs(float(field.mean())) < 1e-3
    assert abs(float(field.std()) - 1) < 1e-3
