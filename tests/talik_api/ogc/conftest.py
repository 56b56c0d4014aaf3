"""What every abstract test starts from: the collections, and helpers that read answers."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.testclient import TestClient


@pytest.fixture(scope="session")
def collections(client: TestClient) -> list[dict[str, Any]]:
    """The collections as /collections lists them."""
    listed: list[dict[str, Any]] = client.get("/collections", headers={"Accept": "application/json"}).json()[
        "collections"
    ]
    assert len(listed) == 3  # the landform and its two editions
    return listed


@pytest.fixture(scope="session")
def description(client: TestClient) -> dict[str, Any]:
    """The OpenAPI document, found by the landing page's link."""
    links = client.get("/", headers={"Accept": "application/json"}).json()["links"]
    (address,) = [link["href"] for link in links if link["rel"] == "service-desc"]
    document: dict[str, Any] = client.get(address).json()
    return document
