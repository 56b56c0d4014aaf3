"""Columns that only some inventories have: collections with them serve them, the others stay as they were."""

from __future__ import annotations

import csv
import io
from datetime import date
from pathlib import Path
from typing import Any

import geopandas
import pandas as pd
import pyogrio
import pytest
import shapely
from starlette.testclient import TestClient

from editing import publish_polygons
from talik_api.app import create_app
from talik_api.settings import ApiSettings
from talik_stac.store import open_store

NAMES = ["initiated_after", "initiated_before"]
AFTER = [date(2014, 7, 1), None, date(2016, 7, 1), None]
BEFORE = [date(2016, 8, 31), date(2015, 8, 31), date(2018, 8, 31), None]
PLAIN, DATED = "water-test-2020-v1", "water-test-2021-v1"


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> TestClient:
    """Two seasons of four boxes each; experts dated the initiation of those of 2021."""
    folder = tmp_path_factory.mktemp("dated")
    store = open_store(str(folder / "store"))
    boxes = [shapely.box(x / 10, 0, x / 10 + 0.01, 0.01) for x in range(4)]
    publish_polygons(store, folder / "plain", boxes, year=2020)
    days = {"initiated_after": AFTER, "initiated_before": BEFORE}
    publish_polygons(store, folder / "dated", boxes, year=2021, attributes=days)
    return TestClient(create_app(ApiSettings(store=store.root, local_jobs=0)), raise_server_exceptions=False)


def features(client: TestClient, collection: str, **asked: Any) -> list[dict[str, Any]]:
    answer = client.get(f"/collections/{collection}/items", params=asked)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["features"]
    return found


def test_geojson_has_days_where_the_edition_has_them(client: TestClient) -> None:
    said = {tuple(each["properties"][name] for name in NAMES) for each in features(client, DATED)}
    texts = [[None if day is None else day.isoformat() for day in days] for days in (AFTER, BEFORE)]
    assert said == set(zip(*texts, strict=True))
    for each in features(client, PLAIN):
        assert not set(NAMES) & set(each["properties"])


def test_a_collection_of_both_has_nulls_where_nothing_is_known(client: TestClient) -> None:
    every = features(client, "water")
    assert len(every) == 8
    for each in every:
        assert set(NAMES) <= set(each["properties"])
        if each["id"].startswith(PLAIN):
            assert [each["properties"][name] for name in NAMES] == [None, None]
    one = next(each for each in every if each["id"].startswith(PLAIN))
    alone = client.get(f"/collections/water/items/{one['id']}").json()
    assert alone["properties"] == one["properties"]
    bare = client.get(f"/collections/{PLAIN}/items/{one['id'].partition(':')[2]}").json()
    assert not set(NAMES) & set(bare["properties"])


@pytest.mark.parametrize("kind", ["schema", "queryables", "sortables"])
def test_the_schemas_of_a_collection_name_its_own_columns(client: TestClient, kind: str) -> None:
    day = {"type": "string", "format": "date"}
    for collection, there in ((PLAIN, False), (DATED, True), ("water", True)):
        properties = client.get(f"/collections/{collection}/{kind}").json()["properties"]
        assert ("initiated_after" in properties) is there
        if there:
            assert properties["initiated_before"].items() >= day.items()


FOUND = {
    "initiated_before < DATE('2016-08-31')": 1,
    "initiated_before <= DATE('2016-08-31')": 2,
    "initiated_before <= TIMESTAMP('2016-08-31T12:00:00Z')": 2,
    "initiated_before = TIMESTAMP('2016-08-31T12:00:00Z')": 1,
    "initiated_after IS NULL": 2,
    "initiated_before > DATE('2015-01-01') AND initiated_after > DATE('2015-01-01')": 1,
    "initiated_before IN (DATE('2016-08-31'), DATE('2018-08-31'))": 2,
    "initiated_before BETWEEN DATE('2015-08-31') AND DATE('2016-08-31')": 2,
    "initiated_after < initiated_before": 2,
    "T_INTERSECTS(initiated_before, INTERVAL('2016-01-01', '..'))": 2,
}


@pytest.mark.parametrize("condition", FOUND)
def test_days_can_be_asked_for(client: TestClient, condition: str) -> None:
    assert len(features(client, DATED, filter=condition)) == FOUND[condition]


def test_what_a_collection_lacks_cannot_be_asked_for(client: TestClient) -> None:
    for asked in (
        {"filter": "initiated_after IS NULL"},
        {"sortby": "-initiated_after"},
        {"properties": "area_m2,initiated_after"},
    ):
        answer = client.get(f"/collections/{PLAIN}/items", params=asked)
        assert answer.status_code == 400
        assert f"collection '{PLAIN}' has no property initiated_after" in answer.json()["detail"]
        assert client.get(f"/collections/{DATED}/items", params=asked).status_code == 200


def test_pages_in_the_order_of_days_miss_nothing(client: TestClient) -> None:
    page = client.get("/collections/water/items", params={"sortby": "-initiated_before", "limit": 1}).json()
    found = page["features"]
    while following := [link["href"] for link in page["links"] if link["rel"] == "next"]:
        page = client.get(following[0]).json()
        found += page["features"]
    days = [each["properties"]["initiated_before"] for each in found]
    assert days == ["2018-08-31", "2016-08-31", "2015-08-31", *[None] * 5]
    assert len({each["id"] for each in found}) == 8


@pytest.mark.parametrize("form", ["csv", "parquet", "fgb", "gpkg", "shp"])
@pytest.mark.parametrize("collection", [PLAIN, DATED, "water"])
def test_files_hold_the_days(client: TestClient, collection: str, form: str, tmp_path: Path) -> None:
    answer = client.get(f"/collections/{collection}/items", params={"f": form, "limit": 100})
    assert answer.status_code == 200, answer.text
    names = ["init_after", "init_befor"] if form == "shp" else NAMES
    if form == "csv":
        rows = list(csv.DictReader(io.StringIO(answer.text)))
        frame = pd.DataFrame(rows).replace("", None)
    elif form == "parquet":
        frame = geopandas.read_parquet(io.BytesIO(answer.content))
    else:
        path = tmp_path / f"answer.{'zip' if form == 'shp' else form}"
        path.write_bytes(answer.content)
        frame = pyogrio.read_dataframe(path)
    if collection == PLAIN:
        assert not set(names) & set(frame.columns)
        return
    for name, days in zip(names, (AFTER, BEFORE), strict=True):
        found = pd.to_datetime(frame[name]).dropna().dt.date.tolist()
        assert sorted(found) == sorted(day for day in days if day is not None)
    if form in ("gpkg", "shp"):
        assert frame[names[0]].dtype.kind == "M", "days, not texts"


def test_pages_for_people_show_the_days(client: TestClient) -> None:
    for path in (f"/collections/{DATED}", f"/collections/{DATED}/items", "/collections/water/items"):
        answer = client.get(path, params={"f": "html"})
        assert answer.status_code == 200
        assert "initiated_before" in answer.text
    assert "2016-08-31" in client.get(f"/collections/{DATED}/items", params={"f": "html"}).text
    assert "initiated_before" not in client.get(f"/collections/{PLAIN}", params={"f": "html"}).text
