"""OGC API Features Part 1 (OGC 17-069r4), Annex A: core, GeoJSON, HTML, OpenAPI 3.0; and Common on the same paths."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import geopandas
import pytest
import shapely
from geojson_pydantic import Feature, FeatureCollection
from lxml import html
from openapi_spec_validator import validate as validate_openapi
from starlette.testclient import TestClient

from editing import publish_polygons
from talik_api.app import create_app
from talik_api.conformance import conformance_classes
from talik_api.formats import FORMATS
from talik_api.settings import ApiSettings
from talik_stac.store import open_store

from .abstract import COMMON_1, COMMON_2, FEATURES_1

EDITION = "water-test-2020-v1"
ITEMS = f"/collections/{EDITION}/items"
CRS84 = "http://www.opengis.net/def/crs/OGC/1.3/CRS84"
JSON = {"Accept": "application/json"}
GEOJSON = "application/geo+json"
ENCODINGS = {form.media_type for form in FORMATS.values()} | {"text/html"}
RESOURCES = ("/", "/conformance", "/collections", f"/collections/{EDITION}")


def rels(document: dict[str, Any]) -> dict[str, set[str]]:
    """Relation -> media types of a document's links, each of which must have both and an absolute address."""
    found: dict[str, set[str]] = {}
    for link in document["links"]:
        assert link["rel"]
        assert link["type"]
        assert urlsplit(link["href"]).scheme in ("http", "https")
        found.setdefault(link["rel"], set()).add(link["type"])
    return found


def page(client: TestClient, path: str = ITEMS, **parameters: Any) -> dict[str, Any]:
    """One page of features."""
    answer = client.get(path, params={name.replace("_", "-"): value for name, value in parameters.items()})
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == GEOJSON
    document: dict[str, Any] = answer.json()
    return document


def ids(document: dict[str, Any]) -> set[str]:
    return {feature["id"] for feature in document["features"]}


# Core


@COMMON_1("/conf/core/http")
@FEATURES_1("/conf/core/http")
def test_every_path_speaks_http(client: TestClient) -> None:
    for path in (*RESOURCES, ITEMS):
        assert client.get(path, headers=JSON).status_code == 200
        assert client.head(path, headers=JSON).status_code == 200
        assert client.put(path).status_code == 405
        assert "GET" in client.put(path).headers["allow"]
        assert client.get(path, headers={"Accept": "image/x-nothing"}).status_code in (200, 406)
    assert client.get("/nowhere").status_code == 404


@FEATURES_1("/conf/core/crs84")
def test_coordinates_are_longitude_and_latitude(client: TestClient, lakes: geopandas.GeoDataFrame) -> None:
    answer = client.get(ITEMS, params={"limit": 50})
    assert answer.headers["content-crs"] == f"<{CRS84}>"
    truth = lakes.set_index("id").geometry
    for feature in answer.json()["features"]:
        ours = shapely.geometry.shape(feature["geometry"])
        assert ours.symmetric_difference(truth[feature["id"]]).area < 1e-4 * truth[feature["id"]].area


@FEATURES_1("/conf/core/root-op", "/conf/core/root-success")
def test_the_landing_page_leads_to_the_rest(client: TestClient) -> None:
    answer = client.get("/", headers=JSON)
    assert answer.status_code == 200
    found = rels(answer.json())
    assert {"self", "alternate", "service-desc", "service-doc", "conformance", "data"} <= set(found)
    for link in answer.json()["links"]:
        if link["rel"] in ("self", "alternate", "service-desc", "service-doc", "conformance", "data"):
            reached = client.get(link["href"], headers={"Accept": link["type"]})
            assert (reached.status_code, reached.headers["content-type"].partition("; charset")[0]) == (
                200,
                link["type"],
            )


@FEATURES_1("/conf/core/api-definition-op", "/conf/core/api-definition-success")
def test_the_description_is_where_the_landing_page_says(client: TestClient, description: dict[str, Any]) -> None:
    validate_openapi(description)
    assert description["servers"] == [{"url": "http://testserver"}]
    assert client.get("/api", headers={"Accept": "application/vnd.oai.openapi+json;version=3.0"}).status_code == 200


@FEATURES_1("/conf/core/conformance-op", "/conf/core/conformance-success")
def test_conformance_names_every_class_once(client: TestClient) -> None:
    answer = client.get("/conformance", headers=JSON)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    named = answer.json()["conformsTo"]
    assert named == conformance_classes()
    assert len(set(named)) == len(named)
    for name in ("core", "oas30", "html", "geojson"):
        assert f"http://www.opengis.net/spec/ogcapi-features-1/1.0/conf/{name}" in named


