"""The report: stable JSON, a table that says what is undefined, a picture of every case."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from talik_inference.model import load_model
from talik_stac.store import open_store
from talik_training.evaluate.bootstrap import Draws, Interval
from talik_training.evaluate.report import ROWS, as_json, draw, said, table
from talik_training.evaluate.run import Evaluation, evaluate
from talik_training.samples import Sample
from tiny_models import always_one


def samples(count: int, *, empty: bool = False) -> list[Sample]:
    """SIMULATED scenes of noise around a square lake, or without one."""
    generator = np.random.default_rng(1)
    made = []
    for i in range(count):
        water = np.zeros((40, 40), bool)
        water[10 : 12 + 3 * i, 10:30] = not empty
        image = np.where(water, [[[0.1]], [[0.05]]], [[[0.08]], [[0.1]]])
        noisy = (image + generator.normal(scale=0.02, size=image.shape)).astype(np.float32)
        label = water.astype(np.uint8)
        sample = Sample(id=f"{i}", group=f"place {i}", image=noisy, bands=("green", "nir"), label=label, pixel_m=10.0)
        made.append(sample)
    return made


def evaluation(tmp_path: Path, **given: Any) -> Evaluation:
    store = open_store(str(tmp_path / "store"))
    model = load_model(always_one(tmp_path / "one"), store)
    return evaluate([model], samples(4, **given), baseline=load_model("ndwi@1", store), draws=Draws(count=100))


def test_the_same_evaluation_gives_the_same_bytes_of_json(tmp_path: Path) -> None:
    once, again = as_json(evaluation(tmp_path)), as_json(evaluation(tmp_path))
    assert once == again
    document = json.loads(once)
    assert document["baseline"] == "ndwi@1"
    assert [model["model"] for model in document["models"]] == ["tiny@1", "ndwi@1"]
    assert set(ROWS) <= set(document["models"][0]["figures"])
    assert sum(document["models"][0]["counts"]["pixels"].values()) == 4 * 40 * 40
    assert sum(document["models"][0]["reliability"]["equal mass"]["pixels"]) == 4 * 40 * 40
    assert set(document["models"][1]["places"]) == {f"place {i}" for i in range(4)}


def test_the_table_has_a_column_for_each_model_and_the_difference_to_the_baseline(tmp_path: Path) -> None:
    page = io.StringIO()
    Console(width=200, file=page).print(table(evaluation(tmp_path)))
    text = page.getvalue()
    assert "tiny@1" in text
    assert "ndwi@1 (baseline)" in text
    assert "pixel IoU, over ndwi@1" in text
    assert "4 samples of 4 places; 95% intervals over places" in text


def test_what_is_undefined_is_a_dash_in_the_table_and_null_in_json(tmp_path: Path) -> None:
    done = evaluation(tmp_path, empty=True)
    assert said(done.models[0].figures["pixel.recall"]) == "-"
    assert json.loads(as_json(done))["models"][0]["figures"]["pixel.recall"]["value"] is None
    assert said(Interval(value=0.5)) == "0.500"
    assert said(Interval(value=0.5, low=0.25, high=0.75)) == "0.500 (0.250 to 0.750)"
    assert said(Interval(value=0.5), signed=True) == "+0.500"


@pytest.mark.parametrize("empty", [False, True])
def test_the_picture_is_drawn_also_of_undefined_figures(tmp_path: Path, empty: bool) -> None:
    path = draw(tmp_path / "evaluation.png", evaluation(tmp_path, empty=empty))
    assert path.read_bytes().startswith(b"\x89PNG")
    assert path.stat().st_size > 20_000


def test_the_picture_is_drawn_without_a_baseline(tmp_path: Path) -> None:
    done = evaluation(tmp_path)
    alone = replace(done, models=done.models[:1], baseline=None)
    assert draw(tmp_path / "alone.png", alone).is_file()
    assert "over ndwi" not in as_json(alone)
