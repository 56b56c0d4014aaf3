"""Agreement of two sets of objects: which were found, which were right, by size. Pure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray
from scipy import ndimage

from talik_stac.matching import MIN_SHARE
from talik_training.evaluate.scores import ratio

MIN_IOU = 0.5
"""From here on no object can match two (Kirillov et al. 2019, Panoptic segmentation, CVPR)."""
SIZE_LIMITS_M2 = (500.0, 1_000.0, 10_000.0)
SIZES = ("< 500 m2", "500 m2 to 0.1 ha", "0.1 to 1 ha", ">= 1 ha")
FOUR = ndimage.generate_binary_structure(2, 1)
"""Pixels that share an edge are connected, as talik_inference.vectorize joins them."""

Ints = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Objects:
    """The objects of one map: parallel arrays."""

    area_m2: NDArray[np.float64]
    ignored: NDArray[np.bool_]
    """True where an object touches pixels that nobody labelled or saw: its true extent is unknown."""

    def __len__(self) -> int:
        return len(self.area_m2)


@dataclass(frozen=True, kw_only=True)
class Overlaps:
    """The pairs of objects that share some area: parallel arrays."""

    truth: Ints
    predicted: Ints
    """Indices into the two sets of objects."""
    common_m2: NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Two sets of objects and what they share."""

    truth: Objects
    predicted: Objects
    overlaps: Overlaps

    @property
    def iou(self) -> NDArray[np.float64]:
        """(pair,) intersection over union of each overlapping pair."""
        o = self.overlaps
        union = self.truth.area_m2[o.truth] + self.predicted.area_m2[o.predicted] - o.common_m2
        return o.common_m2 / union

    @property
    def share(self) -> NDArray[np.float64]:
        """(pair,) intersection as a share of the smaller of the two."""
        o = self.overlaps
        return o.common_m2 / np.minimum(self.truth.area_m2[o.truth], self.predicted.area_m2[o.predicted])


@dataclass(frozen=True, kw_only=True)
class Matches:
    """Which objects have a counterpart: (object,) index of the counterpart, -1 where there is none."""

    truth: Ints
    predicted: Ints


@dataclass(frozen=True, kw_only=True)
class ObjectCounts:
    """How many objects; they add up.

    With one-to-one matches `found` equals `right`; by overlap one object may meet several.
    """

    truth: int = 0
    found: int = 0
    """True objects with a counterpart."""
    predicted: int = 0
    right: int = 0
    """Predicted objects with a counterpart."""

    @property
    def recall(self) -> float | None:
        return ratio(self.found, self.truth)

    @property
    def precision(self) -> float | None:
        return ratio(self.right, self.predicted)

    @property
    def f1(self) -> float | None:
        """Harmonic mean of precision and recall; None where either is undefined, 0 where both are 0."""
        precision, recall = self.precision, self.recall
        if precision is None or recall is None:
            return None
        return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def compare_maps(
    truth: NDArray[np.bool_],
    predicted: NDArray[np.bool_],
    known: NDArray[np.bool_],
    *,
    pixel_m: float,
    min_area_m2: float = 0.0,
) -> tuple[Comparison, NDArray[np.int32], NDArray[np.int32]]:
    """Find the objects of two bool (y, x) maps where both are `known`, and what they share.

    Objects smaller than `min_area_m2` are ignored, as those are that touch unknown pixels. Returns the comparison and
    the two maps of object numbers, int32 (y, x), 0 where no object is, else index + 1.
    """
    truth_of = ndimage.label(truth & known, FOUR)[0].astype(np.int32, copy=False)
    predicted_of = ndimage.label(predicted & known, FOUR)[0].astype(np.int32, copy=False)
    comparison = Comparison(
        truth=_objects(truth_of, known, pixel_m, min_area_m2),
        predicted=_objects(predicted_of, known, pixel_m, min_area_m2),
        overlaps=_overlaps(truth_of, predicted_of, pixel_m),
    )
    return comparison, truth_of, predicted_of


def compare_polygons(truth: NDArray[np.object_], predicted: NDArray[np.object_]) -> Comparison:
    """Compare shapely polygons in a CRS of metres; none is ignored."""
    if len(truth) and len(predicted):
        i, j = shapely.STRtree(predicted).query(truth, predicate="intersects")
    else:
        i = j = np.empty(0, np.intp)
    common = shapely.area(shapely.intersection(truth[i], predicted[j]))
    some = common > 0
    return Comparison(
        truth=Objects(area_m2=shapely.area(truth), ignored=np.zeros(len(truth), bool)),
        predicted=Objects(area_m2=shapely.area(predicted), ignored=np.zeros(len(predicted), bool)),
        overlaps=Overlaps(truth=i[some].astype(np.int64), predicted=j[some].astype(np.int64), common_m2=common[some]),
    )


