"""Agreement of two maps, pixel by pixel. Pure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from talik_stac.errors import TalikError

UNKNOWN = 255
"""In a label: nobody said. In a prediction: no data."""


def ratio(part: float, whole: float) -> float | None:
    """part / whole; None where there is nothing to divide by: undefined is never 0."""
    return float(part / whole) if whole else None


@dataclass(frozen=True, kw_only=True)
class Confusion:
    """Counts of pixels (or of any decisions); they add up.

    Precision, recall, F1: Powers 2011, J. Machine Learning Technologies 2(1), 37-63. IoU: Jaccard 1912.
    """

    true_positive: int = 0
    false_positive: int = 0
    false_negative: int = 0
    true_negative: int = 0

    def __post_init__(self) -> None:
        if min(self.counts.tolist()) < 0:
            raise ValueError(f"counts of pixels are 0 or more, got {self}")

    def __add__(self, other: Confusion) -> Confusion:
        return confusion_of(self.counts + other.counts)

    @property
    def counts(self) -> NDArray[np.int64]:
        """(4,) true positive, false positive, false negative, true negative."""
        return np.array(
            [self.true_positive, self.false_positive, self.false_negative, self.true_negative], dtype=np.int64
        )

    @property
    def total(self) -> int:
        return self.true_positive + self.false_positive + self.false_negative + self.true_negative

    @property
    def swapped(self) -> Confusion:
        """What it would be with truth and prediction exchanged."""
        return Confusion(
            true_positive=self.true_positive,
            false_positive=self.false_negative,
            false_negative=self.false_positive,
            true_negative=self.true_negative,
        )

    @property
    def precision(self) -> float | None:
        """None where nothing was predicted."""
        return ratio(self.true_positive, self.true_positive + self.false_positive)

    @property
    def recall(self) -> float | None:
        """None where the truth is empty."""
        return ratio(self.true_positive, self.true_positive + self.false_negative)

    @property
    def f1(self) -> float | None:
        """None where truth and prediction are both empty."""
        return ratio(2 * self.true_positive, 2 * self.true_positive + self.false_positive + self.false_negative)

    @property
    def iou(self) -> float | None:
        """None where truth and prediction are both empty."""
        return ratio(self.true_positive, self.true_positive + self.false_positive + self.false_negative)

    @property
    def accuracy(self) -> float | None:
        """Share of pixels that are right; the emptier the truth, the less it says."""
        return ratio(self.true_positive + self.true_negative, self.total)

    @property
    def kappa(self) -> float | None:
        """Agreement beyond chance: (observed - chance) / (1 - chance); None where chance alone would be perfect.

        Cohen 1960, Educational and Psychological Measurement 20(1), 37-46, in integers:
        2 (tp tn - fp fn) / ((tp + fp)(fp + tn) + (tp + fn)(fn + tn)).
        """
        tp, fp, fn, tn = self.true_positive, self.false_positive, self.false_negative, self.true_negative
        return ratio(2 * (tp * tn - fp * fn), (tp + fp) * (fp + tn) + (tp + fn) * (fn + tn))


def confusion_of(counts: NDArray[np.int64]) -> Confusion:
    """The Confusion of (4,) counts in the order of Confusion.counts."""
    tp, fp, fn, tn = (int(count) for count in counts)
    return Confusion(true_positive=tp, false_positive=fp, false_negative=fn, true_negative=tn)


def confusion(truth: NDArray[np.uint8], predicted: NDArray[np.uint8]) -> Confusion:
    """Compare two uint8 (y, x) maps of 1 landform, 0 other, 255 unknown; pixels unknown in either are left out.

    Raises TalikError where the shapes differ or another value occurs.
    """
    if truth.shape != predicted.shape:
        raise TalikError(f"truth has shape {truth.shape} but the prediction {predicted.shape}; give maps of one grid")
    known = (truth != UNKNOWN) & (predicted != UNKNOWN)
    code = 2 * truth[known].astype(np.uint8) + predicted[known].astype(np.uint8)
    for name, values in (("truth", truth[known]), ("prediction", predicted[known])):
        if values.size and values.max() > 1:
            raise TalikError(
                f"the {name} holds {int(values.max())}; expected 0, 1 or 255 (unknown): threshold it first"
            )
    count = np.bincount(code.ravel(), minlength=4)
    return Confusion(
        true_positive=int(count[3]),
        false_positive=int(count[1]),
        false_negative=int(count[2]),
        true_negative=int(count[0]),
    )
