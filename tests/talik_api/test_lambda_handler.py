"""Recorded events of an API Gateway HTTP API (payload 2.0) through the handler, as Lambda calls it."""

from __future__ import annotations

import base64
import copy
import gzip
import hashlib
import importlib
import io
import json
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pyarrow.parquet as pq
import pytest
import shapely
from fastapi import Request
from starlette.responses import Response
from starlette.testclient import TestClient

from editing import publish_polygons
from talik_api.app import create_app
from talik_api.sending import send
from talik_api.service import Served
from talik_api.settings import ApiSettings
from talik_stac.store import Store, open_store

EVENTS = Path(__file__).parent / "events"
LAKES = [shapely.box(x / 20, y / 20, x / 20 + 0.03, y / 20 + 0.03) for x in range(20) for y in range(20)]
LAMBDA_BYTES = 6 * 1024 * 1024
"""What Lambda takes of an answer, in its JSON (docs.aws.amazon.com/lambda, quotas)."""
Handler = Callable[[dict[str, Any], object], dict[str, Any]]


def event(name: str, **headers: str) -> dict[str, Any]:
    """A recorded event, with other headers."""
    found: dict[str, Any] = copy.deepcopy(json.loads((EVENTS / f"{name}.json").read_text()))
    found["headers"] |= {key.replace("_", "-"): value for key, value in headers.items()}
    return found


def handler_for(monkeypatch: pytest.MonkeyPatch, store: str, **environment: str) -> Handler:
    """Load the module as a new Lambda does."""
    monkeypatch.setenv("TALIK_STORE", store)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delitem(sys.modules, "talik_api.lambda_handler", raising=False)
    handler: Handler = importlib.import_module("talik_api.lambda_handler").handler
    return handler


def body_of(answer: dict[str, Any]) -> bytes:
    """The bytes that API Gateway sends."""
    json.dumps(answer)
    return base64.b64decode(answer["body"]) if answer["isBase64Encoded"] else answer["body"].encode()


@pytest.fixture(scope="module", autouse=True)
def event_loop() -> Iterator[None]:
    """Mangum runs on the main thread's loop, which a Lambda never closes."""
    import asyncio

    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    yield
    loop.close()
    asyncio.set_event_loop(None)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """One edition of 400 lakes in a folder."""
    folder = tmp_path_factory.mktemp("lambda")
    made = open_store(str(folder / "store"))
    publish_polygons(made, folder / "a", LAKES, year=2021)
    return made


@pytest.fixture
def handler(store: Store, monkeypatch: pytest.MonkeyPatch) -> Handler:
    return handler_for(monkeypatch, store.root)


@pytest.fixture
def local(store: Store) -> Iterator[TestClient]:
    """The same service without Lambda."""
    with TestClient(create_app(ApiSettings(store=store.root, local_jobs=0))) as client:
        yield client


def test_the_landing_page_travels_as_text(handler: Handler) -> None:
    answer = handler(event("landing"), None)
    assert (answer["statusCode"], answer["isBase64Encoded"]) == (200, False)
    document = json.loads(answer["body"])
    host = "https://a1b2c3d4e5.execute-api.eu-north-1.amazonaws.com"
    assert any(link["href"].startswith(host) and link["rel"] == "self" for link in document["links"])
    assert "cookies" not in answer


def test_gzipped_features_travel_as_base64(handler: Handler, local: TestClient) -> None:
    answer = handler(event("items_gzip"), None)
    assert answer["headers"]["content-encoding"] == "gzip"
    assert answer["isBase64Encoded"] is True
    features = json.loads(gzip.decompress(body_of(answer)))["features"]
    assert features == local.get("/collections/water/items?limit=50").json()["features"]


def test_features_without_gzip_travel_as_text(handler: Handler) -> None:
    answer = handler(event("items_gzip", accept_encoding="identity"), None)
    assert (answer["isBase64Encoded"], len(json.loads(answer["body"])["features"])) == (False, 50)


def test_binary_answers_come_out_byte_for_byte(handler: Handler, local: TestClient) -> None:
    answer = handler(event("items_parquet"), None)
    assert answer["isBase64Encoded"] is True
    assert body_of(answer) == local.get("/collections/water/items?f=parquet").content
    assert pq.read_table(io.BytesIO(body_of(answer))).num_rows == len(LAKES)


def test_a_post_with_a_base64_body_is_read(handler: Handler) -> None:
    answer = handler(event("search_post"), None)
    assert answer["statusCode"] == 200, answer["body"]
    assert len(json.loads(body_of(answer))["features"]) == 5


def test_head_has_no_body(handler: Handler) -> None:
    answer = handler(event("head"), None)
    assert (answer["statusCode"], body_of(answer)) == (200, b"")
    assert answer["headers"]["content-type"] == "application/geo+json"


