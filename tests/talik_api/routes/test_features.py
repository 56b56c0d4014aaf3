"""OGC API Features, against what geopandas and shapely say of the same file."""

from __future__ import annotations

import io
import json
import tempfile
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pandas as pd
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import Transformer
from starlette.testclient import TestClient

from editing import publish_polygons
from lakes import outlines
from talik_api.app import create_app
from talik_api.crs import SUPPORTED
from talik_api.settings import ApiSettings
from talik_stac.store import Store, open_store

EDITION = "/collections/water-test-2020-v1/items"
LANDFORM = "/collections/water/items"


def ids(answer: Any) -> list[str]:
    """The ids of a page; the answer must be one."""
    assert answer.status_code == 200, answer.text
    return [feature["id"] for feature in answer.json()["features"]]


def every_page(client: TestClient, path: str, **parameters: Any) -> list[dict[str, Any]]:
    """Follow the next links to the end."""
    features, answer = [], client.get(path, params=parameters)
    while True:
        assert answer.status_code == 200, answer.text
        page = answer.json()
        features += page["features"]
        following = [link["href"] for link in page["links"] if link["rel"] == "next"]
        if not following:
            return features
        answer = client.get(following[0])


def touching(lakes: geopandas.GeoDataFrame, area: shapely.Geometry) -> set[str]:
    return set(lakes["id"][shapely.intersects(area, lakes.geometry.to_numpy())])


@settings(max_examples=40, deadline=None)
@given(west=st.floats(-60, 59), south=st.floats(50, 74), width=st.floats(0.01, 20), height=st.floats(0.01, 10))
def test_a_bbox_finds_what_touches_it_and_nothing_else(
    client: TestClient, lakes: geopandas.GeoDataFrame, west: float, south: float, width: float, height: float
) -> None:
    box = (west, south, west + width, south + height)
    answer = client.get(EDITION, params={"bbox": ",".join(map(repr, box)), "limit": 20_000})
    found = ids(answer)
    assert set(found) == touching(lakes, shapely.box(*box))
    assert len(found) == len(set(found)) == answer.json()["numberMatched"] == answer.json()["numberReturned"]


def test_a_bbox_over_the_antimeridian_is_narrow(client: TestClient, lakes: geopandas.GeoDataFrame) -> None:
    found = ids(client.get(EDITION, params={"bbox": "179.95,61,-179.95,67"}))
    area = shapely.union_all([shapely.box(179.95, 61, 180, 67), shapely.box(-180, 61, -179.95, 67)])
    assert set(found) == touching(lakes, area)
    assert len(found) == 3


def test_a_bbox_wider_than_the_globe_is_the_globe(client: TestClient, lakes: geopandas.GeoDataFrame) -> None:
    for bbox in ("-250,-95,250,95", "-180,-90,180,90", "0,-90,360,90"):
        assert client.get(EDITION, params={"bbox": bbox, "limit": 1}).json()["numberMatched"] == len(lakes)


def test_a_bbox_beyond_180_goes_on_at_the_other_side(client: TestClient) -> None:
    past = ids(client.get(EDITION, params={"bbox": "179,59,181,70"}))
    assert past == ids(client.get(EDITION, params={"bbox": "179,59,-179,70"}))
    assert len(past) == 5


@pytest.mark.parametrize("uri", SUPPORTED)
def test_a_bbox_may_be_in_any_crs_that_is_offered(client: TestClient, lakes: geopandas.GeoDataFrame, uri: str) -> None:
    if uri.endswith("3031"):
        box, area = (1e6, 1e6, 2e6, 2e6), None
    elif uri.endswith("CRS84"):
        box, area = (10.0, 60.0, 12.0, 62.0), shapely.box(10, 60, 12, 62)
    elif uri.endswith("4326"):
        box, area = (60.0, 10.0, 62.0, 12.0), shapely.box(10, 60, 12, 62)
    else:
        there = Transformer.from_crs("OGC:CRS84", f"EPSG:{uri.rpartition('/')[2]}").transform(11, 61)
        box = (there[0] - 1e5, there[1] - 1e5, there[0] + 1e5, there[1] + 1e5)
        ring = shapely.segmentize(shapely.box(*box), 100.0)
        back = Transformer.from_crs(f"EPSG:{uri.rpartition('/')[2]}", "OGC:CRS84")
        area = shapely.transform(ring, lambda xy: np.column_stack(back.transform(xy[:, 0], xy[:, 1])))
    found = ids(client.get(EDITION, params={"bbox": ",".join(map(str, box)), "bbox-crs": uri, "limit": 5000}))
    expected = set() if area is None else touching(lakes, area)
    # A side that is curved in lon/lat is drawn with 50 steps: a lake that it grazes may fall on either side.
    grazed = set() if area is None else touching(lakes, area.boundary.buffer(0.001))
    assert set(found) ^ expected <= grazed
    assert (len(found) > 0) == (area is not None)


