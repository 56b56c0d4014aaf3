"""The one rule of valid pixels."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from talik_inference.valid import valid_pixels


def test_water_whose_near_infrared_is_zero_is_valid_in_eight_bits() -> None:
    data = np.array([[[40, 0]], [[60, 0]], [[0, 0]]], dtype=np.uint8)
    assert valid_pixels(data, [0, 0, 0]).tolist() == [[True, False]]


def test_one_band_without_data_is_enough_in_sixteen_bits() -> None:
    data = np.array([[[400, 300]], [[0, 200]]], dtype=np.uint16)
    assert valid_pixels(data, [0, 0]).tolist() == [[False, True]]


def test_nan_in_any_band_is_no_data_whatever_the_nodata_value() -> None:
    data = np.array([[[np.nan, 1.0, -9.0]], [[2.0, 3.0, 1.0]]], dtype=np.float32)
    assert valid_pixels(data, [np.nan, None]).tolist() == [[False, True, True]]
    assert valid_pixels(data, [-9.0, None]).tolist() == [[False, True, False]]


def test_a_band_without_nodata_value_keeps_eight_bit_pixels_valid() -> None:
    data = np.zeros((2, 1, 1), dtype=np.uint8)
    assert valid_pixels(data, [0, None]).all()
    assert not valid_pixels(data, [0, 0]).any()


def test_eight_bit_numbers_that_were_widened_keep_their_rule() -> None:
    data = np.array([[[40.0]], [[0.0]]], dtype=np.float32)
    assert not valid_pixels(data, [0, 0]).any()
    assert valid_pixels(data, [0, 0], eight_bit=True).all()


def test_a_wrong_number_of_nodata_values_is_refused() -> None:
    with pytest.raises(ValueError, match="3 bands"):
        valid_pixels(np.zeros((2, 4, 4), dtype=np.uint8), [0, 0, 0])


@settings(max_examples=60, deadline=None)
@given(
    data=hnp.arrays(
        st.sampled_from([np.uint8, np.int16, np.uint16, np.float32]),
        st.tuples(st.integers(1, 4), st.integers(1, 5), st.integers(1, 5)),
        elements=st.integers(0, 3),
    ),
    nodata=st.lists(st.sampled_from([None, 0.0, 1.0]), min_size=4, max_size=4),
)
def test_the_rule_equals_its_definition_pixel_by_pixel(data: np.ndarray, nodata: list[float | None]) -> None:
    values = nodata[: len(data)]
    found = valid_pixels(data, values)
    for y, x in np.ndindex(*data.shape[1:]):
        hits = [value is not None and data[band, y, x] == value for band, value in enumerate(values)]
        assert found[y, x] == (not (all(hits) if data.dtype.itemsize == 1 else any(hits)))
