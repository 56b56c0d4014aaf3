"""Scores are what they say: against definitions, and cases made by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from talik_inference.score import Score, object_score, pixel_score


def test_scores_of_a_case_made_by_hand() -> None:
    truth = np.array([[1, 1, 0, 0]], bool)
    found = np.array([[1, 0, 1, 0]], bool)
    score = pixel_score(truth, found, np.ones((1, 4), bool))
    assert (score.precision, score.recall, score.f1) == (0.5, 0.5, 0.5)
    assert score.iou == pytest.approx(1 / 3)
    unseen = pixel_score(truth, found, np.array([[1, 0, 0, 1]], bool))
    assert unseen == Score(true_positive=1, false_positive=0, false_negative=0)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 99), st.integers(0, 99), st.integers(0, 99))
def test_iou_and_f1_do_not_contradict_each_other(tp: int, fp: int, fn: int) -> None:
    score = Score(true_positive=tp, false_positive=fp, false_negative=fn)
    assert score.iou == pytest.approx(score.f1 / (2 - score.f1))


def test_objects_match_one_to_one_at_half_overlap() -> None:
    truth = np.array([shapely.box(0, 0, 2, 1), shapely.box(5, 0, 6, 1), shapely.box(9, 0, 10, 1)], object)
    found = np.array([shapely.box(0, 0, 1.5, 1), shapely.box(5.9, 0, 7, 1)], object)
    assert object_score(truth, found) == Score(true_positive=1, false_positive=1, false_negative=2)
    assert object_score(truth, np.empty(0, object)) == Score(true_positive=0, false_positive=0, false_negative=3)


@settings(max_examples=40, deadline=None)
@given(arrays(bool, (3, 4, 5)))
def test_pixel_scores_are_those_of_the_formulas(cube: NDArray[np.bool_]) -> None:
    """Against the definitions, by sets of pixels."""
    truth, found, valid = cube
    yes, said, seen = ({tuple(place) for place in np.argwhere(each)} for each in (truth, found, valid))
    yes, said = yes & seen, said & seen
    score = pixel_score(truth, found, valid)
    for ours, part, whole in (
        (score.precision, len(yes & said), len(said)),
        (score.recall, len(yes & said), len(yes)),
        (score.f1, 2 * len(yes & said), len(yes) + len(said)),
        (score.iou, len(yes & said), len(yes | said)),
    ):
        assert math.isnan(ours) if whole == 0 else ours == pytest.approx(part / whole)


def test_scores_of_parts_add_up_to_the_score_of_the_whole() -> None:
    rng = np.random.default_rng(1)
    truth, found, valid = rng.random((3, 20, 20)) > 0.5
    parts = [pixel_score(truth[half], found[half], valid[half]) for half in (slice(0, 7), slice(7, 20))]
    assert parts[0] + parts[1] == pixel_score(truth, found, valid)


def test_a_score_of_nothing_is_not_a_number() -> None:
    nothing = object_score(np.empty(0, object), np.empty(0, object))
    assert nothing == Score(true_positive=0, false_positive=0, false_negative=0)
    assert all(math.isnan(ratio) for ratio in (nothing.precision, nothing.recall, nothing.f1, nothing.iou))


def test_one_found_object_does_not_match_two() -> None:
    """Two lakes that were mapped as one: the best IoU wins, the other lake is missed."""
    truth = np.array([shapely.box(0, 0, 3, 1), shapely.box(3, 0, 5, 1)], object)
    found = np.array([shapely.box(0, 0, 5, 1)], object)
    assert object_score(truth, found) == Score(true_positive=1, false_positive=0, false_negative=1)
    assert object_score(truth, found, min_iou=0.3) == Score(true_positive=1, false_positive=0, false_negative=1)
    assert object_score(truth, found, min_iou=0.7) == Score(true_positive=0, false_positive=1, false_negative=2)
