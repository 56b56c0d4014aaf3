"""The whole path on S3: imagery, blocks and edition behind a real HTTP server, the bytes of a local run."""

from __future__ import annotations

import subprocess
import sys
import uuid
from pathlib import Path

import numpy as np
import pytest

from making import footprint_of, grid_at, write_tif
from talik_stac.editions import list_editions
from talik_stac.store import open_store
from world import paint

TALIK = Path(sys.executable).parent / "talik"


def run(*arguments: object) -> str:
    done = subprocess.run([str(TALIK), *map(str, arguments)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.usefixtures("s3_environment")
def test_a_store_on_s3_holds_the_bytes_of_a_local_one(tmp_path: Path) -> None:
    grid = grid_at(40_000, -540_000, 600, 700)
    pixels = paint(np.random.default_rng(0).random((600, 700)) > 0.6)
    image = write_tif(tmp_path / "image_20210715.tif", pixels, grid, nodata=0, tiled=False)
    west, south, east, north = footprint_of(grid).bounds
    roots = [str(tmp_path / "local"), f"s3://talik-test/{uuid.uuid4().hex}"]
    for root in roots:
        run("index", image, "--collection", "test", "--bands", "green,nir", "--store", root)
    image.unlink()  # the COG in the store is all there is
    command = ["map", "--landform", "water", "--model", "ndwi@1", "--season", "2021", "--collection", "test"]
    command += ["--name", "area"]
    for root, executor in zip(roots, ("threads", "processes"), strict=True):
        options = ["--aoi", f"{west},{south},{east},{north}", "--block", "1024", "--executor", executor]
        run(*command, *options, "--workers", 2, "--store", root)
    local, remote = (open_store(root) for root in roots)
    (edition,) = list_editions(local)
    assert [e.id for e in list_editions(remote)] == [edition.id]
    for name in ("inventory.parquet", "inventory.fgb", "observed.parquet"):
        assert local.get(f"{edition.prefix}/{name}") == remote.get(f"{edition.prefix}/{name}")
    assert "published before" in run(*command, "--aoi", "area", "--store", roots[1])
