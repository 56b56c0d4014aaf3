"""One suite for both sides of the store, then what each can do wrong."""

from __future__ import annotations

import errno
import multiprocessing as mp
import os
import pickle
import resource
import signal
import subprocess
import sys
import time
import urllib.request
import uuid
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import boto3
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from talik_stac.errors import MissingKeyError, StoreError
from talik_stac.store import TEMP_PREFIX, FolderStore, Store, checked_key, open_store

BUCKET = "talik-test"


def test_what_is_put_is_what_is_got(any_store: Store) -> None:
    any_store.put("runs/abc/blocks/0.json", b"one")
    any_store.put("runs/abc/blocks/0.json", b"two")
    any_store.put("empty", b"")
    assert any_store.get("runs/abc/blocks/0.json") == b"two"
    assert any_store.get("empty") == b""
    assert any_store.exists("runs/abc/blocks/0.json")
    assert not any_store.exists("runs/abc/blocks")
    assert not any_store.exists("runs/abc/blocks/0.json/below")


@pytest.mark.parametrize("key", ["a b", "a+b", "a%20b", "a#b", "a?b&c=d", "Лена/ü.tif", "x=1/#1", "~", "a:b", "-"])
def test_a_key_with_odd_characters_comes_back_as_it_was(any_store: Store, key: str) -> None:
    any_store.put(key, key.encode())
    assert any_store.get(key) == key.encode()
    assert list(any_store.list("")) == [key]


def test_a_range_is_the_slice_of_the_bytes(any_store: Store) -> None:
    data = bytes(range(100))
    any_store.put("data", data)
    for start, length in [(0, 100), (10, 5), (99, 1), (90, 50), (3, 0), (0, 0)]:
        assert any_store.get_range("data", start=start, length=length) == data[start : start + length]
    with pytest.raises(StoreError, match=r"data ends before .* run again"):
        any_store.get_range("data", start=100, length=1)
    with pytest.raises(StoreError, match="start=-1"):
        any_store.get_range("data", start=-1, length=1)


def test_a_missing_key_is_named_with_its_root(any_store: Store) -> None:
    for read in (any_store.get, lambda key: any_store.get_range(key, start=0, length=1)):
        with pytest.raises(MissingKeyError, match=r"nothing lies under no/such") as caught:
            read("no/such")
        assert any_store.root in str(caught.value)
        assert "\n" not in str(caught.value)


def test_a_list_is_sorted_and_keeps_to_its_folder(any_store: Store) -> None:
    keys = ["a/1", "a/10", "a/2", "a/b/c", "a.b", "a/b.c", "ab/1", "b"]
    for key in keys:
        any_store.put(key, b"x")
    assert list(any_store.list("")) == sorted(keys)
    assert list(any_store.list("a")) == sorted(key for key in keys if key.startswith("a/"))
    assert list(any_store.list("a/")) == list(any_store.list("a"))
    assert list(any_store.list("nothing/here")) == []
    assert list(any_store.list("b")) == []


def test_a_list_goes_past_one_page_of_a_thousand(s3_environment: str) -> None:
    store = open_store(f"s3://{BUCKET}/{uuid.uuid4().hex}")
    keys = [f"k/{i:04d}" for i in range(1005)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda key: store.put(key, b""), keys))
    assert list(store.list("k")) == keys


def test_deleting_twice_is_deleting_once(any_store: Store) -> None:
    any_store.delete("never/was")
    any_store.put("a/b", b"x")
    any_store.delete("a/b")
    any_store.delete("a/b")
    assert not any_store.exists("a/b")


def test_a_file_is_streamed_in_bounded_memory(any_store: Store, tmp_path: Path) -> None:
    source = tmp_path / "big.bin"
    with source.open("wb") as file:
        for i in range(24):
            file.write(bytes([i]) * 1_000_003)
    any_store.put_file("big", source)
    for i in (0, 7, 23):
        assert any_store.get_range("big", start=i * 1_000_003, length=1_000_003) == bytes([i]) * 1_000_003
    assert any_store.get_range("big", start=24 * 1_000_003 - 1, length=9) == bytes([23])


def test_a_folder_store_needs_no_memory_for_a_large_file(folder_store: Store, tmp_path: Path) -> None:
    source = tmp_path / "large.bin"
    with source.open("wb") as file:
        file.truncate(400_000_000)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    folder_store.put_file("large", source)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64_000  # kB
    assert Path(folder_store.url("large")).stat().st_size == 400_000_000


def test_a_file_that_cannot_be_read_is_named_and_nothing_is_written(any_store: Store, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"cannot read .*gone\.tif \(for key\): No such file"):
        any_store.put_file("key", tmp_path / "gone.tif")
    assert list(any_store.list("")) == []