def match_by_iou(comparison: Comparison, *, min_iou: float = MIN_IOU) -> Matches:
    """Match one to one, best IoU first, where IoU is at least `min_iou`; ignored truth takes what is left.

    So a prediction counts where it can, as in COCO (Lin et al. 2014, Microsoft COCO, ECCV; cocoeval.py).
    """
    o, iou = comparison.overlaps, comparison.iou
    matches = _nothing(comparison)
    enough = np.flatnonzero(iou >= min_iou)
    order = np.lexsort((o.predicted[enough], o.truth[enough], -iou[enough], comparison.truth.ignored[o.truth[enough]]))
    for k in enough[order]:
        i, j = o.truth[k], o.predicted[k]
        if matches.truth[i] < 0 and matches.predicted[j] < 0:
            matches.truth[i], matches.predicted[j] = j, i
    return matches


def match_by_overlap(comparison: Comparison, *, min_share: float = MIN_SHARE) -> Matches:
    """Give each object the one it shares most area with, where that is `min_share` of the smaller; many to one."""
    o = comparison.overlaps
    matches = _nothing(comparison)
    enough = np.flatnonzero(comparison.share >= min_share)
    for k in enough[np.lexsort((o.predicted[enough], o.truth[enough], -o.common_m2[enough]))]:
        i, j = o.truth[k], o.predicted[k]
        if matches.truth[i] < 0:
            matches.truth[i] = j
        # A regular true object counts before an ignored one.
        first = matches.predicted[j]
        if first < 0 or (comparison.truth.ignored[first] and not comparison.truth.ignored[i]):
            matches.predicted[j] = i
    return matches


def count_by_size(comparison: Comparison, matches: Matches) -> Ints:
    """Count objects: int64 (size, [truth, found, predicted, right]), sizes in the order of SIZES.

    A true object counts in its own size, a prediction in the size of its counterpart, or in its own where it has
    none. Left out are ignored true objects, their counterparts, and predictions without counterpart that are ignored
    themselves or overlap an ignored true object.
    """
    truth, predicted = comparison.truth, comparison.predicted
    counted, counted_predicted = ~truth.ignored, ~_left_out(comparison, matches)
    size = size_of(truth.area_m2)
    size_predicted = size_of(predicted.area_m2)
    right = matches.predicted >= 0
    size_predicted[right] = size[matches.predicted[right]]
    columns = [
        size[counted],
        size[counted & (matches.truth >= 0)],
        size_predicted[counted_predicted],
        size_predicted[counted_predicted & right],
    ]
    return np.column_stack([np.bincount(column, minlength=len(SIZES)) for column in columns]).astype(np.int64)


def left_out(comparison: Comparison) -> tuple[int, int]:
    """How many true and predicted objects are ignored: they touch unknown pixels or are too small."""
    return int(comparison.truth.ignored.sum()), int(comparison.predicted.ignored.sum())


def size_of(area_m2: NDArray[np.float64]) -> Ints:
    """(object,) index into SIZES; a limit belongs to the larger size."""
    return np.searchsorted(SIZE_LIMITS_M2, area_m2, side="right").astype(np.int64)


def counts_of(row: Ints) -> ObjectCounts:
    """The ObjectCounts of one row (or a sum of rows) of count_by_size."""
    truth, found, predicted, right = (int(value) for value in row)
    return ObjectCounts(truth=truth, found=found, predicted=predicted, right=right)


def _left_out(comparison: Comparison, matches: Matches) -> NDArray[np.bool_]:
    """(predicted,) True for predictions that count neither as right nor as wrong."""
    o = comparison.overlaps
    out = comparison.predicted.ignored.copy()
    unsure = comparison.truth.ignored[o.truth] & (comparison.share >= MIN_SHARE)
    out[o.predicted[unsure]] = True
    right = matches.predicted >= 0
    out[right] = comparison.truth.ignored[matches.predicted[right]]
    return out


def _nothing(comparison: Comparison) -> Matches:
    return Matches(
        truth=np.full(len(comparison.truth), -1, np.int64), predicted=np.full(len(comparison.predicted), -1, np.int64)
    )


def _objects(numbers: NDArray[np.int32], known: NDArray[np.bool_], pixel_m: float, min_area_m2: float) -> Objects:
    pixels = np.bincount(numbers.ravel(), minlength=1)[1:]
    area = pixels * np.float64(pixel_m**2)
    touching = np.zeros(len(pixels) + 1, bool)
    touching[numbers[ndimage.binary_dilation(~known, FOUR)]] = True
    return Objects(area_m2=area, ignored=touching[1:] | (area < min_area_m2))


def _overlaps(truth_of: NDArray[np.int32], predicted_of: NDArray[np.int32], pixel_m: float) -> Overlaps:
    both = (truth_of > 0) & (predicted_of > 0)
    width = int(predicted_of.max(initial=0)) + 1
    pair, pixels = np.unique(truth_of[both].astype(np.int64) * width + predicted_of[both], return_counts=True)
    return Overlaps(truth=pair // width - 1, predicted=pair % width - 1, common_m2=pixels * np.float64(pixel_m**2))
