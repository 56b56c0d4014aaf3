"""`talik work`: real processes that are killed, stopped and dismissed, and the edition comes of it all the same."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from job_world import BLOCKS, SMALL_BLOCKS, blocks_there, job_inputs, job_world, wait_until
from talik_stac.editions import list_editions
from talik_stac.jobs import Job, claim_attempt, dismiss, load_job, read_log, submit
from talik_stac.store import Store, open_store
from world import World

TALIK = Path(sys.executable).parent / "talik"


@pytest.fixture
def world(tmp_path: Path) -> World:
    return job_world(tmp_path)


@pytest.fixture
def store(world: World) -> Store:
    return open_store(world.root)


@pytest.fixture
def job(store: Store) -> Job:
    return submit(store, inputs=job_inputs())


@pytest.fixture(scope="module")
def mapped(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What `talik map` publishes from the same words: the oracle."""
    world = job_world(tmp_path_factory.mktemp("mapped"))
    inputs = job_inputs()
    area = ",".join(map(repr, inputs["area"]))
    words = ["--landform", "water", "--season", "2021", "--collection", "test", "--aoi", area, "--name", "area"]
    more = ["--model", "tiny@1", "--threshold", "0.08", "--store", world.root, "--block", "256"]
    subprocess.run([str(TALIK), "map", *words, *more], check=True, capture_output=True)
    return published(open_store(world.root))


def published(store: Store) -> dict[str, str]:
    """SHA-256 of what must not depend on how it was run, of the one edition there is."""
    (edition,) = list_editions(store)
    keys = [key for key in store.list(edition.prefix) if key.endswith((".parquet", ".fgb", ".tif"))]
    return {key: hashlib.sha256(store.get(key)).hexdigest() for key in keys}


def talik_work(store: Store, job_id: str, *options: str) -> subprocess.Popen[str]:
    command = [str(TALIK), "work", job_id, "--store", store.root, *SMALL_BLOCKS, *options]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


def ended(process: subprocess.Popen[str], code: int) -> str:
    said = process.communicate(timeout=120)[1]
    assert process.returncode == code, said
    return said


@pytest.fixture
def half(world: World, store: Store, job: Job) -> Iterator[subprocess.Popen[str]]:
    """A worker in the middle of the job."""
    process = talik_work(store, job.id, "--lease", "3")
    try:
        wait_until(lambda: blocks_there(world) > 20 or process.poll() is not None)
        assert process.poll() is None, ended(process, 0)
        yield process
    finally:
        process.kill()
        process.communicate()


def test_a_job_publishes_the_bytes_of_talik_map(store: Store, job: Job, mapped: dict[str, str]) -> None:
    assert "successful" in ended(talik_work(store, job.id), 0)
    done = load_job(store, job.id)
    assert (done.status, done.progress, done.result, done.attempt) == ("successful", 100, "water-area-2021-v1", 1)
    assert (done.blocks_done, done.blocks_resumed) == (BLOCKS, 0)
    assert published(store) == mapped
    log = read_log(store, job.id)
    assert f"{BLOCKS} blocks" in log
    assert log.splitlines()[-1].endswith(done.message)
    assert "nothing to do" in ended(talik_work(store, job.id), 0)
    assert load_job(store, job.id) == done


def test_after_kill_9_the_next_worker_goes_on_and_publishes_the_same_bytes(
    store: Store, job: Job, half: subprocess.Popen[str], mapped: dict[str, str]
) -> None:
    half.send_signal(signal.SIGKILL)
    half.wait()
    assert list_editions(store) == []
    assert "held by another worker" in ended(talik_work(store, job.id), 0)  # of a lease of 60 s
    wait_until(lambda: "successful" in ended(talik_work(store, job.id, "--lease", "3"), 0))
    done = load_job(store, job.id)
    assert (done.status, done.attempt) == ("successful", 2)
    assert done.blocks_resumed > 20
    assert done.blocks_resumed + done.blocks_done == BLOCKS
    assert published(store) == mapped


def test_sigterm_gives_the_job_back_and_the_next_worker_goes_on_at_once(
    store: Store, job: Job, half: subprocess.Popen[str], mapped: dict[str, str]
) -> None:
    half.terminate()
    ended(half, 3)
    waiting = load_job(store, job.id)
    assert (waiting.status, waiting.message) == ("running", "waiting for a worker to go on")
    ended(talik_work(store, job.id), 0)
    done = load_job(store, job.id)
    assert (done.status, done.attempt) == ("successful", 2)
    assert done.blocks_resumed > 20
    assert published(store) == mapped
    assert "stopped: asked to stop" in read_log(store, job.id)


