"""Boundary error against shapes whose offset is known, and against a distance transform."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from talik_training.evaluate.boundary import boundary_error, boundary_errors, outline
from talik_training.evaluate.objects import compare_maps, match_by_iou

MAP = hnp.arrays(bool, (9, 11))


def disc(radius: float, *, size: int = 200, x: float = 100.0, y: float = 100.0) -> Any:
    rows, columns = np.mgrid[:size, :size] + 0.5
    return np.hypot(rows - y, columns - x) < radius


@pytest.mark.parametrize("pixel_m", [0.5, 10.0])
@pytest.mark.parametrize("more", [2, 5, 10])
def test_a_disc_that_is_wider_by_some_pixels_is_off_by_them(more: int, pixel_m: float) -> None:
    error = boundary_error(disc(40), disc(40 + more), pixel_m=pixel_m)
    assert error is not None
    assert error.mean_m == pytest.approx(more * pixel_m, abs=0.25 * pixel_m)
    assert error.p95_m == pytest.approx(more * pixel_m, abs=0.75 * pixel_m)


def test_a_shifted_disc_is_off_by_the_mean_of_the_shift_across_its_outline() -> None:
    # Across the outline a shift d is |d cos a|: mean 2 d / pi, 95 % quantile d cos(0.05 pi / 2) (to second order).
    error = boundary_error(disc(60), disc(60, x=110), pixel_m=10.0)
    assert error is not None
    assert error.mean_m == pytest.approx(2 * 100 / np.pi, rel=0.05)
    assert error.p95_m == pytest.approx(100 * np.cos(0.05 * np.pi / 2), rel=0.05)


def test_the_same_shape_has_no_error() -> None:
    error = boundary_error(disc(30), disc(30), pixel_m=10.0)
    assert error is not None
    assert (error.mean_m, error.p95_m) == (0, 0)


@given(MAP, MAP)
def test_distances_are_those_of_a_distance_transform_of_the_doubled_grid(a: Any, b: Any) -> None:
    assume(len(outline(a)) and len(outline(b)))
    error = boundary_error(a, b, pixel_m=2.0)
    assert error is not None

    def drawn(shape: Any) -> Any:
        image = np.zeros((19, 23), bool)  # middles of edges lie on whole numbers of the doubled grid
        image[tuple((2 * outline(shape)).astype(int).T)] = True
        return image

    there = ndimage.distance_transform_edt(~drawn(b))[drawn(a)]
    back = ndimage.distance_transform_edt(~drawn(a))[drawn(b)]
    assert error.mean_m == pytest.approx((there.mean() + back.mean()) / 2)
    assert error.p95_m == pytest.approx(max(np.quantile(there, 0.95), np.quantile(back, 0.95)))


@given(MAP, MAP, st.sampled_from([0.5, 3.0]))
def test_truth_and_prediction_may_be_exchanged(a: Any, b: Any, pixel_m: float) -> None:
    assert boundary_error(a, b, pixel_m=pixel_m) == boundary_error(b, a, pixel_m=pixel_m)


def test_the_edge_of_the_image_is_no_outline() -> None:
    assert boundary_error(np.ones((5, 5), bool), np.ones((5, 5), bool), pixel_m=1.0) is None
    half = np.zeros((10, 10), bool)
    half[:, :5] = True
    more = half.copy()
    more[:, 5:7] = True
    error = boundary_error(half, more, pixel_m=1.0)
    assert error is not None
    assert (error.mean_m, error.p95_m) == (2, 2)


def test_only_matched_objects_whose_outline_is_known_are_compared() -> None:
    truth = np.zeros((60, 60), bool)
    truth[5:15, 5:15] = truth[30:40, 30:40] = truth[50:58, 2:10] = True
    predicted = truth.copy()
    predicted[5:15, 15] = True  # one column more: the outline moves by 10 m on one side of four
    known = np.ones((60, 60), bool)
    known[30:40, 40] = False
    predicted[50:58, 2:10] = False
    comparison, truth_of, predicted_of = compare_maps(truth, predicted, known, pixel_m=10.0)
    errors = boundary_errors(comparison, match_by_iou(comparison), truth_of, predicted_of, pixel_m=10.0)
    assert len(errors) == 1
    assert 2 < errors[0].mean_m < 3
    assert errors[0].p95_m == 10