@pytest.mark.parametrize("limit", [1, 700, 4999, 5000, 5001, 50_000])
def test_pages_join_to_the_whole_without_gap_or_repetition(
    client: TestClient, lakes: geopandas.GeoDataFrame, limit: int
) -> None:
    box = "-1,55,0,56" if limit == 1 else "-30,50,60,75"
    paged = [feature["id"] for feature in every_page(client, EDITION, bbox=box, limit=limit)]
    area = shapely.box(*map(float, box.split(",")))
    assert set(paged) == touching(lakes, area)
    assert len(set(paged)) == len(paged)


@pytest.mark.parametrize("sortby", ["area_m2", "-area_m2", "confidence,-lon", "-status,lat", "observed_start,id"])
def test_sorted_pages_join_to_the_sorted_whole(client: TestClient, lakes: geopandas.GeoDataFrame, sortby: str) -> None:
    features = every_page(client, EDITION, bbox="-10,55,10,60", sortby=sortby, limit=97)
    inside = lakes[lakes["id"].isin(touching(lakes, shapely.box(-10, 55, 10, 60)))]
    keys = [key.lstrip("-") for key in sortby.split(",")]
    upwards = [not key.startswith("-") for key in sortby.split(",")]
    expected = inside.sort_values(keys, ascending=upwards, kind="stable", na_position="last")
    assert [feature["id"] for feature in features] == expected["id"].tolist()


def test_pages_stay_what_they_were_while_a_new_version_appears(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "store"))
    publish_polygons(store, tmp_path / "1", outlines(500, seed=1), year=2020, configuration="one")
    with TestClient(create_app(ApiSettings(store=store.root, local_jobs=0))) as client:
        first = client.get(LANDFORM, params={"limit": 100}).json()
        publish_polygons(store, tmp_path / "2", outlines(300, seed=2), year=2020, configuration="two")
        publish_polygons(store, tmp_path / "3", outlines(300, seed=3), year=2019, configuration="three")
        paged, page = list(first["features"]), first
        while following := [link["href"] for link in page["links"] if link["rel"] == "next"]:
            page = client.get(following[0]).json()
            paged += page["features"]
        assert len(paged) == 505
        assert {feature["properties"]["edition"] for feature in paged} == {"water-test-2020-v1"}
        client.app.state.service.shelf._until = 0.0  # type: ignore[attr-defined]
        now = every_page(client, LANDFORM, limit=1000)
        assert {feature["properties"]["edition"] for feature in now} == {"water-test-2020-v2", "water-test-2019-v1"}
        assert len({feature["id"] for feature in now}) == len(now) == 610


def test_the_landform_names_each_object_with_its_edition(client: TestClient) -> None:
    page = client.get(LANDFORM, params={"limit": 3, "datetime": "2021-07-15"}).json()
    for feature in page["features"]:
        edition, _, name = feature["id"].partition(":")
        assert edition == feature["properties"]["edition"]
        again = client.get(f"{LANDFORM}/{feature['id']}").json()
        assert again["geometry"] == feature["geometry"]
        assert client.get(f"/collections/{edition}/items/{name}").json()["geometry"] == feature["geometry"]


