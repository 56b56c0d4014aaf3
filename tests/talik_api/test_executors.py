"""The local executor with real worker processes: servers and workers are killed, and each job runs once to its end."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from job_world import SMALL_BLOCKS, blocks_there, job_inputs, job_world, wait_until
from stac_server import RecordedStacServer
from talik_api.executors import LocalExecutor
from talik_api.service import make_service
from talik_api.settings import ApiSettings
from talik_stac.editions import list_editions
from talik_stac.jobs import MAX_ATTEMPTS, Job, claim_attempt, dismiss, load_job, submit
from talik_stac.store import Store, open_store
from world import World

LEASE_S = 4.0
SMALL_PX = 128


@pytest.fixture
def world(tmp_path: Path) -> World:
    return job_world(tmp_path)


@pytest.fixture
def store(world: World) -> Store:
    return open_store(world.root)


Servers = Callable[..., LocalExecutor]


@pytest.fixture
def server(world: World) -> Iterator[Servers]:
    """Make executors as servers would; all are shut down in the end."""
    made: list[LocalExecutor] = []

    def make(**options: object) -> LocalExecutor:
        given = {"lease_s": LEASE_S, "options": SMALL_BLOCKS, **options}
        made.append(LocalExecutor(world.root, **given))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for each in made:
        each.shutdown()


def workers_of(job: Job) -> list[int]:
    """The processes that work at a job, by their command lines."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if b"work" in words and job.id.encode() in words:
            found.append(int(folder.name))
    return found


def status(store: Store, job: Job) -> str:
    return load_job(store, job.id).status


def test_a_job_runs_to_its_edition_and_the_next_after_it(store: Store, server: Servers) -> None:
    first, second = (submit(store, inputs=job_inputs(SMALL_PX, name=name)) for name in ("one", "two"))
    executor = server()
    executor.start(first.id)
    executor.start(second.id)
    overlap = 0

    def through() -> bool:
        nonlocal overlap
        overlap = max(overlap, len(workers_of(first)) + len(workers_of(second)))
        return status(store, second) == "successful"

    wait_until(through)
    assert load_job(store, first.id).result == "water-one-2021-v1"
    assert overlap == 1


def test_a_worker_that_is_killed_is_followed_by_one_that_goes_on(world: World, store: Store, server: Servers) -> None:
    job = submit(store, inputs=job_inputs())
    server(lease_s=300.0).start(job.id)  # seen by the parent, long before the lease runs out
    wait_until(lambda: blocks_there(world) > 20)
    (worker,) = workers_of(job)
    os.kill(worker, signal.SIGKILL)
    wait_until(lambda: status(store, job) == "successful")
    done = load_job(store, job.id)
    assert done.attempt == 2
    assert done.blocks_resumed > 20
    assert [edition.id for edition in list_editions(store)] == ["water-area-2021-v1"]


def test_a_job_whose_worker_always_dies_fails_with_the_reason(store: Store, server: Servers, tmp_path: Path) -> None:
    job = submit(store, inputs=job_inputs())
    killer = tmp_path / "killer.py"
    killer.write_text("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n")
    server(command=[sys.executable, str(killer)]).start(job.id)
    wait_until(lambda: status(store, job) == "failed")
    assert f"the worker stopped {MAX_ATTEMPTS} times" in load_job(store, job.id).message


def test_dismissing_ends_the_worker_and_spares_the_queue(world: World, store: Store, server: Servers) -> None:
    running, queued, kept = (submit(store, inputs=job_inputs(name=name)) for name in ("one", "two", "three"))
    executor = server()
    for job in (running, queued, kept):
        executor.start(job.id)
    wait_until(lambda: blocks_there(world) > 20)
    assert status(store, queued) == "accepted"
    for job in (queued, running):
        dismiss(store, job.id)
        executor.stop(job.id)
    wait_until(lambda: not workers_of(running))
    wait_until(lambda: status(store, kept) == "successful")
    assert [status(store, job) for job in (running, queued)] == ["dismissed", "dismissed"]
    assert load_job(store, queued.id).attempt == 0
    assert [edition.id for edition in list_editions(store)] == ["water-three-2021-v1"]


