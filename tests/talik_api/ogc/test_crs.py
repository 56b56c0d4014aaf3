"""OGC API Features Part 2 (OGC 18-058r1), Annex A: coordinate reference systems by reference."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import geopandas
import numpy as np
import pyproj
import pytest
import shapely
from starlette.testclient import TestClient

from talik_api.crs import SUPPORTED

from .abstract import FEATURES_2

ITEMS = "/collections/water-test-2020-v1/items"
CRS84 = "http://www.opengis.net/def/crs/OGC/1.3/CRS84"
UNKNOWN = "http://www.opengis.net/def/crs/EPSG/0/0"
SOUTH = "http://www.opengis.net/def/crs/EPSG/0/3031"
PLACE = shapely.box(10, 60, 12, 62)


def authority_crs(uri: str) -> pyproj.CRS:
    """The CRS that a URI names, by PROJ's own reading of it where it has one."""
    return pyproj.CRS.from_user_input("OGC:CRS84" if uri == CRS84 else f"EPSG:{uri.rpartition('/')[2]}")


def moved(geometry: Any, source: str, target: str) -> Any:
    """Vertices from one CRS to another, both in their authorities' axis order."""
    move = pyproj.Transformer.from_crs(authority_crs(source), authority_crs(target))
    return shapely.transform(geometry, lambda xy: np.column_stack(move.transform(xy[:, 0], xy[:, 1])))


def of(client: TestClient, path: str, **parameters: Any) -> Any:
    answer = client.get(path, params={name.replace("_", "-"): value for name, value in parameters.items()})
    assert answer.status_code == 200, answer.text
    return answer


def ids(answer: Any) -> set[str]:
    return {feature["id"] for feature in answer.json()["features"]}


def box_text(geometry: Any) -> str:
    return ",".join(repr(float(number)) for number in geometry.bounds)


@FEATURES_2("/conf/crs/crs-uri", "/conf/crs/default-crs", "/conf/crs/storageCrs")
def test_collections_name_crs_by_uri_the_default_and_the_stored_among_them(
    client: TestClient, collections: list[dict[str, Any]]
) -> None:
    alone = [client.get(f"/collections/{each['id']}").json() for each in collections]
    everywhere = client.get("/collections").json()["crs"]
    assert everywhere == list(SUPPORTED)
    for each in (*collections, *alone):
        for uri in (*each["crs"], each["storageCrs"]):
            assert urlsplit(uri).scheme == "http"
            assert authority_crs(uri)
        assert each["crs"][0] == CRS84
        assert each["storageCrs"] in each["crs"]
        assert each["extent"]["spatial"]["crs"] == CRS84


@FEATURES_2("/conf/crs/crs-parameter")
@pytest.mark.parametrize("uri", SUPPORTED)
def test_every_crs_may_be_asked_for(client: TestClient, collections: list[dict[str, Any]], uri: str) -> None:
    for each in collections:
        path = f"/collections/{each['id']}/items"
        many = of(client, path, crs=uri, limit=2)
        assert many.headers["content-crs"] == f"<{uri}>"
        alone = of(client, f"{path}/{many.json()['features'][0]['id']}", crs=uri)
        assert alone.headers["content-crs"] == f"<{uri}>"
        assert alone.json()["geometry"] == many.json()["features"][0]["geometry"]


@FEATURES_2("/conf/crs/crs-parameter-invalid")
def test_a_crs_that_is_not_offered_is_refused(client: TestClient) -> None:
    feature = next(iter(ids(of(client, ITEMS, limit=1))))
    for uri in (UNKNOWN, "EPSG:4326x", "nothing"):
        for path in (ITEMS, f"{ITEMS}/{feature}"):
            answer = client.get(path, params={"crs": uri})
            assert (answer.status_code, answer.headers["content-type"]) == (400, "application/problem+json")
            assert CRS84 in answer.json()["detail"]


