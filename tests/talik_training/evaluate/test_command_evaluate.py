"""`talik evaluate` as a user meets it: pairs of real GeoTIFFs in, table, JSON and PNG out."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin
from typer.testing import CliRunner

from talik_inference.model import Source, load_model
from talik_stac.errors import TalikError
from talik_stac.store import open_store
from talik_training.card import EVALUATED
from talik_training.commands.evaluate import app
from tiny_models import always_one

DATA = """
[[source]]
kind = "pairs"
images = "images/*.tif"
labels = "labels/*.tif"
bands = ["green", "nir"]
scale = 0.0001
label_above = 127
pixel_m = 10.0
group = "^(.*)_"
"""


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """SIMULATED pairs of three places, NDWI right everywhere."""
    for place in range(3):
        for date in range(2):
            water = np.zeros((48, 48), bool)
            water[5 : 20 + 3 * place, 5 : 30 + 2 * date] = True
            image = np.where(water, [[[1000]], [[200]]], [[[800]], [[3000]]]).astype(np.uint16)
            write(tmp_path / "images" / f"p{place}_{date}.tif", image)
            write(tmp_path / "labels" / f"p{place}_{date}.tif", (water[None] * 255).astype(np.uint8))
    (tmp_path / "data.toml").write_text(DATA)
    return tmp_path


def write(path: Path, numbers: np.ndarray) -> None:
    path.parent.mkdir(exist_ok=True)
    bands, height, width = numbers.shape
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        count=bands,
        height=height,
        width=width,
        dtype=numbers.dtype,
        crs="EPSG:32633",
        transform=from_origin(400_000, 5_400_000, 10, 10),
    ) as file:
        file.write(numbers)


def run(*words: str | Path) -> str:
    done = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def test_models_are_set_beside_the_baseline(data: Path) -> None:
    one = always_one(data / "one")
    out = data / "out"
    said = run(one, "--data", data, "--out", out, "--draws", "100", "--store", data / "store", "--threads", "1")
    assert "6 samples of 3 places" in said
    document = json.loads((out / "evaluation.json").read_text())
    figures = {model["model"]: model["figures"] for model in document["models"]}
    assert figures["ndwi@1"]["pixel.iou"] == {"value": 1.0, "low": 1.0, "high": 1.0}
    assert figures["tiny@1"]["pixel.recall"]["value"] == 1.0
    assert figures["tiny@1"]["pixel.iou"]["value"] < 0.5
    assert (out / "evaluation.png").is_file()


def test_claims_that_contradict_are_said_and_kept(data: Path) -> None:
    claims = data / "claims.toml"
    claims.write_text('[[published]]\nsource = "Somebody 2020"\nf1 = "0.90"\niou = "0.90"\n')
    words = ("--data", data / "data.toml", "--out", data / "out", "--draws", "100", "--store", data / "store")
    said = run("ndwi@1", *words, "--published", claims)
    assert "warning: Somebody 2020: F1 0.90 means IoU" in said
    document = json.loads((data / "out" / "evaluation.json").read_text())
    assert len(document["models"]) == 1
    assert "Somebody 2020" in document["warnings"][0]


def test_scores_go_into_the_card_with_the_baseline_and_once(data: Path) -> None:
    one = always_one(data / "one")
    words = ("--data", data, "--out", data / "out", "--draws", "100", "--store", data / "store", "--card")
    assert f"{one}/card.json" in run(one, *words, "--called", "simulated ponds")
    run(one, *words, "--called", "simulated ponds")
    run(one, *words)
    card = load_model(one, open_store(str(data / "store"))).card
    figures = json.loads((data / "out" / "evaluation.json").read_text())["models"][0]["figures"]
    ours = {(score.metric, score.data): score for score in card.scores}
    assert len(ours) == len(card.scores)
    assert {of for _, of in ours} == {"simulated ponds", "pairs"}
    for name, metric in (("pixel.iou", "pixel IoU"), ("pixel.recall", "pixel recall")):
        score = ours[metric, "simulated ponds"]
        stated = {"value": score.value, "low": score.low, "high": score.high}
        assert stated == pytest.approx(figures[name], abs=5e-5)
        assert score.places == 3
        assert score.command.startswith(EVALUATED)
    theirs = {(score.metric, score.data): score for score in card.baseline}
    assert (theirs["pixel IoU", "pairs"].value, theirs["pixel IoU", "pairs"].of) == (1.0, "ndwi@1")


def test_data_that_a_model_learned_from_is_not_passed_off_as_a_test(data: Path) -> None:
    learned = always_one(data / "one", sources=(Source(name="pairs", licence="CC0"),))
    run(learned, "--data", data, "--out", data / "out", "--draws", "100", "--store", data / "store", "--card")
    card = load_model(learned, open_store(str(data / "store"))).card
    assert {score.data for score in card.scores} == {"pairs (the model learned from part of it)"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("nothing@1", "--data", "data.toml"), "not shipped with Talik"),
        (("ndwi@1", "--data", "images"), "holds no data.toml"),
        (("ndwi@1", "--data", "nowhere.toml"), "cannot read"),
        (("ndwi@1", "--data", "data.toml", "--part", "rest"), "--part 'rest'"),
        (("ndwi@1", "--data", "data.toml", "--part", "test"), "no labelled samples"),
        (("ndwi@1", "--data", "data.toml", "--card"), "ndwi@1 is none; give the folder of a model"),
    ],
)
def test_what_cannot_be_used_is_refused_in_one_line(
    data: Path, words: tuple[str, ...], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(data)
    with pytest.raises(TalikError, match=message) as caught:
        run(*words, "--out", "out", "--store", "store", "--baseline", "none")
    assert "\n" not in str(caught.value)
    assert not (data / "out").exists()
