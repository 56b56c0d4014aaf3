"""A real S3 server over HTTP, and a store on either side."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer

from talik_stac.store import Store, open_store

BUCKET = "talik-test"


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    """The URL of a moto server with one empty bucket."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    client = boto3.client(
        "s3",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )
    client.create_bucket(Bucket=BUCKET)
    client.close()
    yield url
    server.stop()


@pytest.fixture
def s3_environment(s3_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """AWS_* point to the server and to nothing else; returns its URL."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_endpoint)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    return s3_endpoint


@pytest.fixture(params=["folder", "s3"])
def any_store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """A fresh store: the test runs once on a local folder and once on S3 over HTTP."""
    if request.param == "folder":
        return open_store(str(tmp_path / "new" / "store"))
    request.getfixturevalue("s3_environment")
    return open_store(f"s3://{BUCKET}/{uuid.uuid4().hex}/sub folder")


@pytest.fixture
def folder_store(tmp_path: Path) -> Store:
    """A fresh store in a local folder that does not exist yet."""
    return open_store(str(tmp_path / "store"))


@pytest.fixture
def tree(tmp_path: Path) -> Callable[[], list[str]]:
    """List every file below the test's own folder, temporary ones too."""
    return lambda: sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file())
