"""Parts of an inventory against all of it, on a folder and on S3."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import shapely

from editing import publish_polygons
from lakes import outlines
from talik_stac.editions import Edition, read_table
from talik_stac.errors import EditionError
from talik_stac.inventory import ROW_GROUP
from talik_stac.reading import ColumnShelf, InventoryReader, Readers, box_array
from talik_stac.store import Store, open_store


@pytest.fixture(scope="module")
def lakes(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, Edition]:
    folder = tmp_path_factory.mktemp("lakes")
    store = open_store(str(folder / "store"))
    return store, publish_polygons(store, folder / "files", outlines(), year=2020)


def test_all_groups_together_are_the_whole_on_any_store(any_store: Store, tmp_path: Path) -> None:
    edition = publish_polygons(any_store, tmp_path / "files", outlines(6_000), year=2020)
    reader, whole = InventoryReader(any_store, edition), read_table(any_store, edition)
    names = whole.column_names
    ids = [name for table in reader.tables(["id"]) for name in table["id"].to_pylist()]
    assert ids == whole["id"].to_pylist()
    assert reader.count == len(whole) == 6_005
    assert reader.read(1, names).equals(whole.slice(ROW_GROUP).select(names))


def test_an_attribute_that_a_file_lacks_is_unknown_everywhere(folder_store: Store, tmp_path: Path) -> None:
    boxes = [shapely.box(0, 0, 0.01, 0.01), shapely.box(1, 0, 1.01, 0.01)]
    day = date(2016, 8, 31)
    dated = publish_polygons(
        folder_store, tmp_path / "a", boxes, year=2021, attributes={"initiated_before": [day, None]}
    )
    plain = publish_polygons(folder_store, tmp_path / "b", boxes, year=2020)
    assert (dated.attributes, plain.attributes) == (("initiated_before",), ())
    names = ["id", "initiated_before", "initiated_after"]
    first, second = (InventoryReader(folder_store, each).read(0, names) for each in (dated, plain))
    assert first.schema == second.schema
    assert first.schema.names == names
    assert sorted(first["initiated_before"].to_pylist(), key=str) == [day, None]
    assert second["initiated_before"].to_pylist() == [None, None] == first["initiated_after"].to_pylist()
    assert set(InventoryReader(folder_store, dated).touching(ranges={"initiated_before": (1, None)})) == {0}


def test_rows_in_a_box_are_those_whose_bounds_touch_it(lakes: tuple[Store, Edition]) -> None:
    store, edition = lakes
    reader, whole = InventoryReader(store, edition), read_table(store, edition)
    bounds = box_array(whole)
    random = np.random.default_rng(3)
    for _ in range(30):
        west, south = random.uniform(-60, 55), random.uniform(50, 74)
        box = (west, south, west + random.uniform(0.1, 30), south + random.uniform(0.1, 10))
        found = {name for table in reader.rows_in([box], ["id"]) for name in table["id"].to_pylist()}
        touching = shapely.intersects(shapely.box(*box), shapely.box(*bounds.T))
        assert found == set(np.array(whole["id"].to_pylist())[touching])


def test_groups_that_cannot_match_are_left_out(lakes: tuple[Store, Edition]) -> None:
    store, edition = lakes
    reader = InventoryReader(store, edition)
    every = set(range(len(reader.groups.rows)))
    assert set(reader.touching()) == every == {0, 1, 2}
    assert len(reader.touching([(170.0, -10.0, 171.0, -9.0)])) == 0
    assert len(reader.touching(ranges={"area_m2": (1e12, None)})) == 0
    assert set(reader.touching(ranges={"area_m2": (None, 1e12)})) == every
    assert set(reader.touching(ranges={"area_m2": ("text", None)})) == every
    assert set(reader.touching(ranges={"nothing": (1, 2)})) == every


def test_a_shelf_holds_no_more_than_it_may() -> None:
    table = read_columns()
    shelf = ColumnShelf(most_bytes=3 * table.nbytes)
    for number in range(10):
        shelf.put(("a", number, "x"), table)
    kept = [number for number in range(10) if shelf.get(("a", number, "x")) is not None]
    assert kept == [7, 8, 9]
    assert shelf.get(("b", 9, "x")) is None


def read_columns() -> pa.ChunkedArray:

    return pa.chunked_array([np.arange(1000.0)])


def test_columns_from_the_shelf_are_those_of_the_file(lakes: tuple[Store, Edition]) -> None:
    store, edition = lakes
    readers, plain = Readers(store), InventoryReader(store, edition)
    reader = readers.of(edition)
    assert readers.of(edition) is reader
    first = reader.read(0, ["id", "area_m2"])
    again = reader.read(0, ["area_m2", "geometry", "id"])
    assert again.select(["id", "area_m2"]).equals(first)
    assert again.equals(plain.read(0, ["area_m2", "geometry", "id"]))


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "store"))
    edition = publish_polygons(store, tmp_path / "files", outlines(10), year=2020)
    store.put(f"{edition.prefix}/inventory.parquet", b"PAR1 no PAR1")
    with pytest.raises(EditionError, match=r"inventory\.parquet is no GeoParquet file"):
        InventoryReader(store, edition)
