"""Addresses that anyone may read, against a real S3 server."""

from __future__ import annotations

import uuid
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from talik_api.downloads import in_bucket, presigned, size_of
from talik_stac.errors import MissingKeyError, StoreError
from talik_stac.store import Store, open_store

BUCKET = "talik-test"


@pytest.fixture
def bucket(s3_environment: str) -> Store:
    """A store below a prefix that must be quoted in addresses."""
    return open_store(f"s3://{BUCKET}/{uuid.uuid4().hex}/sub folder")


def test_a_client_without_credentials_reads_a_presigned_address(bucket: Store) -> None:
    bucket.put("a/b.fgb", b"0123456789")
    address = presigned(bucket, "a/b.fgb", 600, "name.fgb", "application/vnd.flatgeobuf")
    answer = httpx.get(address)
    assert (answer.status_code, answer.content) == (200, b"0123456789")
    assert answer.headers["content-type"] == "application/vnd.flatgeobuf"
    assert answer.headers["content-disposition"] == 'attachment; filename="name.fgb"'
    assert httpx.get(address, headers={"Range": "bytes=2-4"}).content == b"234"


def test_the_address_is_of_the_endpoint_and_region_and_ends_when_told(
    bucket: Store, s3_environment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_REGION", "eu-north-1")
    address = presigned(bucket, "x", 777, "x", "text/plain")
    query = parse_qs(urlsplit(address).query)
    assert address.startswith(f"{s3_environment}/{BUCKET}/")
    assert query["X-Amz-Expires"] == ["777"]
    assert query["X-Amz-Algorithm"] == ["AWS4-HMAC-SHA256"]
    assert "/eu-north-1/s3/" in query["X-Amz-Credential"][0]


def test_addresses_of_aws_itself_name_the_bucket_and_the_region(bucket: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    monkeypatch.setenv("AWS_REGION", "eu-north-1")
    assert urlsplit(presigned(bucket, "x", 60, "x", "text/plain")).hostname == f"{BUCKET}.s3.eu-north-1.amazonaws.com"


def test_a_bucket_with_dots_in_its_name_is_named_in_the_path(
    monkeypatch: pytest.MonkeyPatch, s3_environment: str
) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    monkeypatch.setenv("AWS_REGION", "eu-north-1")
    address = presigned(open_store("s3://data.example.org/p"), "x", 60, "x", "text/plain")
    assert address.startswith("https://s3.eu-north-1.amazonaws.com/data.example.org/p/x?")


def test_public_data_get_a_plain_address(bucket: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SKIP_SIGNATURE", "true")
    address = presigned(bucket, "x", 60, "x", "text/plain")
    assert "?" not in address  # S3 refuses what it should say in requests without a signature
    assert address.endswith("/sub%20folder/x")


def test_no_credentials_is_said_in_words(bucket: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    with pytest.raises(StoreError, match="check AWS_"):
        presigned(bucket, "x", 60, "x", "text/plain")


def test_the_size_of_an_object_is_told_by_any_store(any_store: Store) -> None:
    any_store.put("exports/a/b.bin", b"0" * 1234)
    assert size_of(any_store, "exports/a/b.bin") == 1234
    with pytest.raises(MissingKeyError):
        size_of(any_store, "exports/a/c.bin")


def test_a_store_knows_whether_it_lies_in_a_bucket(any_store: Store) -> None:
    assert in_bucket(any_store) == any_store.root.startswith("s3://")
