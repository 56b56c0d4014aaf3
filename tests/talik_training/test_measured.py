"""Counting: every score follows from counts per place, whole samples or in squares."""

from collections.abc import Callable

import numpy as np
import pytest

from talik_training.measured import Measured, Scaled, measure, windows_of
from talik_training.samples import Sample
from talik_training.train import fitted_calibration

PLAIN = Scaled(mean=np.zeros((2, 1, 1), np.float32), std=np.ones((2, 1, 1), np.float32))


def test_scores_are_those_of_the_pixels(make_sample: Callable[..., Sample]) -> None:
    chance = np.random.default_rng(0)
    sample = make_sample(3)
    answer = chance.random((64, 64), np.float32)
    answer = np.rint(answer * 250) / np.float32(250)
    sample.label[:5] = 255
    measured = measure([sample], lambda scaled: answer, PLAIN)
    known, said, truth = sample.label != 255, answer > 0.5, sample.label == 1
    hit, wrong, missed = ((said & truth & known).sum(), (said & ~truth & known).sum(), (~said & truth & known).sum())
    scores = measured.scores(0.5)
    assert scores.iou == pytest.approx(hit / (hit + wrong + missed))
    assert scores.precision == pytest.approx(hit / (hit + wrong))
    assert scores.recall == pytest.approx(hit / (hit + missed))
    assert scores.iou == pytest.approx(scores.f1 / (2 - scores.f1))


@pytest.mark.parametrize("side", [40, 64, 150])
def test_windows_cover_a_sample_once(make_sample: Callable[..., Sample], side: int) -> None:
    sample = make_sample(side=side)
    windows = list(windows_of(sample, size_px=64))
    assert sum((chip.label != 255).sum() for chip in windows) == side * side
    assert sum((chip.label == 1).sum() for chip in windows) == (sample.label == 1).sum()
    assert all(n % 64 == 0 for chip in windows for n in chip.label.shape)


def test_the_interval_over_places_holds_the_value_and_one_place_has_none() -> None:
    counts = np.random.default_rng(0).integers(0, 9, (30, 2, 251))
    measured = Measured(places=tuple(str(i) for i in range(30)), counts=counts)
    for name, interval in measured.intervals(0.4).items():
        assert interval.low is not None
        assert interval.high is not None
        assert interval.low < getattr(measured.scores(0.4), name) < interval.high
    assert Measured(places=("a",), counts=counts[:1]).intervals(0.4)["iou"].low is None


def test_the_calibration_undoes_a_known_distortion() -> None:
    true = np.arange(1, 250) / 250
    logit = np.log(true / (1 - true))
    shown = 1 / (1 + np.exp(-(0.5 * logit + 0.4)))  # what an unsure, too high model says
    counts = np.zeros((1, 2, 251), np.int64)
    for probability, at in zip(true, np.rint(shown * 250).astype(int), strict=True):
        counts[0, :, at] += np.rint(1e5 * np.array([1 - probability, probability])).astype(np.int64)
    measured = Measured(places=("a",), counts=counts)
    found = fitted_calibration(measured)
    assert found.slope == pytest.approx(2, rel=0.03)
    assert found.shift == pytest.approx(-0.8, abs=0.03)
    assert measured.calibration_error() > 0.05


def test_without_landform_there_is_no_calibration() -> None:
    counts = np.zeros((1, 2, 251), np.int64)
    counts[0, 0] = 100
    found = fitted_calibration(Measured(places=("a",), counts=counts))
    assert (found.slope, found.shift) == (1, 0)