def test_put_if_absent_keeps_the_first(any_store: Store) -> None:
    assert any_store.put_if_absent("a/b", b"first")
    assert not any_store.put_if_absent("a/b", b"second")
    assert any_store.get("a/b") == b"first"
    any_store.delete("a/b")
    assert any_store.put_if_absent("a/b", b"third")


def test_among_processes_exactly_one_wins_each_key(any_store: Store) -> None:
    keys = [f"claims/{i}" for i in range(12)]
    with ProcessPoolExecutor(4, mp_context=mp.get_context("spawn")) as pool:
        claims = [(key, me, pool.submit(any_store.put_if_absent, key, bytes([me]))) for key in keys for me in range(4)]
        winners = [(key, bytes([me])) for key, me, claim in claims if claim.result()]
    assert [key for key, _ in winners] == keys
    assert [any_store.get(key) for key in keys] == [data for _, data in winners]


def test_among_threads_exactly_one_wins_each_key(any_store: Store) -> None:
    with ThreadPoolExecutor(8) as pool:
        for i in range(6):
            wins = list(pool.map(lambda me: any_store.put_if_absent(f"k{i}", bytes([me])), range(8)))  # noqa: B023
            assert wins.count(True) == 1
            assert any_store.get(f"k{i}") == bytes([wins.index(True)])


def test_a_reader_sees_the_old_bytes_or_the_new_never_a_part(folder_store: Store) -> None:
    versions = [bytes([i]) * 2_000_000 for i in range(2)]
    folder_store.put("x", versions[0])
    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(lambda: [folder_store.put("x", versions[i % 2]) for i in range(20)])
        seen = set()
        while not writing.done():
            seen.add(folder_store.get("x"))
    assert seen <= set(versions)
    writing.result()


_KILLED = """
import sys
from pathlib import Path
from talik_stac.store import open_store
store = open_store(sys.argv[1])
print("ready", flush=True)
store.put_file("a/big.tif", Path(sys.argv[2]))
"""