@pytest.mark.parametrize(("name", "status"), [("error", 404), ("unknown_parameter", 400)])
def test_errors_are_problems(handler: Handler, name: str, status: int) -> None:
    answer = handler(event(name), None)
    assert answer["statusCode"] == status
    assert answer["headers"]["content-type"] == "application/problem+json"
    assert json.loads(answer["body"])["status"] == status


def test_a_stage_before_the_path_is_that_of_the_address(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    address = "https://a1b2c3d4e5.execute-api.eu-north-1.amazonaws.com/prod"
    answer = handler_for(monkeypatch, store.root, TALIK_BASE_URL=address)(event("stage"), None)
    assert answer["statusCode"] == 200
    assert json.loads(answer["body"])["links"][0]["href"] == f"{address}/collections?f=json"


def test_a_file_of_a_folder_is_sent_in_parts_that_fit(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    handler = handler_for(monkeypatch, store.root, TALIK_LAMBDA_INLINE_BYTES="20000")
    whole = store.get("inventories/water/water-test-2021-v1/inventory.fgb")
    assert len(whole) > 40_000
    refused = handler(event("file"), None)
    assert refused["statusCode"] == 413
    assert "Range: bytes=0-19999" in json.loads(refused["body"])["detail"]
    got = b""
    for _ in range(20):
        answer = handler(event("file", range=f"bytes={len(got)}-"), None)
        if answer["statusCode"] == 416:
            break
        assert answer["statusCode"] == 206
        assert len(body_of(answer)) <= 20_000
        got += body_of(answer)
    assert got == whole


@pytest.mark.parametrize("kind", ["items_parquet", "items_all"])
def test_a_large_answer_is_stored_and_is_what_the_local_server_streams(
    any_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    publish_polygons(any_store, tmp_path / "a", LAKES, year=2021)
    handler = handler_for(monkeypatch, any_store.root, TALIK_LAMBDA_INLINE_BYTES="10000")
    answer = handler(event(kind), None)
    assert (answer["statusCode"], body_of(answer)) == (303, b"")
    location = answer["headers"]["location"]
    fetched = httpx.get(location).content if "://" in location else _by_parts(handler, location)
    with TestClient(create_app(ApiSettings(store=any_store.root, local_jobs=0))) as client:
        expected = client.get(f"/collections/water/items?{event(kind)['rawQueryString']}").content
    assert len(expected) > 10_000
    assert fetched == expected
    keys = list(any_store.list("exports"))
    assert [key.split("/")[1] for key in keys] == [hashlib.sha256(expected).hexdigest()]
    assert handler(event(kind), None)["statusCode"] == 303
    assert list(any_store.list("exports")) == keys


def _by_parts(handler: Handler, path: str) -> bytes:
    got = b""
    for _ in range(200):
        asked = event("file", range=f"bytes={len(got)}-")
        asked["requestContext"]["http"]["path"] = asked["rawPath"] = path
        answer = handler(asked, None)
        if answer["statusCode"] == 416:
            return got
        assert answer["statusCode"] == 206, answer
        got += body_of(answer)
    raise AssertionError("it does not end")


@pytest.mark.parametrize(("size", "status"), [(4_000_000, 200), (4_000_001, 303)])
@pytest.mark.parametrize("media_type", ["application/octet-stream", "application/geo+json"])
def test_the_largest_inline_answer_fits_and_one_byte_more_is_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int, status: int, media_type: str
) -> None:
    handler = handler_for(monkeypatch, str(tmp_path / "store"))
    _answer_with(handler, size, media_type)
    asked = event("landing")
    asked["requestContext"]["http"]["path"] = asked["rawPath"] = "/large"
    answer = handler(asked, None)
    assert answer["statusCode"] == status
    assert len(json.dumps(answer)) < LAMBDA_BYTES


def _answer_with(handler: Handler, size: int, media_type: str) -> None:
    """Give the handler's application an address that answers so many bytes, a tenth of them quotes."""

    def large(request: Request, service: Served) -> Response:
        pieces = (b'"123456789' * 10_000)[:100_000]
        whole, rest = divmod(size, len(pieces))
        chunks = iter([pieces] * whole + [pieces[:rest]])
        return send(service, chunks, media_type, {}, name="large.geojson")

    handler.app.add_api_route("/large", large, response_class=Response)  # type: ignore[attr-defined]


def test_a_file_in_a_bucket_is_a_redirect(s3_environment: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket = open_store(f"s3://talik-test/{uuid.uuid4().hex}")
    publish_polygons(bucket, tmp_path / "a", LAKES, year=2021)
    answer = handler_for(monkeypatch, bucket.root)(event("file"), None)
    assert answer["statusCode"] == 307
    location = answer["headers"]["location"]
    assert urlsplit(location).netloc == urlsplit(s3_environment).netloc
    assert httpx.get(location).content == bucket.get("inventories/water/water-test-2021-v1/inventory.fgb")
