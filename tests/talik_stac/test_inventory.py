"""The inventory files: the same bytes for the same rows, and valid GeoParquet and FlatGeobuf."""

from __future__ import annotations

import itertools
import json
import shutil
import subprocess
import sys
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pyogrio
import pytest
import shapely
import shapely.affinity
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import CRS

from talik_stac.hilbert import hilbert_codes
from talik_stac.inventory import (
    ATTRIBUTES,
    INVENTORY_SCHEMA,
    ROW_GROUP,
    InventoryBuilder,
    InventorySummary,
    fresh_id,
    schema_with,
)

SEEN = datetime(2014, 7, 20, tzinfo=UTC)


def random_rows(count: int, *, seed: int = 0) -> pa.Table:
    """Boxes of random size all over the Arctic; each hundredth is two boxes."""
    rng = np.random.default_rng(seed)
    lon, lat = rng.uniform(-179, 178, count), rng.uniform(60, 80, count)
    size = rng.uniform(0.001, 0.01, count)
    geometry = shapely.box(lon - size, lat - size, lon + size, lat + size)
    for number in range(0, count, 100):
        geometry[number] = shapely.union_all([geometry[number], shapely.affinity.translate(geometry[number], 0.1, 0.1)])
    wkb = shapely.to_wkb(geometry)
    values: dict[str, Any] = {
        "id": [fresh_id("water", each) for each in wkb],
        "landform": ["water"] * count,
        "geometry": wkb,
        "area_m2": rng.uniform(100, 1e6, count),
        "perimeter_m": rng.uniform(40, 1e4, count),
        "shape_index": rng.uniform(1, 3, count),
        "lon": lon,
        "lat": lat,
        "probability": rng.uniform(0.5, 1, count),
        "confidence": [None if number % 2 else 0.5 for number in range(count)],
        "status": ["candidate"] * count,
        "observed_start": [SEEN] * count,
        "observed_end": [None] * count,
        "scenes": [["one", "two"]] * count,
        "edition": ["water-north-2014-v1"] * count,
        "model": ["ndwi@1"] * count,
        "on_aoi_edge": rng.random(count) < 0.1,
        "on_data_edge": rng.random(count) < 0.1,
        "pixels": rng.integers(1, 1000, count),
    }
    return pa.table(values, schema=INVENTORY_SCHEMA)


def _write(folder: Path, tables: list[pa.Table], **options: Any) -> tuple[Path, Path, InventorySummary]:
    if folder.exists():
        shutil.rmtree(folder)
    builder = InventoryBuilder(folder / "work")
    for table in tables:
        builder.add(table)
    parquet, fgb = folder / "inventory.parquet", folder / "inventory.fgb"
    return parquet, fgb, builder.write(parquet, fgb, **options)


def test_attributes_lie_behind_the_columns_of_all(tmp_path: Path) -> None:
    rows = random_rows(20)
    days = [None if number % 2 else date(2016, 8, number + 1) for number in range(20)]
    dated = rows
    for field in ATTRIBUTES:
        dated = dated.append_column(field, pa.array(days, field.type))
    plain, _, none = _write(tmp_path / "plain", [dated])
    builder = InventoryBuilder(tmp_path / "work", attributes=ATTRIBUTES.names)
    builder.add(dated.slice(10))
    builder.add(dated.slice(0, 10))
    parquet, fgb = tmp_path / "i.parquet", tmp_path / "i.fgb"
    summary = builder.write(parquet, fgb)
    assert (none.attributes, summary.attributes) == ((), ("initiated_after", "initiated_before"))
    table = pq.read_table(parquet)
    assert table.schema.names == [*INVENTORY_SCHEMA.names, *ATTRIBUTES.names, "bbox"]
    assert schema_with(["initiated_before"]).names == [*INVENTORY_SCHEMA.names, "initiated_before"]
    found = dict(zip(table["id"].to_pylist(), table["initiated_after"].to_pylist(), strict=True))
    assert found == dict(zip(rows["id"].to_pylist(), days, strict=True))
    again = pyogrio.read_dataframe(fgb)
    assert pd.to_datetime(again["initiated_before"]).notna().sum() == 10
    assert pq.read_table(plain).equals(table.drop_columns(ATTRIBUTES.names))


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> tuple[pa.Table, Path, Path, InventorySummary]:
    """60,000 rows: more than one stretch of the curve and more than one row group."""
    rows = random_rows(60_000)
    return rows, *_write(tmp_path_factory.mktemp("many") / "out", [rows])


