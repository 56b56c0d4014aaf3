"""Recipes: what they hold, and that a step which is not taken leaves no trace."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from talik_stac.errors import RecipeError
from talik_stac.landforms import RECIPES, Despeckle, Recipe, recipe_for

TRAINING = Path(__file__).parents[2] / "services" / "training" / "recipes"
WRITTEN_BEFORE = {
    "landform": "water",
    "title": "Water bodies",
    "model": "ndwi@1",
    "season_start": "06-01",
    "season_end": "09-30",
    "composite": "best",
    "max_cloud_percent": 80.0,
    "resolution_m": None,
    "threshold": None,
    "min_area_m2": 400.0,
}
"""The water recipe as configuration hashes and run.json held it before there was a speckle filter."""


def test_a_recipe_without_despeckling_is_written_as_before_there_was_any() -> None:
    recipe = Recipe.model_validate(WRITTEN_BEFORE)
    assert recipe.model_dump(mode="json") == WRITTEN_BEFORE
    assert list(recipe.model_dump()) == list(WRITTEN_BEFORE)
    assert "despeckle" not in recipe.model_dump_json()


def test_a_recipe_with_despeckling_is_written_whole_and_read_back() -> None:
    recipe = recipe_for("glacial_lake").model_copy(update={"despeckle": Despeckle(looks=3)})
    assert recipe.model_dump(mode="json")["despeckle"] == {
        "method": "ppb",
        "looks": 3.0,
        "search_px": 10,
        "patch_px": 3,
        "alpha": 0.88,
        "rounds": 1,
        "temperature": 1.0,
    }
    assert Recipe.model_validate_json(recipe.model_dump_json()) == recipe


@pytest.mark.parametrize("path", sorted(TRAINING.glob("*.toml")), ids=lambda path: path.stem)
def test_every_landform_that_is_learned_has_a_recipe_to_be_mapped_by(path: Path) -> None:
    match = re.search(r'^landform = "(\w+)"', path.read_text(), re.MULTILINE)
    assert match is not None
    assert match.group(1) in RECIPES


@pytest.mark.parametrize(
    ("landform", "model"),
    [
        ("thaw_slump", "thaw-slump@1"),
        ("ice_fracture", "ice-fracture@1"),
        ("glacial_lake", "glacial-lake-sar@1"),
    ],
)
def test_a_recipe_takes_the_model_that_is_trained_for_it(landform: str, model: str) -> None:
    assert recipe_for(landform).model == model
    assert recipe_for(landform).landform == landform


def test_the_stretch_belongs_to_the_recipes_model_in_any_version() -> None:
    recipe = recipe_for("glacial_lake")
    assert recipe.changed({"model": "glacial-lake-sar@2"}).stretch == recipe.stretch is not None
    assert recipe.changed({"threshold": 0.4}).stretch == recipe.stretch
    assert recipe.changed({"model": "my-lakes@1"}).stretch is None
    assert recipe.changed({"model": "/a/folder"}).stretch is None


@pytest.mark.parametrize("points", [((-10.0, 0.0),), ((-10.0, 0.0), (-10.0, 1.0)), ((0.0, 0.0), (-5.0, 1.0))])
def test_a_curve_that_does_not_rise_is_refused(points: tuple[tuple[float, float], ...]) -> None:
    with pytest.raises(ValidationError, match="decibels rise"):
        recipe_for("glacial_lake").changed({"stretch": points})


def test_an_unknown_landform_names_those_there_are() -> None:
    with pytest.raises(RecipeError, match="glacial_lake, ice_fracture, thaw_slump, water"):
        recipe_for("lava")


@pytest.mark.parametrize(
    "wrong",
    [{"method": "lee"}, {"looks": 0.5}, {"search_px": 0}, {"rounds": 26}, {"alpha": 1.0}, {"window": 3}],
)
def test_a_filter_that_cannot_be_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Despeckle.model_validate(wrong)
