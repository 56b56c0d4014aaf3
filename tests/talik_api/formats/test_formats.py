"""GDAL, pandas and geopandas read in every format the rows that were written."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime
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
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from editing import table_of
from talik_api.formats import FORMATS, Answer, FormatError, feature_bytes
from talik_stac.errors import StoreError
from talik_stac.exports import SHAPEFILE_NAMES
from talik_stac.inventory import INVENTORY_SCHEMA, ROW_GROUP

HOLED = shapely.Polygon(
    [(10, 50), (10, 51), (11, 51), (11, 50)], [[(10.2, 50.2), (10.4, 50.2), (10.4, 50.4), (10.2, 50.4)]]
)
"""Its outer ring is clockwise, which RFC 7946 forbids."""
TWO = shapely.MultiPolygon([shapely.box(-150, 60, -149, 61), shapely.box(-148, 60, -147, 61)])
TRIANGLE = shapely.Polygon([(0.123456789, 1), (2, 1.5), (1.5, 3)])
STAMP = datetime(2026, 5, 4, 3, 2, 2, tzinfo=UTC)


def _varied() -> pa.Table:
    """Rows with holes, parts, a null of each kind, letters of many scripts and a time with milliseconds."""
    table = table_of([HOLED, TWO, TRIANGLE])
    changed: dict[str, list[Any]] = {
        "id": ['water-"quoted", æøå', "=вода-水", "third"],
        "confidence": [0.5, None, 1.0],
        "observed_start": [datetime(2021, 7, 15, 10, tzinfo=UTC), None, datetime(2021, 7, 1, 0, 0, 0, 250000, UTC)],
        "scenes": [["a", "b"], [], ["c"]],
        "on_aoi_edge": [True, False, True],
    }
    for name, values in changed.items():
        number = table.schema.get_field_index(name)
        table = table.set_column(number, table.schema.field(name), pa.array(values, table.schema.field(name).type))
    return table


def _bytes(form: str, *tables: pa.Table, **more: Any) -> bytes:
    schema = tables[0].schema if tables else INVENTORY_SCHEMA
    answer = Answer(**{"schema": schema, "tables": iter(tables), "name": "water-x", "stamp": STAMP, **more})
    return b"".join(FORMATS[form].write(answer))


def _read(form: str, data: bytes, folder: Path) -> geopandas.GeoDataFrame:
    """Read by programs that others wrote; columns as the file has them."""
    path = folder / f"answer{FORMATS[form].extension}"
    path.write_bytes(data)
    if form == "parquet":
        return geopandas.read_parquet(path)
    if form == "csv":
        frame = pd.read_csv(path, keep_default_na=True)
        return geopandas.GeoDataFrame(frame.drop(columns="wkt"), geometry=shapely.from_wkt(frame["wkt"]))
    return pyogrio.read_dataframe(f"/vsizip/{path}" if form == "shp" else path)


def _by_id(frame: geopandas.GeoDataFrame) -> geopandas.GeoDataFrame:
    return frame.sort_values("id").reset_index(drop=True)


def _assert_same_rows(frame: geopandas.GeoDataFrame, table: pa.Table, form: str) -> None:
    """Ids, numbers, flags, times, lists and shapes of a file are those of the table."""
    short = SHAPEFILE_NAMES if form == "shp" else {}
    frame = _by_id(frame)
    rows = sorted(table.to_pylist(), key=lambda row: row["id"])
    assert frame["id"].tolist() == [row["id"] for row in rows]
    for name in ("area_m2", "perimeter_m", "lon", "lat", "probability", "confidence", "pixels"):
        wanted = np.array([row[name] for row in rows], float)
        # A .dbf has 24 figures with 15 decimals.
        np.testing.assert_allclose(
            frame[short.get(name, name)].astype(float), wanted, rtol=1e-12, atol=1e-15, err_msg=name
        )
    for name in ("on_aoi_edge", "on_data_edge"):
        assert frame[short.get(name, name)].astype(bool).tolist() == [row[name] for row in rows]
    times = pd.to_datetime(frame[short.get("observed_start", "observed_start")], utc=True, format="ISO8601")
    assert [None if time is pd.NaT else time for time in times] == [row["observed_start"] for row in rows]
    assert [_names(value) for value in frame["scenes"]] == [row["scenes"] for row in rows]
    tolerance = {"geojson": 6e-8, "csv": 6e-10}.get(form, 0.0)
    for mine, row in zip(frame.geometry, rows, strict=True):
        wanted = shapely.from_wkb(row["geometry"])
        assert mine.normalize().equals_exact(wanted.normalize(), tolerance), form


def _names(value: Any) -> list[str]:
    if isinstance(value, str):
        return [name for name in value.split(",") if name]
    return [] if value is None or isinstance(value, float) else list(value)


@pytest.mark.parametrize("form", FORMATS)
def test_others_read_the_rows_that_were_written(form: str, tmp_path: Path) -> None:
    table = _varied()
    _assert_same_rows(_read(form, _bytes(form, table), tmp_path), table, form)


@pytest.mark.parametrize("form", FORMATS)
def test_no_rows_make_a_valid_file(form: str, tmp_path: Path) -> None:
    for tables in ((), (INVENTORY_SCHEMA.empty_table(),)):
        frame = _read(form, _bytes(form, *tables), tmp_path)
        assert len(frame) == 0


@pytest.mark.parametrize("form", FORMATS)
def test_the_cut_of_the_slices_and_the_hour_leave_no_trace(form: str) -> None:
    table = table_of([shapely.box(x / 100, 1, x / 100 + 0.005, 1.01) for x in range(2600)])
    whole = _bytes(form, table)
    assert whole == _bytes(form, table.slice(0, 1), table.slice(1, 0), table.slice(1, 1999), table.slice(2000))
    assert whole == _bytes(form, *(table.slice(start, 130) for start in range(0, 2600, 130)))


@pytest.mark.parametrize("form", FORMATS)
def test_chosen_columns_are_written_alone(form: str, tmp_path: Path) -> None:
    table = _varied().select(["id", "geometry", "area_m2"])
    columns = set(_read(form, _bytes(form, table), tmp_path).columns)
    assert columns - {"bbox"} == {"id", "geometry", "area_m2"}
    only = _varied().select(["id", "geometry"])
    assert len(_read(form, _bytes(form, only), tmp_path)) == 3


@pytest.mark.parametrize("form", ["fgb", "gpkg", "shp", "parquet"])
def test_files_in_another_system_hold_x_before_y(form: str, tmp_path: Path) -> None:
    table = table_of([TRIANGLE])
    wanted = geopandas.GeoSeries([TRIANGLE], crs="OGC:CRS84").to_crs("EPSG:3413")
    frame = _read(form, _bytes(form, table, crs="EPSG:3413"), tmp_path)
    assert frame.crs.to_epsg() == 3413
    assert frame.geometry[0].normalize().equals_exact(wanted[0].normalize(), 1e-6)
    latlon = _read(form, _bytes(form, table, crs="http://www.opengis.net/def/crs/EPSG/0/4326"), tmp_path)
    assert latlon.geometry[0].normalize().equals_exact(TRIANGLE.normalize(), 1e-9)


def test_geojson_and_csv_keep_the_order_of_the_authority() -> None:
    table = table_of([TRIANGLE])
    feature = json.loads(_bytes("geojson", table, crs="EPSG:4326"))["features"][0]
    assert [1.0, 0.1234568] in feature["geometry"]["coordinates"][0]
    assert "1 0.123456789" in _bytes("csv", table, crs="EPSG:4326").decode()
    metres = json.loads(_bytes("geojson", table, crs="EPSG:3857"))["features"][0]["geometry"]["coordinates"][0]
    north = 6378137 * np.log(np.tan(np.pi / 4 + np.radians(1.5) / 2))
    assert [round(6378137 * np.radians(2), 3), round(north, 3)] in metres


@pytest.mark.parametrize("name", ["OGC:CRS84", "http://www.opengis.net/def/crs/OGC/1.3/CRS84"])
def test_lon_lat_goes_by_all_its_names(name: str) -> None:
    assert _bytes("parquet", _varied(), crs=name) == _bytes("parquet", _varied())
    assert _bytes("geojson", _varied(), crs=name) == _bytes("geojson", _varied())


@pytest.mark.parametrize("form", FORMATS)
def test_what_cannot_be_written_fails_before_the_first_byte(form: str) -> None:
    beyond = table_of([shapely.box(0, 80, 1, 95)])
    with pytest.raises(FormatError, match=r"outside the area of WGS 84 / Pseudo-Mercator; ask for OGC:CRS84"):
        FORMATS[form].write(Answer(schema=beyond.schema, tables=iter([beyond]), crs="EPSG:3857"))
    with pytest.raises(StoreError, match="the store is gone"):
        FORMATS[form].write(Answer(schema=beyond.schema, tables=_failing(beyond, 0)))


@pytest.mark.parametrize("form", ["fgb", "gpkg", "shp"])
def test_a_file_fails_before_the_first_byte_wherever_its_rows_end(form: str) -> None:
    table = table_of([TRIANGLE])
    with pytest.raises(StoreError, match="the store is gone"):
        FORMATS[form].write(Answer(schema=table.schema, tables=_failing(table, 3)))


def _failing(table: pa.Table, good: int) -> Iterator[pa.Table]:
    for _ in range(good):
        yield table
    raise StoreError("the store is gone")


MEASURE = """
import resource, sys
from editing import table_of
import shapely
from talik_api.formats import FORMATS, Answer

