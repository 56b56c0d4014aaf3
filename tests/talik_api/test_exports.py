"""Large answers that are stored."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from starlette.testclient import TestClient

from talik_api import exports
from talik_api.app import create_app
from talik_api.service import Service, make_service
from talik_api.settings import ApiSettings
from talik_stac.errors import StoreError
from talik_stac.store import Store, open_store

DATA = b"0123456789" * 1000
DIGEST = hashlib.sha256(DATA).hexdigest()


def served(store: Store, **settings: str) -> Service:
    return make_service(ApiSettings(store=store.root, **settings), on_lambda=True)  # type: ignore[arg-type]


def chunks() -> Iterator[bytes]:
    yield DATA[:100]
    yield b""
    yield DATA[100:]


def fetched(store: Store, location: str) -> bytes:
    if "://" in location:
        return httpx.get(location).content
    with TestClient(create_app(ApiSettings(store=store.root, local_jobs=0))) as client:
        return client.get(location).content


def test_an_answer_is_stored_under_its_own_hash_and_fetched_from_there(any_store: Store) -> None:
    answer = exports.stored(served(any_store), chunks(), "text/csv", name="water.csv")
    assert answer.status_code == 303
    assert list(any_store.list("exports")) == [f"exports/{DIGEST}/water.csv"]
    assert fetched(any_store, answer.headers["location"]) == DATA


def test_an_answer_that_is_stored_already_is_not_written_again(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "store"))
    exports.stored(served(store), chunks(), "text/csv", name="water.csv")
    path = Path(store.url(f"exports/{DIGEST}/water.csv"))
    before = path.stat()
    exports.stored(served(store), chunks(), "text/csv", name="water.csv")
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_the_address_is_the_one_that_clients_see(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "store"))
    answer = exports.stored(served(store, base_url="https://x.example/prod/"), chunks(), "text/csv", name="a.csv")
    assert answer.headers["location"] == f"https://x.example/prod/exports/{DIGEST}/a.csv"


def test_a_name_that_no_key_may_have_is_not_used(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "store"))
    exports.stored(served(store), chunks(), "text/csv", name="../../etc/passwd.csv")
    assert list(store.list("exports")) == [f"exports/{DIGEST}/answer.csv"]


def test_nothing_is_stored_and_nothing_left_behind_when_the_answer_breaks_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    def breaking() -> Iterator[bytes]:
        yield DATA
        raise StoreError("gone")

    store = open_store(str(tmp_path / "store"))
    with pytest.raises(StoreError, match="gone"):
        exports.stored(served(store), breaking(), "text/csv", name="a.csv")
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_said_in_words(tmp_path: Path) -> None:
    def full() -> Iterator[bytes]:
        yield DATA
        raise OSError(28, "No space left on device")

    with pytest.raises(StoreError, match="No space left on device; give the function more ephemeral storage"):
        exports.stored(served(open_store(str(tmp_path / "store"))), full(), "text/csv", name="a.csv")


def test_an_export_has_ranges_and_a_tag_and_the_right_type(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "store"))
    location = exports.stored(served(store), chunks(), "x", name="w.parquet").headers["location"]
    with TestClient(create_app(ApiSettings(store=store.root, local_jobs=0))) as client:
        answer = client.get(location, headers={"Range": "bytes=5-9"})
    assert (answer.status_code, answer.content) == (206, b"56789")
    assert answer.headers["etag"] == f'"{DIGEST}"'
    assert answer.headers["content-type"] == "application/vnd.apache.parquet"


@pytest.mark.parametrize("path", [f"{DIGEST}/gone.csv", "abc/x.csv", f"{DIGEST}/..%2Fx", f"{DIGEST}/.hidden", "x/y"])
def test_an_export_that_is_none_is_not_found(tmp_path: Path, path: str) -> None:
    with TestClient(create_app(ApiSettings(store=str(tmp_path / "store"), local_jobs=0))) as client:
        assert client.get(f"/exports/{path}").status_code == 404