Many = tuple[pa.Table, Path, Path, InventorySummary]


@given(
    order=st.permutations(range(40)),
    cuts=st.lists(st.integers(0, 40), max_size=5).map(sorted),
)
@settings(max_examples=12, deadline=None)
def test_any_order_and_any_chunks_give_the_same_bytes(
    tmp_path_factory: pytest.TempPathFactory, order: list[int], cuts: list[int]
) -> None:
    rows = random_rows(40)
    folder = tmp_path_factory.mktemp("bytes")
    shuffled = rows.take(pa.array(order))
    ends = [0, *cuts, 40]
    chunks = [shuffled.slice(start, end - start) for start, end in itertools.pairwise(ends)]
    parquet, fgb, summary = _write(folder / "a", chunks)
    parquet_too, fgb_too, summary_too = _write(folder / "b", [rows])
    assert parquet.read_bytes() == parquet_too.read_bytes()
    assert fgb.read_bytes() == fgb_too.read_bytes()
    assert summary == summary_too


def test_many_rows_in_another_order_and_other_chunks_give_the_same_bytes(many: Many, tmp_path: Path) -> None:
    rows, parquet, fgb, summary = many
    shuffled = rows.take(pa.array(np.random.default_rng(1).permutation(len(rows))))
    chunks = [shuffled.slice(start, 7_001) for start in range(0, len(rows), 7_001)]
    parquet_too, fgb_too, summary_too = _write(tmp_path / "out", chunks)
    assert parquet.read_bytes() == parquet_too.read_bytes()
    assert fgb.read_bytes() == fgb_too.read_bytes()
    assert summary == summary_too


def test_no_row_is_lost_or_changed(many: Many) -> None:
    rows, parquet, _, summary = many
    read = pq.read_table(parquet)
    assert read.drop_columns("bbox").sort_by("id").equals(rows.sort_by("id"))
    assert summary.count == len(rows)
    assert summary.area_m2 == pytest.approx(sum(rows["area_m2"].to_pylist()), rel=1e-12)
    boxes = shapely.bounds(shapely.from_wkb(rows["geometry"].to_numpy(zero_copy_only=False)))
    assert summary.bounds == (*boxes[:, :2].min(axis=0), *boxes[:, 2:].max(axis=0))


def test_row_groups_have_their_size_and_lie_together(many: Many) -> None:
    _, parquet, _, _ = many
    file = pq.ParquetFile(parquet)
    sizes = [file.metadata.row_group(number).num_rows for number in range(file.num_row_groups)]
    assert sizes == [ROW_GROUP] * 12
    lon = [file.read_row_group(number, columns=["lon"])["lon"].to_numpy() for number in range(12)]
    # The curve over the world visits the north-west, then the north-east: groups share little of the circle.
    assert max(np.ptp(each) for each in lon) < 200


def test_the_file_is_sorted_by_place_alone(many: Many) -> None:
    _, parquet, _, _ = many
    read = pq.read_table(parquet, columns=["lon", "lat"])
    codes = hilbert_codes(read["lon"].to_numpy(), read["lat"].to_numpy())
    assert (np.diff(codes.astype(object)) >= 0).all()


def test_twins_at_one_place_keep_one_order(tmp_path: Path) -> None:
    row = random_rows(1)
    twins = pa.concat_tables([row.set_column(0, INVENTORY_SCHEMA.field("id"), pa.array([name])) for name in "bca"])
    forth, _, _ = _write(tmp_path / "a", [twins])
    back, _, _ = _write(tmp_path / "b", [twins.slice(2), twins.slice(0, 2)])
    assert forth.read_bytes() == back.read_bytes()
    assert pq.read_table(forth)["id"].to_pylist() == ["a", "b", "c"]


def test_the_geo_metadata_are_those_of_geoparquet_1_1(many: Many) -> None:
    _, parquet, _, summary = many
    geo = json.loads(pq.read_metadata(parquet).metadata[b"geo"])
    column = geo["columns"]["geometry"]
    assert (geo["version"], geo["primary_column"], column["encoding"]) == ("1.1.0", "geometry", "WKB")
    assert CRS.from_json_dict(column["crs"]) == CRS.from_user_input("OGC:CRS84")
    assert column["geometry_types"] == ["MultiPolygon", "Polygon"]
    assert summary.bounds is not None
    assert tuple(column["bbox"]) == summary.bounds
    assert column["covering"]["bbox"]["xmax"] == ["bbox", "xmax"]