def peak(rows):
    answer = Answer(schema=table.schema, tables=(table.slice(0) for _ in range(rows // len(table))))
    for _ in FORMATS[sys.argv[1]].write(answer):
        pass
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

table = table_of([shapely.Point(x / 1000, 60).buffer(0.0004) for x in range(10000)])
before = peak(30_000)
print(30 * table.nbytes, peak(300_000) - before)
"""


@pytest.mark.parametrize("form", FORMATS)
def test_ten_times_the_rows_take_no_more_memory(form: str) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    said = subprocess.run(
        [sys.executable, "-c", MEASURE, form], capture_output=True, text=True, check=True, env=environment
    )
    held_at_once, growth = map(int, said.stdout.split())
    # The index of a FlatGeobuf needs the bounds and place of every feature, which GDAL keeps in about 240 bytes.
    limit = 300 * 270_000 if form == "fgb" else 40e6
    assert growth < limit < held_at_once / 2


def test_malformed_answers_are_refused() -> None:
    with pytest.raises(FormatError, match="EPSG:999999"):
        Answer(schema=INVENTORY_SCHEMA, tables=iter(()), crs="EPSG:999999")
    with pytest.raises(FormatError, match=r"\.\./up"):
        Answer(schema=INVENTORY_SCHEMA, tables=iter(()), name="../up")
    with pytest.raises(FormatError, match="geometry"):
        Answer(schema=pa.schema([("id", pa.string())]), tables=iter(()))


@pytest.mark.parametrize("form", ["fgb", "gpkg", "shp"])
def test_nothing_stays_on_disk_when_the_client_goes_away(
    form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    table = table_of([shapely.box(x / 100, 1, x / 100 + 0.005, 1.01) for x in range(20000)])
    before = _open_files()
    chunks = FORMATS[form].write(Answer(schema=table.schema, tables=iter([table] * 3)))
    assert next(chunks)
    assert not list(tmp_path.iterdir())
    chunks.close()  # type: ignore[attr-defined]
    assert _open_files() == before
    dropped = FORMATS[form].write(Answer(schema=table.schema, tables=iter([table] * 3)))
    del dropped
    assert _open_files() == before


def _open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_a_shapefile_past_its_limit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("talik_stac.exports.SHAPEFILE_LIMIT", 1000)
    table = table_of([TRIANGLE] * 100)
    with pytest.raises(FormatError, match="ends at 2 GB; ask for gpkg"):
        FORMATS["shp"].write(Answer(schema=table.schema, tables=iter([table])))


def test_a_shapefile_says_what_its_short_names_mean() -> None:
    table = _varied().select(["id", "geometry", "perimeter_m", "scenes"])
    archive = zipfile.ZipFile(io.BytesIO(_bytes("shp", table)))
    assert {Path(name).suffix for name in archive.namelist()} == {".shp", ".shx", ".dbf", ".prj", ".cpg", ".csv"}
    fields = archive.read("fields.csv").decode().splitlines()
    assert [line.split(",")[0] for line in fields] == ["field", "id", "perim_m", "scenes"]
    assert {info.date_time for info in archive.infolist()} == {(2026, 5, 4, 3, 2, 2)}


def test_a_long_list_of_scenes_fits_a_shapefile(tmp_path: Path) -> None:
    table = table_of([TRIANGLE])
    scenes = pa.array([[f"S2A_MSIL2A_2021071{n}" for n in range(40)]], pa.list_(pa.string()))
    table = table.set_column(table.schema.get_field_index("scenes"), table.schema.field("scenes"), scenes)
    frame = _read("shp", _bytes("shp", table), tmp_path)
    assert frame["scenes"][0].endswith(" more")
    assert len(frame["scenes"][0]) <= 254


def test_a_geopackage_bears_the_moment_of_its_edition(tmp_path: Path) -> None:
    path = tmp_path / "a.gpkg"
    path.write_bytes(_bytes("gpkg", _varied()))
    contents = pyogrio.read_dataframe(path, sql="SELECT table_name, last_change FROM gpkg_contents")
    assert contents["table_name"].tolist() == ["water-x"]
    assert pd.to_datetime(contents["last_change"], utc=True)[0] == STAMP


def test_a_flatgeobuf_and_a_geopackage_answer_by_bbox(tmp_path: Path) -> None:
    for form in ("fgb", "gpkg"):
        path = tmp_path / f"a.{form}"
        path.write_bytes(_bytes(form, _varied()))
        assert pyogrio.read_info(path)["capabilities"]["fast_spatial_filter"]
        assert pyogrio.read_dataframe(path, bbox=(-150, 60, -147, 61))["id"].tolist() == ["=вода-水"]


@pytest.mark.parametrize("crs", ["OGC:CRS84", "EPSG:3413"])
def test_the_geoparquet_is_conformant_and_knows_its_bounds(crs: str, tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    path.write_bytes(_bytes("parquet", _varied(), crs=crs))
    validator = Path(sys.executable).with_name("geoparquet-validator")
    said = subprocess.run([validator, "check", path], capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stdout + said.stderr
    column = json.loads(pq.read_metadata(path).metadata[b"geo"])["columns"]["geometry"]
    assert column["geometry_types"] == ["MultiPolygon", "Polygon"]
    np.testing.assert_allclose(column["bbox"], geopandas.read_parquet(path).total_bounds)
    if crs == "OGC:CRS84":
        assert len(geopandas.read_parquet(path, bbox=(-151, 59, -146, 62))) == 1
    else:
        assert column["crs"]["id"] == {"authority": "EPSG", "code": 3413}


def test_parquet_row_groups_come_as_the_rows_do() -> None:
    boxes = table_of([shapely.box(x / 1000, 1, x / 1000 + 0.0005, 1.01) for x in range(15000)])
    chunks = list(FORMATS["parquet"].write(Answer(schema=boxes.schema, tables=iter([boxes] * 3))))
    file = pq.ParquetFile(io.BytesIO(b"".join(chunks)))
    rows = [file.metadata.row_group(number).num_rows for number in range(file.metadata.num_row_groups)]
    assert set(rows[:-1]) == {ROW_GROUP}
    assert sum(rows) == 45000
    assert len(chunks) > len(rows)


def test_the_geojson_document_has_its_head_and_foot() -> None:
    head = {"timeStamp": "2026-01-01T00:00:00Z", "numberMatched": 3}
    text = _bytes("geojson", _varied(), head=head, foot=lambda count: {"numberReturned": count, "links": []})
    document = json.loads(text)
    assert list(document) == ["type", "timeStamp", "numberMatched", "features", "numberReturned", "links"]
    assert document["type"] == "FeatureCollection"
    assert document["numberReturned"] == 3
    empty = json.loads(_bytes("geojson", head=head, foot=lambda count: {"numberReturned": count}))
    assert (empty["features"], empty["numberReturned"]) == ([], 0)
    assert json.loads(_bytes("geojson")) == {"type": "FeatureCollection", "features": []}


def test_features_are_written_as_rfc_7946_says() -> None:
    first, second, third = json.loads(_bytes("geojson", _varied()))["features"]
    assert list(first) == ["type", "id", "geometry", "properties"]
    assert set(first["properties"]) == set(INVENTORY_SCHEMA.names) - {"id", "geometry"}
    assert first["properties"]["observed_start"] == "2021-07-15T10:00:00Z"
    assert third["properties"]["observed_start"] == "2021-07-01T00:00:00.250Z"
    assert (second["properties"]["observed_start"], second["properties"]["confidence"]) == (None, None)
    assert (first["properties"]["scenes"], second["properties"]["scenes"]) == (["a", "b"], [])
    rings = first["geometry"]["coordinates"]
    assert [shapely.LinearRing(ring).is_ccw for ring in rings] == [True, False]
    assert second["geometry"]["type"] == "MultiPolygon"
    assert [0.1234568, 1.0] in third["geometry"]["coordinates"][0]


def test_numbers_that_are_none_become_null_in_geojson() -> None:
    table = table_of([TRIANGLE, TRIANGLE])
    number = table.schema.get_field_index("shape_index")
    table = table.set_column(number, table.schema.field(number), pa.array([np.nan, np.inf]))
    features = json.loads(_bytes("geojson", table), parse_constant=pytest.fail)["features"]
    assert [feature["properties"]["shape_index"] for feature in features] == [None, None]


def test_geojson_comes_in_chunks_that_fit_a_socket() -> None:
    table = table_of([shapely.Point(x / 100, 60).buffer(0.001) for x in range(3000)])
    chunks = list(FORMATS["geojson"].write(Answer(schema=table.schema, tables=iter([table]))))
    assert max(map(len, chunks)) <= 256 * 1024
    assert len(json.loads(b"".join(chunks))["features"]) == 3000


def test_one_feature_bears_its_links() -> None:
    links = [{"rel": "self", "href": "http://x/items/a"}]
    feature = json.loads(feature_bytes(_varied().slice(1, 1), links))
    assert feature["id"] == "=вода-水"
    assert feature["links"] == links
    with pytest.raises(FormatError, match="not from 3"):
        feature_bytes(_varied(), links)


def test_csv_follows_rfc_4180_and_changes_no_value() -> None:
    lines = _bytes("csv", _varied()).decode().split("\r\n")
    assert len(lines) == 5
    assert lines[-1] == ""
    assert lines[0].startswith('"id","landform","area_m2"')
    assert lines[0].endswith(',"wkt"')
    assert lines[1].startswith('"water-""quoted"", æøå"')
    assert lines[2].startswith('"=вода-水"')
    assert '"2021-07-15T10:00:00Z"' in lines[1]
    assert '"a,b"' in lines[1]


@st.composite
def _polygons(draw: st.DrawFn) -> shapely.Geometry:
    """Boxes, some with a hole, some in parts, wound either way."""
    parts = []
    for number in range(draw(st.integers(1, 3))):
        # Steps of 1e-4 degrees, so that rounding to 7 decimals moves nothing.
        west = draw(st.integers(-40_0000, 40_0000)) / 1e4 + number * 45 - 45
        south = draw(st.integers(-80_0000, 80_0000)) / 1e4
        side = draw(st.integers(1, 2_000)) / 1e3
        box = shapely.box(west, south, west + side, south + side, ccw=draw(st.booleans()))
        inner = shapely.box(west + side / 4, south + side / 4, west + side / 2, south + side / 2)
        parts.append(shapely.Polygon(box.exterior, [inner.exterior] if draw(st.booleans()) else []))
    separate = len(parts) > 1 and not any(a.intersects(b) for a in parts for b in parts if a is not b)
    return shapely.MultiPolygon(parts) if separate else parts[0]


_NAMES = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), min_size=1, max_size=20)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(rows=st.lists(st.tuples(_polygons(), _NAMES, st.none() | st.floats(0, 1)), max_size=6), cut=st.integers(0, 6))
def test_any_polygons_and_names_come_back_from_any_format(
    rows: list[tuple[shapely.Geometry, str, float | None]], cut: int
) -> None:
    table = table_of([row[0] for row in rows])
    # Readers of text take "NA" or "12" for something else, which a prefix keeps them from.
    ids = pa.array([f"x{n}-{row[1]}-x" for n, row in enumerate(rows)], pa.string())
    table = table.set_column(0, table.schema.field("id"), ids)
    number = table.schema.get_field_index("confidence")
    table = table.set_column(number, table.schema.field(number), pa.array([row[2] for row in rows], pa.float64()))
    for form in FORMATS:
        data = _bytes(form, table.slice(0, cut), table.slice(cut)) if rows else _bytes(form)
        assert data == (_bytes(form, table) if rows else data)
        with tempfile.TemporaryDirectory() as folder:
            frame = _read(form, data, Path(folder))
            if rows:
                _assert_same_rows(frame, table, form)
            assert len(frame) == len(rows)
