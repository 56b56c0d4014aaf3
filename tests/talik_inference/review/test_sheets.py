"""A sheet goes out, an expert edits it as QGIS would, and only what changed comes back."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import date
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as Xml

import geopandas
import pandas as pd
import pyogrio
import pytest
import shapely
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from editing import publish_polygons
from talik_inference.review.confirmed import publish_confirmed
from talik_inference.review.returned import Imported, import_sheet
from talik_inference.review.sheets import LAYER, write_sheet
from talik_stac.editions import load_edition, read_geo
from talik_stac.errors import EditionError
from talik_stac.review_documents import ReviewError, Said, as_geojson, criteria_for, decide
from talik_stac.reviews import Standing, append, read_decisions, standing
from talik_stac.store import Store, open_store

EDITION = "water-test-2021-v1"


def box(x: float, size: float = 0.01, y: float = 0.0) -> shapely.Polygon:
    return shapely.box(x, y, x + size, y + size)


def edition_of(store: Store, folder: Path, *xs: float) -> list[str]:
    """Publish boxes as EDITION; their ids by place."""
    edition = publish_polygons(store, folder / "edition", [box(x) for x in xs], year=2021)
    frame = read_geo(store, edition)
    return [frame["id"].iat[i] for i in frame.geometry.bounds["minx"].argsort()]


def edit(path: Path, sql: str, *values: object) -> None:
    """Change attributes in place, as QGIS does."""
    with closing(sqlite3.connect(path)) as base, base:
        # What the triggers of the spatial index call, GeoPackage 1.3, annex F.3.
        base.create_function("ST_IsEmpty", 1, lambda blob: outline(blob).is_empty)
        for place, name in enumerate(("ST_MinX", "ST_MinY", "ST_MaxX", "ST_MaxY")):
            base.create_function(name, 1, lambda blob, place=place: outline(blob).bounds[place])
        base.execute(sql, values)


def outline(blob: bytes) -> shapely.Geometry:
    """The geometry in a GeoPackage blob: a header of 8 bytes, an envelope, WKB (GeoPackage 1.3, 2.1.3.1)."""
    return shapely.from_wkb(blob[8 + (0, 32, 48, 48, 64)[blob[3] >> 1 & 7] :])


def rewrite(path: Path, change: Callable[[geopandas.GeoDataFrame], geopandas.GeoDataFrame]) -> None:
    """Read all rows, change them, and save the layer anew: what a GIS does with geometries."""
    frame = change(geopandas.read_file(path, layer=LAYER))
    path.unlink()
    pyogrio.write_dataframe(frame, path, layer=LAYER, driver="GPKG", geometry_type="MultiPolygon")


def draw(path: Path, polygon: shapely.Geometry, **values: Any) -> None:
    """Add a polygon to the layer."""
    frame = geopandas.GeoDataFrame({name: [value] for name, value in values.items()}, geometry=[polygon], crs=4326)
    pyogrio.write_dataframe(frame, path, layer=LAYER, driver="GPKG", append=True, promote_to_multi=True)


def stands(store: Store, reviewer: str = "Ann") -> dict[str, Standing]:
    found = standing(store, EDITION, read_geo(store, load_edition(store, EDITION)))
    return {each.object_id: each for each in found if each.reviewer == reviewer}


def counts(done: Imported) -> tuple[int, int, int]:
    return len(done.decisions), done.unchanged, done.undecided


def test_what_an_expert_fills_in_comes_back_as_decisions(any_store: Store, tmp_path: Path) -> None:
    a, b, c = edition_of(any_store, tmp_path, 0, 0.1, 0.2)
    sheet = tmp_path / "ann.gpkg"
    assert write_sheet(any_store, EDITION, reviewer="Ann", path=sheet) == 3
    one, two, *_ = criteria_for("water")
    edit(
        sheet,
        f"UPDATE review SET status = 'confirmed', {one} = 1, {two} = 0, confidence = 0.8, comment = 'deep',"
        " initiated_after = '2014-07-01', initiated_before = '2016-08-31' WHERE id = ?",
        a,
    )
    edit(sheet, "UPDATE review SET status = 'rejected' WHERE id = ?", b)
    done = import_sheet(any_store, sheet, reviewer="Ann")
    assert counts(done) == (2, 0, 1)
    said = stands(any_store)[a].said
    assert said == Said(
        status="confirmed",
        criteria={one: True, two: False},
        confidence=0.8,
        comment="deep",
        initiated_after=date(2014, 7, 1),
        initiated_before=date(2016, 8, 31),
    )
    assert stands(any_store)[b].status == "rejected"
    assert c not in stands(any_store)


def test_the_same_sheet_twice_changes_nothing(any_store: Store, tmp_path: Path) -> None:
    a, *_ = edition_of(any_store, tmp_path, 0, 0.1)
    sheet = tmp_path / "ann.gpkg"
    write_sheet(any_store, EDITION, reviewer="Ann", path=sheet)
    edit(sheet, "UPDATE review SET status = 'confirmed' WHERE id = ?", a)
    draw(sheet, box(0.5), comment="missed")
    assert counts(import_sheet(any_store, sheet, reviewer="Ann")) == (2, 0, 1)
    before = {key: any_store.get(key) for key in any_store.list("reviews")}
    assert counts(import_sheet(any_store, sheet, reviewer="Ann")) == (0, 2, 1)
    assert {key: any_store.get(key) for key in any_store.list("reviews")} == before


def test_a_sheet_that_is_exported_anew_shows_what_was_decided_and_says_nothing_new(
    any_store: Store, tmp_path: Path
) -> None:
    a, b, _ = edition_of(any_store, tmp_path, 0, 0.1, 0.2)
    sheet, again = tmp_path / "ann.gpkg", tmp_path / "again.gpkg"
    write_sheet(any_store, EDITION, reviewer="Ann", path=sheet)
    edit(sheet, "UPDATE review SET status = 'unsure', comment = 'cloud' WHERE id = ?", a)
    rewrite(sheet, lambda frame: frame.set_geometry([box(0.1, 0.02) if i == b else g for i, g in ids_of(frame)]))
    draw(sheet, box(0.5), status="confirmed", confidence=0.4)
    import_sheet(any_store, sheet, reviewer="Ann")
    assert write_sheet(any_store, EDITION, reviewer="Ann", path=again) == 4
    shown = geopandas.read_file(again, layer=LAYER).set_index("id")
    assert shown["status"].to_dict()[a] == "unsure"
    assert shown.loc[b, "status"] == "edited"
    assert shown.loc[b, "geometry"].equals(box(0.1, 0.02))
    assert sorted(shown["origin"]) == ["candidate", "candidate", "candidate", "drawn"]
    assert counts(import_sheet(any_store, again, reviewer="Ann")) == (0, 3, 1)


def ids_of(frame: geopandas.GeoDataFrame) -> zip[tuple[str, shapely.Geometry]]:
    return zip(frame["id"], frame.geometry, strict=True)


def test_a_redrawn_outline_is_an_edit_even_where_the_status_was_left(folder_store: Store, tmp_path: Path) -> None:
    a, b = edition_of(folder_store, tmp_path, 0, 0.1)
    sheet = tmp_path / "ann.gpkg"
    write_sheet(folder_store, EDITION, reviewer="Ann", path=sheet)
    edit(sheet, "UPDATE review SET status = 'confirmed' WHERE id = ?", a)
    rewrite(sheet, lambda frame: frame.set_geometry([g.buffer(0.001) for g in frame.geometry]))
    import_sheet(folder_store, sheet, reviewer="Ann")
    assert {name: each.status for name, each in stands(folder_store).items()} == {a: "edited", b: "edited"}
    assert stands(folder_store)[a].decision.seen.equals(box(0)), "the outline that the expert saw is kept"


def test_rows_that_were_deleted_are_left_undecided_and_told(folder_store: Store, tmp_path: Path) -> None:
    a, b = edition_of(folder_store, tmp_path, 0, 0.1)
    sheet = tmp_path / "ann.gpkg"
    write_sheet(folder_store, EDITION, reviewer="Ann", path=sheet)
    rewrite(sheet, lambda frame: frame[frame["id"] == a])
    done = import_sheet(folder_store, sheet, reviewer="Ann")
    assert done.missing == (b,)
    assert read_decisions(folder_store, EDITION) == []


def test_a_polygon_that_was_drawn_and_then_moved_is_one_object(folder_store: Store, tmp_path: Path) -> None:
    edition_of(folder_store, tmp_path, 0)
    sheet = tmp_path / "ann.gpkg"
    write_sheet(folder_store, EDITION, reviewer="Ann", path=sheet)
    draw(sheet, box(0.5))
    (first,) = import_sheet(folder_store, sheet, reviewer="Ann").decisions
    rewrite(sheet, lambda frame: frame[frame["id"].notna()])
    draw(sheet, box(0.501))
    (second,) = import_sheet(folder_store, sheet, reviewer="Ann").decisions
    assert second.object_id == first.object_id
    (found,) = stands(folder_store).values()
    assert found.redrawn is not None
    assert found.redrawn.equals(box(0.501))


def test_an_old_sheet_does_not_undo_what_was_said_since(folder_store: Store, tmp_path: Path) -> None:
    a, b = edition_of(folder_store, tmp_path, 0, 0.1)
    old, new = tmp_path / "old.gpkg", tmp_path / "new.gpkg"
    write_sheet(folder_store, EDITION, reviewer="Ann", path=new)
    edit(new, "UPDATE review SET status = 'confirmed'")
    import_sheet(folder_store, new, reviewer="Ann")
    write_sheet(folder_store, EDITION, reviewer="Ann", path=old)
    edit(new, "UPDATE review SET status = 'rejected' WHERE id = ?", a)
    assert import_sheet(folder_store, new, reviewer="Ann").changed == 1
    edit(old, "UPDATE review SET status = 'unsure' WHERE id = ?", b)
    assert counts(import_sheet(folder_store, old, reviewer="Ann")) == (1, 1, 0)
    assert {name: each.status for name, each in stands(folder_store).items()} == {a: "rejected", b: "unsure"}


def test_a_status_that_was_taken_out_leaves_the_decision(folder_store: Store, tmp_path: Path) -> None:
    (a,) = edition_of(folder_store, tmp_path, 0)
    sheet = tmp_path / "ann.gpkg"
    write_sheet(folder_store, EDITION, reviewer="Ann", path=sheet)
    edit(sheet, "UPDATE review SET status = 'confirmed'")
    import_sheet(folder_store, sheet, reviewer="Ann")
    write_sheet(folder_store, EDITION, reviewer="Ann", path=sheet, overwrite=True)
    edit(sheet, "UPDATE review SET status = NULL")
    assert import_sheet(folder_store, sheet, reviewer="Ann").emptied == (a,)
    assert stands(folder_store)[a].status == "confirmed"


def test_carried_decisions_are_filled_in_and_not_asked_again(folder_store: Store, tmp_path: Path) -> None:
    edition_of(folder_store, tmp_path, 0)
    before = decide(
        edition="water-test-2019-v1",
        object_id="then",
        geometry=box(0.001),
        reviewer="Ann",
        at=pd.Timestamp("2022-01-01", tz="UTC").to_pydatetime(),
        said=Said(status="edited", redrawn=as_geojson(box(0, 0.02))),
    )
    append(folder_store, [before])
    sheet = tmp_path / "ann.gpkg"
    write_sheet(folder_store, EDITION, reviewer="Ann", path=sheet)
    (row,) = geopandas.read_file(sheet, layer=LAYER).itertuples()
    assert (row.status, row.redrawn) == ("confirmed", False)
    assert row.origin == "candidate, decided in water-test-2019-v1 (overlap 0.82)"
    assert counts(import_sheet(folder_store, sheet, reviewer="Ann")) == (0, 1, 0)


def test_a_sheet_of_a_confirmed_edition_asks_nothing_again(folder_store: Store, tmp_path: Path) -> None:
    a, b = edition_of(folder_store, tmp_path, 0, 0.1)
    sheet, second = tmp_path / "ann.gpkg", tmp_path / "second.gpkg"
    write_sheet(folder_store, EDITION, reviewer="Ann", path=sheet)
    edit(sheet, "UPDATE review SET status = 'confirmed' WHERE id = ?", b)
    rewrite(sheet, lambda frame: frame.set_geometry([box(0, 0.012) if i == a else g for i, g in ids_of(frame)]))
    draw(sheet, box(0.5))
    import_sheet(folder_store, sheet, reviewer="Ann")
    confirmed = publish_confirmed(folder_store, EDITION).edition.id
    write_sheet(folder_store, confirmed, reviewer="Ann", path=second)
    shown = geopandas.read_file(second, layer=LAYER)
    assert sorted(shown["status"]) == ["confirmed", "edited", "edited"]
    assert counts(import_sheet(folder_store, second, reviewer="Ann")) == (0, 3, 0)


FAULTS = {
    "status is 'maybe'; expected one of confirmed, rejected": "UPDATE review SET status = 'maybe'",
    "confidence is '7.0'; expected a number from 0 to 1": "UPDATE review SET status='unsure', confidence = 7",
    "initiated_after .* lies after": "UPDATE review SET status='confirmed', initiated_after='2020-01-02',"
    " initiated_before='2019-01-01'",
    "status 'edited' without another outline: redraw it": "UPDATE review SET status = 'edited'",
    "comment is 'why' but status is empty": "UPDATE review SET comment = 'why'",
    "no such object": "UPDATE review SET id = 'water-nowhere'",
    "edition is 'water-test-2021-v7', not|no edition 'water-test-2021-v7'": "UPDATE review SET edition ="
    " 'water-test-2021-v7'",
    "reviewer is 'Bob', not 'Ann'; export a sheet for each": "UPDATE review SET reviewer = 'Bob'",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_told_with_layer_row_and_value_and_nothing_is_imported(
    folder_store: Store, tmp_path: Path, fault: str
) -> None:
    edition_of(folder_store, tmp_path, 0)
    sheet = tmp_path / "ann.gpkg"
    write_sheet(folder_store, EDITION, reviewer="Ann", path=sheet)
    draw(sheet, box(0.5), status="confirmed")
    edit(sheet, f"{FAULTS[fault]} WHERE fid = 1")
    with pytest.raises((ReviewError, EditionError), match=fault) as caught:
        import_sheet(folder_store, sheet, reviewer="Ann")
    if "v7" not in fault:
        assert "layer review, row 1" in str(caught.value)
    assert read_decisions(folder_store, EDITION) == []


def test_a_polygon_that_crosses_itself_is_told(folder_store: Store, tmp_path: Path) -> None:
    edition_of(folder_store, tmp_path, 0)
    sheet = tmp_path / "ann.gpkg"
    write_sheet(folder_store, EDITION, reviewer="Ann", path=sheet)
    draw(sheet, shapely.Polygon([(1, 1), (2, 2), (2, 1), (1, 2)]))
    with pytest.raises(ReviewError, match=r"layer review, row 2 \(new\): is no valid polygon: Self-intersection"):
        import_sheet(folder_store, sheet, reviewer="Ann")


def test_two_rows_of_one_object_are_told(folder_store: Store, tmp_path: Path) -> None:
    (a,) = edition_of(folder_store, tmp_path, 0)
    sheet = tmp_path / "ann.gpkg"
    write_sheet(folder_store, EDITION, reviewer="Ann", path=sheet)
    draw(sheet, box(0, 0.004), id=a, status="confirmed")
    with pytest.raises(ReviewError, match=f"object {a} is there twice"):
        import_sheet(folder_store, sheet, reviewer="Ann")


def test_another_crs_or_file_is_refused(folder_store: Store, tmp_path: Path) -> None:
    edition_of(folder_store, tmp_path, 0)
    sheet = tmp_path / "ann.gpkg"
    write_sheet(folder_store, EDITION, reviewer="Ann", path=sheet)
    with pytest.raises(EditionError, match="--overwrite"):
        write_sheet(folder_store, EDITION, reviewer="Ann", path=sheet)
    rewrite(sheet, lambda frame: frame.to_crs(32631))
    with pytest.raises(ReviewError, match="CRS is EPSG:32631"):
        import_sheet(folder_store, sheet, reviewer="Ann")
    other = tmp_path / "other.gpkg"
    pyogrio.write_dataframe(geopandas.GeoDataFrame(geometry=[box(0)], crs=4326), other, layer="lakes")
    with pytest.raises(ReviewError, match="no layer 'review' but lakes"):
        import_sheet(folder_store, other, reviewer="Ann")
    (tmp_path / "text.gpkg").write_text("no")
    with pytest.raises(ReviewError, match="cannot read"):
        import_sheet(folder_store, tmp_path / "text.gpkg", reviewer="Ann")


def test_a_sheet_of_an_empty_edition_takes_what_is_drawn(folder_store: Store, tmp_path: Path) -> None:
    edition_of(folder_store, tmp_path)
    sheet = tmp_path / "ann.gpkg"
    assert write_sheet(folder_store, EDITION, reviewer="Ann", path=sheet) == 0
    draw(sheet, box(0.5))
    with pytest.raises(ReviewError, match="give --edition"):
        import_sheet(folder_store, sheet, reviewer="Ann")
    assert len(import_sheet(folder_store, sheet, reviewer="Ann", edition=EDITION).decisions) == 1


def test_the_sheet_tells_a_gis_what_may_be_filled_in(folder_store: Store, tmp_path: Path) -> None:
    edition_of(folder_store, tmp_path, 0)
    sheet = tmp_path / "ann.gpkg"
    write_sheet(folder_store, EDITION, reviewer="Ann", path=sheet)
    assert [name for name, _ in pyogrio.list_layers(sheet)] == ["review", "layer_styles"]
    with closing(sqlite3.connect(sheet)) as base:
        allowed = base.execute("SELECT value FROM gpkg_data_column_constraints WHERE constraint_type='enum'").fetchall()
        (qml,) = base.execute("SELECT styleQML FROM layer_styles WHERE useAsDefault").fetchone()
        columns = {row[1] for row in base.execute("PRAGMA table_info(review)")}
        described = {row[0] for row in base.execute("SELECT column_name FROM gpkg_data_columns")}
    assert {value for (value,) in allowed} == {"confirmed", "rejected", "edited", "unsure"}
    assert described <= columns
    fields = Xml.fromstring(qml.partition("\n")[2]).findall("fieldConfiguration/field")
    assert {field.get("name") for field in fields} <= columns


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(order=st.lists(st.sampled_from(["ann", "again", "bob", "cat"]), min_size=3, max_size=6))
def test_any_order_of_imports_gives_the_same_state(tmp_path_factory: pytest.TempPathFactory, order: list[str]) -> None:
    folder = tmp_path_factory.mktemp("orders")
    store = open_store(str(folder / "store"))
    a, b, c = edition_of(store, folder, 0, 0.1, 0.2)
    words = {"ann": {a: "confirmed", b: "rejected"}, "bob": {a: "rejected", c: "unsure"}, "cat": {b: "unsure"}}
    sheets = {**words, "again": {c: "unsure"}}  # a second sheet of ann, about another object
    who = {"again": "ann"}
    for name, said in sheets.items():
        write_sheet(store, EDITION, reviewer=who.get(name, name), path=folder / f"{name}.gpkg")
        for object_id, status in said.items():
            edit(folder / f"{name}.gpkg", "UPDATE review SET status = ? WHERE id = ?", status, object_id)
        draw(folder / f"{name}.gpkg", box(0.5))
    for name in [*order, *sheets]:
        import_sheet(store, folder / f"{name}.gpkg", reviewer=who.get(name, name))
    drawn = {each.object_id for each in stands(store, "ann").values() if each.added}
    assert len(drawn) == 1, "all three drew the same object"
    words["ann"][c] = "unsure"
    for name, said in words.items():
        found = {object_id: each.status for object_id, each in stands(store, name).items()}
        assert found == said | dict.fromkeys(drawn, "confirmed")
    assert len(read_decisions(store, EDITION)) == 9