def test_a_dismissed_job_stops_soon_and_leaves_no_edition(store: Store, job: Job, half: subprocess.Popen[str]) -> None:
    dismiss(store, job.id)
    ended(half, 0)
    assert load_job(store, job.id).status == "dismissed"
    assert list_editions(store) == []
    assert "stopped: the job was dismissed" in read_log(store, job.id)
    assert "dismissed: nothing to do" in ended(talik_work(store, job.id), 0)


def test_a_worker_whose_job_was_taken_over_stops_and_changes_nothing(
    store: Store, job: Job, half: subprocess.Popen[str]
) -> None:
    half.send_signal(signal.SIGSTOP)  # a machine that sleeps
    wait_until(lambda: claim_attempt(store, job.id, "another", lease_s=3))
    half.send_signal(signal.SIGCONT)
    ended(half, 3)
    after = load_job(store, job.id)
    assert (after.status, after.attempt) == ("running", 2)
    assert "another worker took the job over" in read_log(store, job.id)


def test_a_worker_without_its_server_gives_the_job_back(world: World, store: Store, job: Job) -> None:
    command = [str(TALIK), "work", job.id, "--store", store.root, *SMALL_BLOCKS, "--parent"]
    server = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import os, subprocess, sys; subprocess.run([*sys.argv[1:], str(os.getpid())])",
            *command,
        ],
        stderr=subprocess.DEVNULL,
    )
    wait_until(lambda: blocks_there(world) > 20)
    server.kill()
    server.wait()
    wait_until(lambda: load_job(store, job.id).message == "waiting for a worker to go on")
    assert "the server that started it is gone" in read_log(store, job.id)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"season": "1999"}, "2021-07-15"),
        ({"collection": "nope"}, "there is: test"),
        ({"model": "none@9"}, "none@9"),
        ({"area": "nowhere"}, "no area is saved as 'nowhere'"),
        ({"block_px": 3}, "input block_px"),
    ],
)
def test_what_talik_refuses_fails_the_job_with_the_same_line(
    store: Store, change: dict[str, object], says: str
) -> None:
    job = submit(store, inputs={**job_inputs(), **change})
    assert "Traceback" not in ended(talik_work(store, job.id), 2)
    failed = load_job(store, job.id)
    assert failed.status == "failed"
    assert says in failed.message
    assert "\n" not in failed.message
    assert failed.message in read_log(store, job.id)


def test_a_fault_of_ours_shows_an_incident_and_keeps_its_traceback_here(store: Store, job: Job, tmp_path: Path) -> None:
    broken = "import talik_inference.commands.work as w; w.map_landform = lambda *a, **k: 1 / 0; "
    main = "from talik_stac.cli import main; main()"
    arguments = ["work", job.id, "--store", store.root]
    done = subprocess.run(
        [sys.executable, "-c", broken + main, *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "ZeroDivisionError" in done.stderr
    failed = load_job(store, job.id)
    incident = failed.message.partition("incident ")[2].partition(";")[0]
    assert failed.status == "failed"
    assert incident in done.stderr
    documents = "".join(store.get(key).decode() for key in store.list("jobs"))
    assert "ZeroDivision" not in documents
    assert "Traceback" not in documents


def test_two_workers_at_once_run_the_job_once(store: Store, job: Job, mapped: dict[str, str]) -> None:
    said = [ended(each, 0) for each in [talik_work(store, job.id) for _ in range(2)]]
    assert sorted("nothing to do" in each for each in said) == [False, True]
    assert load_job(store, job.id).attempt == 1
    assert published(store) == mapped


@pytest.mark.usefixtures("s3_environment")
def test_a_job_on_s3_goes_on_after_sigterm(world: World, mapped: dict[str, str]) -> None:
    store = open_store(f"s3://talik-test/{uuid.uuid4().hex}")
    image = world.folder / "imagery" / "a_20210715.tif"
    index = ["index", str(image), "--collection", "test", "--bands", "green,nir", "--store", store.root]
    subprocess.run([str(TALIK), *index], check=True, capture_output=True, env=os.environ)
    local = open_store(world.root)
    for key in local.list("models/tiny"):
        store.put(key, local.get(key))
    job = submit(store, inputs=job_inputs())
    process = talik_work(store, job.id)
    try:
        wait_until(lambda: load_job(store, job.id).progress > 5 or process.poll() is not None)
    finally:
        process.terminate()
        said = process.communicate()[1]
    assert process.returncode == 3, said
    ended(talik_work(store, job.id), 0)
    done = load_job(store, job.id)
    assert (done.status, done.attempt) == ("successful", 2)
    assert done.blocks_resumed > 0
    parts = ("inventory.parquet", "inventory.fgb")
    ours, theirs = published(store), mapped
    assert [ours[k] for k in ours if k.endswith(parts)] == [theirs[k] for k in theirs if k.endswith(parts)]