@pytest.mark.parametrize(
    ("when", "found"),
    [
        ("2021-07-15T10:00:00Z", True),
        ("2021-07-15", True),
        ("2021-01-01/..", True),
        ("2021-07-15T10:00:01Z/..", False),
        ("../2021-07-15T09:59:59Z", False),
        ("/2021-07-15T12:00:00+02:00", True),
        ("2020-01-01/2020-12-31", False),
    ],
)
def test_datetime_finds_objects_seen_then(client: TestClient, when: str, *, found: bool) -> None:
    # every object of these editions was seen on 2021-07-15 at 10:00 UTC
    matched = client.get(EDITION, params={"datetime": when, "limit": 1}).json()["numberMatched"]
    assert (matched > 0) == found


def test_filters_in_text_and_json_and_posted_agree(client: TestClient, lakes: geopandas.GeoDataFrame) -> None:
    area = shapely.Polygon([(0, 55), (8, 57), (4, 62), (0, 55)])
    text = f"area_m2 > 3e6 AND S_INTERSECTS(geometry, {area.wkt}) AND CASEI(status) = CASEI('CANDIDATE')"
    tree = {
        "op": "and",
        "args": [
            {"op": ">", "args": [{"property": "area_m2"}, 3e6]},
            {"op": "s_intersects", "args": [{"property": "geometry"}, shapely.geometry.mapping(area)]},
        ],
    }
    expected = touching(lakes, area) & set(lakes["id"][lakes["area_m2"] > 3e6])
    assert len(expected) > 5
    assert set(ids(client.get(EDITION, params={"filter": text}))) == expected
    assert set(ids(client.get(EDITION, params={"filter": json.dumps(tree), "filter-lang": "cql2-json"}))) == expected
    search = EDITION.replace("items", "search")
    assert set(ids(client.post(search, json={"filter": tree}))) == expected
    narrow = {"intersects": shapely.geometry.mapping(area), "filter": "area_m2 > 3e6", "filter-lang": "cql2-text"}
    assert set(ids(client.post(search, json=narrow))) == expected


def test_posted_pages_are_followed_with_their_body(client: TestClient, lakes: geopandas.GeoDataFrame) -> None:
    path, body, found = EDITION.replace("items", "search"), {"bbox": [0, 50, 20, 60], "limit": 77}, []
    while True:
        page = client.post(path, json=body).json()
        found += [feature["id"] for feature in page["features"]]
        following = [link for link in page["links"] if link["rel"] == "next"]
        if not following:
            break
        assert following[0]["method"] == "POST"
        body = following[0]["body"]
    assert set(found) == touching(lakes, shapely.box(0, 50, 20, 60))


def test_properties_leave_out_the_others(client: TestClient) -> None:
    page = client.get(EDITION, params={"limit": 2, "properties": "area_m2,status"}).json()
    assert [list(feature["properties"]) for feature in page["features"]] == [["area_m2", "status"]] * 2
    assert all(feature["geometry"] and feature["id"] for feature in page["features"])


@pytest.mark.parametrize("uri", SUPPORTED)
def test_coordinates_come_in_the_crs_asked_for_in_its_axis_order(
    client: TestClient, lakes: geopandas.GeoDataFrame, uri: str
) -> None:
    answer = client.get(EDITION, params={"limit": 3, "bbox": "0,50,10,60", "crs": uri})
    assert answer.headers["content-crs"] == f"<{uri}>"
    name = "OGC:CRS84" if uri.endswith("CRS84") else f"EPSG:{uri.rpartition('/')[2]}"
    mover = Transformer.from_crs("OGC:CRS84", name)
    tolerance = 1e-7 if uri.endswith(("CRS84", "4326")) else 0.001  # the decimals that are written
    for feature in answer.json()["features"]:
        stored = lakes.set_index("id").geometry[feature["id"]]
        moved = shapely.transform(stored, lambda xy: np.column_stack(mover.transform(xy[:, 0], xy[:, 1])))
        written = shapely.geometry.shape(feature["geometry"])
        assert shapely.hausdorff_distance(moved, written) <= tolerance


def test_one_feature_is_the_same_as_in_its_collection(client: TestClient) -> None:
    listed = client.get(EDITION, params={"limit": 1, "bbox": "5,60,6,61"}).json()["features"][0]
    answer = client.get(f"{EDITION}/{listed['id']}")
    assert answer.headers["content-type"] == "application/geo+json"
    single = answer.json()
    assert {key: single[key] for key in listed} == listed
    assert {"self", "collection", "alternate"} <= {link["rel"] for link in single["links"]}


