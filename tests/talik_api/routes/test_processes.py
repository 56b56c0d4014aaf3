"""OGC API Processes: answers at once against geopandas and the hub; jobs on real servers, killed and restarted."""

from __future__ import annotations

import json
import signal
import time
import urllib.error
import urllib.request
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import geopandas
import jwt
import numpy as np
import pytest
import shapely
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519
from starlette.testclient import TestClient

from job_world import job_inputs, job_world, wait_until
from serving import ServerProcess
from talik_api.access import hash_key, new_key
from talik_api.app import create_app
from talik_api.settings import ApiSettings
from talik_stac.changes import diff
from talik_stac.editions import list_editions
from talik_stac.jobs import Outcome, claim_attempt, finish, submit
from talik_stac.store import open_store

SUMMARISE = "/processes/summarise/execution"
COMPARE = "/processes/compare/execution"
MAP = "/processes/map-landform/execution"


def summary(client: TestClient, **inputs: Any) -> dict[str, Any]:
    answer = client.post(SUMMARISE, json={"inputs": inputs})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_summarise_counts_what_touches_the_area(client: TestClient, lakes: geopandas.GeoDataFrame) -> None:
    area = shapely.Polygon([(0, 55), (20, 57), (4, 70), (0, 55)])
    inside = lakes[shapely.intersects(area, lakes.geometry.to_numpy())]
    found = summary(client, collection="water-test-2020-v1", area=shapely.geometry.mapping(area))
    assert found["count"] == len(inside) > 100
    assert found["area_m2"] == pytest.approx(inside["area_m2"].sum())
    classes = found["editions"][0]["size_classes"]
    assert sum(each["count"] for each in classes) == len(inside)
    ends = [each["from_m2"] for each in classes] + [np.inf]
    assert [each["count"] for each in classes] == np.histogram(inside["area_m2"], ends)[0].tolist()


def test_summarise_parts_the_landform_by_edition(client: TestClient) -> None:
    found = summary(client, collection="water", filter="area_m2 > 1000000")
    assert [each["edition"] for each in found["editions"]] == ["water-test-2020-v1", "water-test-2021-v1"]
    assert found["count"] == sum(each["count"] for each in found["editions"])
    assert found["count"] == sum(
        client.get(f"/collections/{each['edition']}/items?filter=area_m2>1000000&limit=1").json()["numberMatched"]
        for each in found["editions"]
    )


def test_compare_without_an_area_is_the_diff_of_the_editions(client: TestClient, lakes_root: str) -> None:
    inputs = {"a": "water-test-2020-v1", "b": "water-test-2021-v1"}
    found = client.post(COMPARE, json={"inputs": inputs}).json()
    expected = diff(open_store(lakes_root), inputs["a"], inputs["b"])
    assert [(each["change"], each["groups"]) for each in found["summary"]] == [
        (each.change, each.groups) for each in expected.summary()
    ]
    assert found["changes"]["numberMatched"] == int((expected.table["change"] != "unchanged").sum())
    assert found["changes"]["type"] == "FeatureCollection"


def test_compare_in_an_area_gives_the_changes_that_touch_it(client: TestClient, lakes_root: str) -> None:
    inputs = {"a": "water-test-2020-v1", "b": "water-test-2021-v1", "area": [0, 55, 30, 70]}
    found = client.post(COMPARE, json={"inputs": inputs, "outputs": {"summary": {}}, "response": "raw"}).json()
    whole = diff(open_store(lakes_root), inputs["a"], inputs["b"]).table
    inside = whole[shapely.intersects(shapely.box(0, 55, 30, 70), whole.geometry.to_numpy())]
    assert {each["change"]: each["groups"] for each in found if each["groups"]} == inside[
        "change"
    ].value_counts().to_dict()


