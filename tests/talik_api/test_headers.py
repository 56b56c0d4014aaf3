"""Security headers on every answer, and requests that are too large are refused before they are read."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, PlainTextResponse
from pydantic import BaseModel
from starlette.middleware.cors import CORSMiddleware
from starlette.testclient import TestClient
from starlette.types import Message

from talik_api.headers import CORS, STRICT_POLICY, RequestLimits, SecurityHeaders, page_policy, source_hash


class Body(BaseModel):
    text: str


def make_app() -> FastAPI:
    app = FastAPI()

    @app.get("/data")
    def data() -> dict[str, int]:
        return {"a": 1}

    @app.get("/page")
    def page() -> HTMLResponse:
        return HTMLResponse("<p>", headers={"Content-Security-Policy": page_policy(scripts=[source_hash("let a")])})

    @app.post("/parsed")
    def parsed(body: Body) -> dict[str, int]:
        return {"length": len(body.text)}

    @app.post("/raw")
    async def raw(request: Request) -> dict[str, int]:
        return {"length": len(await request.body())}

    @app.post("/unread")
    async def unread() -> PlainTextResponse:
        return PlainTextResponse("not read")

    @app.post("/swallowed")
    async def swallowed(request: Request) -> PlainTextResponse:
        try:
            await request.body()
        except Exception:  # what a careless route may do
            return PlainTextResponse("no matter")
        return PlainTextResponse("read")

    return app


def client(**limits: int) -> TestClient:
    app = CORSMiddleware(RequestLimits(make_app(), **limits), **CORS)
    return TestClient(SecurityHeaders(app))


def test_each_answer_carries_the_headers_and_data_the_strict_policy() -> None:
    for path in ("/data", "/nothing", "/page"):
        headers = client().get(path).headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "strict-origin-when-cross-origin"
        assert "geolocation=()" in headers["Permissions-Policy"]
        assert headers["Cross-Origin-Resource-Policy"] == "cross-origin"
        assert "Strict-Transport-Security" not in headers
    assert client().get("/data").headers["Content-Security-Policy"] == STRICT_POLICY
    assert "default-src 'none'" in STRICT_POLICY


def test_https_alone_is_strict_transport() -> None:
    over_https = TestClient(SecurityHeaders(make_app()), base_url="https://talik.example.org")
    assert over_https.get("/data").headers["Strict-Transport-Security"] == "max-age=31536000"
    behind_a_balancer = TestClient(SecurityHeaders(make_app(), https=True))
    assert "Strict-Transport-Security" in behind_a_balancer.get("/data").headers


def test_a_page_keeps_its_own_policy_with_the_hash_of_its_script() -> None:
    policy = client().get("/page").headers["Content-Security-Policy"]
    digest = base64.b64encode(hashlib.sha256(b"let a").digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe-inline" not in policy
    assert "frame-ancestors 'none'" in policy
    assert "form-action 'none'" in page_policy(forms=())


@pytest.mark.parametrize("route", ["/parsed", "/raw", "/unread", "/swallowed"])
def test_a_stated_body_that_is_too_large_is_refused_by_its_head(route: str) -> None:
    answer = client(max_body_bytes=100).post(route, json={"text": "x" * 200})
    assert answer.status_code == 413
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json()["status"] == 413
    assert "100 bytes" in answer.json()["detail"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("route", ["/parsed", "/raw", "/swallowed"])
def test_a_chunked_body_that_is_too_large_is_refused_while_it_is_read(route: str) -> None:
    sent = 0

    def pieces() -> Iterator[bytes]:
        nonlocal sent
        yield b'{"text": "'
        for _ in range(1000):
            sent += 1
            yield b"x" * 100
        yield b'"}'

    answer = client(max_body_bytes=1000).post(route, content=pieces(), headers={"Content-Type": "application/json"})
    assert answer.status_code == 413, answer.text
    assert answer.json()["title"] == "Content Too Large"


def test_no_more_is_read_than_the_limit_and_one_piece() -> None:
    asked = 0
    answers: list[Message] = []

    async def receive() -> Message:
        nonlocal asked
        asked += 1
        return {"type": "http.request", "body": b"x" * 100, "more_body": True}

    async def send(message: Message) -> None:
        answers.append(message)

    scope: dict[str, Any] = {
        "type": "http", "method": "POST", "path": "/raw", "raw_path": b"/raw", "query_string": b"", "root_path": "",
        "headers": [(b"transfer-encoding", b"chunked")], "scheme": "http", "http_version": "1.1",
    }  # fmt: skip
    asyncio.run(RequestLimits(make_app(), max_body_bytes=1000)(scope, receive, send))
    assert asked == 11
    assert [message.get("status") for message in answers] == [413, None]


def test_a_body_at_the_limit_passes() -> None:
    for content in (b"x" * 100, iter([b"x" * 50, b"x" * 50])):
        assert client(max_body_bytes=100).post("/raw", content=content).json() == {"length": 100}


@pytest.mark.parametrize("stated", ["-1", "1e9", "abc", "0x10", "1, 2", ""])
def test_a_content_length_that_is_no_number_is_refused(stated: str) -> None:
    answers: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        answers.append(message)

    scope: dict[str, Any] = {
        "type": "http", "method": "POST", "path": "/raw", "query_string": b"",
        "headers": [(b"content-length", stated.encode())],
    }  # fmt: skip
    asyncio.run(RequestLimits(make_app())(scope, receive, send))
    assert answers[0]["status"] == 400
    assert json.loads(answers[1]["body"])["status"] == 400


@pytest.mark.parametrize("path", ["/data?filter=" + "x" * 300, "/data/" + "%20" * 100])
def test_an_address_that_is_too_long_is_refused(path: str) -> None:
    answer = client(max_url_bytes=200).get(path)
    assert answer.status_code == 414
    assert answer.json()["title"] == "URI Too Long"
    assert client(max_url_bytes=200).get("/data?filter=" + "x" * 150).status_code == 200


def test_a_page_of_another_origin_may_read_and_sees_the_headers_it_needs() -> None:
    origin = {"Origin": "https://map.example.org"}
    answer = client().get("/data", headers=origin)
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    exposed = answer.headers["Access-Control-Expose-Headers"]
    assert {"Content-Crs", "Link", "ETag", "Content-Range", "X-Request-ID", "Location"} <= set(exposed.split(", "))
    asks = {**origin, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "x-api-key"}
    assert client().options("/raw", headers=asks).status_code == 200
    assert "Access-Control-Allow-Credentials" not in answer.headers
    assert client(max_body_bytes=1).post("/raw", content=b"xx", headers=origin).headers["Access-Control-Allow-Origin"]
