"""`talik editions`: what a person and a machine are told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import geopandas
import pyogrio
import pytest
import shapely
from typer.testing import CliRunner, Result

from editing import publish_polygons
from talik_stac.changes import CHANGES
from talik_stac.commands.editions import app
from talik_stac.errors import EditionError
from talik_stac.exports import FORMATS
from talik_stac.store import open_store

A, B = "water-test-2020-v1", "water-test-2021-v1"


def box(x: float, width: float = 0.1) -> shapely.Geometry:
    return shapely.box(x, 0, x + width, 0.1)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with two editions of one area and one of another."""
    folder = tmp_path_factory.mktemp("editions")
    store = open_store(str(folder / "store"))
    publish_polygons(store, folder / "a", [box(0), box(1), box(2, 0.3)], year=2020)
    publish_polygons(store, folder / "b", [box(0, 0.15), box(2), box(2.2), box(4)], year=2021)
    publish_polygons(store, folder / "c", [box(0)], year=2021, area="elsewhere")
    return folder / "store"


def talik(root: Path, *words: str) -> str:
    """Run `talik editions WORDS` and return what it printed; errors come through as they are."""
    ran: Result = CliRunner().invoke(app, [*words, "--store", str(root)], catch_exceptions=False)
    assert ran.exit_code == 0, ran.output
    return ran.stdout


def refused(root: Path, *words: str) -> str:
    """What the error says."""
    with pytest.raises(EditionError) as caught:
        talik(root, *words)
    return str(caught.value)


def test_the_list_names_every_edition_with_its_season_and_area(root: Path) -> None:
    said = talik(root, "list")
    assert "area km2" in said
    assert "2020-06-01 to 2020-09-30" in said
    for name in (A, B, "water-elsewhere-2021-v1"):
        assert name in said


def test_the_list_for_machines_is_json(root: Path) -> None:
    listed: list[dict[str, Any]] = json.loads(talik(root, "list", "--json"))
    assert [each["id"] for each in listed] == ["water-elsewhere-2021-v1", A, B]
    assert [each["count"] for each in listed] == [1, 3, 4]
    assert json.loads(talik(root, "list", "--landform", "slump", "--json")) == []


def test_an_empty_store_says_how_to_fill_it(tmp_path: Path) -> None:
    assert "talik map" in talik(tmp_path / "none", "list")


def test_the_store_of_the_environment_is_the_default(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TALIK_STORE", str(root))
    ran = CliRunner().invoke(app, ["list"], catch_exceptions=False)
    assert A in ran.stdout


def test_one_edition_is_shown_with_its_files(root: Path) -> None:
    said = talik(root, "show", A)
    for part in ("2020-06-01 to 2020-09-30", "3, ", "km2", "ndwi@1", "CC-BY-4.0", "inventory.parquet", "MB"):
        assert part in said
    assert json.loads(talik(root, "show", A, "--json"))["id"] == A


def test_an_unknown_edition_is_answered_with_those_there_are(root: Path) -> None:
    assert A in refused(root, "show", "water-test-2022-v1")
    assert "no edition id" in refused(root, "show", "lakes")


def test_the_difference_is_a_table_in_hectares(root: Path) -> None:
    said = talik(root, "diff", A, B)
    assert "before ha" in said
    rows = {line.split("│")[1].strip(): line.split("│")[2].strip() for line in said.splitlines() if "│" in line}
    assert {name: count for name, count in rows.items() if count != "0"} == {
        "new": "1",
        "gone": "1",
        "grown": "1",
        "split": "1",
        "all": "4",
    }


def test_the_difference_for_machines_names_every_class(root: Path) -> None:
    said = json.loads(talik(root, "diff", A, B, "--json"))
    assert (said["a"], said["b"]) == (A, B)
    assert [each["change"] for each in said["changes"]] == list(CHANGES)
    editions = {each["id"]: each for each in json.loads(talik(root, "list", "--json"))}
    for side, name in (("a", A), ("b", B)):
        total = sum(each[f"area_{side}_m2"] for each in said["changes"])
        assert total == pytest.approx(editions[name]["area_m2"])


def test_a_wide_tolerance_makes_growth_unchanged(root: Path) -> None:
    said = json.loads(talik(root, "diff", A, B, "--json", "--tolerance-percent", "40"))
    counts = {each["change"]: each["groups"] for each in said["changes"]}
    assert (counts["grown"], counts["unchanged"]) == (0, 1)


@pytest.mark.parametrize("ending", [".gpkg", ".geojson", ".csv", ".fgb", ".parquet"])
def test_the_changes_are_written_by_the_ending_of_the_file(root: Path, tmp_path: Path, ending: str) -> None:
    out = tmp_path / f"changes{ending}"
    assert str(out) in talik(root, "diff", A, B, "--out", str(out)).replace("\n", "")
    read = geopandas.read_parquet(out) if ending == ".parquet" else pyogrio.read_dataframe(out)
    assert sorted(read["change"]) == ["gone", "grown", "new", "split"]
    percent = read.set_index("change")["change_percent"]
    assert percent["new"] in ("", None) or percent.isna()["new"]
    assert float(percent["gone"]) == -100
    assert list(tmp_path.iterdir()) == [out]


def test_a_file_that_is_there_is_kept_unless_told(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "changes.csv"
    out.write_text("precious")
    assert "--overwrite" in refused(root, "diff", A, B, "--out", str(out))
    assert out.read_text() == "precious"
    talik(root, "diff", A, B, "--out", str(out), "--overwrite")
    assert out.read_text().startswith("change,")


def test_a_file_of_another_ending_is_refused(root: Path, tmp_path: Path) -> None:
    assert ".gpkg" in refused(root, "diff", A, B, "--out", str(tmp_path / "changes.shp"))
    assert "does not exist" in refused(root, "diff", A, B, "--out", str(tmp_path / "no" / "changes.csv"))


def test_editions_of_two_areas_are_compared_only_when_asked(root: Path) -> None:
    other = "water-elsewhere-2021-v1"
    assert "--any-area" in refused(root, "diff", A, other)
    assert json.loads(talik(root, "diff", A, other, "--any-area", "--json"))["b"] == other


@pytest.mark.parametrize("form", FORMATS)
def test_an_export_bears_the_name_of_the_edition(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    monkeypatch.chdir(tmp_path)
    said = talik(root, "export", A, "--format", form)
    assert said.strip() == f"{A}{FORMATS[form]}"
    assert [path.name for path in tmp_path.iterdir()] == [said.strip()]


def test_an_export_goes_where_it_is_told(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "lakes.gpkg"
    talik(root, "export", A, "--format", "gpkg", "--out", str(out))
    assert len(pyogrio.read_dataframe(out)) == 3
    assert "--overwrite" in refused(root, "export", A, "--format", "gpkg", "--out", str(out))
    assert "gpkg, shp" in refused(root, "export", A, "--format", "kml")