@pytest.mark.parametrize(
    ("path", "inputs", "status"),
    [
        (SUMMARISE, {}, 400),
        (SUMMARISE, {"collection": "nothing"}, 404),
        (SUMMARISE, {"collection": "water", "area": "nowhere"}, 400),
        (SUMMARISE, {"collection": "water", "area": [0, 0, 1]}, 400),
        (SUMMARISE, {"collection": "water", "area": {"type": "Point", "coordinates": [0, 0]}}, 400),
        (SUMMARISE, {"collection": "water", "filter": "area_m2 >"}, 400),
        (SUMMARISE, {"collection": "water", "colour": "blue"}, 400),
        (COMPARE, {"a": "water-test-2020-v1", "b": "nothing"}, 400),
        (COMPARE, {"a": "water-test-2020-v1", "b": "water-test-2021-v1", "tolerance_percent": 200}, 400),
        ("/processes/nothing/execution", {}, 404),
    ],
)
def test_inputs_that_cannot_be_used_are_problems(client: TestClient, path: str, inputs: Any, status: int) -> None:
    answer = client.post(path, json={"inputs": inputs})
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"


def test_every_process_describes_the_inputs_that_it_takes(client: TestClient) -> None:
    for process in client.get("/processes").json()["processes"]:
        description = client.get(f"/processes/{process['id']}").json()
        assert description["jobControlOptions"]
        assert all({"title", "schema"} <= set(described) for described in description["inputs"].values())
        assert all({"title", "schema"} <= set(described) for described in description["outputs"].values())


def test_a_service_that_runs_no_jobs_says_so(client: TestClient) -> None:
    assert [each["id"] for each in client.get("/processes").json()["processes"]] == ["summarise", "compare"]
    answer = client.post(MAP, json={"inputs": job_inputs()})
    assert answer.status_code == 501


@pytest.fixture
def key() -> str:
    return new_key()


@pytest.fixture
def guarded(tmp_path: Path, key: str) -> TestClient:
    """A service whose jobs are accepted and never run: it was not started."""
    world = job_world(tmp_path, side_px=128)
    settings = ApiSettings(
        store=world.root, api_keys={"anna": hash_key(key)}, km2_per_day=10.0, running_jobs=2, max_area_km2=100.0
    )
    app = create_app(settings)
    app.state.service.executor.start = lambda job_id: None
    return TestClient(app, raise_server_exceptions=False)


def test_submitting_needs_a_key(guarded: TestClient, key: str) -> None:
    body = {"inputs": job_inputs(128)}
    assert guarded.post(MAP, json=body).status_code == 401
    assert guarded.post(MAP, json=body, headers={"X-API-Key": new_key()}).status_code == 401
    answer = guarded.post(MAP, json=body, headers={"X-API-Key": key})
    assert answer.status_code == 201
    assert answer.json()["status"] == "accepted"
    assert answer.headers["location"].endswith(f"/jobs/{answer.json()['jobID']}")
    assert guarded.get("/jobs").status_code == 401
    listed = guarded.get("/jobs", headers={"Authorization": f"Bearer {key}"}).json()["jobs"]
    assert [job["jobID"] for job in listed] == [answer.json()["jobID"]]


def test_quotas_are_of_a_key(guarded: TestClient, key: str) -> None:
    headers = {"X-API-Key": key}
    assert guarded.post(MAP, json={"inputs": job_inputs(128)}, headers=headers).status_code == 201
    large = guarded.post(MAP, json={"inputs": job_inputs(area=[15.0, 63.0, 15.1, 63.05])}, headers=headers)
    assert large.status_code == 429, large.text
    assert int(large.headers["retry-after"]) > 0
    assert "10" in large.json()["detail"]
    huge = guarded.post(MAP, json={"inputs": job_inputs(area=[15.0, 63.0, 16.0, 64.0])}, headers=headers)
    assert huge.status_code == 400
    assert guarded.post(MAP, json={"inputs": job_inputs(128)}, headers=headers).status_code == 201
    third = guarded.post(MAP, json={"inputs": job_inputs(128)}, headers=headers)
    assert third.status_code == 429
    assert "2" in third.json()["detail"]


