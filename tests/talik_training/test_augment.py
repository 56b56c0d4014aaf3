"""Augmentation: the same key gives the same crop, no data stays no data, and 255 stays unknown."""

from collections.abc import Callable

import numpy as np
import pytest

from talik_training.augment import NONE, AugmentRules, augmented, window_of
from talik_training.samples import Sample

MakeSample = Callable[..., Sample]


def test_the_same_key_gives_the_same_crop_and_another_key_another(make_sample: MakeSample) -> None:
    sample, rules = make_sample(), AugmentRules(dropout=0.5)
    one, again, other = (augmented(sample, rules, size_px=32, key=key) for key in ((1, 2, 3), (1, 2, 3), (1, 3, 3)))
    np.testing.assert_array_equal(one.image, again.image)
    np.testing.assert_array_equal(one.label, again.label)
    assert not np.array_equal(one.image, other.image)


def test_without_rules_a_crop_of_the_same_size_is_the_sample(make_sample: MakeSample) -> None:
    sample = make_sample()
    chip = augmented(sample, NONE, size_px=64, key=(0, 0, 0))
    np.testing.assert_array_equal(chip.image, sample.image)
    np.testing.assert_array_equal(chip.label, sample.label)


def test_no_data_stays_no_data_and_becomes_unknown(make_sample: MakeSample) -> None:
    sample = make_sample()
    sample.image[:, :20, :] = np.nan
    for number in range(20):
        chip = augmented(sample, AugmentRules(haze=0.9, dropout=0.5), size_px=64, key=(0, 0, number))
        gone = np.isnan(chip.image)
        np.testing.assert_array_equal(gone.any(axis=0), gone.all(axis=0))
        assert (chip.label[gone.any(axis=0)] == 255).all()
        assert 0 < gone.mean() < 1


def test_image_and_label_move_together(make_sample: MakeSample) -> None:
    sample = make_sample(side=128)
    rules = AugmentRules(gain=0, offset=0, brightness=0, gamma=0, haze=0, noise=0)
    for number in range(20):
        chip = augmented(sample, rules, size_px=64, key=(4, 0, number))
        known = chip.label != 255
        wet = chip.image[0] > chip.image[1]
        assert (wet == (chip.label == 1))[known].mean() > 0.97  # resampled shores may differ by a pixel


def test_a_crop_larger_than_the_sample_holds_all_of_it(make_sample: MakeSample) -> None:
    sample = make_sample()
    chip = augmented(sample, NONE, size_px=96, key=(0, 0, 1))
    assert (~np.isnan(chip.image[0])).sum() == 64 * 64
    assert (chip.label == 1).sum() == (sample.label == 1).sum()


def test_crops_on_landform_find_a_small_one(make_sample: MakeSample) -> None:
    label = np.zeros((512, 512), np.uint8)
    label[400:404, 77:81] = 1
    sample = make_sample(image=np.full((2, 512, 512), 0.1, np.float32), label=label)
    rules = NONE.model_copy(update={"on_landform": 1.0})
    assert all((augmented(sample, rules, size_px=64, key=(0, 0, n)).label == 1).any() for n in range(30))


def test_haze_adds_most_to_blue_and_nothing_to_radar() -> None:
    label = np.zeros((32, 32), np.uint8)
    image = np.full((4, 32, 32), 0.05, np.float32)
    sample = Sample(id="a", group="a", image=image, bands=("blue", "red", "nir", "vv"), label=label, pixel_m=10)
    rules = NONE.model_copy(update={"haze": 0.5})
    means = np.array([augmented(sample, rules, size_px=32, key=(0, 0, n)).image.mean(axis=(1, 2)) for n in range(50)])
    blue, red, nir, radar = means.T
    hazy = blue > 0.051
    assert 10 < hazy.sum() < 40
    assert (blue[hazy] > red[hazy]).all()
    assert (red[hazy] > nir[hazy]).all()
    np.testing.assert_allclose(radar, 0.05, rtol=1e-5)


@pytest.mark.parametrize(("row", "column"), [(-10, 5), (60, 60), (-100, -100)])
def test_a_window_beyond_the_sample_is_unknown_there(make_sample: MakeSample, row: int, column: int) -> None:
    chip = window_of(make_sample(), row=row, column=column, size_px=32)
    np.testing.assert_array_equal(np.isnan(chip.image).all(axis=0), chip.label == 255)
