"""Models and their cards: what is read, what is kept, and what decides an edition."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from talik_inference.model import Calibrated, Scaling, Score, Source, keep_model, load_model, read_card
from talik_stac.errors import ModelError
from talik_stac.store import open_store
from tiny_models import always_one

NDWI_OF_TALIK_0 = {
    "name": "ndwi",
    "version": "1",
    "title": "Normalized difference water index above zero (McFeeters 1996)",
    "landform": "water",
    "sha256": "cca70aeda1a2417633ac1cefbd97370929822c256d2f761dad058a2df4353740",
    "bands": {"green": {"mean": 0.0, "std": 1.0}, "nir": {"mean": 0.0, "std": 1.0}},
    "resolution_min_m": 0.3,
    "resolution_max_m": 100.0,
    "core_px": 1024,
    "halo_px": 0,
    "threshold": 0.5,
    "licence": "Apache-2.0",
    "training_data": "none: a formula",
    "scores": [],
    "limits": "An index, not a calibrated probability.",
}
"""A card as it was written before cards had sources, split and the rest."""


def score(**fields: Any) -> Score:
    return Score(**{"metric": "pixel IoU", "value": 0.5, "data": "simulated", "command": "none", **fields})


def test_a_card_of_an_earlier_talik_is_read_and_its_store_goes_on(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    old = json.dumps(NDWI_OF_TALIK_0, indent=1).encode()
    store.put("models/ndwi/1/card.json", old)
    model = load_model("ndwi@1", store)
    assert read_card("ndwi@1", old).deciding == model.card.deciding
    keep_model(model, store)
    assert store.get("models/ndwi/1/card.json") == old
    assert store.get("models/ndwi/1/model.onnx") == model.onnx


def test_a_store_refuses_another_model_under_the_same_name_and_version(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "store"))
    keep_model(load_model(always_one(tmp_path / "one"), store), store)
    keep_model(load_model(always_one(tmp_path / "told", title="In other words", scores=(score(),)), store), store)
    with pytest.raises(ModelError, match=r"already holds another model tiny@1; raise the version"):
        keep_model(load_model(always_one(tmp_path / "other", threshold=0.6), store), store)


@pytest.mark.parametrize(
    "change",
    [
        {"title": "Other words"},
        {"licence": "CC-BY-4.0"},
        {"limits": "Nothing"},
        {"training_data": "other"},
        {"resolution_max_m": 50.0},
        {"scores": (score(),)},
        {"baseline": (score(of="ndwi@1"),)},
        {"sources": (Source(name="ponds", licence="CC0"),)},
        {"calibration": Calibrated(slope=1.0, shift=0.0)},
        {"seconds": 3.0},
    ],
)
def test_words_and_scores_do_not_decide_an_edition(tmp_path: Path, change: dict[str, Any]) -> None:
    card = load_model(always_one(tmp_path / "one"), open_store(str(tmp_path))).card
    changed = card.model_copy(update=change)
    assert changed != card
    assert changed.deciding == card.deciding


@pytest.mark.parametrize(
    "change",
    [
        {"version": "2"},
        {"landform": "lake"},
        {"sha256": "0" * 64},
        {"bands": {"nir": Scaling(), "green": Scaling()}},
        {"bands": {"green": Scaling(mean=0.1), "nir": Scaling()}},
        {"core_px": 128},
        {"halo_px": 32},
        {"threshold": 0.4},
    ],
)
def test_what_reaches_the_pixels_decides_an_edition(tmp_path: Path, change: dict[str, Any]) -> None:
    card = load_model(always_one(tmp_path / "one"), open_store(str(tmp_path))).card
    # As text: the order of the bands decides, and dicts that differ in order alone are equal.
    assert json.dumps(card.model_copy(update=change).deciding) != json.dumps(card.deciding)


def test_a_score_says_its_interval_where_it_has_one() -> None:
    assert str(score(value=0.8123, low=0.79, high=0.8333, places=9)) == "0.812 (0.790 to 0.833)"
    assert str(score(value=0.8123)) == "0.812"
    with pytest.raises(ValidationError):
        score(value=float("nan"))


def test_a_malformed_card_is_refused_with_the_field_that_is_wrong(tmp_path: Path) -> None:
    always_one(tmp_path / "one")
    path = tmp_path / "one" / "card.json"
    path.write_text(path.read_text().replace('"threshold":0.5', '"threshold":1.5'))
    with pytest.raises(ModelError, match=r"card\.json, threshold: .*less than or equal to 1"):
        load_model(str(tmp_path / "one"), open_store(str(tmp_path)))
    with pytest.raises(ModelError, match=r"card\.json, colour: Extra inputs"):
        read_card("one", json.dumps({**NDWI_OF_TALIK_0, "colour": "blue"}).encode())