@pytest.mark.parametrize(
    "catalog",
    ["http://127.0.0.1:1/stac", "http://169.254.169.254/latest", "https://stac.example.org", "file:///etc/passwd"],
)
def test_a_catalogue_that_is_not_listed_is_refused(guarded: TestClient, key: str, catalog: str) -> None:
    answer = guarded.post(MAP, json={"inputs": job_inputs(128, catalog=catalog)}, headers={"X-API-Key": key})
    assert answer.status_code in (400, 403)
    listed = guarded.get("/jobs", headers={"X-API-Key": key}).json()["jobs"]
    assert listed == []


def test_dismissing_needs_the_same_key(guarded: TestClient, key: str) -> None:
    job = guarded.post(MAP, json={"inputs": job_inputs(128)}, headers={"X-API-Key": key}).json()["jobID"]
    assert guarded.delete(f"/jobs/{job}").status_code == 401
    assert guarded.get(f"/jobs/{job}/results").status_code == 404
    assert guarded.get("/jobs/nothing").json()["type"].endswith("no-such-job")
    assert "result-not-ready" in guarded.get(f"/jobs/{job}/results").json()["type"]
    answer = guarded.delete(f"/jobs/{job}", headers={"X-API-Key": key})
    assert answer.json()["status"] == "dismissed"
    assert guarded.get(f"/jobs/{job}").json()["status"] == "dismissed"


def test_the_list_of_jobs_is_narrowed_and_paged(guarded: TestClient, key: str) -> None:
    headers, store = {"X-API-Key": key}, guarded.app.state.service.store  # type: ignore[attr-defined]
    start = datetime(2026, 1, 1, tzinfo=UTC)
    made = [submit(store, inputs={}, owner="key:anna", at=start + timedelta(days=day)).id for day in range(5)]
    submit(store, inputs={}, owner="key:berta", at=start)
    attempt = claim_attempt(store, made[0], "w", at=start + timedelta(seconds=10))
    assert attempt is not None
    finish(store, made[0], Outcome(status="failed", message="no"), at=start + timedelta(seconds=70))

    def listed(**parameters: Any) -> list[str]:
        answer = guarded.get("/jobs", params=parameters, headers=headers)
        assert answer.status_code == 200, answer.text
        return [job["jobID"] for job in answer.json()["jobs"]]

    newest = made[::-1]
    assert listed() == listed(type="process") == listed(processID="map-landform,other") == newest
    assert listed(type="other") == listed(processID="other") == []
    assert listed(datetime="2026-01-02/2026-01-03") == [made[2], made[1]]
    assert listed(minDuration=50, maxDuration=70) == listed(status="failed") == [made[0]]
    assert listed(minDuration=61) == []
    paged, page = [], guarded.get("/jobs", params={"limit": 2}, headers=headers).json()
    while True:
        paged += [job["jobID"] for job in page["jobs"]]
        following = [link["href"] for link in page["links"] if link["rel"] == "next"]
        if not following:
            break
        page = guarded.get(following[0], headers=headers).json()
    assert paged == newest


def test_a_token_of_the_configured_issuer_is_a_key_too(tmp_path: Path) -> None:
    private = ed25519.Ed25519PrivateKey.generate()
    public = private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    issuer = {"issuer": "https://login.example.org", "audience": "talik", "public_key": public.decode()}
    app = create_app(ApiSettings.model_validate({"store": job_world(tmp_path, side_px=128).root, "jwt": issuer}))
    app.state.service.executor.start = lambda job_id: None
    client = TestClient(app, raise_server_exceptions=False)
    claims = {"iss": issuer["issuer"], "aud": "talik", "sub": "anna", "exp": time.time() + 60, "scope": "jobs"}

    def submitted(**changes: Any) -> int:
        token = jwt.encode({**claims, **changes}, private, "EdDSA")
        headers = {"Authorization": f"Bearer {token}"}
        return client.post(MAP, json={"inputs": job_inputs(128)}, headers=headers).status_code

    assert submitted() == 201
    assert submitted(exp=time.time() - 3600) == 401
    assert submitted(aud="another") == 401
    assert submitted(iss="https://evil.example.org") == 401
    assert submitted(scope="read") == 403