@COMMON_2("/conf/collections/rc-md-op", "/conf/collections/rc-md-success", "/conf/collections/rc-md-links")
@FEATURES_1("/conf/core/fc-md-op", "/conf/core/fc-md-success", "/conf/core/fc-md-links")
def test_collections_are_listed(client: TestClient) -> None:
    answer = client.get("/collections", headers=JSON)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    found = rels(answer.json())
    assert found["self"] == {"application/json"}
    assert found["alternate"] == {"text/html"}


@COMMON_2("/conf/collections/rc-md-items")
@FEATURES_1("/conf/core/fc-md-items", "/conf/core/fc-md-items-links")
def test_each_collection_has_an_id_and_its_features_in_every_encoding(collections: list[dict[str, Any]]) -> None:
    assert {each["id"] for each in collections} == {"water", "water-test-2020-v1", "water-test-2021-v1"}
    for each in collections:
        assert rels(each)["items"] == ENCODINGS
        assert each["itemType"] == "feature"
        assert each["title"]


@FEATURES_1("/conf/core/fc-md-extent")
def test_the_extent_holds_every_feature(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "store"))
    # publish_polygons says that the edition's area is the square from 0 to 1 degree, and its season that of the year.
    publish_polygons(store, tmp_path / "draft", [shapely.Point(x, x).buffer(0.05) for x in (0.1, 0.5, 0.9)], year=2021)
    service = TestClient(create_app(ApiSettings(store=str(tmp_path / "store"), local_jobs=0)))
    for each in service.get("/collections", headers=JSON).json()["collections"]:
        extent = each["extent"]
        assert extent["spatial"]["crs"] == CRS84
        (box,) = extent["spatial"]["bbox"]
        ((first, last),) = extent["temporal"]["interval"]
        features = page(service, f"/collections/{each['id']}/items")["features"]
        assert len(features) == 3
        for feature in features:
            assert shapely.box(*box).covers(shapely.geometry.shape(feature["geometry"]))
            assert first <= feature["properties"]["observed_start"] <= feature["properties"]["observed_end"] <= last


@COMMON_2("/conf/collections/src-md-op", "/conf/collections/src-md-success")
@FEATURES_1("/conf/core/sfc-md-op", "/conf/core/sfc-md-success")
def test_a_collection_says_of_itself_what_the_list_says(client: TestClient, collections: list[dict[str, Any]]) -> None:
    for listed in collections:
        answer = client.get(f"/collections/{listed['id']}", headers=JSON)
        assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
        alone = answer.json()
        for name in ("id", "title", "description", "extent", "crs", "storageCrs", "itemType"):
            assert alone[name] == listed[name]
        assert [link for link in listed["links"] if link not in alone["links"]] == []


@FEATURES_1("/conf/core/fc-op", "/conf/core/fc-response")
def test_features_are_a_feature_collection(client: TestClient, collections: list[dict[str, Any]]) -> None:
    for each in collections:
        document = page(client, f"/collections/{each['id']}/items", limit=20)
        FeatureCollection.model_validate(document)
        assert document["type"] == "FeatureCollection"
        assert len(ids(document)) == 20


def parameter(description: dict[str, Any], name: str) -> dict[str, Any]:
    """How /collections/{collectionId}/items declares a parameter."""
    declared = description["paths"]["/collections/{collectionId}/items"]["get"]["parameters"]
    (found,) = [each for each in declared if each["name"] == name]
    assert (found["in"], found.get("required", False)) == ("query", False)
    assert (found["style"], found["explode"]) == ("form", False)
    result: dict[str, Any] = found["schema"]
    return result


@FEATURES_1("/conf/core/fc-bbox-definition")
def test_bbox_is_declared_as_the_standard_asks(description: dict[str, Any]) -> None:
    schema = parameter(description, "bbox")
    assert (schema["type"], schema["items"]) == ("array", {"type": "number"})
    assert schema["oneOf"] == [{"minItems": 4, "maxItems": 4}, {"minItems": 6, "maxItems": 6}]


BOXES = {
    "(-10, 55, 10, 60)": ["-10,55,10,60"],
    "six numbers": ["-10,55,-100,10,60,100"],
    "over the antimeridian": ["177,59,-177,63"],
    "the globe": ["-180,-90,180,90"],
    "a point": ["179.95,60.05,179.95,60.05"],
    "nothing": ["100,-40,101,-39"],
}


