"""Imagery on other hosts: range requests to allowed hosts, and to no other, whatever a server answers."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from talik_api.pictures.desk import StoreDoor
from talik_api.pictures.reading import Source, read_on
from talik_api.pictures.remote import CHUNK
from talik_api.pictures.scenes import read_frame
from talik_stac.errors import ReadError, TalikError

from .painting import GRID, anywhere, coordinates, frame


class _Files(BaseHTTPRequestHandler):
    """Files with range requests; /elsewhere/ redirects to the other server, /whole/ knows no ranges."""

    folder: Path
    elsewhere: str
    asked: list[str]

    def do_GET(self) -> None:
        self.asked.append(self.path)
        if self.path.startswith("/elsewhere/"):
            self.send_response(302)
            self.send_header("Location", f"{self.elsewhere}/{Path(self.path).name}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        data = (self.folder / Path(self.path).name).read_bytes()
        if self.path.startswith("/whole/"):
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            return
        first, last = (int(part) for part in self.headers["Range"].removeprefix("bytes=").split("-"))
        part = data[first : last + 1]
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {first}-{first + len(part) - 1}/{len(data)}")
        self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        self.wfile.write(part)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def _serving(folder: Path, elsewhere: str = "") -> tuple[ThreadingHTTPServer, str, list[str]]:
    asked: list[str] = []
    handler = type("Files", (_Files,), {"folder": folder, "elsewhere": elsewhere, "asked": asked})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server, f"http://127.0.0.1:{server.server_port}", asked


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[tuple[str, str, list[str]]]:
    """An allowed server, another, and what the other was asked."""
    other, other_url, asked = _serving(tmp_path)
    server, url, _ = _serving(tmp_path, other_url)
    yield url, other_url, asked
    for each in (server, other):
        each.shutdown()
        each.server_close()


def door(tmp_path: Path, *hosts: str) -> StoreDoor:
    return StoreDoor(store_root=str(tmp_path / "store"), imagery_roots=(), hosts=hosts)


def source(address: str) -> Source:
    return Source(name="scene-15", href=address, indexes=(1, 2, 3), nodata=0)


def test_a_file_on_an_allowed_host_is_read_like_a_local_one(tmp_path: Path, hosts: tuple[str, str, list[str]]) -> None:
    local = frame(tmp_path)
    scene = local.scenes[0]
    bands = {name: replace(band, href=f"{hosts[0]}/scene-15.tif") for name, band in scene.bands.items()}
    remote = replace(local, scenes=(replace(scene, bands=bands),))
    pixels = read_frame(remote, GRID, door(tmp_path, hosts[0]))
    np.testing.assert_array_equal(pixels.data, read_frame(local, GRID, anywhere).data)
    assert pixels.valid.all()


def test_a_large_file_is_read_in_parts_by_many_at_once(tmp_path: Path, hosts: tuple[str, str, list[str]]) -> None:
    rng = np.random.default_rng(3)
    pixels = rng.integers(1, 60_000, (3, 480, 480)).astype(np.uint16)
    grid = GRID.pad(0).zoom_to((480, 480))
    frame(tmp_path, pixels, grid=grid)
    assert (tmp_path / "scene-15.tif").stat().st_size > 4 * CHUNK
    allowed, wanted = door(tmp_path, hosts[0]), source(f"{hosts[0]}/scene-15.tif")
    with ThreadPoolExecutor(6) as pool:
        for read in pool.map(lambda _: read_on(wanted, grid, allowed), range(12)):
            assert read is not None
            np.testing.assert_array_equal(read.data, pixels)


def test_a_host_that_is_not_listed_is_not_asked(tmp_path: Path, hosts: tuple[str, str, list[str]]) -> None:
    frame(tmp_path)
    with pytest.raises(TalikError, match="not among the allowed hosts"):
        read_on(source(f"{hosts[1]}/scene-15.tif"), GRID, door(tmp_path, hosts[0]))
    assert hosts[2] == []


def test_a_redirect_to_a_host_that_is_not_listed_is_not_followed(
    tmp_path: Path, hosts: tuple[str, str, list[str]]
) -> None:
    frame(tmp_path)
    with pytest.raises(TalikError):
        read_on(source(f"{hosts[0]}/elsewhere/scene-15.tif"), GRID, door(tmp_path, hosts[0]))
    assert hosts[2] == []


def test_a_server_without_ranges_cannot_make_us_read_a_whole_file(
    tmp_path: Path, hosts: tuple[str, str, list[str]]
) -> None:
    frame(tmp_path)
    with pytest.raises(ReadError):
        read_on(source(f"{hosts[0]}/whole/scene-15.tif"), GRID, door(tmp_path, hosts[0]))


def test_without_a_door_no_other_host_is_read(tmp_path: Path, hosts: tuple[str, str, list[str]]) -> None:
    frame(tmp_path)
    with pytest.raises(TalikError, match="no other hosts"):
        read_on(source(f"{hosts[1]}/scene-15.tif"), GRID, anywhere)
    assert hosts[2] == []
    assert coordinates().shape == (3, *GRID.shape)
