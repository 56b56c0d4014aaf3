"""The loop with a store, as a scientist runs it: the same command, again and again, with an expert in between."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import geopandas
import numpy as np
import pyogrio
import pytest
from typer.testing import CliRunner

from making import grid_at
from talik_inference.review.returned import import_sheet
from talik_stac.errors import RecipeError, TalikError
from talik_stac.store import open_store
from talik_training.commands.loop import app
from talik_training.recipe import load_recipe
from world import World, around, paint

GRID = grid_at(40_000, -540_000, 128, 128)


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Two simulated lakes on one date."""
    made = World(folder=tmp_path / "world")
    water = np.zeros((128, 128), bool)
    water[20:60, 10:50] = True
    water[80:100, 80:110] = True
    made.add("a_20210710", paint(water), GRID)
    return made


def loop(world: World, recipe: Path, out: Path, *options: str) -> str:
    """Run the command and return what it says; its own errors are raised."""
    west, south, east, north = around(GRID).bounds
    done = CliRunner().invoke(
        app,
        [
            *(str(recipe), "--landform", "water", "--collection", "test", "--season", "2021", "--reviewer", "anna"),
            *("--aoi", f"{west},{south},{east},{north}", "--out", str(out), "--store", world.root),
            *("--threads", "1", "--device", "cpu", "--min-area", "500", *options),
        ],
    )
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.output


def answer(world: World, sheet: Path) -> list[str]:
    """Fill in a sheet as an expert does in a GIS: the larger half is water, the others are not; and import it."""
    frame = geopandas.read_file(sheet, layer="review")
    middle = frame["area_m2"].median()
    open_rows = frame["status"].isna() | (frame["status"] == "")
    frame.loc[open_rows, "status"] = np.where(frame["area_m2"][open_rows] >= middle, "confirmed", "rejected")
    sheet.unlink()
    pyogrio.write_dataframe(frame, sheet, layer="review", driver="GPKG", geometry_type="MultiPolygon")
    import_sheet(open_store(world.root), sheet, reviewer="anna")
    return list(frame["id"])


def test_the_same_command_trains_maps_waits_learns_and_ends(
    world: World, write_recipe: Callable[..., Path], tmp_path: Path
) -> None:
    recipe, out = write_recipe(("epochs = 4", "epochs = 2"), ("repeats = 2", "repeats = 4")), tmp_path / "loop"
    said = loop(world, recipe, out, "--max-rounds", "2")
    sheet = out / "round-1" / "sheet.gpkg"
    assert f"talik review import {sheet} --reviewer anna" in said
    first = sheet.read_bytes()
    assert said.splitlines()[-1] == loop(world, recipe, out, "--max-rounds", "2").splitlines()[-1]
    assert sheet.read_bytes() == first, "an expert's sheet is not written over"

    asked = answer(world, sheet)
    said = loop(world, recipe, out, "--max-rounds", "2")
    assert f"{len(asked)}" in said
    second = load_recipe(out / "round-2" / "recipe.toml")
    assert [source["kind"] for source in second.source] == ["pairs", "polygons"]
    assert second.model.version == "1-round-2"
    drawn = geopandas.read_file(second.source[1]["polygons"])
    assert set(drawn["status"]) <= {"confirmed", "rejected"}

    while (sheet := out / "round-2" / "sheet.gpkg").exists() and "wait for anna" in said:
        answer(world, sheet)
        said = loop(world, recipe, out, "--max-rounds", "2")
    assert "ended: " in said
    assert "talik review publish water-" in said
    assert (out / "rounds.md").read_text().count("\n| ") == 4


def test_another_reviewer_needs_another_folder(world: World, write_recipe: Callable[..., Path], tmp_path: Path) -> None:
    recipe, out = write_recipe(("epochs = 4", "epochs = 1")), tmp_path / "loop"
    loop(world, recipe, out)
    with pytest.raises(RecipeError, match="reviewer 'anna', here 'bob'"):
        loop(world, recipe, out, "--reviewer", "bob")


def test_a_landform_without_a_recipe_is_refused(
    world: World, write_recipe: Callable[..., Path], tmp_path: Path
) -> None:
    with pytest.raises(TalikError, match="no recipe for landform 'dune'"):
        loop(world, write_recipe(), tmp_path / "loop", "--landform", "dune")
