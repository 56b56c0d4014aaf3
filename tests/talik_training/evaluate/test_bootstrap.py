"""Intervals: deterministic, hold the point, and cover the truth of a simulation as often as they say."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from talik_training.evaluate.bootstrap import Draws, Interval, interval_of_samples, intervals_of_sums
from talik_training.evaluate.scores import confusion_of

COUNTS = st.lists(st.tuples(*[st.integers(0, 1000)] * 4), min_size=2, max_size=12)
FEW = Draws(count=400)


def scores(counts: Any) -> dict[str, float | None]:
    found = confusion_of(counts)
    return {"iou": found.iou, "precision": found.precision, "recall": found.recall}


@settings(max_examples=30)
@given(COUNTS)
def test_an_interval_holds_its_point(counts: list[tuple[int, ...]]) -> None:
    for interval in intervals_of_sums(np.array(counts), scores, FEW).values():
        if interval.low is not None and interval.high is not None:
            assert interval.value is not None
            assert 0 <= interval.low <= interval.value + 1e-12
            assert interval.value - 1e-12 <= interval.high <= 1


def test_the_same_seed_gives_the_same_interval_and_another_seed_another() -> None:
    sums = np.random.default_rng(1).integers(0, 100, (20, 4))
    assert intervals_of_sums(sums, scores) == intervals_of_sums(sums, scores)
    assert intervals_of_sums(sums, scores) != intervals_of_sums(sums, scores, Draws(seed=1))


def test_sums_and_lists_of_samples_give_the_same_interval() -> None:
    sums = np.random.default_rng(2).integers(1, 100, (10, 4))
    places = {f"place {i}": [row[:4] // 2, row[:4] - row[:4] // 2] for i, row in enumerate(sums)}

    def iou(samples: Sequence[Any]) -> float | None:
        return confusion_of(np.sum(samples, axis=0)).iou

    assert interval_of_samples(places, iou, FEW) == intervals_of_sums(sums, scores, FEW)["iou"]


def test_places_that_agree_have_an_interval_of_no_width() -> None:
    sums = np.tile([6, 2, 2, 90], (5, 1))
    assert intervals_of_sums(sums, scores)["iou"] == Interval(value=0.6, low=0.6, high=0.6)


def test_one_place_has_no_interval() -> None:
    assert intervals_of_sums(np.array([[6, 2, 2, 0]]), scores)["iou"] == Interval(value=0.6)
    assert interval_of_samples({"here": [1.0, 2.0]}, sum) == Interval(value=3.0)


def test_a_figure_that_most_draws_leave_undefined_has_no_interval() -> None:
    sums = np.zeros((10, 4), int)
    sums[0] = 6, 2, 2, 90  # landform in one place of ten: in a third of the draws there is none
    assert intervals_of_sums(sums, scores)["iou"] == Interval(value=0.6)
    assert intervals_of_sums(np.zeros((10, 4), int), scores)["iou"] == Interval(value=None)


def test_intervals_over_places_cover_the_simulated_truth_and_those_over_samples_do_not() -> None:
    """SIMULATED: 40 places, ten samples each that differ only between places; the mean of all places is 0."""
    generator = np.random.default_rng(5)
    by_place = by_sample = 0
    for _ in range(40):
        values = np.repeat(generator.normal(size=40), 10)
        places = {f"{i:02}": values[i * 10 : i * 10 + 10].tolist() for i in range(40)}
        singly = {f"{i:03}": [value] for i, value in enumerate(values.tolist())}
        by_place += _holds_zero(interval_of_samples(places, _mean, Draws(count=100)))
        by_sample += _holds_zero(interval_of_samples(singly, _mean, Draws(count=100)))
    assert by_place / 40 > 0.85
    assert by_sample / 40 < 0.7


def test_odd_draws_are_refused() -> None:
    with pytest.raises(ValueError, match="level"):
        Draws(level=1.0)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _holds_zero(interval: Interval) -> bool:
    return interval.low is not None and interval.high is not None and interval.low <= 0 <= interval.high
