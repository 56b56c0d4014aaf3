"""Object scores against shapely, and what COCO's ignore rule asks for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from rasterio.features import shapes

from talik_inference.score import object_score
from talik_training.evaluate.objects import (
    SIZES,
    Comparison,
    ObjectCounts,
    compare_maps,
    compare_polygons,
    count_by_size,
    counts_of,
    left_out,
    match_by_iou,
    match_by_overlap,
    size_of,
)

MAP = hnp.arrays(bool, (12, 14))


def compared(truth: Any, predicted: Any, known: Any = None, *, pixel_m: float = 10.0, **options: Any) -> Comparison:
    seen = np.ones(truth.shape, bool) if known is None else known
    return compare_maps(truth, predicted, seen, pixel_m=pixel_m, **options)[0]


def by_iou(comparison: Comparison) -> ObjectCounts:
    return counts_of(count_by_size(comparison, match_by_iou(comparison)).sum(axis=0))


def by_overlap(comparison: Comparison) -> ObjectCounts:
    return counts_of(count_by_size(comparison, match_by_overlap(comparison)).sum(axis=0))


def polygons_of(image: Any) -> Any:
    """GDAL's polygons of the pixels that share an edge."""
    found = shapes(image.astype(np.uint8), mask=image, connectivity=4)
    return np.array([shapely.geometry.shape(geometry) for geometry, _ in found], dtype=object)


def box(shape: tuple[int, int], rows: slice, columns: slice) -> Any:
    made = np.zeros(shape, bool)
    made[rows, columns] = True
    return made


@given(MAP, MAP)
def test_objects_of_maps_match_as_their_polygons_do(truth: Any, predicted: Any) -> None:
    comparison = compared(truth, predicted, pixel_m=1.0)
    polygons = compare_polygons(polygons_of(truth), polygons_of(predicted))
    assert sorted(comparison.truth.area_m2) == sorted(polygons.truth.area_m2)
    np.testing.assert_allclose(np.sort(comparison.iou), np.sort(polygons.iou), rtol=1e-9)
    oracle = object_score(polygons_of(truth), polygons_of(predicted))
    got = by_iou(comparison)
    # An IoU of exactly 0.5 may match two: then which is chosen is chance.
    if not np.isclose(comparison.iou, 0.5).any():
        assert (got.found, got.truth - got.found) == (oracle.true_positive, oracle.false_negative)
        assert got == by_iou(polygons)
        assert by_overlap(comparison) == by_overlap(polygons)


@given(MAP)
def test_a_perfect_map_finds_every_object(truth: Any) -> None:
    comparison = compared(truth, truth)
    for counts in (by_iou(comparison), by_overlap(comparison)):
        assert counts.f1 == (1 if truth.any() else None)
        assert counts.truth == counts.found == counts.predicted == counts.right


@given(MAP, MAP)
def test_swapping_truth_and_prediction_swaps_precision_and_recall(truth: Any, predicted: Any) -> None:
    ours, theirs = compared(truth, predicted), compared(predicted, truth)
    if np.isclose(ours.iou, 0.5).any():
        return
    for rule in (by_iou, by_overlap):
        assert (rule(ours).precision, rule(ours).recall) == (rule(theirs).recall, rule(theirs).precision)


@given(MAP, MAP)
def test_whatever_matches_by_iou_matches_by_overlap(truth: Any, predicted: Any) -> None:
    comparison = compared(truth, predicted)
    strict, loose = match_by_iou(comparison), match_by_overlap(comparison)
    assert (loose.truth[strict.truth >= 0] >= 0).all()
    assert (loose.predicted[strict.predicted >= 0] >= 0).all()
    assert by_iou(comparison).found == by_iou(comparison).right


def test_pixels_that_meet_in_a_corner_are_two_objects() -> None:
    truth = np.eye(3, dtype=bool)
    assert by_iou(compared(truth, truth)).truth == 3