@pytest.mark.parametrize("box", [text for (text,) in BOXES.values()], ids=list(BOXES))
@FEATURES_1("/conf/core/fc-bbox-response")
def test_bbox_gives_what_it_touches(client: TestClient, lakes: geopandas.GeoDataFrame, box: str) -> None:
    numbers = [float(number) for number in box.split(",")]
    west, south, east, north = numbers if len(numbers) == 4 else [*numbers[:2], *numbers[3:5]]
    wests = [(west, east)] if west <= east else [(west, 180.0), (-180.0, east)]
    area = shapely.union_all([shapely.box(left, south, right, north) for left, right in wests])
    expected = set(lakes["id"][lakes.intersects(area)])
    assert (len(expected) == 0) == (box == "100,-40,101,-39")
    assert ids(page(client, bbox=box, limit=20_000)) == expected


@FEATURES_1("/conf/core/fc-limit-definition")
def test_limit_is_declared_as_the_standard_asks(description: dict[str, Any]) -> None:
    schema = parameter(description, "limit")
    assert (schema["type"], schema["minimum"]) == ("integer", 1)
    assert schema["maximum"] >= 1000  # a page's size without a limit


@FEATURES_1("/conf/core/fc-limit-response")
def test_limit_bounds_a_page_and_too_large_is_no_error(client: TestClient, description: dict[str, Any]) -> None:
    for limit in (1, 7, 1000):
        assert len(page(client, limit=limit)["features"]) == limit
    schema = parameter(description, "limit")
    assert len(page(client)["features"]) == 1000
    beyond = page(client, limit=schema["maximum"] + 1)
    assert len(beyond["features"]) == beyond["numberMatched"] <= schema["maximum"]


@FEATURES_1("/conf/core/fc-time-definition")
def test_datetime_is_declared_as_the_standard_asks(description: dict[str, Any]) -> None:
    assert parameter(description, "datetime")["type"] == "string"


@FEATURES_1("/conf/core/fc-time-response")
def test_datetime_gives_what_was_seen_then(client: TestClient, lakes: geopandas.GeoDataFrame) -> None:
    moments = sorted(set(lakes["observed_start"]) | set(lakes["observed_end"]))
    first, last = moments[0].to_pydatetime().astimezone(UTC), moments[-1].to_pydatetime().astimezone(UTC)

    def text(moment: datetime, hours: int = 0) -> str:
        return (moment + timedelta(hours=hours)).strftime("%Y-%m-%dT%H:%M:%SZ")

    every = (
        text(first),
        f"{text(first, -1)}/{text(last, 1)}",
        f"../{text(first)}",
        f"/{text(first)}",
        f"{text(last)}/..",
        f"{text(last)}/",
        f"{first:%Y-%m-%d}",
        f"{text(first)[:-1]}.000+00:00",
    )
    for when in every:
        assert page(client, datetime=when, limit=1)["numberMatched"] == len(lakes), when
    none = (text(first, -1), f"../{text(first, -1)}", f"{text(last, 1)}/..", f"{text(last, 1)}/{text(last, 2)}")
    for when in none:
        assert page(client, datetime=when, limit=1)["features"] == [], when
    for wrong in ("2021", "yesterday", "../..", "2021-07-15T25:00:00Z", f"{text(last, 1)}/{text(first, -1)}", "a/b/c"):
        assert client.get(ITEMS, params={"datetime": wrong}).status_code == 400, wrong


@COMMON_1("/conf/core/query-param-name-unknown")
@FEATURES_1("/conf/core/query-param-unknown")
def test_unknown_parameters_are_refused_everywhere(client: TestClient, description: dict[str, Any]) -> None:
    feature = page(client, limit=1)["features"][0]["id"]
    asked = 0
    for template, operations in description["paths"].items():
        if "get" not in operations or template.startswith(("/imagery", "/exports", "/editions", "/jobs", "/stac")):
            continue  # these need things that this store has not
        path = template.format(
            collectionId=EDITION, featureId=feature, kind="png", tileMatrix=0, tileRow=0, tileCol=0, processId="compare"
        )
        answer = client.get(path, params={"thisIsNoParameter": "1"})
        assert answer.status_code == 400, template
        assert "thisIsNoParameter" in answer.json()["detail"]
        asked += 1
    assert asked > 15


