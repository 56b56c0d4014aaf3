"""Models over simulated samples: the same pixels as `talik map` gives, the same places for all models."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from talik_inference.grid import Rect
from talik_inference.model import Model, load_model, open_predictor
from talik_inference.plan import Windows
from talik_inference.predict import predict_block
from talik_stac.errors import ImageryError, ModelError
from talik_stac.store import open_store
from talik_training.evaluate.bootstrap import Draws
from talik_training.evaluate.run import COMPARED, Evaluation, evaluate, predict_sample
from talik_training.evaluate.scores import confusion
from talik_training.evaluate.tally import Tally, tally, tally_of
from talik_training.samples import Sample
from tiny_models import always_one, blurred_green

FEW = Draws(count=100)


def sample(seed: int, *, shape: tuple[int, int] = (50, 70), group: str | None = None, **given: Any) -> Sample:
    """A SIMULATED lake: water has green 0.1 and near infrared 0.02, land 0.08 and 0.3."""
    generator = np.random.default_rng(seed)
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    water = np.hypot(rows - shape[0] / 2, columns - shape[1] / 2) < generator.uniform(8, 20)
    image = np.where(water, [[[0.1]], [[0.02]]], [[[0.08]], [[0.3]]]).astype(np.float32)
    described = {
        "id": f"lake {seed}",
        "group": group or f"place {seed % 3}",
        "image": image,
        "bands": ("green", "nir"),
        "label": water.astype(np.uint8),
        "pixel_m": 10.0,
    }
    return Sample(**{**described, **given})


def model(reference: str, tmp_path: Path) -> Model:
    return load_model(reference, open_store(str(tmp_path / "store")))


def value(done: Evaluation, number: int, name: str) -> float | None:
    return done.models[number].figures[name].value


@pytest.fixture
def ndwi(tmp_path: Path) -> Model:
    return model("ndwi@1", tmp_path)


def test_a_model_that_is_right_everywhere_scores_one_and_no_boundary_error(ndwi: Model) -> None:
    done = evaluate([ndwi], [sample(seed) for seed in range(6)], draws=FEW)
    assert (done.samples, done.places, done.baseline) == (6, 3, None)
    for name in (
        "pixel.iou",
        "pixel.kappa",
        "object.iou_0.5.f1",
        "object.overlap.f1",
        "object.overlap.1_ha_or_more.f1",
    ):
        assert value(done, 0, name) == 1
    assert value(done, 0, "boundary.mean_m") == value(done, 0, "boundary.p95_m") == 0
    assert value(done, 0, "object.overlap.under_500_m2.f1") is None


def test_a_baseline_stands_beside_with_paired_differences(ndwi: Model, tmp_path: Path) -> None:
    other = model(always_one(tmp_path / "one"), tmp_path)
    done = evaluate([other], [sample(seed) for seed in range(6)], baseline=ndwi, draws=FEW)
    assert done.baseline == "ndwi@1"
    assert [scores.card.name for scores in done.models] == ["tiny", "ndwi"]
    assert set(done.models[0].over_baseline) == set(COMPARED)
    assert done.models[1].over_baseline == {}
    difference = done.models[0].over_baseline["pixel.iou"]
    ours, theirs = value(done, 0, "pixel.iou"), value(done, 1, "pixel.iou")
    assert ours is not None
    assert theirs is not None
    assert difference.value == ours - theirs
    assert difference.high is not None
    assert difference.high < 0


def test_the_baseline_is_left_out_with_a_warning_where_a_band_lacks(ndwi: Model, tmp_path: Path) -> None:
    other = model(always_one(tmp_path / "one", bands={"red": {}, "green": {}}), tmp_path)
    colour = replace(sample(1), bands=("green", "red"))
    done = evaluate([other], [colour], baseline=ndwi, draws=FEW)
    assert done.baseline is None
    assert len(done.models) == 1
    assert "ndwi@1 needs green, nir but sample lake 1 has green, red" in done.warnings[0]
    with pytest.raises(ImageryError, match="lacks nir"):
        evaluate([ndwi], [colour], draws=FEW)


def test_every_model_is_scored_on_the_pixels_that_all_of_them_see(ndwi: Model, tmp_path: Path) -> None:
    other = model(always_one(tmp_path / "one", bands={"green": {}, "red": {}}), tmp_path)
    image = np.concatenate([sample(1).image, sample(1).image[:1]])
    image[2, :, :20] = np.nan
    three = sample(1, image=image, bands=("green", "nir", "red"))
    done = evaluate([other, ndwi], [three], draws=FEW)
    assert [scores.total.pixels.sum() for scores in done.models] == [50 * 50, 50 * 50]


def test_unknown_and_missing_pixels_are_not_scored(ndwi: Model) -> None:
    one = sample(3)
    one.image[:, :5] = np.nan
    one.label[:, :7] = 255
    done = evaluate([ndwi], [one], draws=FEW)
    assert done.models[0].total.pixels.sum() == 45 * 63


@pytest.mark.parametrize("shape", [(64, 64), (200, 300), (37, 131), (1, 1)])
def test_a_sample_of_any_size_is_predicted_as_talik_map_predicts_a_block(
    shape: tuple[int, int], tmp_path: Path
) -> None:
    blurred = model(blurred_green(tmp_path / "blur", radius=9), tmp_path)
    predictor = open_predictor(blurred, threads=1)
    generator = np.random.default_rng(1)
    one = sample(1, shape=shape, image=generator.random((2, *shape), np.float32))
    got = predict_sample(blurred, predictor, one, np.ones(shape, bool))
    assert got.shape == shape
    # In the middle, where no mirror is in sight, window by window is the same as all at once.
    side = 9
    whole = Rect(col=0, row=0, col_end=512, row_end=512)
    data = np.full((2, 530, 530), np.nan, np.float32)
    data[:, side : side + shape[0], side : side + shape[1]] = one.image
    windows = Windows(core_px=512, halo_px=side)
    at_once = predict_block(
        predictor, blurred.card, windows, data, np.isfinite(data[0]), np.ones((512, 512), bool), whole
    )[: shape[0], : shape[1]]
    inner = slice(side, shape[0] - side), slice(side, shape[1] - side)
    assert np.abs(got[inner].astype(int) - at_once[inner]).max(initial=0) <= 1  # a sum in another order
    assert (got != 255).all()


def test_the_order_of_samples_changes_nothing(ndwi: Model) -> None:
    samples = [sample(seed) for seed in range(5)]
    there, back = (evaluate([ndwi], order, draws=FEW) for order in (samples, samples[::-1]))
    assert there.models[0].figures == back.models[0].figures
    assert list(there.models[0].places) == list(back.models[0].places) == ["place 0", "place 1", "place 2"]


def test_a_pixel_size_beyond_the_card_is_a_warning_and_not_a_refusal(ndwi: Model) -> None:
    done = evaluate([ndwi], [sample(1, pixel_m=500.0)], draws=FEW)
    assert "ndwi@1 is meant for pixels of 0.3 to 100 m" in done.warnings[0]


def test_it_is_said_where_most_objects_are_left_out(ndwi: Model) -> None:
    cut = sample(1)
    cut.label[:, 35:] = 255
    done = evaluate([ndwi], [cut], draws=FEW)
    assert done.warnings[0].startswith("1 of 1 true objects touch unknown pixels")
    assert not evaluate([ndwi], [sample(1)], draws=FEW).warnings


def test_no_samples_and_a_model_given_twice_are_refused(ndwi: Model) -> None:
    with pytest.raises(ImageryError, match="no labelled samples"):
        evaluate([ndwi], [])
    with pytest.raises(ModelError, match="ndwi@1 is given twice"):
        evaluate([ndwi, ndwi], [sample(1)])


def test_a_tally_survives_its_vector_and_adds_up() -> None:
    generator = np.random.default_rng(4)
    labels = generator.choice(np.array([0, 1, 255], np.uint8), (2, 30, 30))
    levels = generator.integers(0, 251, (2, 30, 30)).astype(np.uint8)
    one, two = (tally(label, level, above=125, pixel_m=10.0) for label, level in zip(labels, levels, strict=True))
    again = tally_of(one.vector)
    np.testing.assert_array_equal(again.vector, one.vector)
    np.testing.assert_array_equal((one + two).vector, one.vector + two.vector)
    assert (one + Tally()).vector.tolist() == one.vector.tolist()
    found = np.where(levels[0] > 125, 1, 0).astype(np.uint8)
    assert one.pixels.tolist() == confusion(labels[0], found).counts.tolist()
    assert one.histogram.sum() == one.pixels.sum()
    assert one.histogram[:, 126:].sum() == one.pixels[0] + one.pixels[1]
