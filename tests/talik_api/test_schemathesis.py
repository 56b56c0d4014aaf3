"""The description of the API holds: schemathesis derives requests from it, good and bad, and judges every answer.

What is excepted, and why, is in schemathesis.toml; for people: `schemathesis run http://127.0.0.1:8000/api`.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest

from making import grid_at
from serving import serving_process
from talik_api.access import hash_key, new_key
from talik_api.crs import SUPPORTED
from world import World, around, paint

ROOT = Path(__file__).parents[2]
GRID = grid_at(50_000, -650_000, 120, 160)
KEY = new_key()
OF_OGC = {"Features.items": (1000, 10_000_000), "STAC.items": (10, 10_000), "STAC.search_by_url": (10, 10_000)}

MAY_FAIL = {
    "GET /exports/{digest}/{name}",  # only a Lambda stores answers
    "GET /jobs/{jobId}/results",  # whether the job is done in time
    "DELETE /jobs/{jobId}",  # whether its id comes up
}


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A service with imagery, two editions made of it, and jobs."""
    world = World(folder=tmp_path_factory.mktemp("world"))
    water = np.zeros(GRID.shape, bool)
    water[20:60, 20:70], water[80:110, 30:50] = True, True
    for year in (2020, 2021):
        world.add(f"a_{year}0705", paint(water), GRID)
        world.map(around(GRID), season=str(year))
        water[20:40, 100:120] = True
    with serving_process(
        world.root,
        TALIK_IMAGERY_ROOTS=str(world.folder / "imagery"),
        TALIK_LOCAL_JOBS="1",
        TALIK_RUNNING_JOBS="1",
        TALIK_KM2_PER_DAY="2",
        TALIK_API_KEYS=json.dumps({"test": hash_key(KEY)}),
    ) as url:
        yield url


def never_answered(address: str) -> set[str]:
    """Operations of the description that the service, by its own count, answered with no 2xx."""
    with urllib.request.urlopen(f"{address}/metrics") as answer:
        counted = re.findall(
            r'^talik_http_requests_total{method="(\w+)",route="(.*)",status="2', answer.read().decode(), re.M
        )
    answered = {f"{method} {route.replace(':path', '')}" for method, route in counted}
    with urllib.request.urlopen(f"{address}/api") as answer:
        paths = json.load(answer)["paths"]
    return {f"{method.upper()} {path}" for path, methods in paths.items() for method in methods} - answered


def test_no_answer_contradicts_the_description(address: str) -> None:
    command = [
        sys.executable, "-m", "schemathesis.cli", "--config-file", str(ROOT / "schemathesis.toml"), "run",
        f"{address}/api", "--phases", "examples,coverage,fuzzing,stateful", "--max-examples", "3", "--seed", "1",
        "--header", f"X-API-Key: {KEY}", "--continue-on-failure", "--warnings", "off", "--no-color",
    ]  # fmt: skip
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    counted = re.search(r"(\d+) generated, (\d+) passed", done.stdout)
    assert counted is not None
    assert int(counted[1]) > 2000
    assert never_answered(address) <= MAY_FAIL


def test_the_limits_that_schemathesis_is_not_told_are_in_the_description(address: str) -> None:
    with urllib.request.urlopen(f"{address}/api") as answer:
        document = json.load(answer)
    operations = [each for path in document["paths"].values() for each in path.values()]
    found = {
        operation["operationId"]: (parameter["schema"]["default"], parameter["schema"]["maximum"])
        for operation in operations
        for parameter in operation["parameters"]
        if parameter["name"] == "limit" and operation["operationId"] in OF_OGC
    }
    assert found == OF_OGC


@pytest.mark.parametrize("path", ["/stac/search", "/collections/water/items"])
def test_a_limit_beyond_the_maximum_is_clamped(address: str, path: str) -> None:
    with urllib.request.urlopen(f"{address}{path}?limit=99999999") as answer:
        assert answer.status == 200


# What it found, each by itself.


@pytest.mark.parametrize(
    ("path", "methods"),
    [("/stac/search", "GET, HEAD, POST"), ("/jobs/x", "GET, HEAD, DELETE"), ("/collections/water/search", "POST")],
)
def test_a_method_that_there_is_not_names_those_of_all_routes(address: str, path: str, methods: str) -> None:
    answer = httpx.request("PUT", f"{address}{path}")
    assert (answer.status_code, answer.headers["allow"]) == (405, methods)


@pytest.mark.parametrize("crs", [crs for crs in SUPPORTED if not crs.endswith(("CRS84", "4326"))])
@pytest.mark.parametrize("box", ["-1,-1.3e16,1,3.4e16", "0,0,5e-324,5e-324", "-1e300,-1e300,1e300,1e300"])
def test_a_box_beyond_all_measure_is_refused(address: str, box: str, crs: str) -> None:
    answer = httpx.get(f"{address}/collections/water/items", params={"bbox": box, "bbox-crs": crs})
    assert answer.status_code == 400
    assert "bbox" in answer.json()["detail"]


@pytest.mark.parametrize("path", ["/", "/collections", "/collections/water/items", "/editions"])
def test_an_empty_f_is_no_format(address: str, path: str) -> None:
    assert httpx.get(f"{address}{path}?f=").status_code == 400


def test_imagery_that_there_is_not_is_not_found_and_names_no_folder(address: str) -> None:
    answer = httpx.get(f"{address}/imagery/nothing/x/tiles/WebMercatorQuad")
    assert answer.status_code == 404
    assert "/tmp" not in answer.text
    assert "there is no collection of imagery 'nothing'" in answer.json()["detail"]


def test_a_filter_language_is_checked_without_a_filter(address: str) -> None:
    for path in ("/collections/water/search", "/stac/search"):
        assert httpx.post(f"{address}{path}", json={"filter-lang": "sql"}).status_code == 400


def test_messages_of_the_hub_name_no_folder_of_the_server(address: str) -> None:
    inputs = {"a": "water-nowhere-2020-v1", "b": "water-nowhere-2021-v1"}
    answer = httpx.post(f"{address}/processes/compare/execution", json={"inputs": inputs})
    assert answer.status_code == 400
    assert "no edition 'water-nowhere-2020-v1' in the store" in answer.json()["detail"]
