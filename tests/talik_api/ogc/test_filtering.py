"""OGC API Features Part 3 (OGC 19-079r2), Annex A: queryables, filters, filters on features."""

from __future__ import annotations

from typing import Any

import geopandas
import numpy as np
import pyproj
import pytest
import shapely
from jsonschema import Draft202012Validator
from requests.utils import parse_header_links
from starlette.testclient import TestClient

from talik_api.crs import SUPPORTED

from .abstract import FEATURES_3

QUERYABLES = "http://www.opengis.net/def/rel/ogc/1.0/queryables"
WORLD = "S_INTERSECTS(geometry,BBOX(-180,-90,180,90))"
TINY = "water-test-2021-v1"
PATHS = [f"/collections/{name}/items" for name in ("water", "water-test-2020-v1", TINY)]


def filtered(client: TestClient, path: str, **parameters: Any) -> Any:
    given = {name.replace("_", "-"): value for name, value in parameters.items()}
    return client.get(path, params={"limit": 20_000, "properties": "status", **given})


def ids(answer: Any) -> set[str]:
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/geo+json"
    return {feature["id"] for feature in answer.json()["features"]}


@FEATURES_3("/conf/queryables/get-conformance", "/conf/filter/get-conformance", "/conf/features-filter/get-conformance")
def test_the_classes_of_filtering_are_named(client: TestClient) -> None:
    named = client.get("/conformance", headers={"Accept": "application/json"}).json()["conformsTo"]
    for name in ("queryables", "filter", "features-filter"):
        assert f"http://www.opengis.net/spec/ogcapi-features-3/1.0/conf/{name}" in named


def queryables_uri(client: TestClient, path: str) -> str:
    """The address of the queryables, from the Link header of what is filtered."""
    answer = client.head(path, headers={"Accept": "application/json"})
    assert answer.status_code == 200
    links = parse_header_links(answer.headers["link"])
    (address,) = [each["url"] for each in links if each["rel"] == QUERYABLES]
    return str(address)


@FEATURES_3("/conf/queryables/get-queryables-uris")
def test_a_header_of_the_features_leads_to_what_filters_may_name(client: TestClient) -> None:
    for path in PATHS:
        assert queryables_uri(client, path) == f"http://testserver{path.removesuffix('/items')}/queryables"


@FEATURES_3("/conf/queryables/get-queryables")
def test_queryables_are_a_json_schema(client: TestClient) -> None:
    for path in PATHS:
        address = queryables_uri(client, path)
        answer = client.get(address, headers={"Accept": "application/schema+json"})
        assert (answer.status_code, answer.headers["content-type"]) == (200, "application/schema+json")
        schema = answer.json()
        assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
        assert (schema["$id"], schema["type"], schema["additionalProperties"]) == (address, "object", False)
        Draft202012Validator.check_schema(schema)
        assert all("type" in each or each["format"].startswith("geometry-") for each in schema["properties"].values())
        assert schema["properties"]["geometry"]["format"] == "geometry-any"
        feature = client.get(path, params={"limit": 1}).json()["features"][0]
        assert set(schema["properties"]) == {*feature["properties"], "id", "geometry"}


@FEATURES_3("/conf/features-filter/get-collections", "/conf/features-filter/get-collection")
def test_every_collection_links_to_its_queryables(client: TestClient, collections: list[dict[str, Any]]) -> None:
    for each in collections:
        answer = client.get(f"/collections/{each['id']}", headers={"Accept": "application/json"})
        assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
        links = {link["rel"]: link["href"] for link in answer.json()["links"]}
        assert links[QUERYABLES] == f"http://testserver/collections/{each['id']}/queryables"


@FEATURES_3("/conf/filter/filter-param", "/conf/features-filter/filter-on-items")
def test_a_filter_gives_what_it_is_true_for(client: TestClient, lakes: geopandas.GeoDataFrame) -> None:
    for path in PATHS:
        every = ids(filtered(client, path))
        assert ids(filtered(client, path, filter="confidence IS NULL", filter_lang="cql2-text")) == every
        assert ids(filtered(client, path, filter="probability IS NULL", filter_lang="cql2-text")) == set()
        text = filtered(client, path, filter="THIS IS NOT A FILTER", filter_lang="cql2-text")
        assert (text.status_code, text.headers["content-type"]) == (400, "application/problem+json")
        json = filtered(client, path, filter='{"op": "=", "args": ["a"]}', filter_lang="cql2-json")
        assert json.status_code == 400
    middle = float(np.median(lakes["area_m2"]))
    expected = set(lakes["id"][lakes["area_m2"] > middle])
    assert ids(filtered(client, PATHS[1], filter=f"area_m2 > {middle!r}", filter_lang="cql2-text")) == expected
    json = f'{{"op": ">", "args": [{{"property": "area_m2"}}, {middle!r}]}}'
    assert ids(filtered(client, PATHS[1], filter=json, filter_lang="cql2-json")) == expected


