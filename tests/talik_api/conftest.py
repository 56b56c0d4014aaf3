"""A store with lakes, and a client of the service on it."""

from __future__ import annotations

import io

import geopandas
import pytest
from starlette.testclient import TestClient

from lakes import lake_store
from talik_api.app import create_app
from talik_api.settings import ApiSettings
from talik_stac.store import open_store

EDITION = "water-test-2020-v1"


@pytest.fixture(scope="session")
def lakes_root(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The root of a store that no test changes."""
    return lake_store(tmp_path_factory.mktemp("lakes"))


@pytest.fixture(scope="session")
def lakes(lakes_root: str) -> geopandas.GeoDataFrame:
    """What geopandas reads of the edition of 2020: the truth of what the service answers."""
    key = f"inventories/water/{EDITION}/inventory.parquet"
    return geopandas.read_parquet(io.BytesIO(open_store(lakes_root).get(key)))


@pytest.fixture(scope="session")
def client(lakes_root: str) -> TestClient:
    """A client in this process."""
    return TestClient(create_app(ApiSettings(store=lakes_root, local_jobs=0)), raise_server_exceptions=False)
