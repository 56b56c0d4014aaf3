"""The plain index: the best threshold of a band or a normalised difference, as a model like any other."""

from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest

from talik_training.plain_index import fitted_index, index_onnx, main
from talik_training.samples import Sample

BANDS = ("red", "vv")


def sample(red: np.ndarray, vv: np.ndarray, label: np.ndarray) -> Sample:
    image = np.stack([red, vv]).astype(np.float32)
    return Sample(id="a", group="a", image=image, bands=BANDS, label=label.astype(np.uint8), pixel_m=10)


def dark_water() -> Sample:
    """Water has a vv below 0.1; red says nothing."""
    chance = np.random.default_rng(4)
    label = np.zeros((40, 40), np.uint8)
    label[:, :10] = 1
    vv = np.where(label == 1, chance.uniform(0, 0.09, label.shape), chance.uniform(0.11, 0.5, label.shape))
    return sample(chance.random(label.shape), vv, label)


def test_the_band_and_side_that_part_best_are_found() -> None:
    index = fitted_index([dark_water()], BANDS)

    assert (index.first, index.second, index.sign) == ("vv", None, -1)
    assert 0.08 < index.threshold < 0.12
    assert index.iou > 0.98


def test_a_normalised_difference_is_found_where_brightness_varies() -> None:
    chance = np.random.default_rng(5)
    label = (chance.random((50, 50)) > 0.7).astype(np.uint8)
    light = chance.uniform(0.2, 1, label.shape)
    index = fitted_index([sample(light * np.where(label, 0.6, 0.3), light * 0.4, label)], BANDS)

    assert (index.first, index.second, index.sign) == ("red", "vv", 1)
    assert index.iou > 0.98


def test_unknown_and_missing_pixels_have_no_part() -> None:
    truth = dark_water()
    label, image = truth.label.copy(), truth.image.copy()
    label[:20], image[:, 30:] = 255, np.nan
    image[1, :20] = 0.5 - image[1, :20]  # would spoil the rule if it counted
    spoilt = Sample(id="b", group="b", image=image, bands=BANDS, label=label, pixel_m=10)

    assert fitted_index([spoilt], BANDS).iou > 0.98


def test_the_graph_says_what_the_rule_says() -> None:
    truth = dark_water()
    for bands in (BANDS, ("vv",)):
        index = fitted_index([truth.with_bands(bands)], bands)
        session = ort.InferenceSession(index_onnx(index, bands), providers=["CPUExecutionProvider"])
        (answer,) = session.run(None, {"bands": truth.with_bands(bands).image[None]})

        assert np.array_equal(answer[0, 0] > 0.5, truth.image[1] < np.float32(index.threshold))


def test_the_command_says_in_one_line_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "none.toml"), "--out", str(tmp_path / "out")]) == 1
    assert capsys.readouterr().err.startswith(f"cannot read {tmp_path}/none.toml")
