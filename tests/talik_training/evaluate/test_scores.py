"""Pixel scores against scikit-learn, against counts made by hand, and what must hold of any counts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn import metrics

from talik_stac.errors import TalikError
from talik_training.evaluate.scores import Confusion, confusion

COUNT = st.integers(0, 10**12)
COUNTS = st.builds(Confusion, true_positive=COUNT, false_positive=COUNT, false_negative=COUNT, true_negative=COUNT)
MAP = hnp.arrays(np.uint8, (6, 7), elements=st.sampled_from([0, 1, 255]))


def test_counts_made_by_hand() -> None:
    truth = np.array([[1, 1, 0, 0], [1, 0, 255, 1]], np.uint8)
    found = np.array([[1, 0, 1, 0], [1, 0, 1, 255]], np.uint8)
    got = confusion(truth, found)
    assert got == Confusion(true_positive=2, false_positive=1, false_negative=1, true_negative=2)
    assert got.iou == 0.5
    assert got.precision == got.recall == got.f1 == pytest.approx(2 / 3)
    assert got.accuracy == pytest.approx(4 / 6)
    # Cohen: observed 4/6, by chance 3/6 * 3/6 + 3/6 * 3/6 = 1/2.
    assert got.kappa == pytest.approx((4 / 6 - 0.5) / 0.5)


@given(MAP, MAP)
def test_scores_equal_those_of_scikit_learn(truth: Any, found: Any) -> None:
    got = confusion(truth, found)
    known = (truth != 255) & (found != 255)
    a, b = truth[known], found[known]
    assert got.total == known.sum()
    both_empty = not (a.any() or b.any())
    if both_empty:
        assert got.iou is None
        assert got.f1 is None
    else:
        assert got.iou == pytest.approx(metrics.jaccard_score(a, b))
        assert got.f1 == pytest.approx(metrics.f1_score(a, b))
    if a.any():
        assert got.recall == pytest.approx(metrics.recall_score(a, b))
    if b.any():
        assert got.precision == pytest.approx(metrics.precision_score(a, b))
    if got.kappa is not None:
        assert got.kappa == pytest.approx(metrics.cohen_kappa_score(a, b))


@given(COUNTS)
def test_iou_follows_from_f1(counts: Confusion) -> None:
    f1, iou = counts.f1, counts.iou
    assert (f1 is None) == (iou is None)
    if f1 is not None:
        assert iou == pytest.approx(f1 / (2 - f1))


@given(COUNTS)
def test_swapping_truth_and_prediction_swaps_precision_and_recall(counts: Confusion) -> None:
    swapped = counts.swapped
    assert (swapped.precision, swapped.recall) == (counts.recall, counts.precision)
    assert (swapped.f1, swapped.iou, swapped.accuracy, swapped.kappa) == (
        counts.f1,
        counts.iou,
        counts.accuracy,
        counts.kappa,
    )


@given(MAP, MAP, MAP, MAP)
def test_confusions_of_two_images_add_up(a: Any, b: Any, c: Any, d: Any) -> None:
    assert confusion(a, b) + confusion(c, d) == confusion(np.hstack([a, c]), np.hstack([b, d]))


@given(MAP)
def test_a_perfect_prediction_scores_one_or_is_undefined(truth: Any) -> None:
    got = confusion(truth, truth)
    for value in (got.iou, got.f1, got.precision, got.recall, got.accuracy, got.kappa):
        assert value in (None, 1.0)
    if (truth == 1).any():
        assert got.iou == 1


def test_what_is_undefined_is_none_and_never_zero() -> None:
    nothing = Confusion()
    values = (nothing.iou, nothing.f1, nothing.precision, nothing.recall, nothing.accuracy, nothing.kappa)
    assert values == (None,) * 6


def test_maps_of_two_shapes_and_other_values_are_refused() -> None:
    with pytest.raises(TalikError, match=r"\(2, 2\).*\(2, 3\)"):
        confusion(np.zeros((2, 2), np.uint8), np.zeros((2, 3), np.uint8))
    with pytest.raises(TalikError, match="prediction holds 250"):
        confusion(np.zeros((2, 2), np.uint8), np.full((2, 2), 250, np.uint8))
    with pytest.raises(ValueError, match="0 or more"):
        Confusion(true_positive=-1)
