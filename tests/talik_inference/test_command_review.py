"""`talik review` as an expert meets it: one story from the list of candidates to a confirmed edition."""

from __future__ import annotations

import json
from pathlib import Path

import geopandas
import numpy as np
import pyogrio
import pytest
from typer.testing import CliRunner

from making import grid_at
from talik_inference.commands.review import app
from talik_stac.editions import Edition, load_edition, read_geo
from talik_stac.errors import EditionError, TalikError
from talik_stac.review_documents import ReviewError
from talik_stac.reviews import read_decisions
from talik_stac.store import open_store
from world import World, around, paint

GRID = grid_at(40_000, -540_000, 100, 120)


@pytest.fixture
def mapped(tmp_path: Path) -> tuple[World, Edition]:
    """Three simulated lakes on two dates, mapped from both."""
    world = World(folder=tmp_path / "world")
    water = np.zeros((100, 120), bool)
    water[20:60, 10:50] = True
    water[70:90, 80:110] = True
    water[10:14, 90:94] = True
    for day in ("20210710", "20210805"):
        world.add(f"a_{day}", paint(water), GRID)
    return world, world.map(around(GRID)).edition


def review(world: World, *options: str | Path) -> str:
    """Run the command and return what it says; its own errors are raised."""
    done = CliRunner().invoke(app, [*map(str, options), "--store", world.root])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.output


def fill_in(sheet: Path, status: dict[str, str]) -> None:
    """Set the status of rows by id, as a GIS does."""
    frame = geopandas.read_file(sheet, layer="review")
    frame["status"] = [status.get(name) for name in frame["id"]]
    sheet.unlink()
    pyogrio.write_dataframe(frame, sheet, layer="review", driver="GPKG", geometry_type="MultiPolygon")


def test_a_review_from_candidates_to_a_confirmed_edition(mapped: tuple[World, Edition], tmp_path: Path) -> None:
    world, edition = mapped
    table = tmp_path / "candidates.csv"
    said = review(world, "candidates", edition.id, "--limit", "2", "--out", table)
    assert "2 of 3 candidates" in said
    assert len(table.read_text().splitlines()) == 3
    everything = json.loads(review(world, "candidates", edition.id, "--json", "--uncertainty", "0", "--novelty", "0"))
    largest, middle, smallest = (row["id"] for row in everything)
    assert [row["value"] for row in everything] == sorted((row["value"] for row in everything), reverse=True)

    said = review(world, "chips", edition.id, "--out", tmp_path / "chips", "--top", "2")
    assert said.startswith("2 strips")
    assert len(list((tmp_path / "chips").glob("*.png"))) == 2

    for name, words in {
        "Ann": {largest: "confirmed", middle: "rejected", smallest: "confirmed"},
        "Bob": {largest: "confirmed", middle: "unsure"},
    }.items():
        sheet = tmp_path / f"{name}.gpkg"
        assert "3 objects for" in review(world, "export", edition.id, "--reviewer", name, "--out", sheet)
        fill_in(sheet, words)
        said = review(world, "import", sheet, "--reviewer", name)
        assert f"{len(words)} decisions of {name} appended (0 about objects drawn), 0 stood already" in said
        assert "0 decisions of" in review(world, "import", sheet, "--reviewer", name)

    said = review(world, "candidates", edition.id)
    assert "0 of 0 candidates" in said
    assert smallest in review(world, "candidates", edition.id, "--reviewer", "Bob")

    said = review(world, "agreement", edition.id)
    assert "both decided 2 objects; 1 only by Ann, 0 only by Bob" in said
    assert "they agree on 50.0 %; Cohen's kappa 0.333" in said
    assert f"{middle}: Ann rejected, Bob unsure" in said
    (pair,) = json.loads(review(world, "agreement", edition.id, "--json"))
    assert pair["counts"] == [[1, 0, 0], [0, 0, 1], [0, 0, 0]]

    with pytest.raises(ReviewError, match="--rule both or --rule any"):
        review(world, "publish", edition.id)
    said = review(world, "publish", edition.id, "--rule", "any")
    assert "2 confirmed, 1 rejected" in said
    assert "published: water-area-2021-v2 (2 objects" in said
    assert "published before: water-area-2021-v2" in review(world, "publish", edition.id, "--rule", "any")
    store = open_store(world.root)
    confirmed = read_geo(store, load_edition(store, "water-area-2021-v2"))
    assert set(confirmed["id"]) == {largest, smallest}
    assert set(confirmed["status"]) == {"confirmed"}
    assert len(read_decisions(store, edition.id)) == 5


def test_what_is_missing_from_a_sheet_is_told(mapped: tuple[World, Edition], tmp_path: Path) -> None:
    world, edition = mapped
    sheet = tmp_path / "ann.gpkg"
    review(world, "export", edition.id, "--reviewer", "Ann", "--out", sheet)
    frame = geopandas.read_file(sheet, layer="review")
    sheet.unlink()
    pyogrio.write_dataframe(frame[1:], sheet, layer="review", driver="GPKG")
    said = review(world, "import", sheet, "--reviewer", "Ann")
    assert f"1 objects are not in the sheet; nothing is decided about them: {frame['id'].iat[0]}" in said


REFUSED = {
    "no edition 'water-area-2011-v1'": ["candidates", "water-area-2011-v1"],
    "ends with '.txt'": ["candidates", "water-area-2021-v1", "--out", "x.txt"],
    "fewer than two experts": ["agreement", "water-area-2021-v1"],
    "nobody decided": ["publish", "water-area-2021-v1"],
    "is no name": ["export", "water-area-2021-v1", "--reviewer", "  "],
    "no imagery collection 'naip'": ["chips", "water-area-2021-v1", "-c", "naip", "--out", "{tmp}"],
    "cannot read": ["import", "{tmp}/none.gpkg", "--reviewer", "Ann"],
}


@pytest.mark.parametrize("said", REFUSED)
def test_what_cannot_be_done_is_said_in_one_line(mapped: tuple[World, Edition], tmp_path: Path, said: str) -> None:
    world, _ = mapped
    with pytest.raises((TalikError, EditionError), match=said):
        review(world, *(option.replace("{tmp}", str(tmp_path)) for option in REFUSED[said]))
