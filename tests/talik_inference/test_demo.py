"""The demonstration: the whole run, and what it leaves alone."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from talik_inference.commands.demo import app
from talik_inference.demo import MARKER, run_demo
from talik_stac.changes import diff
from talik_stac.errors import StoreError


def test_the_demonstration_maps_three_years_and_says_what_changed(tmp_path: Path) -> None:
    said: list[str] = []
    made = run_demo(tmp_path / "demo", seed=1, size_px=400, workers=2, say=said.append)
    assert len(said) == 6
    assert [score.year for score in made.years] == [2021, 2022, 2023]
    for score in made.years:
        assert score.result.edition.count > 20
        assert 0.8 < score.pixels.f1 <= 1
        assert 0.7 < score.observed <= 1
    assert made.picture.read_bytes().startswith(b"\x89PNG")
    changes = diff(made.store, made.years[0].result.edition.id, made.years[2].result.edition.id)
    assert {"merged", "grown", "unchanged"} <= set(changes.table["change"])


@pytest.mark.parametrize("name", ["imagery/field.tif", "store/catalog.json", "demo.png"])
def test_files_that_no_demonstration_made_are_refused_and_left_alone(tmp_path: Path, name: str) -> None:
    mine = tmp_path / name
    mine.parent.mkdir(parents=True, exist_ok=True)
    mine.write_text("mine")
    with pytest.raises(StoreError, match=r"no demonstration is known to have made; give a new or empty --folder"):
        run_demo(tmp_path, seed=1, size_px=300, workers=1, say=lambda _: None)
    assert mine.read_text() == "mine"
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [mine]


def test_a_folder_that_cannot_be_is_one_line(tmp_path: Path) -> None:
    taken = tmp_path / "file"
    taken.write_text("mine")
    with pytest.raises(StoreError, match=r"cannot write a demonstration into '.*file'.*; give another --folder"):
        run_demo(taken, seed=1, size_px=300, workers=1, say=lambda _: None)
    assert taken.read_text() == "mine"


def test_the_command_prints_a_row_a_year_and_replaces_an_earlier_demonstration(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    stale, beside = folder / "store" / "stale.json", folder / "notes.txt"
    stale.parent.mkdir(parents=True)
    for path in (folder / MARKER, stale, beside):
        path.write_text("earlier")
    ran = CliRunner().invoke(app, ["--folder", str(folder), "--size", "301", "--workers", "2"])
    assert ran.exit_code == 0, ran.output
    assert "SIMULATED" in ran.stdout
    assert [line.split("│")[1].strip() for line in ran.stdout.splitlines() if "│" in line] == ["2021", "2022", "2023"]
    assert "water-simulated-lowland-2023-v1" in ran.stdout
    assert not stale.exists()
    assert beside.read_text() == "earlier", "only what a demonstration makes is replaced"
    assert (folder / MARKER).exists()
