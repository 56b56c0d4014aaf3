"""Copies in other formats hold the same objects, and appear whole or not at all."""

from __future__ import annotations

import csv
import io
import json
import shutil
import subprocess
import zipfile
from datetime import date
from pathlib import Path

import geopandas
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pyogrio
import pytest
import shapely

from editing import publish_polygons
from talik_stac import exports
from talik_stac.editions import Edition, read_geo, read_table
from talik_stac.errors import EditionError
from talik_stac.exports import FORMATS, SHAPEFILE_NAMES, export
from talik_stac.inventory import INVENTORY_SCHEMA
from talik_stac.store import Store, open_store


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, Edition]:
    folder = tmp_path_factory.mktemp("published")
    store = open_store(str(folder / "store"))
    lake = shapely.box(0, 0, 0.3, 0.3).difference(shapely.box(0.1, 0.1, 0.2, 0.2))
    split = shapely.MultiPolygon([shapely.box(179.9, 0, 180, 1), shapely.box(-180, 0, -179.9, 1)])
    return store, publish_polygons(store, folder / "a", [lake, shapely.box(1, 0, 1.1, 0.1), split], year=2021)


@pytest.mark.parametrize("form", FORMATS)
def test_an_export_reads_back_as_the_edition(published: tuple[Store, Edition], tmp_path: Path, form: str) -> None:
    store, edition = published
    path = export(store, edition.id, form, tmp_path / f"copy{FORMATS[form]}")
    expected = read_geo(store, edition).set_index("id").sort_index()
    if form == "csv":
        table = pd.read_csv(path)
        geometry = geopandas.GeoSeries.from_wkt(table["wkt"])
        frame = geopandas.GeoDataFrame(table, geometry=geometry)
    elif form == "parquet":
        frame = geopandas.read_parquet(path)
    else:
        frame = pyogrio.read_dataframe(path)
    frame = frame.set_index("id").sort_index()
    assert list(frame.index) == list(expected.index)
    for ours, theirs in zip(expected.geometry, frame.geometry, strict=True):
        assert ours.symmetric_difference(theirs).area < 1e-12
    assert frame["area_m2"].tolist() == pytest.approx(expected["area_m2"].tolist())


@pytest.mark.parametrize("form", [form for form in FORMATS if form not in ("parquet", "shp")])
def test_gdal_reads_every_export(published: tuple[Store, Edition], tmp_path: Path, form: str) -> None:
    ogrinfo = shutil.which("ogrinfo")
    if ogrinfo is None:
        pytest.skip("ogrinfo is not installed (Debian: gdal-bin)")
    store, edition = published
    path = export(store, edition.id, form, tmp_path / f"copy{FORMATS[form]}")
    done = subprocess.run([ogrinfo, "-so", "-al", str(path)], capture_output=True, text=True, check=True)
    assert "Feature Count: 3" in done.stdout


def test_a_shapefile_says_what_its_short_names_mean(published: tuple[Store, Edition], tmp_path: Path) -> None:
    store, edition = published
    path = export(store, edition.id, "shp", tmp_path / "copy.zip")
    with zipfile.ZipFile(path) as archive:
        names = {Path(name).suffix for name in archive.namelist()}
        rows = list(csv.DictReader(io.TextIOWrapper(archive.open("fields.csv"), "utf-8")))
    assert {".shp", ".shx", ".dbf", ".prj", ".cpg"} <= names
    assert {row["column"] for row in rows} == {field.name for field in INVENTORY_SCHEMA} - {"geometry"}
    assert max(len(row["field"]) for row in rows) <= 10
    columns = set(pyogrio.read_dataframe(path).columns)
    assert {row["field"] for row in rows} <= columns


