"""How well a map agrees with a truth: by pixel and by object. Pure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class Score:
    """Counts of agreement; a ratio without anything to divide by is NaN.

    precision = tp / (tp + fp), recall = tp / (tp + fn), F1 = 2 tp / (2 tp + fp + fn), IoU = tp / (tp + fp + fn)
    = F1 / (2 - F1). Powers 2011, J. Machine Learning Technologies 2(1), 37-63.
    """

    true_positive: int
    false_positive: int
    false_negative: int

    @property
    def precision(self) -> float:
        return _ratio(self.true_positive, self.true_positive + self.false_positive)

    @property
    def recall(self) -> float:
        return _ratio(self.true_positive, self.true_positive + self.false_negative)

    @property
    def f1(self) -> float:
        return _ratio(2 * self.true_positive, 2 * self.true_positive + self.false_positive + self.false_negative)

    @property
    def iou(self) -> float:
        return _ratio(self.true_positive, self.true_positive + self.false_positive + self.false_negative)

    def __add__(self, other: Score) -> Score:
        return Score(
            true_positive=self.true_positive + other.true_positive,
            false_positive=self.false_positive + other.false_positive,
            false_negative=self.false_negative + other.false_negative,
        )


def pixel_score(truth: NDArray[np.bool_], found: NDArray[np.bool_], valid: NDArray[np.bool_]) -> Score:
    """Compare maps pixel by pixel, where valid; all bool of one shape."""
    return Score(
        true_positive=int((truth & found & valid).sum()),
        false_positive=int((~truth & found & valid).sum()),
        false_negative=int((truth & ~found & valid).sum()),
    )


def object_score(truth: NDArray[np.object_], found: NDArray[np.object_], *, min_iou: float = 0.5) -> Score:
    """Match polygons one to one, best IoU first, where IoU is at least `min_iou`.

    With 0.5 or more no polygon can match two (Kirillov et al. 2019, Panoptic segmentation, CVPR).
    """
    if not (len(truth) and len(found)):
        return Score(true_positive=0, false_positive=len(found), false_negative=len(truth))
    i, j = shapely.STRtree(found).query(truth, predicate="intersects")
    common = shapely.area(shapely.intersection(truth[i], found[j]))
    iou = common / (shapely.area(truth)[i] + shapely.area(found)[j] - common)
    matched_truth: set[int] = set()
    matched_found: set[int] = set()
    for k in np.lexsort((j, i, -iou)):
        if iou[k] >= min_iou and i[k] not in matched_truth and j[k] not in matched_found:
            matched_truth.add(int(i[k]))
            matched_found.add(int(j[k]))
    count = len(matched_truth)
    return Score(true_positive=count, false_positive=len(found) - count, false_negative=len(truth) - count)


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")
