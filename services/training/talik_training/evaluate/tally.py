"""What is counted of one place, and the figures that follow from it. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from talik_training.evaluate.boundary import BoundaryError, boundary_errors
from talik_training.evaluate.calibration import LEVELS, brier, histogram, reliability
from talik_training.evaluate.objects import (
    SIZES,
    Ints,
    compare_maps,
    count_by_size,
    counts_of,
    left_out,
    match_by_iou,
    match_by_overlap,
)
from talik_training.evaluate.scores import UNKNOWN, confusion, confusion_of, ratio

Figures = dict[str, float | None]

PIXEL = ("iou", "f1", "precision", "recall", "kappa", "accuracy")
NEAR_PX = 10
"""What "local" is: accuracy over a whole scene says little of a landform that covers a hundredth of it."""
SIZE_KEYS = ("under_500_m2", "500_m2_to_0.1_ha", "0.1_to_1_ha", "1_ha_or_more")
"""The sizes of objects.SIZES in names of figures."""


@dataclass(frozen=True, kw_only=True)
class Tally:
    """Counts of one image, of a place or of all; they add up, so that places can be drawn again."""

    pixels: Ints = field(default_factory=lambda: np.zeros(4, np.int64))
    """(4,) as Confusion.counts."""
    by_iou: Ints = field(default_factory=lambda: np.zeros((len(SIZES), 4), np.int64))
    by_overlap: Ints = field(default_factory=lambda: np.zeros((len(SIZES), 4), np.int64))
    """(size, [truth, found, predicted, right]) as objects.count_by_size."""
    left_out: Ints = field(default_factory=lambda: np.zeros(2, np.int64))
    """(2,) true and predicted objects that are ignored."""
    histogram: Ints = field(default_factory=lambda: np.zeros((2, LEVELS), np.int64))
    """([other, landform], level) as calibration.histogram."""
    near: Ints = field(default_factory=lambda: np.zeros(2, np.int64))
    """(2,) known pixels within NEAR_PX of true landform that are right, and all of these."""
    boundary: NDArray[np.float64] = field(default_factory=lambda: np.zeros(3))
    """(3,) matched objects with an outline, sum of their mean errors, sum of their 95 % errors in metres."""

    def __add__(self, other: Tally) -> Tally:
        return tally_of(self.vector + other.vector)

    @property
    def vector(self) -> NDArray[np.float64]:
        """All counts one after the other, float64 (exact below 2^53)."""
        parts = (
            self.pixels,
            self.by_iou,
            self.by_overlap,
            self.left_out,
            self.histogram,
            self.near,
            self.boundary,
        )
        return np.concatenate([np.asarray(part, np.float64).ravel() for part in parts])


def tally_of(vector: NDArray[np.float64]) -> Tally:
    """The Tally of a vector as Tally.vector, or of a sum of such."""
    counts = np.rint(vector[:-3]).astype(np.int64)
    ends = np.cumsum([4, 4 * len(SIZES), 4 * len(SIZES), 2, 2 * LEVELS])
    pixels, by_iou, by_overlap, ignored, levels, near = np.split(counts, ends)
    return Tally(
        pixels=pixels,
        by_iou=by_iou.reshape(-1, 4),
        by_overlap=by_overlap.reshape(-1, 4),
        left_out=ignored,
        histogram=levels.reshape(2, LEVELS),
        near=near,
        boundary=vector[-3:],
    )


def tally(
    label: NDArray[np.uint8],
    probability: NDArray[np.uint8],
    *,
    above: int,
    pixel_m: float,
    min_object_m2: float = 0.0,
) -> Tally:
    """Count the agreement of one image.

    `label` uint8 (y, x) 1, 0 or 255 (unknown); `probability` uint8 (y, x) 0..250 or 255 (no data), landform above
    (strictly) `above`. Pixels that are unknown in either are left out, and so are objects that touch them.
    """
    known = (label != UNKNOWN) & (probability != UNKNOWN)
    predicted = np.where(known, probability > above, UNKNOWN).astype(np.uint8)
    comparison, truth_of, predicted_of = compare_maps(
        label == 1, predicted == 1, known, pixel_m=pixel_m, min_area_m2=min_object_m2
    )
    by_iou = match_by_iou(comparison)
    errors = boundary_errors(comparison, by_iou, truth_of, predicted_of, pixel_m=pixel_m)
    return Tally(
        pixels=confusion(label, predicted).counts,
        by_iou=count_by_size(comparison, by_iou),
        by_overlap=count_by_size(comparison, match_by_overlap(comparison)),
        left_out=np.array(left_out(comparison), np.int64),
        histogram=histogram(label, probability),
        near=_near(label, predicted),
        boundary=_sums(errors),
    )


def figures(vector: NDArray[np.float64]) -> Figures:
    """Every figure that follows from a vector of counts, by name; None where undefined."""
    counted = tally_of(vector)
    pixels = confusion_of(counted.pixels)
    named: Figures = {f"pixel.{name}": getattr(pixels, name) for name in PIXEL}
    named["pixel.local_accuracy"] = ratio(counted.near[0], counted.near[1])
    named |= _object_figures("object.iou_0.5", counted.by_iou)
    named |= _object_figures("object.overlap", counted.by_overlap)
    named["boundary.mean_m"] = ratio(counted.boundary[1], counted.boundary[0])
    named["boundary.p95_m"] = ratio(counted.boundary[2], counted.boundary[0])
    named["calibration.ece"] = reliability(counted.histogram).expected_error
    named["calibration.ece_equal_mass"] = reliability(counted.histogram, binning="equal mass").expected_error
    named["calibration.brier"] = brier(counted.histogram)
    return named


def _object_figures(prefix: str, by_size: Ints) -> Figures:
    rows = {"": by_size.sum(axis=0)} | {f".{key}": row for key, row in zip(SIZE_KEYS, by_size, strict=True)}
    named: Figures = {}
    for size, row in rows.items():
        counts = counts_of(row)
        named |= {
            f"{prefix}{size}.f1": counts.f1,
            f"{prefix}{size}.precision": counts.precision,
            f"{prefix}{size}.recall": counts.recall,
        }
    return named


def _near(label: NDArray[np.uint8], predicted: NDArray[np.uint8]) -> Ints:
    """(2,) known pixels near true landform that are right, and all of these; uint8 (y, x) as of `confusion`."""
    if not (label == 1).any():
        return np.zeros(2, np.int64)
    near = (distance_transform_edt(label != 1) <= NEAR_PX) & (label != UNKNOWN) & (predicted != UNKNOWN)
    return np.array([(near & (label == predicted)).sum(), near.sum()], np.int64)


def _sums(errors: tuple[BoundaryError, ...]) -> NDArray[np.float64]:
    return np.array([len(errors), sum(e.mean_m for e in errors), sum(e.p95_m for e in errors)], np.float64)