@pytest.mark.parametrize("form", FORMATS)
def test_days_stay_days_in_every_format(folder_store: Store, tmp_path: Path, form: str) -> None:
    days = {"initiated_after": [date(2015, 7, 1), None], "initiated_before": [date(2016, 8, 31), None]}
    boxes = [shapely.box(0, 0, 0.01, 0.01), shapely.box(1, 0, 1.01, 0.01)]
    edition = publish_polygons(folder_store, tmp_path / "files", boxes, year=2021, attributes=days)
    path = export(folder_store, edition.id, form, tmp_path / f"copy{FORMATS[form]}")
    if form == "csv":
        rows = list(csv.DictReader(path.read_text().splitlines()))
        found = {(row["initiated_after"], row["initiated_before"]) for row in rows}
        assert found == {("2015-07-01", "2016-08-31"), ("", "")}
        return
    frame = geopandas.read_parquet(path) if form == "parquet" else pyogrio.read_dataframe(path)
    for name, column in days.items():
        short = SHAPEFILE_NAMES[name] if form == "shp" else name
        assert pd.to_datetime(frame[short]).dropna().dt.date.tolist() == column[:1]
        assert frame[short].dtype.kind == ("O" if form == "parquet" else "M"), "days, not texts"
    if form == "shp":
        with zipfile.ZipFile(path) as archive:
            rows = list(csv.DictReader(io.TextIOWrapper(archive.open("fields.csv"), "utf-8")))
        assert [row["field"] for row in rows[-2:]] == ["init_after", "init_befor"]


def test_geojson_is_lonlat_by_rfc_7946(published: tuple[Store, Edition], tmp_path: Path) -> None:
    store, edition = published
    document = json.loads(export(store, edition.id, "geojson", tmp_path / "copy.geojson").read_text())
    assert "crs" not in document
    assert len(document["features"]) == edition.count


def test_a_file_that_is_there_is_kept_unless_told(published: tuple[Store, Edition], tmp_path: Path) -> None:
    store, edition = published
    path = tmp_path / "copy.gpkg"
    path.write_text("precious")
    with pytest.raises(EditionError, match="--overwrite"):
        export(store, edition.id, "gpkg", path)
    assert path.read_text() == "precious"
    export(store, edition.id, "gpkg", path, overwrite=True)
    assert len(pyogrio.read_dataframe(path)) == edition.count


def test_an_unknown_format_lists_those_there_are(published: tuple[Store, Edition], tmp_path: Path) -> None:
    store, edition = published
    with pytest.raises(EditionError, match="gpkg, shp, geojson, csv, fgb, parquet"):
        export(store, edition.id, "dwg", tmp_path / "copy.dwg")
    with pytest.raises(EditionError, match="does not exist"):
        export(store, edition.id, "gpkg", tmp_path / "no" / "copy.gpkg")
    assert list(tmp_path.iterdir()) == []


def _published(tmp_path: Path, count: int, scenes: list[str] | None = None) -> tuple[Store, Edition]:
    """An edition of `count` boxes, whose objects name these scenes."""
    store = open_store(str(tmp_path / "store"))
    edition = publish_polygons(
        store, tmp_path / "made", [shapely.box(x, 0, x + 0.5, 0.5) for x in range(count)], year=2021
    )
    if scenes is not None:
        key = f"{edition.prefix}/inventory.parquet"
        table = read_table(store, edition)
        names = pa.array([scenes] * count, INVENTORY_SCHEMA.field("scenes").type)
        place = table.column_names.index("scenes")
        geo = pq.read_metadata(pa.BufferReader(store.get(key))).metadata[b"geo"]
        changed = table.set_column(place, table.schema.field("scenes"), names)
        changed = changed.replace_schema_metadata({b"geo": geo})
        pq.write_table(changed, tmp_path / "changed.parquet")
        store.put_file(key, tmp_path / "changed.parquet")
    return store, edition


@pytest.mark.parametrize("form", FORMATS)
def test_an_edition_of_nothing_is_exported_with_its_columns(tmp_path: Path, form: str) -> None:
    store, edition = _published(tmp_path, 0)
    path = export(store, edition.id, form, tmp_path / f"copy{FORMATS[form]}")
    if form == "csv":
        frame = pd.read_csv(path)
    else:
        frame = geopandas.read_parquet(path) if form == "parquet" else pyogrio.read_dataframe(path)
    assert len(frame) == 0
    # GeoJSON names columns in its features alone.
    assert form == "geojson" or {"id", "area_m2", "pixels", "scenes"} <= set(frame.columns)