def test_each_column_says_what_it_is_and_its_unit(many: Many) -> None:
    _, parquet, _, _ = many
    schema = pq.read_schema(parquet)
    assert all(field.metadata[b"description"] for field in schema)
    assert schema.field("area_m2").metadata[b"unit"] == b"m2"
    assert schema.field("perimeter_m").metadata[b"unit"] == b"m"


@pytest.mark.parametrize("count", [0, 250])
def test_the_validator_finds_nothing_wrong(tmp_path: Path, count: int) -> None:
    parquet, _, _ = _write(tmp_path / "out", [random_rows(count)])
    program = Path(sys.executable).with_name("geoparquet-validator")
    if not program.exists():
        pytest.skip("geoparquet-validator is not installed")
    ran = subprocess.run([program, "check", "--json", parquet], check=False, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert '"fail"' not in ran.stdout.lower()


@pytest.mark.parametrize("tables", [[], [random_rows(0)]])
def test_an_inventory_of_nothing_is_a_file_with_all_columns(tmp_path: Path, tables: list[pa.Table]) -> None:
    parquet, fgb, summary = _write(tmp_path / "out", tables)
    assert summary == InventorySummary(count=0, area_m2=0, bounds=None)
    frame = geopandas.read_parquet(parquet)
    assert len(frame) == 0
    assert list(frame.columns) == INVENTORY_SCHEMA.names
    assert len(pyogrio.read_dataframe(fgb)) == 0


@given(west=st.floats(-180, 170), south=st.floats(58, 79), width=st.floats(0.01, 60), height=st.floats(0.01, 10))
@settings(max_examples=15, deadline=None)
def test_a_bbox_read_gives_what_a_look_at_every_row_gives(
    many: Many, west: float, south: float, width: float, height: float
) -> None:
    rows, parquet, fgb, _ = many
    east, north = west + width, south + height
    boxes = shapely.bounds(shapely.from_wkb(rows["geometry"].to_numpy(zero_copy_only=False)))
    meets = (boxes[:, 0] <= east) & (boxes[:, 2] >= west) & (boxes[:, 1] <= north) & (boxes[:, 3] >= south)
    expected = sorted(np.array(rows["id"].to_pylist(), dtype=object)[meets])
    read = geopandas.read_parquet(parquet, bbox=(west, south, east, north), columns=["id", "geometry"])
    assert sorted(read["id"]) == expected
    streamed = pyogrio.read_dataframe(fgb, bbox=(west, south, east, north), columns=["id"])
    box = shapely.box(west, south, east, north)
    truly = shapely.intersects(read.geometry.to_numpy(), box)
    assert sorted(read["id"][truly]) == sorted(streamed["id"][shapely.intersects(streamed.geometry.to_numpy(), box)])


def test_the_flatgeobuf_holds_the_samerandom_rows(tmp_path: Path) -> None:
    parquet, fgb, _ = _write(tmp_path / "out", [random_rows(300)])
    ours = geopandas.read_parquet(parquet).sort_values("id", ignore_index=True)
    theirs = pyogrio.read_dataframe(fgb).sort_values("id", ignore_index=True)
    assert theirs.crs == "OGC:CRS84"
    assert shapely.equals_identical(ours.geometry.to_numpy(), theirs.geometry.to_numpy()).all()
    assert theirs["scenes"].unique().tolist() == ["one,two"]
    columns = [name for name in INVENTORY_SCHEMA.names if name not in ("geometry", "scenes")]
    pd.testing.assert_frame_equal(
        pd.DataFrame(ours[columns]), pd.DataFrame(theirs[columns]), check_dtype=False, check_exact=True
    )


def test_an_object_named_before_keeps_its_name(tmp_path: Path) -> None:
    rows = random_rows(3)
    first = rows["id"][0].as_py()
    parquet, fgb, _ = _write(tmp_path / "out", [rows], id_for={first: "water-old"})
    ids = set(rows["id"].to_pylist()) - {first} | {"water-old"}
    assert set(pq.read_table(parquet)["id"].to_pylist()) == ids
    assert set(pyogrio.read_dataframe(fgb)["id"]) == ids


def test_a_fresh_id_depends_on_landform_and_shape_alone() -> None:
    wkb = shapely.to_wkb(shapely.box(0, 0, 1, 1))
    assert fresh_id("water", wkb) == fresh_id("water", wkb)
    assert fresh_id("water", wkb) != fresh_id("slump", wkb)
    assert fresh_id("water", wkb) != fresh_id("water", shapely.to_wkb(shapely.box(0, 0, 1, 2)))