def test_the_server_s_folders_are_not_told(guarded: TestClient, key: str) -> None:
    service = guarded.app.state.service  # type: ignore[attr-defined]
    job = guarded.post(MAP, json={"inputs": job_inputs(128)}, headers={"X-API-Key": key}).json()["jobID"]
    finish(service.store, job, Outcome(status="failed", message=f"cannot read {service.store.root}/x.tif"))
    for path in (f"/jobs/{job}", f"/jobs/{job}/results", f"/jobs/{job}/log"):
        assert service.store.root not in guarded.get(path).text
    assert guarded.get(f"/jobs/{job}").json()["message"] == "cannot read the store/x.tif"


def asked(address: str, path: str, body: Any = None, key: str = "") -> Any:
    """Ask a server with urllib."""
    headers = {"X-API-Key": key} if key else {}
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(address + path, data, {**headers, "Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def settled(address: str, job: str) -> dict[str, Any]:
    """Wait for a job's outcome."""
    found: dict[str, Any] = {}

    def over() -> bool:
        found.update(asked(address, f"/jobs/{job}"))
        return found["status"] in ("successful", "failed", "dismissed")

    wait_until(over, seconds=90)
    return found


def test_a_job_maps_and_its_edition_is_served(tmp_path: Path, key: str) -> None:
    world = job_world(tmp_path, side_px=256)
    keys = json.dumps({"anna": hash_key(key)})
    with ServerProcess(world.root, TALIK_API_KEYS=keys, TALIK_LOCAL_JOBS="1") as server:
        job = asked(server.address, MAP, {"inputs": job_inputs(256)}, key)["jobID"]
        found = settled(server.address, job)
        assert found["status"] == "successful", found
        assert found["progress"] == 100
        results = asked(server.address, f"/jobs/{job}/results")
        items = asked(server.address, "/collections/water-area-2021-v1/items?limit=1")
        assert items["numberMatched"] > 0
        with urllib.request.urlopen(results["inventory"]["href"]) as answer:
            assert len(answer.read()) > 1000
        with urllib.request.urlopen(f"{server.address}/jobs/{job}/log") as answer:
            assert b"block" in answer.read().lower()
        again = asked(server.address, MAP, {"inputs": job_inputs(256)}, key)["jobID"]
        assert settled(server.address, again)["status"] == "successful"
    assert len(list_editions(open_store(world.root))) == 1


def test_a_killed_server_goes_on_with_its_job_and_shows_no_part_of_an_edition(tmp_path: Path, key: str) -> None:
    world = job_world(tmp_path, side_px=1536)
    settings = {"TALIK_API_KEYS": json.dumps({"anna": hash_key(key)}), "TALIK_LOCAL_JOBS": "1"}
    server = ServerProcess(world.root, **settings)
    with server:
        job = asked(server.address, MAP, {"inputs": job_inputs(1536)}, key)["jobID"]
        wait_until(lambda: asked(server.address, f"/jobs/{job}")["status"] == "running")
        server.process.send_signal(signal.SIGKILL)
        server.process.wait()
    time.sleep(0.5)
    assert list_editions(open_store(world.root)) == []
    with ServerProcess(world.root, **settings) as second:
        assert asked(second.address, "/collections")["collections"] == []
        assert settled(second.address, job)["status"] == "successful"
        assert len(asked(second.address, "/collections")["collections"]) == 2
    editions = list_editions(open_store(world.root))
    assert [edition.id for edition in editions] == ["water-area-2021-v1"]


def test_a_server_that_is_told_to_stop_finishes_its_answers(lakes_root: str) -> None:
    with ServerProcess(lakes_root) as server:
        answer = urllib.request.urlopen(f"{server.address}/collections/water-test-2020-v1/items?limit=20000")
        server.process.send_signal(signal.SIGTERM)
        assert len(json.load(answer)["features"]) == 12_005
        assert server.process.wait(timeout=30) in (0, -signal.SIGTERM)
    with pytest.raises(urllib.error.URLError):
        asked(server.address, "/")
