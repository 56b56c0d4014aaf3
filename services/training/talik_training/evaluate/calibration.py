"""Whether probabilities mean what they say. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from talik_inference.predict import FULL
from talik_stac.errors import TalikError
from talik_training.evaluate.scores import UNKNOWN, ratio

BINS = 15
"""As Guo et al. 2017."""
LEVELS = FULL + 1
Binning = Literal["equal width", "equal mass"]
Counts = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Reliability:
    """A reliability diagram: parallel arrays, empty bins left out."""

    predicted: NDArray[np.float64]
    """(bin,) mean probability."""
    observed: NDArray[np.float64]
    """(bin,) share of landform."""
    count: Counts
    """(bin,) pixels."""

    @property
    def expected_error(self) -> float | None:
        """Expected calibration error: mean |observed - predicted| over pixels; None without pixels.

        Naeini et al. 2015, AAAI, 2901-2907; Guo et al. 2017, ICML, 1321-1330 (here for the probability of landform).
        """
        return ratio(float((np.abs(self.observed - self.predicted) * self.count).sum()), float(self.count.sum()))


def histogram(truth: NDArray[np.uint8], probability: NDArray[np.uint8]) -> Counts:
    """Count pixels by label and probability: int64 ([other, landform], level 0..250); unknown pixels left out.

    `truth` 1, 0 or 255 and `probability` 0..250 or 255, both uint8 (y, x), as talik_inference.predict writes them.
    The histograms of several images add up, and every figure here follows from the sum.
    """
    if truth.shape != probability.shape:
        raise TalikError(f"truth has shape {truth.shape}, the probability {probability.shape}; give maps of one grid")
    known = (truth != UNKNOWN) & (probability != UNKNOWN)
    level, landform = probability[known].astype(np.int64), truth[known].astype(np.int64)
    if level.size and (level.max() > FULL or landform.max() > 1):
        raise TalikError(
            f"label {landform.max()} or probability {level.max()} is out of range; expected 0..1 and 0..{FULL}, or 255"
        )
    return np.bincount(landform * LEVELS + level, minlength=2 * LEVELS).reshape(2, LEVELS)


def reliability(counts: Counts, *, bins: int = BINS, binning: Binning = "equal width") -> Reliability:
    """Group the levels of a histogram ([other, landform], level) into bins.

    Equal width: bin k holds probabilities in [k / bins, (k + 1) / bins), the last one 1 too. Equal mass: a level
    goes where the middle of its pixels lies, so that a level is never parted and bins hold about as many pixels.
    """
    if bins < 1:
        raise TalikError(f"bins = {bins}; expected 1 or more")
    total = counts.sum(axis=0)
    bin_of = _by_width(bins) if binning == "equal width" else _by_mass(total, bins)
    probability = np.arange(LEVELS) / FULL
    count = np.bincount(bin_of, total, bins)
    some = count > 0
    return Reliability(
        predicted=np.bincount(bin_of, total * probability, bins)[some] / count[some],
        observed=np.bincount(bin_of, counts[1], bins)[some] / count[some],
        count=count[some].astype(np.int64),
    )


def brier(counts: Counts) -> float | None:
    """Mean squared difference of probability and truth (Brier 1950, Monthly Weather Review 78(1), 1-3)."""
    probability = np.arange(LEVELS) / FULL
    squares = counts[0] * probability**2 + counts[1] * (1 - probability) ** 2
    return ratio(float(squares.sum()), float(counts.sum()))


def _by_width(bins: int) -> Counts:
    return np.minimum(np.arange(LEVELS) * bins // FULL, bins - 1)


def _by_mass(total: Counts, bins: int) -> Counts:
    middle = np.cumsum(total) - total / 2
    return np.minimum(middle * bins // max(1, int(total.sum())), bins - 1).astype(np.int64)
