"""Records of editions, published in a folder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import shapely

from editing import publish_polygons
from talik_api.metadata import Creator, Publisher, Record, record_of
from talik_stac.editions import Edition
from talik_stac.store import open_store

BASE = "https://talik.example"
RUN: dict[str, Any] = {
    "versions": {"talik": "0.1.0", "numpy": "2.4.6"},
    "python": "3.11.7",
    "recipe": {"title": "Water bodies"},
    "imagery": {"collection": "naip", "catalog": None},
    "model": {"name": "ndwi", "version": "1", "title": "NDWI above zero", "sha256": "ab" * 32, "limits": "An index."},
    "scenes": [
        {"id": "scene-b", "datetime": "2021-08-01T00:00:00+00:00", "cloud_cover": None},
        {"id": "scene-a", "datetime": "2021-07-01T00:00:00+00:00", "cloud_cover": 3.0},
    ],
    "previous_edition": "water-test-2020-v1",
}
PUBLISHER = Publisher(
    name="Frozen Ground Data Centre",
    url="https://data.example",
    creators=(
        Creator(name="Doe, Jane", orcid="0000-0002-1825-0097", affiliation="University of Ice"),
        Creator(name="Permafrost Group", organisation=True),
    ),
    doi_prefix="10.12345",
    contact_email="data@data.example",
)
ACROSS = shapely.MultiPolygon([shapely.box(177, 65, 180, 67), shapely.box(-180, 65, -175.5, 68)])
"""Wrangel's sea: a footprint that RFC 7946 cuts at the antimeridian."""


@pytest.fixture(scope="session")
def edition(tmp_path_factory: pytest.TempPathFactory) -> Edition:
    """The second version of an edition of two lakes."""
    folder: Path = tmp_path_factory.mktemp("metadata")
    store = open_store(str(folder / "store"))
    lakes = [shapely.box(0.1, 0.1, 0.2, 0.2), shapely.box(0.5, 0.5, 0.6, 0.7)]
    publish_polygons(store, folder / "a", lakes, year=2021, configuration="first")
    return publish_polygons(store, folder / "b", lakes, year=2021, configuration="second")


@pytest.fixture(scope="session")
def record(edition: Edition) -> Record:
    """All is known of it."""
    return record_of(edition, RUN, base_url=BASE, publisher=PUBLISHER)


@pytest.fixture(scope="session")
def bare(edition: Edition) -> Record:
    """As little is known of it as can be: no run, no DOI, no contact, no licence, no sums, no date, no predecessor."""
    properties = {name: value for name, value in edition.item["properties"].items() if name != "created"}
    item = {
        **edition.item,
        "properties": {**properties, "license": "other"},
        "links": [],
        "assets": {"data": {"href": "./inventory.parquet"}},
    }
    return record_of(replace(edition, item=item), {}, base_url=BASE, publisher=Publisher(name="Us"))


@pytest.fixture(scope="session")
def across(edition: Edition) -> Record:
    """It crosses the antimeridian."""
    item = {**edition.item, "geometry": shapely.geometry.mapping(ACROSS), "bbox": [-180, 65, 180, 68]}
    return record_of(replace(edition, item=item), RUN, base_url=BASE, publisher=PUBLISHER)
