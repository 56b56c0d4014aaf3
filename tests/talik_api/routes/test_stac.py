"""The STAC routes, on items made by hand."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import shapely
from starlette.testclient import TestClient

from editing import publish_polygons
from talik_api.app import create_app
from talik_api.settings import ApiSettings
from talik_api.stac.conformance import CONFORMANCE
from talik_stac.imagery import write_index
from talik_stac.store import Store, open_store


def item(name: str, *, west: float = 10.0, day: int = 1, href: str = "./a.tif", **properties: Any) -> dict[str, Any]:
    """An item one degree wide at 70 N; west 179.5 crosses the antimeridian as RFC 7946 has it."""
    east = west + 1 if west + 1 <= 180 else west - 359
    rings = [[[west, 70], [west + 1, 70], [west + 1, 71], [west, 71], [west, 70]]]
    geometry: dict[str, Any] = {"type": "Polygon", "coordinates": rings}
    if east < west:
        parts = [shapely.box(west, 70, 180, 71), shapely.box(-180, 70, east, 71)]
        geometry = shapely.geometry.mapping(shapely.MultiPolygon(parts))
    when = (datetime(2021, 7, 1, tzinfo=UTC) + timedelta(days=day - 1)).isoformat().replace("+00:00", "Z")
    asset = {"href": href, "type": "image/tiff; application=geotiff", "eo:bands": [{"name": "green"}]}
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": name,
        "collection": "a",
        "geometry": geometry,
        "bbox": [west, 70, east, 71],
        "properties": {"datetime": when, **properties},
        "links": [],
        "assets": {"data": asset},
    }


@pytest.fixture
def store(folder_store: Store) -> Store:
    return folder_store


def client(store: Store, **settings: Any) -> TestClient:
    return TestClient(create_app(ApiSettings(store=store.root, local_jobs=0, **settings)), follow_redirects=False)


def found(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [each["id"] for each in answer.json()["features"]]


def test_a_box_over_the_antimeridian_finds_what_lies_on_both_sides(store: Store) -> None:
    write_index(store, "a", [item("east", west=178.0), item("across", west=179.5), item("far", west=0.0)])
    web = client(store)
    assert sorted(found(web.get("/stac/search?bbox=179,69,-179,72"))) == ["across", "east"]
    assert found(web.get("/stac/search?bbox=-179.9,69,-179.6,72")) == ["across"]
    assert found(web.get("/stac/search?bbox=179,69,0,-179,72,10")) == found(web.get("/stac/search?bbox=179,69,-179,72"))
    assert found(web.get("/stac/search?bbox=-1,69,2,72")) == ["far"]  # an item across is not as wide as the globe
    point = {"type": "Point", "coordinates": [-179.7, 70.5]}
    assert found(web.post("/stac/search", json={"intersects": point})) == ["across"]
    assert found(web.get("/stac/search?bbox=179.7,70.5,179.7,70.5")) == ["across"]


def test_pages_stay_true_while_items_are_added(store: Store) -> None:
    items = [item(f"i{day}", day=day) for day in range(1, 7)]
    write_index(store, "a", items)
    web = client(store)
    first = web.get("/stac/search?limit=2").json()
    assert [each["id"] for each in first["features"]] == ["i6", "i5"]
    write_index(store, "a", [*items, item("newest", day=9), item("i3b", day=3)])
    link = next(each for each in first["links"] if each["rel"] == "next")
    assert found(web.get(link["href"])) == ["i4", "i3"]
    assert found(web.get("/stac/search?limit=1")) == ["newest"]  # the rewritten index is read at once


def test_a_posted_search_gives_the_whole_body_of_its_next_page(store: Store) -> None:
    write_index(store, "a", [item(f"i{day}", day=day) for day in range(1, 4)])
    web = client(store)
    body = {"collections": ["a"], "limit": 2, "sortby": [{"field": "id", "direction": "asc"}]}
    first = web.post("/stac/search", json=body).json()
    link = next(each for each in first["links"] if each["rel"] == "next")
    assert (link["method"], link["merge"]) == ("POST", False)
    assert {**link["body"], "token": None} == {**body, "token": None}
    assert found(web.post(link["href"], json=link["body"])) == ["i3"]
    wrong = web.post("/stac/search", json={**link["body"], "sortby": [{"field": "datetime"}]})
    assert wrong.status_code == 400


def test_an_item_with_a_start_and_an_end_is_found_by_any_moment_between(store: Store) -> None:
    long = {"start_datetime": "2021-06-01T00:00:00Z", "end_datetime": "2021-08-01T00:00:00Z"}
    write_index(store, "a", [item("moment", day=5), item("long", day=1, **long)])
    web = client(store)
    assert found(web.get("/stac/search?datetime=2021-06-10T00:00:00Z")) == ["long"]
    assert found(web.get("/stac/search?datetime=2021-07-05T00:00:00Z/..")) == ["moment", "long"]
    assert found(web.get("/stac/search?datetime=2021-08-02T00:00:00Z/..")) == []


def test_no_answer_tells_where_files_lie_on_the_server(store: Store, tmp_path: Path) -> None:
    outside = tmp_path / "secret-folder" / "b.tif"
    items = [item("inside"), item("outside", href=str(outside)), item("linked", href="https://example.org/c.tif")]
    items[1]["assets"]["data"] |= {"talik:source": str(outside), "alternate": {"file": {"href": f"file://{outside}"}}}
    items[1]["properties"]["made_from"] = str(outside)
    items[1]["links"] = [{"rel": "derived_from", "href": str(outside)}, {"rel": "via", "href": "https://example.org/"}]
    write_index(store, "a", items)
    publish_polygons(store, tmp_path / "work", [shapely.box(0.1, 0.1, 0.2, 0.2)], year=2021)
    web = client(store)
    places = ["", "/conformance", "/queryables", "/collections", "/collections/a", "/collections/a/items", "/search"]
    places += ["/collections/inventories-water", "/collections/a/items/outside", "/search?filter=nothing=1"]
    places += ["/collections/a/items/outside/assets/data", "/collections/a/items/inside/assets/data"]
    for place in places:
        text = web.get(f"/stac{place}").text
        assert str(tmp_path) not in text, place
        assert "secret-folder" not in text, place
    kept = web.get("/stac/collections/a/items/outside").json()
    assert [each["href"] for each in kept["links"] if each["rel"] == "via"] == ["https://example.org/"]
    assert web.get("/stac/collections/a/items/linked").json()["assets"]["data"]["href"] == "https://example.org/c.tif"


def test_files_are_served_in_ranges_from_the_store_and_its_roots_only(store: Store, tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "elsewhere"
    for folder in (root, outside):
        folder.mkdir()
        (folder / "b.tif").write_bytes(b"0123456789")
    (root / "link.tif").symlink_to(outside / "b.tif")
    page = item("page", href=str(root / "b.tif"))
    page["assets"]["data"]["type"] = "text/html"
    names = {"good": root / "b.tif", "bad": outside / "b.tif", "link": root / "link.tif", "gone": root / "c.tif"}
    write_index(store, "a", [*(item(name, href=str(path)) for name, path in names.items()), page, item("own")])
    store.put("imagery/a/a.tif", b"abcdef")
    web = client(store, imagery_roots=(str(root),))

    def get(name: str, **headers: str) -> httpx.Response:
        return web.get(f"/stac/collections/a/items/{name}/assets/data", headers=headers)

    part = get("good", Range="bytes=2-4", **{"Accept-Encoding": "gzip"})
    assert (part.status_code, part.content, part.headers["content-range"]) == (206, b"234", "bytes 2-4/10")
    assert get("own").content == b"abcdef"
    assert [get(name).status_code for name in ("bad", "link", "gone")] == [403, 403, 404]
    assert get("page").headers["content-type"] == "application/octet-stream"
    assert get("page").headers["content-disposition"].startswith("attachment")
    assert web.get("/stac/collections/a/items/good/assets/other").status_code == 404


def test_ids_are_clear_where_imagery_bears_the_name_of_a_landform(store: Store, tmp_path: Path) -> None:
    publish_polygons(store, tmp_path / "work", [shapely.box(0.1, 0.1, 0.2, 0.2)], year=2021)
    for name in ("water", "inventories-water"):
        write_index(store, name, [item(f"of-{name}")])
    web = client(store)
    ids = [each["id"] for each in web.get("/stac/collections").json()["collections"]]
    assert ids == ["imagery-inventories-water", "inventories-water", "water"]
    for name, has in zip(ids, ["of-inventories-water", "water-test-2021-v1", "of-water"], strict=True):
        [only] = web.get(f"/stac/collections/{name}/items").json()["features"]
        assert (only["id"], only["collection"]) == (has, name)


def test_editions_are_filtered_by_what_is_said_of_them(store: Store, tmp_path: Path) -> None:
    for year in (2020, 2021):
        publish_polygons(store, tmp_path / str(year), [shapely.box(0.1, 0.1, 0.2, 0.2)], year=year)
    web = client(store)
    assert found(web.get("/stac/search")) == ["water-test-2021-v1", "water-test-2020-v1"]
    text = "\"talik:area\" = 'test' AND start_datetime < TIMESTAMP('2021-01-01T00:00:00Z')"
    assert found(web.get("/stac/search", params={"filter": text})) == ["water-test-2020-v1"]
    assert "talik:count" in web.get("/stac/collections/inventories-water/queryables").json()["properties"]


def test_fields_include_exclude_and_both(store: Store) -> None:
    write_index(store, "a", [item("one", **{"eo:cloud_cover": 3.0, "platform": "p"})])
    web = client(store)

    def only(fields: str) -> dict[str, Any]:
        [feature] = web.get("/stac/search", params={"fields": fields}).json()["features"]
        return feature

    assert set(only("")["properties"]) == {"datetime"}
    assert set(only("eo:cloud_cover")["properties"]) == {"datetime", "eo:cloud_cover"}
    assert "assets" not in only("-assets")
    assert set(only("-assets")["properties"]) == {"datetime", "eo:cloud_cover", "platform"}
    assert set(only("id,properties,-properties.platform")) == {"type", "id", "collection", "properties"}
    assert set(only("+properties,-properties.platform")["properties"]) == {"datetime", "eo:cloud_cover"}


def test_each_operator_of_query_means_what_python_means(store: Store) -> None:
    names = ["a_1", "ab1", "b%", None]
    write_index(
        store, "a", [item(f"i{n}", day=n + 1, number=n, **({"label": s} if s else {})) for n, s in enumerate(names)]
    )
    web = client(store)
    cases: dict[str, tuple[Any, set[int]]] = {
        "number.eq": (2, {2}),
        "number.neq": (2, {0, 1, 3}),
        "number.lt": (2, {0, 1}),
        "number.lte": (2, {0, 1, 2}),
        "number.gt": (2, {3}),
        "number.gte": (2, {2, 3}),
        "number.in": ([0, 3], {0, 3}),
        "label.startsWith": ("a_", {0}),
        "label.endsWith": ("1", {0, 1}),
        "label.contains": ("%", {2}),
        "label.eq": (None, {3}),
    }
    for case, (value, numbers) in cases.items():
        name, operator = case.split(".")
        query = {name: {operator: value}}
        assert set(found(web.post("/stac/search", json={"query": query}))) == {f"i{n}" for n in numbers}, case
        assert set(found(web.get("/stac/search", params={"query": json.dumps(query)}))) == {f"i{n}" for n in numbers}


@pytest.mark.parametrize(
    "query",
    [
        "limit=0", "limit=-1", "limit=x", "bbox=1,2,3", "bbox=a,b,c,d", "bbox=0,10,1,5", "datetime=2021-07-01",
        "datetime=../..", "sortby=nothing", "query=[]", "query={", 'query={"platform":{"like":"a"}}', "filter=a=",
        "filter-lang=other&filter=id='a'", "intersects={}", 'intersects={"type":"Feature","geometry":null}',
        "token=e30", "token=%C3%A4", "nothing=1",
        "bbox=0,0,1,1&intersects={%22type%22:%22Point%22,%22coordinates%22:[0,0]}",
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_refused_with_a_reason(store: Store, query: str) -> None:
    write_index(store, "a", [item("one")])
    answer = client(store).get(f"/stac/search?{query}")
    assert answer.status_code == 400, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["detail"]


def test_limits_above_the_largest_are_taken_for_it_and_unknown_collections_hold_nothing(store: Store) -> None:
    write_index(store, "a", [item("one")])
    web = client(store)
    assert found(web.get("/stac/search?limit=100000000")) == ["one"]
    assert found(web.get("/stac/search?collections=nothing")) == []
    assert found(web.get("/stac/search?ids=one,two&collections=a,nothing")) == ["one"]
    for path in (
        "collections/nothing",
        "collections/nothing/items",
        "collections/a/items/nothing",
        "collections/%2e%2e",
    ):
        assert web.get(f"/stac/collections/{path}").status_code == 404


def test_an_empty_store_has_a_landing_page_and_an_empty_search(store: Store) -> None:
    web = client(store)
    assert web.get("/stac").json()["conformsTo"] == list(CONFORMANCE)
    assert web.get("/stac/collections").json()["collections"] == []
    answer = web.get("/stac/search").json()
    assert (answer["features"], answer["numberMatched"]) == ([], 0)


def test_a_damaged_index_is_an_incident_of_its_own_and_leaves_the_others(store: Store) -> None:
    write_index(store, "a", [item("one")])
    store.put("imagery/b/items.parquet", b"not parquet")
    web = client(store)
    assert found(web.get("/stac/search")) == ["one"]
    answer = web.get("/stac/collections/b")
    assert answer.status_code == 503
    assert os.fspath(store.root) not in answer.text


def test_a_store_in_a_bucket_serves_items_and_sends_to_its_files(any_store: Store) -> None:
    write_index(any_store, "a", [item("one", href=any_store.url("imagery/a/a.tif"))])
    any_store.put("imagery/a/a.tif", b"abcdef")
    web = client(any_store)
    href = web.get("/stac/search").json()["features"][0]["assets"]["data"]["href"]
    assert href == "http://testserver/stac/collections/a/items/one/assets/data"
    answer = web.get(href)
    if answer.status_code == 302:
        answer = httpx.get(answer.headers["location"], headers={"Range": "bytes=1-2"})
        assert (answer.status_code, answer.content) == (206, b"bc")
    else:
        assert answer.content == b"abcdef"


def test_an_index_in_a_bucket_is_read_again_when_it_has_changed(s3_environment: str) -> None:
    from talik_api.stac.index_file import IndexFiles

    store = open_store("s3://talik-test/fresh")
    write_index(store, "a", [item("one")])
    now = 0.0
    files = IndexFiles(store, clock=lambda: now)
    first = files.of("a")
    now = 3.0
    assert files.of("a") is first  # asked, and found unchanged
    write_index(store, "a", [item("one"), item("two")])
    assert files.of("a") is first  # still fresh
    now = 6.0
    assert files.of("a").read(0, ["id"]).num_rows == 2