def test_one_prediction_over_two_lakes_is_one_match_by_iou_and_two_by_overlap() -> None:
    truth = box((10, 20), slice(2, 6), slice(2, 9)) | box((10, 20), slice(2, 6), slice(11, 13))
    predicted = box((10, 20), slice(2, 6), slice(2, 13))
    comparison = compared(truth, predicted)
    assert by_iou(comparison) == ObjectCounts(truth=2, found=1, predicted=1, right=1)
    assert by_overlap(comparison) == ObjectCounts(truth=2, found=2, predicted=1, right=1)


def test_less_than_a_tenth_of_the_smaller_is_no_overlap() -> None:
    truth = box((20, 30), slice(0, 10), slice(0, 11))
    comparison = compared(truth, box((20, 30), slice(0, 10), slice(10, 21)))
    assert by_overlap(comparison).found == 0  # 10 of 110 pixels
    assert by_overlap(compared(truth, box((20, 30), slice(0, 10), slice(10, 20)))).found == 1  # 10 of 100


def test_an_object_at_unknown_pixels_is_left_out_and_so_is_what_was_predicted_of_it() -> None:
    truth = box((20, 20), slice(2, 6), slice(0, 8))
    known = ~box((20, 20), slice(0, 20), slice(0, 3))
    comparison = compared(truth, truth, known)
    assert by_iou(comparison) == by_overlap(comparison) == ObjectCounts()
    assert left_out(comparison) == (1, 1)
    only_beside = compared(truth, box((20, 20), slice(3, 5), slice(5, 8)), known)
    assert by_iou(only_beside) == ObjectCounts()


def test_a_prediction_that_reaches_unknown_pixels_still_finds_a_lake_that_does_not() -> None:
    truth = box((20, 20), slice(2, 10), slice(5, 15))
    predicted = box((20, 20), slice(2, 10), slice(3, 15))
    known = ~box((20, 20), slice(0, 20), slice(0, 3))
    assert by_iou(compared(truth, predicted, known)) == ObjectCounts(truth=1, found=1, predicted=1, right=1)


def test_objects_below_the_smallest_area_are_left_out() -> None:
    truth = box((20, 20), slice(0, 1), slice(0, 1)) | box((20, 20), slice(5, 9), slice(5, 9))
    comparison = compared(truth, truth, min_area_m2=200.0)
    assert by_iou(comparison) == ObjectCounts(truth=1, found=1, predicted=1, right=1)
    assert left_out(comparison) == (1, 1)


def test_each_limit_of_size_belongs_to_the_larger_class() -> None:
    areas = np.array([1, 499.9, 500, 999, 1_000, 9_999, 10_000, 1e9])
    assert size_of(areas).tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert len(SIZES) == 4


def test_a_match_counts_in_the_size_of_the_truth_and_a_false_alarm_in_its_own() -> None:
    truth = box((40, 40), slice(0, 2), slice(0, 2))  # 400 m2
    predicted = box((40, 40), slice(0, 2), slice(0, 3)) | box((40, 40), slice(20, 30), slice(20, 30))  # 600 m2, 1 ha
    comparison = compared(truth, predicted)
    rows = count_by_size(comparison, match_by_iou(comparison))
    assert rows.tolist() == [[1, 1, 1, 1], [0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 1, 0]]


@pytest.mark.parametrize("counts", [ObjectCounts(), ObjectCounts(truth=2), ObjectCounts(predicted=2)])
def test_object_f1_without_objects_on_one_side_is_undefined(counts: ObjectCounts) -> None:
    assert counts.f1 is None


def test_object_f1_with_nothing_found_is_zero() -> None:
    assert ObjectCounts(truth=2, predicted=3).f1 == 0


@given(st.integers(0, 2**32 - 1))
def test_ignored_objects_never_change_what_the_others_score(seed: int) -> None:
    generator = np.random.default_rng(seed)
    truth, predicted = generator.random((12, 12)) < 0.4, generator.random((12, 12)) < 0.4
    wide = np.pad(truth, ((0, 0), (0, 5))), np.pad(predicted, ((0, 0), (0, 5)))
    known = np.ones((12, 17), bool)
    wide[0][3:6, 14:17] = wide[1][3:7, 14:17] = True
    known[:, 16] = False
    assert by_iou(compared(truth, predicted)) == by_iou(compared(*wide, known))
