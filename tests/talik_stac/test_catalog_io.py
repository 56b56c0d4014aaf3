"""Catalogues that a user chose: what a hostile one names is neither asked nor opened."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import shapely
from pystac_client.exceptions import APIError
from shapely.geometry import mapping
from urllib3 import Retry

from stac_server import ITEM_SEARCH, RecordedStacServer
from talik_stac.catalog_io import GuardedIO
from talik_stac.catalogs import CatalogOptions, scenes_from_catalog
from talik_stac.errors import ImageryError
from talik_stac.outgoing import OutgoingError
from talik_stac.scenes import Scene

HERE = (10.2, 60.2, 10.4, 60.4)


def item(**assets: str) -> dict[str, Any]:
    """An item with an asset of each band."""
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": "one",
        "collection": "aerial",
        "geometry": mapping(shapely.box(10, 60, 11, 61)),
        "bbox": [10, 60, 11, 61],
        "properties": {"datetime": "2020-07-01T10:00:00Z"},
        "links": [],
        "assets": {name: {"href": href, "type": "image/tiff", "roles": ["data"]} for name, href in assets.items()},
    }


def search(server: RecordedStacServer, *more: str) -> list[Scene]:
    """Ask for green and nir with the server listed, and what else is."""
    options = CatalogOptions(hosts=(server.url, *more), retries=2, timeout_s=5)
    return scenes_from_catalog(server.url, "aerial", bands=("green", "nir"), aoi=HERE, options=options)


class Linking(RecordedStacServer):
    """An API without a list of collections: they are looked for link by link."""

    link = ""

    def landing(self) -> dict[str, Any]:
        found = super().landing()
        links = [*found["links"], {"rel": "child", "href": self.link, "type": "application/json"}]
        return {**found, "conformsTo": [ITEM_SEARCH], "links": links}


def test_files_on_listed_hosts_pass_and_a_busy_catalogue_is_asked_again() -> None:
    images = "http://127.0.0.1:9"
    found = item(green=f"{images}/g.tif", nir=f"{images}/n.tif?signature=x")
    with RecordedStacServer([found], failures=2) as server:
        (scene,) = search(server, images)
    assert scene.bands["nir"].href == f"{images}/n.tif?signature=x"
    assert len(server.requests) == 5


@pytest.mark.parametrize("band", ["green", "nir", "SCL"])
def test_the_address_of_every_file_that_will_be_opened_is_checked(band: str) -> None:
    good = dict.fromkeys(("green", "nir"), "http://127.0.0.1:9/x.tif")
    evil = item(**{**good, band: "https://evil.test/x.tif"})
    said = r"^scene one: https://evil\.test:443 is not among the allowed hosts"
    with RecordedStacServer([evil]) as server, pytest.raises(OutgoingError, match=said):
        search(server, "http://127.0.0.1:9")


def test_without_a_list_any_file_passes_as_on_a_users_own_machine(tmp_path: Path) -> None:
    with RecordedStacServer([item(green="/data/g.tif", nir="s3://bucket/n.tif")]) as server:
        (scene,) = scenes_from_catalog(server.url, "aerial", bands=("green", "nir"), aoi=HERE)
    assert scene.bands["green"].href == "/data/g.tif"


@pytest.mark.parametrize("prefix", ["", "file://"])
def test_a_link_to_a_local_file_is_not_read(tmp_path: Path, prefix: str) -> None:
    secret = tmp_path / "secret.json"
    secret.write_text('{"type": "Catalog"}')
    with Linking([item(green="x", nir="x")]) as server:
        server.link = f"{prefix}{secret}"
        with pytest.raises(OutgoingError) as caught:
            search(server)
    assert str(secret) in str(caught.value)


def test_a_link_to_another_host_is_not_followed() -> None:
    with RecordedStacServer([]) as other, Linking([item(green="x", nir="x")]) as server:
        server.link = f"{other.url}/collection.json"
        with pytest.raises(OutgoingError, match=f"^{other.url} is not among the allowed hosts"):
            search(server)
    assert other.requests == []


def test_an_old_item_that_pystac_would_complete_from_elsewhere_is_not_read() -> None:
    """Of items before STAC 1.0 pystac fetches the collection by urllib3, past the reader that it was given."""
    with RecordedStacServer([]) as other, Linking([item(green="x", nir="x")]) as server:
        old = {**item(), "stac_version": "0.8.0", "links": [{"rel": "collection", "href": f"{other.url}/c.json"}]}
        server.link = f"{server.url}/collections/old"
        server.collection = lambda name: old  # type: ignore[method-assign]
        with pytest.raises(ImageryError):
            search(server)
    assert other.requests == []


def test_without_any_host_nothing_is_asked() -> None:
    with RecordedStacServer([]) as server:
        io = GuardedIO((), timeout_s=1, retries=Retry(0))
        with pytest.raises(APIError, match="not among the allowed hosts"):
            io.read_text(server.url)
    assert server.requests == []