def read_geopackage(data: bytes) -> geopandas.GeoDataFrame:
    """From a file: GDAL wants the ending."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.gpkg"
        path.write_bytes(data)
        return geopandas.read_file(path, engine="pyogrio")


READERS = {
    "geojson": lambda data: geopandas.read_file(io.BytesIO(data), engine="pyogrio"),
    "fgb": lambda data: geopandas.read_file(io.BytesIO(data), engine="pyogrio"),
    "gpkg": read_geopackage,
    "shp": lambda data: geopandas.read_file(io.BytesIO(data), engine="pyogrio"),
    "parquet": lambda data: geopandas.read_parquet(io.BytesIO(data)),
    "csv": lambda data: geopandas.GeoDataFrame(
        frame := pd.read_csv(io.BytesIO(data)), geometry=shapely.from_wkt(frame["wkt"]), crs="OGC:CRS84"
    ),
}


@pytest.mark.parametrize("form", READERS)
def test_geopandas_reads_each_format_with_the_same_rows(
    client: TestClient, lakes: geopandas.GeoDataFrame, form: str
) -> None:
    answer = client.get(EDITION, params={"bbox": "0,50,30,75", "f": form, "limit": 100_000})
    assert answer.status_code == 200, answer.text
    frame = READERS[form](answer.content)
    expected = lakes[lakes["id"].isin(touching(lakes, shapely.box(0, 50, 30, 75)))].set_index("id")
    found = frame.set_index("id").loc[expected.index]
    assert len(frame) == len(expected) > 2000
    np.testing.assert_allclose(found["area_m2"], expected["area_m2"])
    overlap = shapely.area(shapely.intersection(found.geometry.to_numpy(), expected.geometry.to_numpy()))
    np.testing.assert_allclose(overlap, shapely.area(expected.geometry.to_numpy()), rtol=1e-4)


def test_a_file_without_a_limit_holds_every_match(client: TestClient, lakes: geopandas.GeoDataFrame) -> None:
    answer = client.get(EDITION, params={"f": "parquet"})
    assert len(geopandas.read_parquet(io.BytesIO(answer.content))) == len(lakes)
    assert [each.status_code for each in answer.history] == [307]  # to the published file
    made = client.get(EDITION, params={"f": "parquet", "bbox": "-180,-90,180,90"})
    assert made.headers["content-disposition"] == 'attachment; filename="water-test-2020-v1.parquet"'
    assert len(geopandas.read_parquet(io.BytesIO(made.content))) == len(lakes)
    page = client.get(EDITION).json()
    assert page["numberReturned"] == 1000
    assert page["numberMatched"] == len(lakes)


def test_accept_chooses_the_format(client: TestClient) -> None:
    answer = client.get(EDITION, params={"limit": 1}, headers={"Accept": "application/vnd.apache.parquet"})
    assert answer.headers["content-type"] == "application/vnd.apache.parquet"
    assert client.get(EDITION, headers={"Accept": "video/mp4"}).status_code == 406


@pytest.mark.parametrize(
    "parameters",
    [
        {"bbox": "1,2,3"},
        {"bbox": "1,2,3,x"},
        {"bbox": "1,2,nan,4"},
        {"bbox": "0,60,10,50"},
        {"bbox": "500000,6000000,600000,7000000"},
        {"bbox": "1,2,3,4", "bbox-crs": "http://www.opengis.net/def/crs/EPSG/0/99999"},
        {"crs": "EPSG:bogus"},
        {"datetime": "yesterday"},
        {"datetime": "../.."},
        {"datetime": "2021-13-01"},
        {"datetime": "2022-01-01/2021-01-01"},
        {"limit": "0"},
        {"limit": "-5"},
        {"limit": "many"},
        {"token": "garbage"},
        {"token": "W10"},
        {"sortby": "nothing"},
        {"sortby": "area_m2,area_m2"},
        {"properties": "nothing"},
        {"filter": "area_m2 >"},
        {"filter": "nothing = 1"},
        {"filter": "area_m2 > 1", "filter-lang": "sql"},
        {"filter": "S_INTERSECTS(geometry, POINT(0 0))", "filter-crs": "http://www.opengis.net/def/crs/EPSG/0/1"},
        {"f": "dwg"},
        {"bboks": "1,2,3,4"},
    ],
)
def test_what_cannot_be_answered_is_a_problem_that_says_why(client: TestClient, parameters: dict[str, str]) -> None:
    answer = client.get(EDITION, params=parameters)
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == 400
    assert len(problem["detail"]) > 20


def test_what_is_not_there_is_404(client: TestClient) -> None:
    for path in ("/collections/ice", "/collections/ice/items", f"{EDITION}/nobody", f"{LANDFORM}/nobody", "/nothing"):
        answer = client.get(path)
        assert answer.status_code == 404, path
        assert answer.json()["title"] == "Not found"


def test_a_limit_above_the_largest_is_the_largest(client: TestClient, lakes: geopandas.GeoDataFrame) -> None:
    page = client.get(EDITION, params={"limit": 10**12, "properties": "lon"}).json()
    assert page["numberReturned"] == len(lakes)


def test_an_answer_that_the_client_holds_is_not_sent_again(client: TestClient) -> None:
    first = client.get(EDITION, params={"limit": 5})
    again = client.get(EDITION, params={"limit": 5}, headers={"If-None-Match": first.headers["etag"]})
    assert again.status_code == 304
    assert client.get(EDITION, params={"limit": 6}, headers={"If-None-Match": first.headers["etag"]}).status_code == 200


def test_head_answers_without_a_body(client: TestClient) -> None:
    answer = client.head(EDITION, params={"f": "parquet"})
    assert answer.status_code == 200
    assert answer.content == b""
    assert answer.headers["content-type"] == "application/vnd.apache.parquet"
    assert client.head("/collections/nothing").status_code == 404


def test_queryables_and_schema_name_every_property(client: TestClient) -> None:
    feature = client.get(EDITION, params={"limit": 1}).json()["features"][0]
    schema = client.get("/collections/water/schema")
    assert schema.headers["content-type"] == "application/schema+json"
    assert set(feature["properties"]) | {"id", "geometry"} == set(schema.json()["properties"])
    assert schema.json()["properties"]["area_m2"]["x-ogc-unit"] == "m2"
    for name, described in client.get("/collections/water/queryables").json()["properties"].items():
        text = f"{name} IS NULL" if name != "geometry" else "S_INTERSECTS(geometry, POINT(0 0))"
        assert client.get(EDITION, params={"filter": text}).status_code == 200, (name, described)
    for name in client.get("/collections/water/sortables").json()["properties"]:
        assert client.get(EDITION, params={"sortby": name, "limit": 1}).status_code == 200, name


def test_the_same_question_gives_the_same_bytes(client: TestClient) -> None:
    for form in ("geojson", "fgb", "parquet", "csv", "shp", "gpkg"):
        parameters = {"bbox": "0,50,10,60", "f": form, "limit": 500}
        assert client.get(EDITION, params=parameters).content == client.get(EDITION, params=parameters).content, form


def test_a_store_on_s3_gives_the_same_bytes(any_store: Store, tmp_path: Path) -> None:
    near = open_store(str(tmp_path / "near"))
    publish_polygons(near, tmp_path / "files", outlines(6_000), year=2020)
    for key in near.list(""):
        any_store.put(key, near.get(key))
    with (
        TestClient(create_app(ApiSettings(store=near.root, local_jobs=0))) as one,
        TestClient(create_app(ApiSettings(store=any_store.root, local_jobs=0))) as other,
    ):
        for parameters in (
            {"bbox": "-20,55,20,65", "limit": 700},
            {"filter": "area_m2 > 4000000", "sortby": "-area_m2", "limit": 50},
            {"bbox": "-20,55,20,65", "f": "parquet"},
        ):
            answers = [client.get(EDITION, params=parameters) for client in (one, other)]
            assert answers[0].status_code == 200
            assert answers[0].content == answers[1].content
