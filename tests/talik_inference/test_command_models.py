"""`talik models` as a user meets it: a list, a card, a page, and one clear line for what is not there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from full_cards import full_card
from talik_inference.commands.models import app
from talik_inference.model import ModelCard, keep_model, load_model
from talik_stac.errors import TalikError
from talik_stac.store import open_store
from tiny_models import always_one


def run(*words: str | Path) -> str:
    done = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A store with a model of every figure."""
    full_card(tmp_path / "tiny")
    store = open_store(str(tmp_path / "store"))
    keep_model(load_model(str(tmp_path / "tiny"), store), store)
    return tmp_path / "store"


def test_shipped_and_kept_models_are_listed_with_figure_and_baseline(root: Path) -> None:
    said = {line.split()[1]: line for line in run("list", "--store", root).splitlines() if "@" in line}
    assert "not measured" in said["ndwi@1"]
    assert "green, nir" in said["ndwi@1"]
    assert "0.3 to 100 m" in said["ndwi@1"]
    assert "0.800 (0.700 to 0.850)" in said["tiny@1"]
    assert "ndwi@1 0.500 (0.400 to 0.600)" in said["tiny@1"]


def test_the_list_for_machines_has_the_landform_that_was_asked_for(root: Path) -> None:
    (found,) = json.loads(run("list", "--landform", "thermokarst_lake", "--store", root, "--json"))
    assert (found["model"], found["resolution_m"]) == ("tiny@1", [0.1, 100.0])
    assert found["score"]["value"] == 0.8
    assert found["baseline"][0]["of"] == "ndwi@1"
    assert found["size_bytes"] == len(load_model("tiny@1", open_store(str(root))).onnx)


def test_a_model_that_ships_and_is_kept_is_listed_once(root: Path) -> None:
    store = open_store(str(root))
    keep_model(load_model("ndwi@1", store), store)
    assert [m["model"] for m in json.loads(run("list", "--store", root, "--json"))].count("ndwi@1") == 1


def test_a_broken_card_hides_no_other_model(root: Path) -> None:
    open_store(str(root)).put("models/broken/1/card.json", b"{}")
    done = CliRunner().invoke(app, ["list", "--store", str(root), "--json"])
    assert done.exit_code == 0
    assert "tiny@1" in done.stdout
    assert "broken@1" in done.stderr


def test_a_card_is_shown_for_people_and_in_full_for_machines(root: Path, tmp_path: Path) -> None:
    said = run("show", "tiny@1", "--store", root)
    for text in ("tests only", "pixel IoU 0.800 (0.700 to 0.850); ndwi@1 0.500", "90 samples; 50 places", "2 h 1 min"):
        assert text in said
    card = ModelCard.model_validate_json(run("show", "tiny@1", "--store", root, "--json"))
    assert card == load_model("tiny@1", open_store(str(root))).card
    assert "tiny@1" in run("show", always_one(tmp_path / "bare"), "--store", root)


def test_a_page_is_written_where_it_is_asked_for(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "tiny.md"
    assert run("page", "tiny@1", "--store", root, "--out", out) == f"{out}\n"
    assert out.read_text() == run("page", "tiny@1", "--store", root)
    with pytest.raises(TalikError, match="cannot write"):
        run("page", "tiny@1", "--store", root, "--out", tmp_path / "no" / "tiny.md")


def test_a_model_that_is_not_there_is_said_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(TalikError, match="not shipped with Talik and not in") as caught:
        run("show", "nothing@1", "--store", tmp_path)
    assert "\n" not in str(caught.value)