@FEATURES_2("/conf/crs/crs-parameter-default")
def test_without_crs_the_answer_is_in_the_default(client: TestClient, collections: list[dict[str, Any]]) -> None:
    for each in collections:
        path = f"/collections/{each['id']}/items"
        answer = of(client, path, limit=1)
        assert answer.headers["content-crs"] == f"<{CRS84}>"
        feature = answer.json()["features"][0]["id"]
        assert of(client, f"{path}/{feature}").headers["content-crs"] == f"<{CRS84}>"
        assert answer.json()["features"] == of(client, path, limit=1, crs=CRS84).json()["features"]


@FEATURES_2("/conf/crs/crs-parameter-transform")
@pytest.mark.parametrize("uri", SUPPORTED)
def test_coordinates_are_those_of_proj(client: TestClient, lakes: geopandas.GeoDataFrame, uri: str) -> None:
    truth = lakes.set_index("id").geometry
    features = of(client, ITEMS, crs=uri, bbox=box_text(PLACE), limit=10).json()["features"]
    assert len(features) == 10
    for feature in features:
        back = moved(shapely.geometry.shape(feature["geometry"]), uri, CRS84)
        assert shapely.hausdorff_distance(back, truth[feature["id"]]) < 1e-5  # degrees: a metre


@FEATURES_2("/conf/crs/bbox-crs-parameter")
@pytest.mark.parametrize("uri", [uri for uri in SUPPORTED if uri != SOUTH])
def test_a_box_may_be_in_every_crs(client: TestClient, lakes: geopandas.GeoDataFrame, uri: str) -> None:
    # The box of the moved place is larger than the place: geopandas says what touches its outline, moved back.
    box = shapely.box(*moved(PLACE, CRS84, uri).bounds)
    back = moved(shapely.segmentize(box, max_segment_length=box.length / 4000), uri, CRS84)
    expected = set(lakes["id"][lakes.intersects(back)])
    assert len(expected) > 5
    found = ids(of(client, ITEMS, bbox=box_text(box), bbox_crs=uri, limit=5000))
    edge = set(lakes["id"][lakes.intersects(back.boundary.buffer(1e-3))])  # a side in another CRS is a curve
    assert found ^ expected <= edge
    assert ids(of(client, ITEMS, bbox=box_text(PLACE), limit=5000)) <= found


@FEATURES_2("/conf/crs/bbox-crs-parameter")
def test_a_box_round_the_south_pole_holds_no_northern_lake(client: TestClient) -> None:
    assert ids(of(client, ITEMS, bbox="-1000000,-1000000,1000000,1000000", bbox_crs=SOUTH, limit=10)) == set()


@FEATURES_2("/conf/crs/bbox-crs-parameter-invalid")
def test_a_box_in_a_crs_that_is_not_offered_is_refused(client: TestClient, collections: list[dict[str, Any]]) -> None:
    for each in collections:
        for uri in (UNKNOWN, "nothing"):
            parameters = {"bbox": "10,60,12,62", "bbox-crs": uri}
            answer = client.get(f"/collections/{each['id']}/items", params=parameters)
            assert (answer.status_code, answer.headers["content-type"]) == (400, "application/problem+json")


@FEATURES_2("/conf/crs/bbox-crs-parameter-default")
def test_without_bbox_crs_a_box_is_in_the_default(client: TestClient, collections: list[dict[str, Any]]) -> None:
    for each in collections:
        path = f"/collections/{each['id']}/items"
        plain = of(client, path, bbox=box_text(PLACE), limit=5000)
        named = of(client, path, bbox=box_text(PLACE), bbox_crs=CRS84, limit=5000)
        turned = of(client, path, bbox="60,10,62,12", bbox_crs="http://www.opengis.net/def/crs/EPSG/0/4326", limit=5000)
        assert ids(plain) == ids(named) == ids(turned)
        assert len(ids(plain)) > 0