def test_a_shutdown_gives_the_job_back_and_the_next_server_goes_on(world: World, store: Store, server: Servers) -> None:
    job, waiting = submit(store, inputs=job_inputs()), submit(store, inputs=job_inputs(SMALL_PX, name="next"))
    first = server()
    first.recover()
    wait_until(lambda: blocks_there(world) > 20)
    first.shutdown()
    assert workers_of(job) == []
    assert load_job(store, job.id).message == "waiting for a worker to go on"
    server().recover()
    wait_until(lambda: status(store, waiting) == "successful")
    done = load_job(store, job.id)
    assert (done.status, done.attempt) == ("successful", 2)
    assert done.blocks_resumed > 20


def test_a_server_killed_with_its_worker_at_work_is_followed_by_one_that_goes_on(
    world: World, store: Store, server: Servers
) -> None:
    job = submit(store, inputs=job_inputs())
    script = (
        "import sys, time\nfrom talik_api.executors import LocalExecutor\n"
        f"LocalExecutor(sys.argv[1], lease_s={LEASE_S}, options={SMALL_BLOCKS}).recover()\ntime.sleep(600)\n"
    )
    other = subprocess.Popen([sys.executable, "-c", script, world.root])
    wait_until(lambda: blocks_there(world) > 20)
    other.kill()
    other.wait()
    wait_until(lambda: not workers_of(job))  # it does not go on unseen
    server().recover()
    wait_until(lambda: status(store, job) == "successful")
    done = load_job(store, job.id)
    assert done.attempt == 2
    assert done.blocks_resumed > 20


def test_a_job_of_a_machine_that_vanished_is_taken_over_after_its_lease(store: Store, server: Servers) -> None:
    job = submit(store, inputs=job_inputs(SMALL_PX))
    assert claim_attempt(store, job.id, "another machine") is not None
    executor = server()
    executor.recover()
    wait_until(lambda: status(store, job) == "successful")
    assert load_job(store, job.id).attempt == 2


def test_two_servers_on_one_store_run_each_job_once(store: Store, server: Servers) -> None:
    jobs = [submit(store, inputs=job_inputs(SMALL_PX, name=f"area-{i}")) for i in range(3)]
    for executor in (server(), server()):
        executor.recover()
    wait_until(lambda: all(status(store, job) == "successful" for job in jobs), seconds=120)
    assert [load_job(store, job.id).attempt for job in jobs] == [1, 1, 1]
    assert len(list_editions(store)) == 3


def test_workers_ask_the_catalogues_that_the_service_lists_and_no_others(store: Store) -> None:
    with RecordedStacServer([]) as listed, RecordedStacServer([]) as other:
        hosts = ("earth-search.aws.element84.com", listed.url)
        executor = make_service(ApiSettings(store=store.root, catalogue_hosts=hosts, local_jobs=1)).executor
        assert executor is not None
        jobs = [submit(store, inputs=job_inputs(SMALL_PX, catalog=each.url)) for each in (listed, other)]
        try:
            for job in jobs:
                executor.start(job.id)
            wait_until(lambda: all(status(store, job) == "failed" for job in jobs))
        finally:
            executor.shutdown()
    said = [load_job(store, job.id).message for job in jobs]
    assert "has no collection 'test'" in said[0]
    assert said[1].startswith(f"{other.url} is not among the allowed hosts")
    assert listed.requests
    assert other.requests == []


def test_a_server_without_what_maps_says_so(server: Servers, monkeypatch: pytest.MonkeyPatch) -> None:
    executor = server()
    assert executor.available() is None
    there = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "onnxruntime" else there(name))
    assert "onnxruntime is not installed (pip install 'talik[inference]')" in (executor.available() or "")


def test_importing_the_executor_brings_nothing_that_maps() -> None:
    code = "import sys, talik_api.executors; print([m for m in sys.modules if m in ('talik_inference', 'onnxruntime')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
