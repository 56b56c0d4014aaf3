"""Editions, their files and metadata over HTTP: conditions, ranges, buckets, GDAL, and a server that is killed."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import shapely
from starlette.testclient import TestClient
from starlette.types import ASGIApp, Receive, Scope, Send

from editing import publish_polygons
from making import grid_at
from talik_api.app import create_app
from talik_api.settings import ApiSettings
from talik_stac.editions import Edition
from talik_stac.store import Store, open_store
from world import World, around, paint

LAKES = [shapely.box(x / 10, y / 10, x / 10 + 0.05, y / 10 + 0.05) for x in range(9) for y in range(9)]
ROOT = Path(__file__).parents[3]


@dataclass(frozen=True, kw_only=True)
class Shown:
    """A published edition and a client of the service that shows it."""

    client: TestClient
    edition: Edition
    store: Store

    def file(self, name: str) -> str:
        return f"/editions/{self.edition.id}/files/{name}"

    def stored(self, name: str) -> bytes:
        return self.store.get(f"{self.edition.prefix}/{name}")


def client_of(store: Store, **settings: Any) -> TestClient:
    return TestClient(create_app(ApiSettings(store=store.root, local_jobs=0, **settings)), follow_redirects=False)


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shown]:
    """An edition in a folder."""
    folder = tmp_path_factory.mktemp("downloads")
    store = open_store(str(folder / "store"))
    edition = publish_polygons(store, folder / "a", LAKES, year=2021)
    with client_of(store) as client:
        yield Shown(client=client, edition=edition, store=store)


@pytest.fixture
def in_s3(s3_environment: str, tmp_path: Path) -> Iterator[Shown]:
    """An edition in a bucket."""
    store = open_store(f"s3://talik-test/downloads-{tmp_path.name}")
    edition = publish_polygons(store, tmp_path / "a", LAKES, year=2021)
    with client_of(store) as client:
        yield Shown(client=client, edition=edition, store=store)


def test_every_edition_is_listed_with_links_that_lead_somewhere(shown: Shown) -> None:
    document = shown.client.get("/editions").json()
    assert [each["id"] for each in document["editions"]] == [shown.edition.id]
    for each in document["editions"][0]["links"]:
        assert shown.client.get(each["href"]).status_code == 200, each


def test_a_browser_is_led_from_the_list_to_the_portal(shown: Shown) -> None:
    answer = shown.client.get("/editions", headers={"Accept": "text/html"})
    assert (answer.status_code, answer.headers["location"]) == (303, "http://testserver/?f=html")


def test_an_edition_states_files_whose_lengths_and_hashes_are_true(shown: Shown) -> None:
    document = shown.client.get(f"/editions/{shown.edition.id}").json()
    assert {each["name"] for each in document["files"]} == {
        "inventory.parquet", "inventory.fgb", "observed.parquet", "run.json",
    }  # fmt: skip
    for each in document["files"]:
        data = shown.client.get(each["href"]).content
        assert (len(data), hashlib.sha256(data).hexdigest()) == (each["length"], each["sha256"])
    assert shown.edition.id in document["citation"] or "Talik" in document["citation"]


def test_every_link_of_an_edition_answers(shown: Shown) -> None:
    links = shown.client.get(f"/editions/{shown.edition.id}").json()["links"]
    ours = [each for each in links if each["href"].startswith("http://testserver")]
    assert len(ours) > 10
    for each in ours:
        answer = shown.client.get(each["href"])
        assert answer.status_code == 200, each
        assert answer.headers["content-type"].startswith(each["type"]), each


def test_a_browser_gets_the_page_of_an_edition(shown: Shown) -> None:
    answer = shown.client.get(f"/editions/{shown.edition.id}", headers={"Accept": "text/html,*/*;q=0.8"})
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/html")
    assert shown.edition.id in answer.text


def test_a_missing_edition_names_those_that_are_there(shown: Shown) -> None:
    for path in ("/editions/water-nowhere-1999-v1", "/editions/none/files/x", "/editions/none/metadata/dcat"):
        answer = shown.client.get(path)
        assert answer.status_code == 404
        assert shown.edition.id in answer.json()["detail"]


def test_a_whole_file_says_all_that_a_client_must_know(shown: Shown) -> None:
    answer = shown.client.get(shown.file("inventory.parquet"))
    data = shown.stored("inventory.parquet")
    digest = hashlib.sha256(data)
    assert answer.content == data
    assert answer.headers["etag"] == f'"{digest.hexdigest()}"'
    assert answer.headers["repr-digest"] == f"sha-256=:{base64.b64encode(digest.digest()).decode()}:"
    assert answer.headers["content-length"] == str(len(data))
    assert answer.headers["accept-ranges"] == "bytes"
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert answer.headers["content-type"] == "application/vnd.apache.parquet"
    wanted = f'attachment; filename="{shown.edition.id}-inventory.parquet"'
    assert answer.headers["content-disposition"] == wanted
    assert answer.headers["last-modified"].endswith(" GMT")


@pytest.mark.parametrize("name", ["inventory.parquet", "inventory.fgb", "run.json"])
def test_a_file_is_never_compressed_on_the_way(shown: Shown, name: str) -> None:
    answer = shown.client.get(shown.file(name), headers={"Accept-Encoding": "gzip"})
    assert answer.headers.get("content-encoding", "identity") == "identity"
    assert answer.headers["content-length"] == str(len(shown.stored(name)))


def test_head_says_what_get_says_without_the_bytes(shown: Shown) -> None:
    got, head = (shown.client.request(method, shown.file("inventory.fgb")) for method in ("GET", "HEAD"))
    drop = ("x-request-id", "date")
    assert (head.status_code, head.content) == (200, b"")
    assert {k: v for k, v in head.headers.items() if k not in drop} == {
        k: v for k, v in got.headers.items() if k not in drop
    }


@pytest.mark.parametrize("asked", ["bytes=0-99", "bytes=100-", "bytes=-10", "bytes=7-7"])
def test_a_range_gives_its_bytes(shown: Shown, asked: str) -> None:
    data = shown.stored("inventory.fgb")
    answer = shown.client.get(shown.file("inventory.fgb"), headers={"Range": asked})
    assert answer.status_code == 206
    found = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+)", answer.headers["content-range"])
    assert found is not None
    first, last, size = (int(each) for each in found.groups())
    assert size == len(data)
    assert answer.content == data[first : last + 1]
    assert answer.headers["content-length"] == str(len(answer.content))


def test_several_ranges_at_once_give_the_whole_file(shown: Shown) -> None:
    answer = shown.client.get(shown.file("inventory.fgb"), headers={"Range": "bytes=0-1,5-6"})
    assert (answer.status_code, answer.content) == (200, shown.stored("inventory.fgb"))


def test_a_range_past_the_end_is_refused_with_the_length(shown: Shown) -> None:
    size = len(shown.stored("run.json"))
    answer = shown.client.get(shown.file("run.json"), headers={"Range": f"bytes={size}-"})
    assert (answer.status_code, answer.headers["content-range"]) == (416, f"bytes */{size}")
    assert answer.headers["content-type"] == "application/problem+json"


def test_if_range_gives_the_whole_file_where_it_is_another_one(shown: Shown) -> None:
    address = shown.file("inventory.fgb")
    head = shown.client.head(address).headers
    for same in (head["etag"], head["last-modified"]):
        assert shown.client.get(address, headers={"Range": "bytes=0-1", "If-Range": same}).status_code == 206
    for other in ('"other"', f"W/{head['etag']}", "Thu, 01 Jan 1970 00:00:00 GMT"):
        assert shown.client.get(address, headers={"Range": "bytes=0-1", "If-Range": other}).status_code == 200


def test_a_file_that_the_client_holds_is_not_sent_again(shown: Shown) -> None:
    address = shown.file("inventory.fgb")
    head = shown.client.head(address).headers
    for header, value in (
        ("If-None-Match", head["etag"]),
        ("If-None-Match", f'"x", W/{head["etag"]}'),
        ("If-None-Match", "*"),
        ("If-Modified-Since", head["last-modified"]),
    ):
        answer = shown.client.get(address, headers={header: value, "Range": "bytes=0-1"})
        assert (answer.status_code, answer.content) == (304, b""), (header, value)
        assert answer.headers["etag"] == head["etag"]
    for header, value in (
        ("If-None-Match", '"x"'),
        ("If-Modified-Since", "Thu, 01 Jan 1970 00:00:00 GMT"),
        ("If-Modified-Since", "never"),
        ("If-Modified-Since", "Thu, 99 Jan 9999999 00:00:00 -9999"),
    ):
        assert shown.client.get(address, headers={header: value}).status_code == 200, (header, value)


def test_if_match_refuses_to_go_on_with_another_file(shown: Shown) -> None:
    address = shown.file("inventory.fgb")
    tag = shown.client.head(address).headers["etag"]
    assert shown.client.get(address, headers={"If-Match": f'"x", {tag}'}).status_code == 200
    assert shown.client.get(address, headers={"If-Match": "*"}).status_code == 200
    assert shown.client.get(address, headers={"If-Match": '"x"'}).status_code == 412


@pytest.mark.parametrize(
    "name",
    ["item.json", "claim.json", "../collection.json", "..%2Fcollection.json", "%2e%2e/%2e%2e/collection.json",
     "/etc/passwd", "%2Fetc%2Fpasswd", "inventory.parquet/", "inventory.parquet%00", "probability/../run.json",
     "..\\run.json", ".%2F.%2Frun.json", ""],
)  # fmt: skip
def test_only_names_that_the_edition_states_lead_to_files(shown: Shown, name: str) -> None:
    answer = shown.client.get(f"/editions/{shown.edition.id}/files/{name}")
    if answer.request.url.path.endswith(f"{shown.edition.id}/files/run.json"):
        return  # the client itself made the path plain
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("kind", ["schema.org", "datacite", "dcat", "iso19139", "citation", "bibtex"])
def test_every_kind_of_metadata_names_this_service(shown: Shown, kind: str) -> None:
    answer = shown.client.get(f"/editions/{shown.edition.id}/metadata/{kind}")
    assert answer.status_code == 200
    assert shown.edition.id in answer.text or kind in ("citation", "bibtex")
    again = shown.client.get(
        f"/editions/{shown.edition.id}/metadata/{kind}", headers={"If-None-Match": answer.headers["etag"]}
    )
    assert again.status_code == 304


def test_the_publisher_of_the_settings_stands_in_the_metadata(shown: Shown, monkeypatch: pytest.MonkeyPatch) -> None:
    said = {"name": "Ice Centre", "doi_prefix": "10.12345", "creators": [{"name": "Doe, Jane"}]}
    monkeypatch.setenv("TALIK_PUBLISHER", json.dumps(said))
    with client_of(shown.store) as client:
        datacite = client.get(f"/editions/{shown.edition.id}/metadata/datacite").json()
    assert datacite["publisher"]["name"] == "Ice Centre"
    assert [each["name"] for each in datacite["creators"]] == ["Doe, Jane"]


def test_a_misspelt_member_of_the_publisher_stops_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TALIK_PUBLISHER", '{"name": "Ice Centre", "doi": "10.12345"}')
    with pytest.raises(Exception, match=r"unknown doi; expected contact_email, creators, doi_prefix"):
        ApiSettings()


def test_an_unknown_kind_of_metadata_names_those_that_are_there(shown: Shown) -> None:
    answer = shown.client.get(f"/editions/{shown.edition.id}/metadata/marc21")
    assert answer.status_code == 404
    assert "schema.org, datacite, dcat, iso19139, citation, bibtex" in answer.json()["detail"]


def test_an_edition_without_a_year_of_publication_has_no_datacite(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "store"))
    edition = publish_polygons(store, tmp_path / "a", LAKES[:1], year=2021)
    item = {**edition.item, "properties": {k: v for k, v in edition.item["properties"].items() if k != "created"}}
    store.put(f"{edition.prefix}/item.json", json.dumps(item).encode())
    with client_of(store) as client:
        answer = client.get(f"/editions/{edition.id}/metadata/datacite")
        assert answer.status_code == 409
        assert "published, which DataCite demands" in answer.json()["detail"]
        assert "last-modified" not in client.get(f"/editions/{edition.id}/files/inventory.fgb").headers


def test_a_file_that_is_gone_from_the_store_is_our_fault(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "store"))
    edition = publish_polygons(store, tmp_path / "a", LAKES[:1], year=2021)
    store.delete(f"{edition.prefix}/inventory.fgb")
    with client_of(store) as client:
        answer = client.get(f"/editions/{edition.id}/files/inventory.fgb")
    assert answer.status_code == 500
    assert "incident" in answer.json()
    assert str(tmp_path) not in answer.text


def test_a_file_in_a_bucket_is_fetched_from_the_bucket(in_s3: Shown) -> None:
    answer = in_s3.client.get(in_s3.file("inventory.fgb"))
    assert answer.status_code == 307
    assert answer.headers["cache-control"] == "private, max-age=1800"
    fetched = httpx.get(answer.headers["location"], headers={"Range": "bytes=0-7"})
    assert (fetched.status_code, fetched.content) == (206, in_s3.stored("inventory.fgb")[:8])
    wanted = f'attachment; filename="{in_s3.edition.id}-inventory.fgb"'
    assert fetched.headers["content-disposition"] == wanted
    assert fetched.headers["content-type"] == "application/vnd.flatgeobuf"


def test_head_of_a_file_in_a_bucket_is_answered_here(in_s3: Shown) -> None:
    async def noting(scope: Scope, receive: Receive, send: Send) -> None:
        app: ASGIApp = in_s3.client.app
        noted = {"talik.method": "HEAD"} if scope.get("method") == "HEAD" else {}
        await app({**scope, **noted}, receive, send)

    client = TestClient(noting, follow_redirects=False)
    answer = client.head(in_s3.file("inventory.fgb"), headers={"Range": "bytes=0-1"})
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-length"] == str(len(in_s3.stored("inventory.fgb")))
    assert answer.headers["accept-ranges"] == "bytes"


@pytest.fixture(scope="module")
def mapped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[World, Edition, str]]:
    """An edition with probability that was really mapped, and the address of a server that shows it."""
    world = World(folder=tmp_path_factory.mktemp("mapped"))
    grid = grid_at(50_000, -650_000, 600, 600)
    water = np.random.default_rng(1).random((60, 60)) > 0.7
    world.add("a_20210715", paint(np.kron(water, np.ones((10, 10), bool))), grid)
    edition = world.map(around(grid, 0.001)).edition
    # A process of its own: GDAL holds this one's lock while it waits for an answer.
    with server_process(open_store(world.root)) as server:
        yield world, edition, server.url


def test_gdal_reads_a_flatgeobuf_by_ranges(mapped: tuple[World, Edition, str]) -> None:
    import geopandas
    import pyogrio

    world, edition, address = mapped
    local = geopandas.read_file(Path(world.root) / edition.prefix / "inventory.fgb")
    west, south, east, north = local.total_bounds
    box = (west, south, (west + east) / 2, (south + north) / 2)
    url = f"/vsicurl/{address}/editions/{edition.id}/files/inventory.fgb"
    found = pyogrio.read_dataframe(url, bbox=box)
    expected = pyogrio.read_dataframe(Path(world.root) / edition.prefix / "inventory.fgb", bbox=box)
    assert 0 < len(found) < len(local)
    assert sorted(found["id"]) == sorted(expected["id"])


def test_rasterio_reads_a_window_of_a_probability_cog(mapped: tuple[World, Edition, str]) -> None:
    import rasterio
    from rasterio.windows import Window

    world, edition, address = mapped
    path = sorted((Path(world.root) / edition.prefix / "probability").glob("*.tif"))[0]
    window = Window(10, 20, 100, 50)
    url = f"/vsicurl/{address}/editions/{edition.id}/files/probability/{path.name}"
    with rasterio.open(url) as remote, rasterio.open(path) as local:
        assert remote.shape == local.shape
        np.testing.assert_array_equal(remote.read(1, window=window), local.read(1, window=window))


def test_geopandas_reads_the_inventory_over_http(mapped: tuple[World, Edition, str]) -> None:
    import io

    import geopandas

    _, edition, address = mapped
    data = httpx.get(f"{address}/editions/{edition.id}/files/inventory.parquet").content
    assert len(geopandas.read_parquet(io.BytesIO(data))) == edition.count


def test_pyarrow_reads_the_foot_and_one_column_by_ranges(mapped: tuple[World, Edition, str]) -> None:
    import obstore
    import pyarrow.parquet as pq
    from obstore.fsspec import FsspecStore

    del obstore
    _, edition, address = mapped
    files = FsspecStore("http", client_options={"allow_http": True})
    with files.open(f"{address}/editions/{edition.id}/files/inventory.parquet") as file:
        assert pq.read_table(file, columns=["area_m2"]).num_rows == edition.count


def test_many_clients_get_a_large_file_whole_in_little_memory(tmp_path: Path) -> None:
    store, edition, digest = large_edition(tmp_path, 40_000_000)
    with server_process(store) as server:
        address = f"{server.url}/editions/{edition.id}/files/inventory.parquet"
        before = server.peak_bytes()

        def fetch(_: int) -> str:
            digest = hashlib.sha256()
            with httpx.stream("GET", address, timeout=60) as answer:
                for chunk in answer.iter_bytes():
                    digest.update(chunk)
            return digest.hexdigest()

        with ThreadPoolExecutor(8) as pool:
            assert set(pool.map(fetch, range(8))) == {digest}
        assert server.peak_bytes() - before < 80_000_000  # 8 files would be 320 MB


def test_a_download_goes_on_where_it_was_when_the_server_is_killed(tmp_path: Path) -> None:
    store, edition, digest = large_edition(tmp_path, 30_000_000)
    path = f"/editions/{edition.id}/files/inventory.parquet"
    got = bytearray()
    with server_process(store) as server, httpx.stream("GET", f"{server.url}{path}") as answer:
        tag, size = answer.headers["etag"], int(answer.headers["content-length"])
        with suppress(httpx.RemoteProtocolError, httpx.ReadError):
            for chunk in answer.iter_raw():
                got += chunk
                if len(got) > 2_000_000:
                    server.process.kill()
    assert 2_000_000 < len(got) < size
    with server_process(store) as server:
        headers = {"Range": f"bytes={len(got)}-", "If-Range": tag}
        rest = httpx.get(f"{server.url}{path}", headers=headers)
    assert rest.status_code == 206
    assert rest.headers["etag"] == tag
    assert hashlib.sha256(bytes(got) + rest.content).hexdigest() == digest


def large_edition(folder: Path, size: int) -> tuple[Store, Edition, str]:
    """An edition whose parquet is `size` bytes of noise; also its SHA-256."""
    store = open_store(str(folder / "store"))
    edition = publish_polygons(store, folder / "a", LAKES[:1], year=2021)
    data = np.random.default_rng(0).bytes(size)
    digest = hashlib.sha256(data).hexdigest()
    asset = edition.item["assets"]["inventory-parquet"]
    asset.update({"file:size": size, "file:checksum": f"1220{digest}"})
    store.put(f"{edition.prefix}/inventory.parquet", data)
    store.put(f"{edition.prefix}/item.json", json.dumps(edition.item).encode())
    return store, edition, digest


@dataclass(frozen=True, kw_only=True)
class Server:
    """A running `talik serve`."""

    process: subprocess.Popen[bytes]
    url: str

    def peak_bytes(self) -> int:
        """The most memory that it held at once (VmHWM)."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(r"VmHWM:\s+(\d+) kB", status)
        return int(found[1]) * 1024 if found else 0


@contextmanager
def server_process(store: Store) -> Iterator[Server]:
    """`talik serve` as a process of its own."""
    command = [sys.executable, "-c", "from talik_stac.cli import main; main()", "serve", "--port", "0"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "services/api"), "TALIK_LOCAL_JOBS": "0"}
    process = subprocess.Popen(
        [*command, "--store", store.root], env=environment, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL
    )
    try:
        yield Server(process=process, url=_address_of(process))
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait(10)
        assert process.stderr is not None
        process.stderr.close()


def _address_of(process: subprocess.Popen[bytes]) -> str:
    assert process.stderr is not None
    said = []
    for line in process.stderr:
        said.append(line.decode())
        if found := re.search(r"running on (http://[\d.:]+)", said[-1]):
            return found[1]
    raise RuntimeError("".join(said))