@pytest.mark.parametrize(
    "wrong",
    ["limit=0", "limit=-1", "limit=many", "bbox=1,2,3", "bbox=1,2,3,4,5", "bbox=a,b,c,d", "bbox=1,60,2,50",
     "bbox=nan,1,2,3", "datetime=noon", "f=nothing", "crs=nothing", "bbox=1,2,3,4&bbox-crs=nothing", "filter-lang=x",
     "sortby=nothing", "properties=nothing", "token=nothing", "limit=1&limit=2", "bbox=1,2,3,4&bbox=1,2,3,4"],
)  # fmt: skip
@COMMON_1("/conf/core/query-param-value-invalid")
@FEATURES_1("/conf/core/query-param-invalid")
def test_values_that_cannot_be_are_refused(client: TestClient, wrong: str) -> None:
    answer = client.get(f"{ITEMS}?{wrong}")
    assert (answer.status_code, answer.headers["content-type"]) == (400, "application/problem+json"), answer.text
    assert answer.json()["detail"]


@FEATURES_1("/conf/core/fc-links")
def test_features_link_to_themselves_in_every_encoding(client: TestClient) -> None:
    document = page(client, bbox="-10,55,10,60", limit=5)
    found = rels(document)
    assert found["self"] == {GEOJSON}
    assert found["alternate"] == ENCODINGS - {GEOJSON}
    assert found["collection"] == {"application/json"}
    for link in document["links"]:
        answer = client.get(link["href"], headers=JSON)
        assert answer.status_code == 200, link
        assert answer.headers["content-type"].partition("; charset")[0] == link["type"]


@FEATURES_1("/conf/core/fc-timeStamp")
def test_an_answer_carries_no_time_so_that_the_same_bytes_come_again(client: TestClient) -> None:
    assert "timeStamp" not in page(client, limit=1)  # optional; ETag says whether anything changed


@FEATURES_1("/conf/core/fc-numberMatched", "/conf/core/fc-numberReturned")
def test_pages_to_the_end_sum_to_the_number_matched(client: TestClient) -> None:
    for limit, box in ((4000, "-180,-90,180,90"), (7, "-10,55,0,57")):
        answer = page(client, limit=limit, bbox=box)
        matched, counts, seen = answer["numberMatched"], [], set[str]()
        assert matched > 2 * limit
        for _ in range(100):
            assert answer["numberMatched"] == matched
            assert answer["numberReturned"] == len(answer["features"])
            counts.append(answer["numberReturned"])
            seen |= ids(answer)
            following = [link["href"] for link in answer["links"] if link["rel"] == "next"]
            if not following:
                break
            answer = client.get(following[0]).json()
        assert sum(counts) == len(seen) == matched
        assert set(counts[:-1]) == {limit}
        assert 0 < counts[-1] <= limit


@FEATURES_1("/conf/core/f-op", "/conf/core/f-success", "/conf/core/f-links")
def test_a_feature_is_had_by_its_id(client: TestClient, collections: list[dict[str, Any]]) -> None:
    for each in collections:
        path = f"/collections/{each['id']}/items"
        for listed in page(client, path, limit=3)["features"]:
            answer = client.get(f"{path}/{listed['id']}")
            assert (answer.status_code, answer.headers["content-type"]) == (200, GEOJSON)
            alone = answer.json()
            assert {name: alone[name] for name in ("type", "id", "geometry", "properties")} == listed
            found = rels(alone)
            assert found["self"] == {GEOJSON}
            assert found["alternate"] == ENCODINGS - {GEOJSON}
            assert found["collection"] == {"application/json"}
        assert client.get(f"{path}/nothing").status_code == 404


# GeoJSON


@FEATURES_1("/conf/geojson/definition")
def test_geojson_comes_to_who_asks_for_it(client: TestClient) -> None:
    feature = page(client, limit=1)["features"][0]["id"]
    for path in (f"{ITEMS}?limit=1", f"{ITEMS}/{feature}"):
        assert client.get(path, headers={"Accept": GEOJSON}).headers["content-type"] == GEOJSON
    for path in RESOURCES:
        assert client.get(path, headers=JSON).headers["content-type"] == "application/json"


@FEATURES_1("/conf/geojson/content")
def test_geojson_is_geojson(client: TestClient) -> None:
    document = page(client, limit=500, sortby="-id")
    assert FeatureCollection.model_validate(document).length == 500
    alone = client.get(f"{ITEMS}/{document['features'][0]['id']}").json()
    Feature.model_validate(alone)
    assert isinstance(alone["links"], list)
    for geometry in (shapely.from_geojson(json.dumps(each["geometry"])) for each in document["features"]):
        parts = shapely.get_parts(geometry)
        assert all(shapely.is_ccw(part.exterior) for part in parts)  # RFC 7946 3.1.6
        assert geometry.is_valid


