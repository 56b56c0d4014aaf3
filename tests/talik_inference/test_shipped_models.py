"""The models that ship: small enough, honest about themselves, and able to answer windows of any size."""

from pathlib import Path

import numpy as np
import pytest
import rasterio
from odc.geo.geobox import GeoBox

from talik_inference.model import Model, load_model, open_predictor
from talik_inference.predict import predict_window
from talik_inference.simulate import simulate
from talik_stac.landforms import RECIPES
from talik_stac.store import open_store

LARGEST_BYTES = 25_000_000
REFERENCES = sorted({recipe.model for recipe in RECIPES.values()})


@pytest.fixture
def model(request: pytest.FixtureRequest, tmp_path: Path) -> Model:
    return load_model(request.param, open_store(str(tmp_path)))


@pytest.mark.parametrize("model", REFERENCES, indirect=True)
def test_every_recipe_has_a_model_that_ships_and_is_small(model: Model) -> None:
    assert len(model.onnx) <= LARGEST_BYTES
    assert RECIPES[model.card.landform].model == model.card.reference


@pytest.mark.parametrize("model", REFERENCES, indirect=True)
def test_a_card_tells_data_licences_split_scores_with_a_baseline_and_limits(model: Model) -> None:
    card = model.card
    assert card.sources
    assert all(source.licence for source in card.sources)
    assert {"train", "validation", "test"} <= set(card.split)
    assert card.calibration is not None
    assert "not for" in card.limits.lower()
    assert any(score.metric == "pixel IoU" for score in card.scores)
    assert {score.data for score in card.baseline} <= {score.data for score in card.scores}
    assert card.baseline


@pytest.mark.parametrize("model", REFERENCES, indirect=True)
@pytest.mark.parametrize("shape", [(64, 64), (64, 192)])
def test_windows_of_any_size_are_answered_with_probabilities(model: Model, shape: tuple[int, int]) -> None:
    chance = np.random.default_rng(1)
    data = chance.uniform(0, 0.5, (len(model.card.bands), *shape)).astype(np.float32)
    probability = predict_window(open_predictor(model, threads=1), model.card, data, np.ones(shape, bool))

    assert probability.shape == shape
    assert 0 <= probability.min() <= probability.max() <= 1


def test_water_is_told_from_snow_cloud_and_shadow_where_the_index_is_fooled(tmp_path: Path) -> None:
    """On one scene of the simulated lowland, which no model was trained on, without its quality band."""
    made = simulate(tmp_path / "scenes", seed=3, years=(2021,), size_px=400)
    path = next(path for path in made.files[2021] if not path.stem.endswith("_scl"))
    with rasterio.open(path) as source:
        data = source.read().astype(np.float32) * np.float32(1e-4)
        truth = made.truth(2021, GeoBox(source.shape, source.transform, source.crs))
    valid = (data > 0).all(axis=0)
    iou = {}
    for reference in ("ndwi@1", "water@1"):
        model = load_model(reference, open_store(str(tmp_path)))
        bands = data[[("blue", "green", "red", "nir").index(band) for band in model.card.bands]]
        window, seen = np.pad(bands, ((0, 0), (0, 48), (0, 48))), np.pad(valid, (0, 48))
        found = predict_window(open_predictor(model, threads=1), model.card, window, seen) > model.card.threshold
        found = found[:400, :400] & valid
        iou[reference] = (found & truth).sum() / (found | (truth & valid)).sum()

    assert iou["water@1"] > iou["ndwi@1"] + 0.1
