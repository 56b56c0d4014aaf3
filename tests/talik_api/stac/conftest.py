"""A service over HTTP with real scenes, an edition, and an index of many items."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from making import grid_at, write_tif
from talik_api.settings import ApiSettings
from talik_inference.indexing import IndexOptions, index_files
from talik_inference.sidecar import Said
from talik_stac.imagery import write_index
from talik_stac.store import open_store
from world import World, around, paint

LEFT, RIGHT = grid_at(40_000, -750_000, 128, 128), grid_at(40_096, -750_000, 128, 128)
"""UTM 33, about 67.6 N 12.6 E; they overlap."""
MANY = 2_500


def many_item(number: int) -> dict[str, Any]:
    """An item of the index `many`: one every hour, marching east over the antimeridian."""
    west = -180 + (number * 0.37) % 359
    when = datetime(2019, 1, 1, tzinfo=UTC) + timedelta(hours=number)
    ring = [[west, 70], [west + 1, 70], [west + 1, 71], [west, 71], [west, 70]]
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "stac_extensions": ["https://stac-extensions.github.io/eo/v1.1.0/schema.json"],
        "id": f"many-{number:05d}",
        "collection": "many",
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "bbox": [west, 70, west + 1, 71],
        "properties": {
            "datetime": when.isoformat().replace("+00:00", "Z"),
            # Many are equal, so that pages break inside a tie.
            **({} if number % 50 == 7 else {"eo:cloud_cover": float(number % 10)}),
            "platform": f"platform_{number % 3}",
        },
        "links": [],
        "assets": {
            "data": {
                "href": f"https://example.org/{number}.tif",
                "type": "image/tiff; application=geotiff; profile=cloud-optimized",
                "roles": ["data"],
                "eo:bands": [{"name": "green", "common_name": "green"}],
            }
        },
    }


def make_world(folder: Path) -> World:
    """Two overlapping scenes of July 2021, an edition of water of them, and the index `many`."""
    world = World(folder=folder)
    water = np.zeros((128, 128), bool)
    water[40:80, 40:100] = True
    world.add("left_20210701", paint(water), LEFT, cloud_cover=5.0)
    world.add("right_20210710", paint(water), RIGHT, cloud_cover=20.0)
    world.map(around(LEFT), block_px=256)
    single = write_tif(folder / "imagery" / "green_20210701.tif", paint(water)[:1], LEFT, nodata=0)
    index_files(open_store(world.root), [single], IndexOptions(collection="single", said=Said(bands=("green",))))
    write_index(open_store(world.root), "many", [many_item(number) for number in range(MANY)])
    return world


def settings_of(world: World) -> ApiSettings:
    """Settings under which the world's scenes are served."""
    return ApiSettings(store=world.root, imagery_roots=(str(world.folder / "imagery"),), local_jobs=0)


@pytest.fixture(scope="session")
def stac_world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """The world of `make_world`; tests do not change it."""
    return make_world(tmp_path_factory.mktemp("stac"))


@pytest.fixture(scope="session")
def address(stac_world: World) -> Iterator[str]:
    """Where the service listens: a process of its own, for GDAL keeps Python's lock while it waits for an answer."""
    settings = settings_of(stac_world)
    environment = {
        **os.environ,
        "TALIK_STORE": settings.store,
        "TALIK_IMAGERY_ROOTS": ",".join(settings.imagery_roots),
        "TALIK_LOCAL_JOBS": "0",
    }
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(64)  # clients wait until the process is there
        port, number = listener.getsockname()[1], listener.fileno()
        command = [sys.executable, "-m", "uvicorn", "--factory", "talik_api.app:create_app", "--fd", str(number)]
        server = subprocess.Popen([*command, "--log-level", "warning"], pass_fds=[number], env=environment)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(20)
