"""How far the outlines of matched objects lie apart, in metres. Pure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import KDTree

from talik_training.evaluate.objects import Comparison, Matches


@dataclass(frozen=True, kw_only=True)
class BoundaryError:
    """The distance between two outlines.

    Outlines run along pixel edges and are sampled at the middle of each, so a straight edge is exact to the pixel
    that both maps are drawn in: a shift below half a pixel may read 0, and of a slanted or curved outline two
    drawings of one shape lie up to about 0.5 pixel apart. Read no difference below half a pixel.
    """

    mean_m: float
    """Mean of the two directed mean distances: truth to predicted and back."""
    p95_m: float
    """Larger of the two directed 95 % distances: the 95 % Hausdorff distance (Huttenlocher et al. 1993, IEEE TPAMI
    15(9), 850-863)."""


def boundary_errors(
    comparison: Comparison,
    matches: Matches,
    truth_of: NDArray[np.int32],
    predicted_of: NDArray[np.int32],
    *,
    pixel_m: float,
) -> tuple[BoundaryError, ...]:
    """Compare the outlines of matched objects, in the maps of object numbers that objects.compare_maps gives.

    Left out are ignored objects, whose outline is unknown, and those without any outline inside the image.
    """
    places_truth, places_predicted = ndimage.find_objects(truth_of), ndimage.find_objects(predicted_of)
    errors = []
    for i in np.flatnonzero((matches.truth >= 0) & ~comparison.truth.ignored):
        j = int(matches.truth[i])
        if comparison.predicted.ignored[j]:
            continue
        part = _around(places_truth[i], places_predicted[j], truth_of.shape)
        error = boundary_error(truth_of[part] == i + 1, predicted_of[part] == j + 1, pixel_m=pixel_m)
        if error is not None:
            errors.append(error)
    return tuple(errors)


def boundary_error(truth: NDArray[np.bool_], predicted: NDArray[np.bool_], *, pixel_m: float) -> BoundaryError | None:
    """Compare the outlines in two bool (y, x) maps; None where either has none inside the image."""
    a, b = outline(truth), outline(predicted)
    if not (len(a) and len(b)):
        return None
    there, back = KDTree(b).query(a)[0] * pixel_m, KDTree(a).query(b)[0] * pixel_m
    return BoundaryError(
        mean_m=float((there.mean() + back.mean()) / 2),
        p95_m=float(max(np.quantile(there, 0.95), np.quantile(back, 0.95))),
    )


def outline(shape: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The middles of the pixel edges between inside and outside: (edge, 2) y, x in pixels from the upper left corner.

    The edge of the image is where we stopped looking, not where the object ends: it is no outline.
    """
    below, right = np.argwhere(shape[1:] != shape[:-1]), np.argwhere(shape[:, 1:] != shape[:, :-1])
    return np.concatenate([below + np.array([1.0, 0.5]), right + np.array([0.5, 1.0])])


def _around(a: tuple[slice, slice], b: tuple[slice, slice], shape: tuple[int, ...]) -> tuple[slice, slice]:
    """The (y, x) slices that hold both and one pixel more, so that outlines are not cut."""
    y, x = (
        slice(max(0, min(p.start, q.start) - 1), min(size, max(p.stop, q.stop) + 1))
        for p, q, size in zip(a, b, shape, strict=True)
    )
    return y, x