def test_a_writer_killed_in_the_middle_leaves_nothing_that_shows(any_store: Store, tmp_path: Path) -> None:
    fifo = tmp_path / "slow"  # a pipe, so that the writer is surely in the middle when it is killed
    os.mkfifo(fifo)
    with subprocess.Popen([sys.executable, "-c", _KILLED, any_store.root, str(fifo)], stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"ready\n"
        with fifo.open("wb") as feed:
            feed.write(b"x" * 20_000_000 if isinstance(any_store, FolderStore) else b"x" * 100)
            feed.flush()
            writer.send_signal(signal.SIGKILL)
            writer.wait()
    assert writer.returncode == -signal.SIGKILL
    if isinstance(any_store, FolderStore):
        left = [path.name for path in Path(any_store.root, "a").iterdir()]
        assert len(left) == 1  # the part that was written lies there, but never shows
        assert left[0].startswith(TEMP_PREFIX)
    assert list(any_store.list("")) == []
    assert not any_store.exists("a/big.tif")
    with pytest.raises(MissingKeyError):
        any_store.get("a/big.tif")
    assert any_store.put_if_absent("a/big.tif", b"whole")
    assert list(any_store.list("")) == ["a/big.tif"]


def test_a_store_goes_through_pickle_and_stays_equal(any_store: Store) -> None:
    any_store.put("k", b"v")
    again = pickle.loads(pickle.dumps(any_store))
    assert again == any_store
    assert hash(again) == hash(any_store)
    assert again.root == any_store.root
    assert again.get("k") == b"v"


@pytest.mark.parametrize(
    "key",
    [
        "",
        "/",
        "/abs",
        "a//b",
        "a/",
        "..",
        "../x",
        "a/../../x",
        "./a",
        "a\\b",
        "a\nb",
        "a\0b",
        f"{TEMP_PREFIX}1",
    ],
)
def test_a_key_that_leaves_the_store_is_refused(any_store: Store, key: str) -> None:
    calls: list[Callable[[], object]] = [
        lambda: any_store.get(key),
        lambda: any_store.get_range(key, start=0, length=1),
        lambda: any_store.put(key, b""),
        lambda: any_store.put_if_absent(key, b""),
        lambda: any_store.exists(key),
        lambda: any_store.delete(key),
        lambda: any_store.url(key),
    ]
    for call in calls:
        with pytest.raises(StoreError, match=r"is not allowed"):
            call()


@settings(deadline=None, max_examples=200)
@given(st.text(alphabet="./\\ a~\0\n", max_size=8))
def test_a_key_that_is_allowed_lies_below_the_root(key: str) -> None:
    try:
        checked_key("/root", key)
    except StoreError:
        return
    path = os.path.normpath(os.path.join("/root", key))  # noqa: PTH118
    assert path.startswith("/root/")
    assert path == f"/root/{key}"


def test_a_url_is_what_gdal_opens(any_store: Store) -> None:
    any_store.put("a/b.tif", b"x")
    url = any_store.url("a/b.tif")
    assert url == f"{any_store.root}/a/b.tif"
    if isinstance(any_store, FolderStore):
        assert Path(url).read_bytes() == b"x"


def test_a_folder_may_be_relative_or_at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert open_store("./talik-data/").root == str(tmp_path / "talik-data")
    assert open_store("~/store").root == str(tmp_path / "home" / "store")
    monkeypatch.chdir("/")
    assert open_store(str(tmp_path / "x" / ".." / "y")).root == str(tmp_path / "y")


def test_opening_and_reading_make_no_folder(folder_store: Store, tree: Callable[[], list[str]]) -> None:
    assert list(folder_store.list("a")) == []
    assert not folder_store.exists("a")
    folder_store.delete("a")
    assert not Path(folder_store.root).exists()
    folder_store.put("a", b"")
    assert tree() == ["store/a"]


@pytest.mark.parametrize(
    ("root", "expected"),
    [
        ("s3://my-bucket", "s3://my-bucket"),
        ("s3://my-bucket/", "s3://my-bucket"),
        ("s3://my-bucket/a/b/", "s3://my-bucket/a/b"),
        (" s3://my-bucket//a ", "s3://my-bucket/a"),
    ],
)
def test_an_s3_root_has_no_slash_at_the_end(root: str, expected: str) -> None:
    assert open_store(root).root == expected


@pytest.mark.parametrize(
    "root",
    [
        "",
        "  ",
        "gs://bucket/x",
        "http://host/x",
        "s3://",
        "s3:///x",
        "s3:/bucket/x",
        "s3://b/../c",
        "~nobody-at-all/x",
    ],
)
def test_a_root_that_is_neither_folder_nor_bucket_is_refused(root: str) -> None:
    with pytest.raises(StoreError, match=r"give a folder|expected a folder|not allowed|give the folder in full"):
        open_store(root)


def test_a_root_that_is_a_file_says_so_for_every_call(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"mine")
    store = open_store(str(tmp_path / "file"))
    calls: list[Callable[[], object]] = [
        lambda: store.get("k"),
        lambda: store.put("k", b""),
        lambda: store.put_if_absent("k", b""),
        lambda: store.exists("k"),
        lambda: store.list(""),
        lambda: store.delete("k"),
    ]
    for call in calls:
        with pytest.raises(StoreError, match=r"file lies where a folder is needed: choose another folder"):
            call()
    assert (tmp_path / "file").read_bytes() == b"mine"


def test_an_object_where_a_folder_is_needed_is_one_line(folder_store: Store) -> None:
    folder_store.put("a", b"x")
    with pytest.raises(StoreError, match=r"a/b: .*a file lies where a folder is needed"):
        folder_store.put("a/b", b"x")
    folder_store.put("f/x", b"x")
    with pytest.raises(StoreError, match=r"f: .*move it away"):
        folder_store.put("f", b"x")
    assert list(folder_store.list("")) == ["a", "f/x"]


def test_a_full_disk_is_one_line_and_leaves_nothing(
    folder_store: Store, tree: Callable[[], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder_store.put("a", b"old")

    def full(_handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("talik_stac.store.os.fsync", full)
    for write in (folder_store.put, folder_store.put_if_absent):
        with pytest.raises(StoreError, match=r"No space left on device; the disk is full: free space"):
            write("b" if write == folder_store.put_if_absent else "a", b"new")
    monkeypatch.undo()
    assert tree() == ["store/a"]
    assert folder_store.get("a") == b"old"


def test_a_disk_that_is_truly_full_is_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "none", str(tmp_path)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("needs the right to mount a small tmpfs")
    try:
        store = open_store(str(tmp_path / "store"))
        store.put("a", b"x" * 1000)
        with pytest.raises(StoreError, match=r"store .*: b: No space left on device; the disk is full"):
            store.put("b", b"x" * 1_000_000)
        assert [path.name for path in (tmp_path / "store").iterdir()] == ["a"]
        store.put("c", b"x" * 100_000)  # the room that the failed write took is free again
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


def test_a_folder_without_permission_is_one_line(tmp_path: Path) -> None:
    code = (
        "import os, sys\n"
        "from talik_stac.errors import StoreError\n"
        "from talik_stac.store import open_store\n"
        "if os.geteuid() == 0: os.seteuid(65534)\n"
        "for call in (lambda s: s.put('a/k', b''), lambda s: s.put_if_absent('k', b'')):\n"
        "    try: call(open_store(sys.argv[1]))\n"
        "    except StoreError as error: print(error)\n"
    )
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o555)
    done = subprocess.run([sys.executable, "-c", code, str(closed)], capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert done.stdout.count("Permission denied; choose a folder you may write to with --store") == 2
    assert list(closed.iterdir()) == []


def test_a_disk_without_hard_links_is_one_line(folder_store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_links(*_args: object) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr("talik_stac.store.Path.hardlink_to", no_links)
    with pytest.raises(StoreError, match=r"no hard links .* another disk"):
        folder_store.put_if_absent("a", b"")
    assert list(Path(folder_store.root).iterdir()) == []


def _each_call(store: Store, source: Path) -> list[Callable[[], object]]:
    source.write_bytes(b"x")
    return [
        lambda: store.get("k"),
        lambda: store.put("k", b""),
        lambda: store.put_file("k", source),
        lambda: store.put_if_absent("k", b""),
        lambda: store.exists("k"),
        lambda: list(store.list("")),
        lambda: store.delete("k"),
    ]


def test_a_missing_bucket_is_named_by_every_call(s3_environment: str, tmp_path: Path) -> None:
    for call in _each_call(open_store("s3://no-such-bucket/x"), tmp_path / "f"):
        with pytest.raises(
            StoreError, match=r"store s3://no-such-bucket/x: .*NoSuchBucket; create the bucket"
        ) as caught:
            call()
        assert not isinstance(caught.value, MissingKeyError)
        assert "\n" not in str(caught.value)


def test_wrong_credentials_are_named_by_every_call(s3_environment: str, tmp_path: Path) -> None:
    def ask_for_keys(after: str) -> None:
        request = urllib.request.Request(
            f"{s3_environment}/moto-api/reset-auth",
            data=after.encode(),
            headers={"Content-Type": "application/octet-stream"},
        )
        urllib.request.urlopen(request).close()

    ask_for_keys("0")
    try:
        for call in _each_call(open_store(f"s3://{BUCKET}/x"), tmp_path / "f"):
            with pytest.raises(StoreError, match=r"access refused: check AWS_ACCESS_KEY_ID") as caught:
                call()
            assert "\n" not in str(caught.value)
    finally:
        ask_for_keys("inf")


def test_an_endpoint_that_does_not_answer_is_named_soon(s3_environment: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    start = time.monotonic()
    with pytest.raises(StoreError, match=r"the endpoint does not answer: check AWS_ENDPOINT_URL"):
        open_store(f"s3://{BUCKET}/x").get("k")
    assert time.monotonic() - start < 10


def test_no_credentials_at_all_is_one_line(
    s3_environment: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(StoreError, match=r"no AWS credentials found; set AWS_ACCESS_KEY_ID"):
        open_store(f"s3://{BUCKET}/x").get("k")


def test_credentials_of_a_profile_are_found(
    s3_environment: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    file = tmp_path / "credentials"
    file.write_text("[lab]\naws_access_key_id = test\naws_secret_access_key = test\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
    monkeypatch.setenv("AWS_PROFILE", "lab")
    store = open_store(f"s3://{BUCKET}/{uuid.uuid4().hex}")
    store.put("k", b"v")
    assert store.get("k") == b"v"


def test_public_data_need_no_credentials(s3_environment: str, monkeypatch: pytest.MonkeyPatch) -> None:
    prefix = uuid.uuid4().hex
    root = f"s3://{BUCKET}/{prefix}"
    open_store(root).put("k", b"v")
    client = boto3.client("s3", endpoint_url=s3_environment)
    client.put_object_acl(Bucket=BUCKET, Key=f"{prefix}/k", ACL="public-read")
    client.close()
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_SKIP_SIGNATURE", "true")
    assert open_store(root).get("k") == b"v"


def test_the_endpoint_may_also_be_called_aws_endpoint(s3_environment: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    monkeypatch.setenv("AWS_ENDPOINT", s3_environment)
    store = open_store(f"s3://{BUCKET}/{uuid.uuid4().hex}")
    store.put("k", b"v")
    assert store.get("k") == b"v"


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # Python 3.12 warns of what is tested here
def test_a_forked_process_is_refused_on_s3_and_served_in_a_folder(any_store: Store) -> None:
    any_store.put("k", b"v")
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            answer = any_store.get("k")
        except StoreError as error:
            answer = str(error).encode()
        os.write(writer, answer)
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as file:
        answer = file.read()
    assert os.waitpid(child, 0)[1] == 0
    if isinstance(any_store, FolderStore):
        assert answer == b"v"
    else:
        assert b"start worker processes with the 'spawn' or 'forkserver' method" in answer


def test_a_process_that_only_imports_the_store_loads_no_s3_client() -> None:
    code = "import sys, talik_stac.store; print([m for m in ('obstore', 'boto3') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
