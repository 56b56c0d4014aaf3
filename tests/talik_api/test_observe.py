"""Log lines and metrics: one for each request, of bounded words, without secrets, and streams stay streams."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import PlainTextResponse, StreamingResponse
from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient
from starlette.types import Message

from talik_api.access import Principal
from talik_api.observe import METRICS_TYPE, Metrics, Observe, metrics_text, request_id


def make_app() -> FastAPI:
    router = APIRouter()

    @router.get("/collections/{name}")
    def collection(name: str, request: Request) -> PlainTextResponse:
        request.state.principal = Principal(name="field-lab", kind="key")
        return PlainTextResponse(f"{name} {request_id()}")

    @router.get("/broken")
    def broken() -> None:
        raise RuntimeError("a fault")

    @router.get("/stream")
    def stream() -> StreamingResponse:
        return StreamingResponse(b"x" * 1000 for _ in range(5))

    outer = APIRouter()
    outer.include_router(router, prefix="/v1")
    app = FastAPI()
    app.include_router(outer)
    return app


@pytest.fixture
def observed() -> Observe:
    return Observe(make_app())


@pytest.fixture
def client(observed: Observe) -> Iterator[TestClient]:
    with TestClient(observed, raise_server_exceptions=False) as made:
        yield made


def lines(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    return [json.loads(record.message) for record in caplog.records if record.name == "talik_api.access"]


def samples(metrics: Metrics) -> dict[str, float]:
    found = {}
    for family in text_string_to_metric_families(metrics_text(metrics.registry).decode()):
        for sample in family.samples:
            words = ",".join(f"{name}={value}" for name, value in sorted(sample.labels.items()))
            found[f"{sample.name}{{{words}}}"] = sample.value
    return found


def test_a_request_is_one_line_with_the_template_of_its_route(
    client: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "talik_api.access"):
        answer = client.get("/v1/collections/my-secret?token=hunter2", headers={"X-API-Key": "talik_xyz"})
    (line,) = lines(caplog)
    assert line == {
        "request_id": answer.headers["X-Request-ID"],
        "method": "GET",
        "route": "/v1/collections/{name}",
        "status": 200,
        "bytes": len(answer.content),
        "ms": line["ms"],
        "complete": True,
        "principal": "field-lab",
    }
    assert line["ms"] > 0
    assert not any(secret in caplog.text for secret in ("hunter2", "my-secret", "talik_xyz", "testclient"))


def test_the_clients_address_is_written_only_where_it_is_asked_for(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "talik_api.access"):
        TestClient(Observe(make_app(), log_client=True)).get("/v1/stream")
    assert lines(caplog)[0]["client"] == "testclient"


@pytest.mark.parametrize("given", ["abc", "A.b_c-9", "x" * 64])
def test_a_plain_request_id_is_taken_over_and_known_to_the_route(client: TestClient, given: str) -> None:
    answer = client.get("/v1/collections/a", headers={"X-Request-ID": given})
    assert answer.headers["X-Request-ID"] == given
    assert answer.text == f"a {given}"
    assert request_id() is None


@pytest.mark.parametrize("given", ["", "x" * 65, "a b", 'a"b', "a\tb", "<script>", "a/b", "é", "a;b"])
def test_any_other_request_id_is_replaced(client: TestClient, given: str) -> None:
    answer = client.get("/v1/collections/a", headers=[(b"X-Request-ID", given.encode("latin-1"))])
    assert re.fullmatch(r"[0-9a-f]{32}", answer.headers["X-Request-ID"])


def test_a_fault_counts_as_500_and_passes_on(
    observed: Observe, client: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "talik_api.access"):
        answer = client.get("/v1/broken")
    assert answer.status_code == 500
    assert answer.headers["X-Request-ID"]
    assert lines(caplog)[0]["status"] == 500
    assert lines(caplog)[0]["complete"] is False
    assert samples(observed.metrics)["talik_http_requests_total{method=GET,route=/v1/broken,status=500}"] == 1
    assert samples(observed.metrics)["talik_http_requests_in_flight{}"] == 0


def test_made_up_paths_and_methods_make_no_new_series(observed: Observe, client: TestClient) -> None:
    for number in range(20):
        client.get(f"/made/up/{number}")
        client.request(f"MADE{number}", "/v1/stream")
        client.get(f"/v1/collections/{number}")
    found = samples(observed.metrics)
    assert found["talik_http_requests_total{method=GET,route=unmatched,status=404}"] == 20
    assert found["talik_http_requests_total{method=GET,route=/v1/collections/{name},status=200}"] == 20
    assert len([name for name in found if name.startswith("talik_http_requests_total")]) == 3


def test_bytes_and_seconds_are_counted(observed: Observe, client: TestClient) -> None:
    assert len(client.get("/v1/stream").content) == 5000
    client.head("/v1/stream")
    found = samples(observed.metrics)
    assert found["talik_http_response_bytes_total{method=GET,route=/v1/stream}"] == 5000
    assert found["talik_http_request_seconds_count{method=GET,route=/v1/stream}"] == 1


def test_two_apps_in_a_process_do_not_clash(client: TestClient) -> None:
    first, second = Observe(make_app()), Observe(make_app())
    TestClient(first).get("/v1/stream")
    assert "talik_http_requests_total{method=GET,route=/v1/stream,status=200}" in samples(first.metrics)
    assert "talik_http_requests_total{method=GET,route=/v1/stream,status=200}" not in samples(second.metrics)
    assert METRICS_TYPE.startswith("text/plain")


def http_scope(path: str = "/") -> dict[str, Any]:
    return {"type": "http", "method": "GET", "path": path, "headers": [], "query_string": b""}


async def nothing() -> Message:
    return {"type": "http.request", "body": b"", "more_body": False}


def test_a_piece_is_passed_on_before_the_next_is_made() -> None:
    happened: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for number in range(3):
            happened.append(f"made {number}")
            await send({"type": "http.response.body", "body": b"x", "more_body": number < 2})

    async def sent(message: Message) -> None:
        if message["type"] == "http.response.body":
            happened.append("sent")

    asyncio.run(Observe(app)(http_scope(), nothing, sent))
    assert happened == ["made 0", "sent", "made 1", "sent", "made 2", "sent"]


def test_a_client_that_goes_away_within_a_stream_ends_it_and_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 10
            await asyncio.sleep(0.001)

    observed = Observe(StreamingResponse(endless()))
    pieces: list[bytes] = []
    gone = asyncio.Event()

    async def send(message: Message) -> None:
        pieces.append(message.get("body", b""))
        if len(pieces) > 3:
            gone.set()

    async def receive() -> Message:
        await gone.wait()
        return {"type": "http.disconnect"}

    async def main() -> None:
        await asyncio.wait_for(observed(http_scope(), receive, send), timeout=10)

    with caplog.at_level(logging.INFO, "talik_api.access"):
        asyncio.run(main())
    (line,) = lines(caplog)
    assert line["status"] == 200
    assert line["complete"] is False
    assert line["bytes"] == sum(map(len, pieces))
    assert samples(observed.metrics)["talik_http_requests_in_flight{}"] == 0


def test_a_request_that_is_cancelled_before_its_answer_is_499(caplog: pytest.LogCaptureFixture) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(60)

    async def main() -> None:
        task = asyncio.create_task(Observe(app)(http_scope(), nothing, nothing))  # type: ignore[arg-type]
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    with caplog.at_level(logging.INFO, "talik_api.access"):
        asyncio.run(main())
    assert lines(caplog)[0]["status"] == 499