@pytest.mark.parametrize("form", [form for form in FORMATS if form != "parquet"])
def test_every_value_is_exported(tmp_path: Path, form: str) -> None:
    store, edition = _published(tmp_path, 3)
    path = export(store, edition.id, form, tmp_path / f"copy{FORMATS[form]}")
    frame = pd.read_csv(path) if form == "csv" else pyogrio.read_dataframe(path)
    names = {column: SHAPEFILE_NAMES.get(column, column) for column in INVENTORY_SCHEMA.names} if form == "shp" else {}
    expected = read_geo(store, edition)
    for column in expected.columns.drop(["geometry", "confidence"]):
        found = frame.sort_values("id")[names.get(column, column)].tolist()
        wanted = expected.sort_values("id")[column].tolist()
        if column == "scenes":
            assert found == [",".join(each) for each in wanted]
        elif column.startswith("observed"):
            assert [pd.Timestamp(each) for each in found] == wanted
        else:
            assert found == (pytest.approx(wanted, rel=1e-12) if isinstance(wanted[0], float) else wanted)
    assert frame[names.get("confidence", "confidence")].isna().all()


@pytest.mark.parametrize("form", ["gpkg", "shp"])
def test_a_gis_finds_wgs_84_by_its_epsg_code(tmp_path: Path, form: str) -> None:
    store, edition = _published(tmp_path, 1)
    path = export(store, edition.id, form, tmp_path / f"copy{FORMATS[form]}")
    assert pyogrio.read_dataframe(path).crs.to_epsg(min_confidence=60) == 4326


def test_more_scenes_than_a_shapefile_holds_are_cut_at_a_name_and_counted(tmp_path: Path) -> None:
    scenes = [f"m_4709963_se_14_1_2012{number:04d}" for number in range(30)]
    store, edition = _published(tmp_path, 1, scenes)
    text = pyogrio.read_dataframe(export(store, edition.id, "shp", tmp_path / "copy.zip"))["scenes"][0]
    kept = text.split(",")
    assert len(text.encode()) <= 254
    assert kept[:-1] == scenes[: len(kept) - 1]
    assert kept[-1] == f"and {30 - len(kept) + 1} more"
    whole = pyogrio.read_dataframe(export(store, edition.id, "gpkg", tmp_path / "copy.gpkg"))["scenes"][0]
    assert whole.split(",") == scenes


def test_an_edition_too_large_for_a_shapefile_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, edition = _published(tmp_path, 3)
    monkeypatch.setattr(exports, "SHAPEFILE_LIMIT", 400)
    folder = tmp_path / "out"
    folder.mkdir()
    with pytest.raises(EditionError, match="export gpkg or fgb"):
        export(store, edition.id, "shp", folder / "copy.zip")
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(("form", "name"), [("shp", "copy.shp"), ("gpkg", "copy"), ("csv", "copy.gpkg")])
def test_a_file_whose_ending_belies_its_format_is_refused(
    published: tuple[Store, Edition], tmp_path: Path, form: str, name: str
) -> None:
    store, edition = published
    with pytest.raises(EditionError, match=f"expected {FORMATS[form]}"):
        export(store, edition.id, form, tmp_path / name)


def test_an_export_that_fails_leaves_nothing_and_keeps_what_was_there(
    published: tuple[Store, Edition], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, edition = published
    path = tmp_path / "copy.csv"
    path.write_text("precious")

    def full(frame: geopandas.GeoDataFrame, made: Path) -> None:
        made.write_text("half")
        raise OSError(28, "No space left on device")

    monkeypatch.setitem(exports._WRITERS, "csv", full)
    with pytest.raises(EditionError, match="No space left"):
        export(store, edition.id, "csv", path, overwrite=True)
    assert path.read_text() == "precious"
    assert list(tmp_path.iterdir()) == [path]