@FEATURES_3("/conf/filter/filter-lang-default")
def test_a_filter_is_text_where_no_language_is_named(client: TestClient, description: dict[str, Any]) -> None:
    for path in PATHS:
        every = ids(filtered(client, path))
        assert ids(filtered(client, path, filter="confidence IS NULL")) == every
        assert filtered(client, path, filter="THIS IS NOT A FILTER").status_code == 400
        assert filtered(client, path, filter="true", filter_lang="ecql").status_code == 400
    declared = description["paths"]["/collections/{collectionId}/items"]["get"]["parameters"]
    (language,) = [each for each in declared if each["name"] == "filter-lang"]
    assert language["schema"]["enum"] == ["cql2-text", "cql2-json"]


@FEATURES_3("/conf/filter/expression-construction")
def test_a_property_that_there_is_not_is_refused(client: TestClient) -> None:
    for path in PATHS:
        for filter_ in ("this_is_not_a_queryable IS NULL", "A_CONTAINS(this_is_not_a_queryable, ('a'))"):
            answer = filtered(client, path, filter=filter_, filter_lang="cql2-text")
            assert answer.status_code == 400
            assert "this_is_not_a_queryable" in answer.json()["detail"]


@FEATURES_3("/conf/filter/filter-crs-wgs84")
def test_geometries_of_a_filter_are_lon_lat(client: TestClient, lakes: geopandas.GeoDataFrame) -> None:
    for path in PATHS:
        assert ids(filtered(client, path, filter=WORLD)) == ids(filtered(client, path))
        far = "S_INTERSECTS(geometry,BBOX(1000000,1000000,2000000,2000000))"
        assert filtered(client, path, filter=far).status_code == 400
    expected = set(lakes["id"][lakes.intersects(shapely.box(10, 60, 12, 62))])
    assert len(expected) > 0
    assert ids(filtered(client, PATHS[1], filter="S_INTERSECTS(geometry,BBOX(10,60,12,62))")) == expected


@pytest.mark.parametrize("uri", [uri for uri in SUPPORTED if not uri.endswith("/3031")])  # the south: see test_crs.py
@FEATURES_3("/conf/filter/filter-crs-param")
def test_geometries_of_a_filter_may_be_in_every_crs(
    client: TestClient, lakes: geopandas.GeoDataFrame, uri: str
) -> None:
    name = "OGC:CRS84" if uri == SUPPORTED[0] else f"EPSG:{uri.rpartition('/')[2]}"
    move = pyproj.Transformer.from_crs("OGC:CRS84", name)
    place = shapely.segmentize(shapely.box(10, 60, 12, 62), 0.01)
    there = shapely.transform(place, lambda xy: np.column_stack(move.transform(xy[:, 0], xy[:, 1])))
    filter_ = f"S_INTERSECTS(geometry,{shapely.to_wkt(there, rounding_precision=9)})"
    found = client.post(
        f"{PATHS[1].removesuffix('/items')}/search",
        json={"filter": filter_, "filter-crs": uri, "filter-lang": "cql2-text", "limit": 5000},
    )
    assert ids(found) == set(lakes["id"][lakes.intersects(place)])


@FEATURES_3("/conf/filter/filter-crs-param")
def test_a_filter_in_a_crs_that_is_not_offered_is_refused(client: TestClient) -> None:
    for path in PATHS:
        unknown = "http://www.opengis.net/def/crs/OGC/0/does_not_exist"
        assert filtered(client, path, filter=WORLD, filter_crs=unknown).status_code == 400


@FEATURES_3("/conf/features-filter/mixing-expression")
def test_a_filter_and_the_other_parameters_hold_together(client: TestClient, lakes: geopandas.GeoDataFrame) -> None:
    for path in PATHS:
        assert ids(filtered(client, path, filter=WORLD, bbox="-180,-90,180,90")) == ids(filtered(client, path))
        assert ids(filtered(client, path, filter=WORLD, bbox="100,-60,110,-50")) == set()
    middle = float(np.median(lakes["area_m2"]))
    expected = set(lakes["id"][(lakes["area_m2"] > middle) & lakes.intersects(shapely.box(10, 55, 20, 65))])
    assert len(expected) > 0
    mixed = {"filter": f"area_m2 > {middle!r}", "bbox": "10,55,20,65", "datetime": "2021-07-15"}
    assert ids(filtered(client, PATHS[1], **mixed)) == expected
    assert ids(filtered(client, PATHS[1], **{**mixed, "datetime": "2020-07-15"})) == set()
