"""`talik map` as a user meets it: one clear line and exit code 2 for bad input, and a store left as it was."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from making import footprint_of, grid_at
from stac_server import RecordedStacServer
from talik_stac.editions import list_editions
from talik_stac.imagery import read_items
from talik_stac.store import open_store
from tiny_models import always_one
from world import World, paint

TALIK = Path(sys.executable).parent / "talik"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    world = World(folder=tmp_path_factory.mktemp("world"))
    water = np.zeros((100, 120), bool)
    water[20:60, 30:90] = True
    world.add("a_20210715", paint(water), grid_at(40_000, -540_000, 100, 120))
    return world


def talik(world: World, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    base = ["map", "--landform", "water", "--model", "ndwi@1", "--collection", "test", "--store", world.root]
    return subprocess.run(
        [str(TALIK), *base, *options], capture_output=True, text=True, env={**os.environ, **environment}, check=False
    )


def files(world: World) -> list[str]:
    return sorted(str(p) for p in Path(world.root).rglob("*") if p.is_file())


BAD_AREAS = {
    "crosses itself": (
        '{"type":"Polygon","coordinates":[[[13,48],[14,49],[14,48],[13,49],[13,48]]]}',
        "Self-intersection",
    ),
    "empty": ('{"type":"Polygon","coordinates":[]}', "empty"),
    "larger than the limit": ("0,0,60,60", "km2"),
    "latitude first": ("48.7,113.6,48.8,113.7", "west,south,east,north"),
    "not a number": ("13,48,here,49", "here"),
    "no such file": ("nowhere.geojson", "nowhere.geojson"),
}


@pytest.mark.parametrize("name", BAD_AREAS)
def test_a_bad_area_is_refused_in_one_line(world: World, name: str, tmp_path: Path) -> None:
    area, said = BAD_AREAS[name]
    before = files(world)
    done = talik(world, "--season", "2021", "--aoi", area, "--name", "bad")
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("talik: error: ")
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert files(world) == before


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--season", "1999"], "2021-07-15"),
        (["--season", "21"], "not a day"),
        (["--season", "2021", "--aoi", "0,0,1,1"], "no scene"),
        (["--season", "2021", "--collection", "nope"], "test"),
        (["--season", "2021", "--landform", "lava"], "water"),
        (["--season", "2021", "--model", "none@9"], "none@9"),
        (["--season", "2021", "--executor", "magic"], "threads, processes, dask"),
        (["--season", "2021", "--composite", "mean"], "composite"),
        (["--season", "2021", "--block", "100000"], "too large"),
        (["--season", "2021", "--despeckle", "lee"], "despeckle.method = 'lee'"),
        (["--season", "2021", "--despeckle", "ppb,looks"], "NAME=VALUE"),
        (["--season", "2021", "--despeckle", "ppb,looks=0"], "despeckle.looks"),
        (["--season", "2021", "--despeckle", "ppb", "--no-despeckle"], "contradict"),
        (["--season", "2021", "--despeckle", "ppb"], "speckle is of radar"),
        (["--season", "2021", "--landform", "thaw_slump", "--model", "ndwi@1"], "maps 'water', not 'thaw_slump'"),
        (["--season", "2021", "--executor", "dask=tcp://127.0.0.1:1"], "127.0.0.1:1"),
    ],
)
def test_bad_options_are_refused_in_one_line(world: World, options: list[str], said: str) -> None:
    before = files(world)
    done = talik(world, *options)
    assert done.returncode == 2, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert [p for p in files(world) if "claim" not in p and "/areas/" not in p and "/models/" not in p] == before


def test_a_model_that_is_not_what_its_card_says_is_refused(world: World, tmp_path: Path) -> None:
    folder = Path(always_one(tmp_path / "one"))
    (folder / "model.onnx").write_bytes(b"tampered")
    done = talik(world, "--season", "2021", "--model", str(folder))
    assert done.returncode == 2
    assert "sha256" in done.stderr


def test_a_store_that_cannot_be_written_is_named(world: World, tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    done = talik(world, "--season", "2021", "--store", str(blocked / "store"))
    assert done.returncode == 2
    assert str(blocked) in done.stderr


def test_a_full_disk_is_said_and_the_same_command_goes_on_when_there_is_room(world: World, tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    if (
        os.geteuid() != 0
        or subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(small)], capture_output=True, check=False
        ).returncode
    ):
        pytest.skip("needs the right to mount a small disk")
    try:
        import shutil

        store = small / "store"
        shutil.copytree(Path(world.root) / "imagery", store / "imagery")
        shutil.copy(Path(world.root) / "catalog.json", store / "catalog.json")
        filler = small / "filler"
        with filler.open("wb", buffering=0) as file, pytest.raises(OSError, match="No space"):
            file.writelines(b"x" * 4096 for _ in range(10_000))
        done = talik(world, "--season", "2021", "--store", str(store))
        assert done.returncode == 2, done.stderr
        assert "No space left" in done.stderr or "space" in done.stderr
        assert not list_editions(open_store(str(store)))
        filler.unlink()
        subprocess.run(["mount", "-o", "remount,size=20m", str(small)], check=True)
        assert talik(world, "--season", "2021", "--store", str(store)).returncode == 0
        assert len(list_editions(open_store(str(store)))) == 1
    finally:
        subprocess.run(["umount", str(small)], check=False)


def test_a_dry_run_says_what_would_be_done_and_writes_nothing(world: World) -> None:
    before = files(world)
    done = talik(world, "--season", "2021", "--dry-run")
    assert done.returncode == 0, done.stderr
    for word in ("a_20210715", "EPSG:32633", "km2", "blocks: 1", "expected time", "expected memory"):
        assert word in done.stdout
    assert files(world) == before


def test_a_catalogue_gives_what_the_local_index_gives(world: World, tmp_path: Path) -> None:
    """The same scenes through a STAC API, searched by pystac-client, end in the same bytes."""
    items = read_items(open_store(world.root), "test")
    west, south, east, north = footprint_of(grid_at(40_000, -540_000, 100, 120)).bounds
    aoi = f"{west},{south},{east},{north}"
    other = World(folder=tmp_path)
    with RecordedStacServer(items, None) as server:
        done = talik(
            world, "--season", "2021", "--aoi", aoi, "--name", "c", "--catalog", server.url, "--store", other.root
        )
    assert done.returncode == 0, done.stderr
    assert talik(world, "--season", "2021", "--aoi", aoi, "--name", "c").returncode == 0
    paths = [next(Path(w.root).glob("inventories/water/water-c-2021-v1/inventory.parquet")) for w in (world, other)]
    assert paths[0].read_bytes() == paths[1].read_bytes()
    record = json.loads(next(Path(other.root).glob("inventories/water/*/run.json")).read_text())
    assert record["imagery"]["catalog"] == server.url


def test_an_area_has_a_name_that_the_next_year_can_use(world: World, tmp_path: Path) -> None:
    west, south, east, north = footprint_of(grid_at(40_000, -540_000, 100, 120)).bounds
    assert talik(world, "--season", "2021", "--aoi", f"{west},{south},{east},{north}", "--name", "pond").returncode == 0
    again = talik(world, "--season", "2021-07-01/2021-07-31", "--aoi", "pond")
    assert again.returncode == 0, again.stderr
    assert "water-pond-20210701-20210731-v1" in again.stdout
    moved = talik(world, "--season", "2021", "--aoi", f"{west},{south},{east},{north + 0.1}", "--name", "pond")
    assert moved.returncode == 2
    assert "--name" in moved.stderr
