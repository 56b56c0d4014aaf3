"""Calibration against scikit-learn, and of simulated predictors whose error is known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss

from talik_stac.errors import TalikError
from talik_training.evaluate.calibration import BINS, brier, histogram, reliability

SEED = st.integers(0, 2**32 - 1)


def simulated(seed: int, *, pixels: int = 2000, bend: float = 1.0) -> tuple[Any, Any]:
    """A SIMULATED predictor: landform occurs with probability ** bend; 1 is perfectly calibrated."""
    generator = np.random.default_rng(seed)
    level = generator.integers(0, 251, pixels)
    truth = generator.random(pixels) < (level / 250) ** bend
    return truth.astype(np.uint8), level.astype(np.uint8)


@given(SEED)
def test_the_diagram_equals_that_of_scikit_learn(seed: int) -> None:
    truth, level = simulated(seed, bend=2.0)
    # 5 bins: their edges 0.2, 0.4 are levels 50, 100, which scikit-learn may put on either side.
    apart = level % 50 != 0
    truth, level = truth[apart], level[apart]
    observed, predicted = calibration_curve(truth, level / 250, n_bins=5)
    got = reliability(histogram(truth, level), bins=5)
    np.testing.assert_allclose(got.observed, observed)
    np.testing.assert_allclose(got.predicted, predicted)


@given(SEED)
def test_the_brier_score_equals_that_of_scikit_learn(seed: int) -> None:
    truth, level = simulated(seed, bend=0.5)
    assert brier(histogram(truth, level)) == pytest.approx(brier_score_loss(truth, level / 250))


@pytest.mark.parametrize("binning", ["equal width", "equal mass"])
def test_the_error_of_a_calibrated_predictor_tends_to_zero(binning: Any) -> None:
    errors = [
        reliability(histogram(*simulated(1, pixels=pixels)), binning=binning).expected_error
        for pixels in (1_000, 100_000, 2_000_000)
    ]
    assert errors[0] is not None
    assert errors[1] is not None
    assert errors[2] is not None
    assert errors[2] < errors[1] < errors[0]
    assert errors[2] < 0.002


def test_the_error_of_a_bent_predictor_is_the_area_between_curve_and_diagonal() -> None:
    # Uniform probabilities p of which p^2 come true: the mean of p - p^2 is 1/6.
    error = reliability(histogram(*simulated(2, pixels=2_000_000, bend=2.0))).expected_error
    assert error == pytest.approx(1 / 6, abs=0.002)


def test_bins_of_equal_mass_hold_about_as_many_pixels() -> None:
    generator = np.random.default_rng(3)
    level = np.minimum(250, generator.exponential(30, 100_000)).astype(np.uint8)
    count = reliability(histogram(np.zeros_like(level), level), binning="equal mass").count
    assert len(count) == BINS
    assert count.min() > 0.6 * count.max()


def test_sure_answers_fill_the_first_and_the_last_bin() -> None:
    truth, level = np.array([0, 0, 1, 1], np.uint8), np.array([0, 0, 250, 250], np.uint8)
    got = reliability(histogram(truth, level))
    assert (got.predicted.tolist(), got.observed.tolist(), got.count.tolist()) == ([0, 1], [0, 1], [2, 2])
    assert got.expected_error == brier(histogram(truth, level)) == 0


@given(SEED)
def test_histograms_of_two_images_add_up(seed: int) -> None:
    a, b = simulated(seed), simulated(seed + 1)
    both = histogram(np.concatenate([a[0], b[0]]), np.concatenate([a[1], b[1]]))
    np.testing.assert_array_equal(histogram(*a) + histogram(*b), both)


def test_unknown_pixels_are_left_out_and_without_pixels_all_is_undefined() -> None:
    counts = histogram(np.array([255, 1], np.uint8), np.array([200, 255], np.uint8))
    assert counts.sum() == 0
    assert brier(counts) is None
    assert reliability(counts).expected_error is None
    assert reliability(counts, binning="equal mass").expected_error is None


def test_other_values_and_shapes_are_refused() -> None:
    with pytest.raises(TalikError, match="probability 251"):
        histogram(np.array([1], np.uint8), np.array([251], np.uint8))
    with pytest.raises(TalikError, match="one grid"):
        histogram(np.zeros(2, np.uint8), np.zeros(3, np.uint8))
    with pytest.raises(TalikError, match="bins = 0"):
        reliability(histogram(np.zeros(2, np.uint8), np.zeros(2, np.uint8)), bins=0)
