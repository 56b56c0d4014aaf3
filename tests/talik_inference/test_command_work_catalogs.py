"""`talik work` and a job's own catalogue: only listed hosts are asked, whatever a catalogue and its items name."""

from __future__ import annotations

import copy
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from job_world import job_inputs, job_world
from stac_server import RecordedStacServer
from talik_stac.editions import list_editions, load_edition
from talik_stac.imagery import read_items
from talik_stac.jobs import Job, load_job, submit
from talik_stac.store import Store, open_store
from world import World

TALIK = Path(sys.executable).parent / "talik"
SIDE_PX = 128
FILE = "/files/a_20210715.tif"
VRT = """<VRTDataset rasterXSize="128" rasterYSize="128"><VRTRasterBand dataType="UInt16" band="1"><SimpleSource>
<SourceFilename relativeToVRT="0">/vsicurl/{url}/secret.tif</SourceFilename><SourceBand>1</SourceBand>
</SimpleSource></VRTRasterBand></VRTDataset>"""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return job_world(tmp_path_factory.mktemp("world"), side_px=SIDE_PX)


@pytest.fixture
def store(world: World) -> Store:
    return open_store(world.root)


class Catalogue(RecordedStacServer):
    """The index of a world as a STAC API that serves its files too."""

    def __init__(self, world: World, **options: Any) -> None:
        image = (world.folder / "imagery" / "a_20210715.tif").read_bytes()
        super().__init__([], [], **{"files": {FILE: image}, **options})
        self.world = world

    def holding(self, href: str) -> Catalogue:
        """The same with every asset at an address."""
        self.items = copy.deepcopy(read_items(open_store(self.world.root), "test"))
        for item in self.items:
            for asset in item["assets"].values():
                asset["href"] = href.format(url=self.url)
        self.collections = [RecordedStacServer(self.items).collections[0]]
        return self


class LeadsAway(Catalogue):
    """Its next page lies elsewhere."""

    away = ""

    def search(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        found = super().search(asked)
        return {**found, "links": [{"rel": "next", "href": f"{self.away}/search", "method": "GET"}]}


def run_job(store: Store, url: str, hosts: tuple[str, ...], name: str) -> tuple[int, Job]:
    """Run one job over a catalogue as the service's executor does; its exit code and what became of it."""
    job = submit(store, inputs=job_inputs(SIDE_PX, catalog=url, name=name))
    options = [word for host in hosts for word in ("--catalogue-host", host)]
    command = [str(TALIK), "work", job.id, "--store", store.root, "--workers", "1", *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr
    return done.returncode, load_job(store, job.id)


def refused(store: Store, url: str, hosts: tuple[str, ...]) -> str:
    """The one line with which such a job fails."""
    before = len(list_editions(store))
    code, job = run_job(store, url, hosts, "refused")
    assert (code, job.status) == (2, "failed"), job
    assert "\n" not in job.message
    assert len(list_editions(store)) == before
    return job.message


def test_a_listed_catalogue_is_searched_and_its_files_give_what_the_index_gives(world: World, store: Store) -> None:
    with Catalogue(world) as server:
        server.holding("{url}" + FILE)
        code, job = run_job(store, server.url, (server.url,), "remote")
        assert (code, job.status) == (0, "successful"), job
        paths = [path for _, path, _ in server.requests]
    assert "/search" in paths
    assert FILE in paths
    local = submit(store, inputs=job_inputs(SIDE_PX, name="local"))
    subprocess.run([str(TALIK), "work", local.id, "--store", store.root], check=True, capture_output=True)
    ours, theirs = (load_edition(store, f"water-{name}-2021-v1") for name in ("remote", "local"))
    assert (ours.count, ours.area_m2) == (theirs.count, theirs.area_m2)
    assert ours.count > 0


@pytest.mark.parametrize("hosts", [(), ("*.example.org",), ("http://127.0.0.1:9",)])
def test_a_catalogue_that_is_not_listed_is_not_asked(world: World, store: Store, hosts: tuple[str, ...]) -> None:
    with Catalogue(world) as server:
        said = refused(store, server.url, hosts)
    assert said.startswith(f"{server.url} is not among the allowed hosts")
    assert server.requests == []


def test_a_search_that_is_redirected_to_another_host_is_not_followed(world: World, store: Store) -> None:
    with Catalogue(world) as other, Catalogue(world, redirects={"/search": f"{other.url}/search"}) as server:
        server.holding("{url}" + FILE)
        said = refused(store, server.url, (server.url,))
    assert said.startswith(f"{other.url} is not among the allowed hosts")
    assert other.requests == []


def test_a_next_page_on_another_host_is_not_asked(world: World, store: Store) -> None:
    with Catalogue(world) as other, LeadsAway(world) as server:
        server.holding("{url}" + FILE)
        server.away = other.url
        said = refused(store, server.url, (server.url,))
    assert said.startswith(f"{other.url} is not among the allowed hosts")
    assert other.requests == []


@pytest.mark.parametrize(
    ("href", "shown"),
    [
        ("file:///etc/passwd", "'file:///etc/passwd'"),
        ("/etc/passwd", "'/etc/passwd'"),
        ("http://169.254.169.254/x.tif", "http://169.254.169.254:80"),
        ("vrt://{other}/x.tif", "'vrt://{other}/x.tif'"),
        ("/vsicurl/{other}/x.tif", "'/vsicurl/{other}/x.tif'"),
        ("{other}/x.tif", "{other} is not among the allowed hosts"),
        ("{store}/imagery/x.tif", "'{store}/imagery/x.tif'"),
        ("s3://bucket/x.tif", "'s3://bucket/x.tif'"),
    ],
)
def test_a_file_outside_the_listed_hosts_is_not_opened(world: World, store: Store, href: str, shown: str) -> None:
    with Catalogue(world) as other, Catalogue(world) as server:
        server.holding(href.replace("{other}", other.url).replace("{store}", store.root))
        said = refused(store, server.url, (server.url,))
    assert said.startswith("scene a_20210715: ")
    assert shown.format(other=other.url, store=store.root) in said
    assert other.requests == []
    assert {path for _, path, _ in server.requests} == {"", "/collections/test", "/search"}


def test_an_image_that_is_a_list_of_other_addresses_is_not_followed(world: World, store: Store) -> None:
    with Catalogue(world) as other, Catalogue(world) as server:
        server.holding("{url}" + FILE).files = {FILE: VRT.format(url=other.url).encode()}
        said = refused(store, server.url, (server.url,))
    assert f"{server.url}{FILE}" in said
    assert other.requests == []
