"""A round's recipe: the user's own, to the value, and what was decided."""

from __future__ import annotations

import tomllib
from datetime import date
from pathlib import Path
from typing import Any

import geopandas
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from talik_stac.errors import RecipeError
from talik_training.recipe import load_recipe
from talik_training.rounds.taught import Label, Taught, as_toml, write_round_recipe

RECIPES = sorted((Path(__file__).parents[3] / "services" / "training" / "recipes").glob("*.toml"))
NAMES = st.text(st.characters(codec="ascii", min_codepoint=32, max_codepoint=126), min_size=1, max_size=6)
TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=("Cs",)), max_size=12)
PLAIN = st.one_of(st.booleans(), st.integers(-(2**60), 2**60), st.floats(allow_nan=False), TEXTS, st.dates())
VALUES = st.recursive(
    PLAIN, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3), max_leaves=6
)
DECIDED = (
    Label(outline=shapely.box(10, 60, 10.01, 60.01), status="confirmed"),
    Label(outline=shapely.box(10.1, 60, 10.11, 60.01), status="rejected"),
    Label(outline=shapely.box(10.2, 60, 10.21, 60.01), status="candidate"),
)


@given(table=st.dictionaries(NAMES, VALUES, max_size=4))
@settings(max_examples=150, deadline=None)
def test_what_is_written_as_toml_is_read_back_equal(table: dict[str, Any]) -> None:
    assert tomllib.loads(as_toml(table)) == table


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.name)
def test_the_recipes_of_the_repository_come_back_equal(path: Path) -> None:
    table = tomllib.loads(path.read_text())
    assert tomllib.loads(as_toml(table)) == table


def taught(recipe: Path, *labels: Label) -> Taught:
    return Taught(
        recipe=recipe,
        number=2,
        labels=labels,
        store="s3://bucket/store",
        collection="naip",
        start=date(2020, 6, 1),
        end=date(2020, 9, 30),
        bands=("green", "nir"),
    )


def test_what_was_decided_is_one_more_source(write_recipe: Any, tmp_path: Path) -> None:
    own = write_recipe()
    folder = tmp_path / "round-2"
    folder.mkdir()
    written = write_round_recipe(taught(own, *DECIDED), folder)
    first, added = load_recipe(written).source
    assert first["images"] == str(own.parent / "images" / "*.tif")
    assert (added["kind"], added["store"], added["start"]) == ("polygons", "s3://bucket/store", date(2020, 6, 1))
    assert load_recipe(written).model.version == "1-round-2"
    assert load_recipe(written).training == load_recipe(own).training
    drawn = geopandas.read_file(added["polygons"])
    assert drawn["status"].tolist() == ["confirmed", "rejected", "candidate"]
    assert drawn.geometry.tolist() == [label.outline for label in DECIDED]


def test_a_round_in_which_nothing_was_decided_has_the_users_sources_alone(write_recipe: Any, tmp_path: Path) -> None:
    written = write_round_recipe(taught(write_recipe(), DECIDED[2]), tmp_path / "..")
    assert len(load_recipe(written).source) == 1
    written.unlink()


def test_a_value_that_toml_does_not_have_is_named() -> None:
    with pytest.raises(RecipeError, match="None of NoneType"):
        as_toml({"a": None})