# HTML


def html_of(client: TestClient, path: str) -> Any:
    answer = client.get(path, headers={"Accept": "text/html"})
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8"), path
    assert answer.text.startswith("<!doctype html>")
    return html.document_fromstring(answer.text)


@FEATURES_1("/conf/html/definition")
def test_every_resource_is_a_page_too(client: TestClient) -> None:
    feature = page(client, limit=1)["features"][0]["id"]
    for path in (*RESOURCES, "/api.html", f"{ITEMS}?limit=5", f"{ITEMS}/{feature}"):
        html_of(client, path)


@FEATURES_1("/conf/html/content")
def test_pages_hold_what_the_documents_hold_and_their_links(client: TestClient) -> None:
    feature = page(client, limit=1)["features"][0]["id"]
    for path in (*RESOURCES, f"{ITEMS}?limit=5", f"{ITEMS}/{feature}"):
        body = html_of(client, path).find("body")
        document = client.get(path, headers=JSON).json()
        leading = {urlsplit(each).path for each in body.xpath("//a/@href")}
        wanted = {
            urlsplit(link["href"]).path
            for link in document.get("links", [])
            if link["rel"] not in ("self", "alternate", "next", "preview")  # a page shows pictures where there are some
        }
        assert wanted - leading - {"/jobs"} == set(), path  # people without a key would meet 401 there
    text = html_of(client, "/conformance").text_content()
    assert [each for each in conformance_classes() if each not in text] == []
    shown = html_of(client, f"{ITEMS}/{feature}").text_content()
    assert feature in shown


# OpenAPI 3.0


@FEATURES_1("/conf/oas30/completeness", "/conf/oas30/exceptions-codes")
def test_every_operation_declares_the_answers_that_it_gives(client: TestClient, description: dict[str, Any]) -> None:
    for path, operations in description["paths"].items():
        for operation in operations.values():
            assert {"400", "500", "503", *(["404"] if "{" in path else [])} <= set(operation["responses"])
    declared = description["paths"]["/collections/{collectionId}/items"]["get"]["responses"]
    assert GEOJSON in declared["200"]["content"]
    given = {
        "400": client.get(f"{ITEMS}?limit=0"),
        "404": client.get("/collections/nothing/items"),
        "406": client.get(ITEMS, headers={"Accept": "image/png"}),
    }
    for status, answer in given.items():
        assert str(answer.status_code) == status
        assert answer.headers["content-type"] in declared[status]["content"]


@FEATURES_1("/conf/oas30/oas-definition-1", "/conf/oas30/oas-definition-2")
def test_the_description_is_openapi_3_0_and_a_page(client: TestClient, description: dict[str, Any]) -> None:
    found = rels(client.get("/", headers=JSON).json())
    assert found["service-desc"] == {"application/vnd.oai.openapi+json;version=3.0"}
    assert found["service-doc"] == {"text/html"}
    assert re.fullmatch(r"3\.0\.\d+", description["openapi"])
    validate_openapi(description)


@FEATURES_1("/conf/oas30/oas-impl")
def test_every_path_of_the_standard_is_described_and_there(client: TestClient, description: dict[str, Any]) -> None:
    feature = page(client, limit=1)["features"][0]["id"]
    core = ("/", "/conformance", "/collections", "/collections/{collectionId}", "/collections/{collectionId}/items",
            "/collections/{collectionId}/items/{featureId}", "/collections/{collectionId}/queryables")  # fmt: skip
    for template in core:
        operation = description["paths"][template]["get"]
        named = {each["name"] for each in operation.get("parameters", []) if each["in"] == "path"}
        assert named == set(re.findall(r"{(\w+)}", template))
        path = template.format(collectionId=EDITION, featureId=feature)
        answer = client.get(path, headers=JSON)
        assert answer.status_code == 200
        assert answer.headers["content-type"] in operation["responses"]["200"]["content"]


@FEATURES_1("/conf/oas30/security")
def test_keys_are_described_where_they_are_asked_for(description: dict[str, Any]) -> None:
    schemes = description["components"]["securitySchemes"]
    assert {(each["type"], each.get("scheme", each.get("in"))) for each in schemes.values()} == {
        ("apiKey", "header"),
        ("http", "bearer"),
    }
    guarded = {
        (path, method)
        for path, operations in description["paths"].items()
        for method, operation in operations.items()
        if operation.get("security")
    }
    assert guarded == {("/processes/{processId}/execution", "post"), ("/jobs", "get"), ("/jobs/{jobId}", "delete")}
