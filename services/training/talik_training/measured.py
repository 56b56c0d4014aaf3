"""What a model says on samples, kept as counts per place, from which every pixel score follows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from talik_inference.model import Scaling
from talik_inference.predict import FULL, fill
from talik_training.augment import Chip, window_of
from talik_training.evaluate.bootstrap import Interval, intervals_of_sums
from talik_training.samples import LANDFORM, UNKNOWN, Sample

LARGEST_PX = 1024
"""Samples up to this side are seen whole."""

Probability = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""float32 (band, y, x) scaled, sides multiples of 64 -> float32 (y, x)."""


@dataclass(frozen=True, kw_only=True)
class Scores:
    """Pixel scores at one threshold."""

    iou: float
    f1: float
    precision: float
    recall: float


@dataclass(frozen=True, kw_only=True)
class Measured:
    """Counts of known pixels by truth and by probability."""

    places: tuple[str, ...]
    counts: NDArray[np.int64]
    """(place, truth 0 or 1, probability 0..250)."""

    def scores(self, threshold: float) -> Scores:
        """Scores over all places; 0 where nothing is landform."""
        return _scores(_confusion(self.counts.sum(axis=0), threshold))

    def best_threshold(self) -> float:
        """The threshold of the largest IoU, between 0.04 and 0.96; the middle one of equals."""
        steps = np.arange(10, 241, 2) / FULL
        ious = np.array([self.scores(float(step)).iou for step in steps])
        best = np.flatnonzero(ious >= ious.max() - 1e-9)
        return float(steps[best[len(best) // 2]])

    def calibration_error(self, bins: int = 10) -> float:
        """Expected calibration error over equal bins (Guo et al. 2017, arXiv:1706.04599)."""
        total = self.counts.sum(axis=0)
        probability = np.arange(FULL + 1) / FULL
        bin_of = np.minimum((probability * bins).astype(np.intp), bins - 1)
        pixels = np.bincount(bin_of, total.sum(axis=0), bins)
        gap = np.bincount(bin_of, total[1] - total.sum(axis=0) * probability, bins)
        return _ratio(float(np.abs(gap).sum()), float(pixels.sum()))

    def intervals(self, threshold: float) -> dict[str, Interval]:
        """Every score with its 95 % interval by bootstrapping over places."""

        return intervals_of_sums(_confusion(self.counts, threshold), lambda total: {**vars(_scores(total))})


def measure(samples: Sequence[Sample], probability: Probability, scaled: Scaled) -> Measured:
    """Run over every sample and count."""
    places = tuple(sorted({sample.group for sample in samples}))
    counts = np.zeros((len(places), 2, FULL + 1), np.int64)
    for sample in samples:
        at = counts[places.index(sample.group)]
        for chip in windows_of(sample):
            known = (chip.label != UNKNOWN) & ~np.isnan(chip.image).any(axis=0)
            if not known.any():
                continue
            steps = np.rint(np.clip(probability(scaled(chip.image)), 0, 1) * FULL).astype(np.intp)[known]
            truth = chip.label[known] == LANDFORM
            at[0] += np.bincount(steps[~truth], minlength=FULL + 1)
            at[1] += np.bincount(steps[truth], minlength=FULL + 1)
    return Measured(places=places, counts=counts)


def windows_of(sample: Sample, *, size_px: int = LARGEST_PX) -> Iterator[Chip]:
    """The sample in squares or, where it is small, whole, sides widened to multiples of 64."""
    height, width = sample.label.shape
    if max(height, width) <= size_px:
        side = -(-max(height, width) // 64) * 64
        chip = window_of(sample, row=0, column=0, size_px=side)
        tall, wide = -(-height // 64) * 64, -(-width // 64) * 64
        yield Chip(image=chip.image[:, :tall, :wide], label=chip.label[:tall, :wide])
        return
    for row in range(0, height, size_px):
        for column in range(0, width, size_px):
            yield window_of(sample, row=row, column=column, size_px=size_px)


@dataclass(frozen=True, kw_only=True)
class Scaled:
    """Reflectance with NaN -> what the network takes, filled as the mapper fills."""

    mean: NDArray[np.float32]
    std: NDArray[np.float32]
    """(band, 1, 1)."""

    @classmethod
    def by(cls, scaling: Mapping[str, Scaling]) -> Scaled:
        """By mean and standard deviation of each band, in the order of the network's input."""
        mean, std = (
            np.array([getattr(band, name) for band in scaling.values()], np.float32)[:, None, None]
            for name in ("mean", "std")
        )
        return cls(mean=mean, std=std)

    def __call__(self, image: NDArray[np.float32]) -> NDArray[np.float32]:
        """float32 (band, y, x) -> the same shape, finite."""
        valid = np.asarray(~np.isnan(image).any(axis=0))
        return fill((image - self.mean) / self.std, valid)


def _confusion(counts: NDArray[np.int64], threshold: float) -> NDArray[np.int64]:
    """Counts (..., truth, probability) -> (..., 3): hit, false alarm, missed."""
    above = counts[..., int(np.floor(threshold * FULL + 1e-9)) + 1 :].sum(axis=-1)
    missed = counts[..., 1, :].sum(axis=-1) - above[..., 1]
    return np.stack([above[..., 1], above[..., 0], missed], axis=-1)


def _scores(confusion: NDArray[np.int64]) -> Scores:
    hit, wrong, missed = (float(number) for number in confusion)
    return Scores(
        iou=_ratio(hit, hit + wrong + missed),
        f1=_ratio(2 * hit, 2 * hit + wrong + missed),
        precision=_ratio(hit, hit + wrong),
        recall=_ratio(hit, hit + missed),
    )


def _ratio(part: float, whole: float) -> float:
    return float(part / whole) if whole else 0.0
