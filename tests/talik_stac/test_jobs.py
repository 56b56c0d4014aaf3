"""The documents of jobs: one holder, one outcome, however servers, workers and crashes fall together."""

from __future__ import annotations

import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, multiple, rule

from talik_stac.errors import AoiError
from talik_stac.job_documents import id_time, read_papers
from talik_stac.job_log import MAX_LOG_LETTERS, JobLog
from talik_stac.jobs import (
    FINAL,
    LEASE_S,
    MAX_ATTEMPTS,
    Attempt,
    JobError,
    NoJobError,
    Outcome,
    Status,
    claim_attempt,
    dismiss,
    finish,
    heartbeat,
    list_jobs,
    load_job,
    open_ids,
    read_log,
    release,
    report_stopped,
    standing,
    submit,
)
from talik_stac.map_inputs import parse_map_inputs
from talik_stac.store import FolderStore, Store, open_store

NOON = datetime(2024, 7, 1, 12, tzinfo=UTC)
SUCCESS = Outcome(status="successful", message="published", result="water-x-2021-v1", blocks_done=3)


def later(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def test_a_job_runs_from_submission_to_its_edition(any_store: Store) -> None:
    job = submit(any_store, inputs={"season": "2021"}, owner="ключ/1", km2=2.5, at=NOON)
    assert (job.status, job.progress, job.owner, job.km2, job.created) == ("accepted", 0, "ключ/1", 2.5, NOON)
    attempt = claim_attempt(any_store, job.id, "one", at=later(1))
    assert attempt is not None
    assert load_job(any_store, job.id).status == "running"
    assert heartbeat(any_store, attempt, progress=40, message="4 of 10 blocks", at=later(2)) == "held"
    running = load_job(any_store, job.id)
    assert (running.progress, running.message, running.started, running.updated) == (
        40, "4 of 10 blocks", later(1), later(2),
    )  # fmt: skip
    done = finish(any_store, job.id, SUCCESS, at=later(3))
    assert done == load_job(any_store, job.id)
    assert (done.status, done.progress, done.result, done.finished, done.attempt) == (
        "successful", 100, "water-x-2021-v1", later(3), 1,
    )  # fmt: skip
    assert open_ids(any_store) == []
    assert standing(any_store, job.id) == "finished"
    assert claim_attempt(any_store, job.id, "two", at=later(900)) is None


def test_the_first_outcome_counts(any_store: Store) -> None:
    job = submit(any_store, inputs={})
    first = dismiss(any_store, job.id, at=later(1))
    assert first.status == "dismissed"
    assert finish(any_store, job.id, SUCCESS) == first
    assert dismiss(any_store, job.id) == first


def test_of_many_claims_at_once_one_holds(any_store: Store) -> None:
    job = submit(any_store, inputs={})
    together = threading.Barrier(6)

    def take(number: int) -> Attempt | None:
        together.wait()
        return claim_attempt(any_store, job.id, f"worker-{number}")

    with ThreadPoolExecutor(6) as pool:
        won = [attempt for attempt in pool.map(take, range(6)) if attempt is not None]
    assert [attempt.number for attempt in won] == [1]


def test_a_silent_worker_loses_its_job_after_the_lease_and_hears_of_it(any_store: Store) -> None:
    job = submit(any_store, inputs={}, at=NOON)
    first = claim_attempt(any_store, job.id, "one", at=NOON)
    assert first is not None
    heartbeat(any_store, first, progress=30, message="mapping", at=later(10))
    assert claim_attempt(any_store, job.id, "two", at=later(10 + LEASE_S - 1)) is None
    second = claim_attempt(any_store, job.id, "two", at=later(10 + LEASE_S))
    assert second is not None
    assert (second.number, second.crashes, second.progress, second.started) == (2, 1, 30, NOON)
    assert heartbeat(any_store, first, progress=90, message="mapping", at=later(80)) == "lost"
    assert load_job(any_store, job.id).progress == 30
    assert heartbeat(any_store, second, progress=5, message="mapping", at=later(80)) == "held"
    assert load_job(any_store, job.id).progress == 30


def test_a_released_job_goes_on_at_once_and_as_often_as_the_server_restarts(any_store: Store) -> None:
    job = submit(any_store, inputs={}, at=NOON)
    for number in range(1, 3 * MAX_ATTEMPTS):
        attempt = claim_attempt(any_store, job.id, "one", at=NOON)
        assert attempt is not None
        assert (attempt.number, attempt.crashes) == (number, 0)
        release(any_store, attempt, at=NOON)
        assert load_job(any_store, job.id).status == "running"  # never back to accepted
        assert heartbeat(any_store, attempt, progress=1, message="", at=NOON) == "lost"


def test_a_job_whose_workers_die_is_given_up_with_the_reason(any_store: Store) -> None:
    job = submit(any_store, inputs={}, at=NOON)
    for number in range(MAX_ATTEMPTS):
        assert claim_attempt(any_store, job.id, f"w{number}", at=NOON) is not None
        assert not report_stopped(any_store, job.id, "another", at=NOON)
        assert report_stopped(any_store, job.id, f"w{number}", at=NOON)
    assert claim_attempt(any_store, job.id, "last", at=NOON) is None
    given_up = load_job(any_store, job.id)
    assert given_up.status == "failed"
    assert "the worker stopped 3 times" in given_up.message


def test_a_claim_whose_answer_was_lost_still_holds(folder_store: Store) -> None:
    class Forgetful(FolderStore):
        def put_if_absent(self, key: str, data: bytes) -> bool:
            return super().put_if_absent(key, data) and "attempts" not in key

    job = submit(folder_store, inputs={})
    assert claim_attempt(Forgetful(root=folder_store.root), job.id, "one") is not None
    assert claim_attempt(Forgetful(root=folder_store.root), job.id, "one") is None


def test_a_list_is_newest_first_in_pages_by_owner_and_status(any_store: Store) -> None:
    owners = ["ann", "bob", None, "ann", "ann"]
    jobs = [submit(any_store, inputs={}, owner=owner, at=later(i)) for i, owner in enumerate(owners)]
    dismiss(any_store, jobs[0].id)
    claim_attempt(any_store, jobs[4].id, "one")
    ids = [job.id for job in jobs]
    assert [job.id for job in list_jobs(any_store)] == ids[::-1]
    assert [job.id for job in list_jobs(any_store, limit=2)] == [ids[4], ids[3]]
    assert [job.id for job in list_jobs(any_store, limit=2, after=ids[3])] == [ids[2], ids[1]]
    assert [job.id for job in list_jobs(any_store, owner="ann")] == [ids[4], ids[3], ids[0]]
    assert [job.id for job in list_jobs(any_store, owner="ann", status=["accepted"])] == [ids[3]]
    assert [job.id for job in list_jobs(any_store, status=["dismissed", "running"])] == [ids[4], ids[0]]
    assert open_ids(any_store) == ids[1:]


def test_a_page_of_a_thousand_jobs_reads_the_documents_of_that_page_only(folder_store: Store) -> None:
    read: list[str] = []

    class Counting(FolderStore):
        def get(self, key: str) -> bytes:
            read.append(key)
            return super().get(key)

    for i in range(300):
        job = submit(folder_store, inputs={}, owner="ann", at=later(i))
        if i % 2:
            dismiss(folder_store, job.id)
    counting = Counting(root=folder_store.root)
    for status in (None, ["accepted"], ["dismissed"], ["successful"]):
        read.clear()
        page = list_jobs(counting, owner="ann", status=status, limit=10)
        assert len(page) == (0 if status == ["successful"] else 10)
        assert len(read) <= 20


def test_a_submission_that_was_killed_is_no_job_and_is_tidied_away(folder_store: Store) -> None:
    job = submit(folder_store, inputs={}, at=NOON)
    folder_store.delete(f"jobs/{job.id}/job.json")
    assert list_jobs(folder_store) == []
    assert standing(folder_store, job.id) == "finished"
    assert open_ids(folder_store) == []
    with pytest.raises(NoJobError):
        load_job(folder_store, job.id)


def test_an_outcome_whose_writer_was_killed_reaches_the_index(folder_store: Store) -> None:
    job = submit(folder_store, inputs={})
    dismiss(folder_store, job.id)
    folder_store.put(f"job-index/open/{job.id}", b"")
    folder_store.delete(f"job-index/dismissed/{job.id}")
    assert standing(folder_store, job.id) == "finished"
    assert open_ids(folder_store) == []
    assert [found.id for found in list_jobs(folder_store, status=["dismissed"])] == [job.id]


@pytest.mark.parametrize("job_id", ["", "x", "../areas", "0" * 26, "8" + "0" * 25, "0" * 25 + "U", "a\n" * 13])
def test_what_is_no_id_is_no_job(folder_store: Store, job_id: str) -> None:
    for ask in (load_job, dismiss, read_log):
        with pytest.raises(NoJobError):
            ask(folder_store, job_id)


def test_a_damaged_document_names_itself_and_does_not_hide_the_other_jobs(folder_store: Store) -> None:
    good, bad = submit(folder_store, inputs={}), submit(folder_store, inputs={})
    folder_store.put(f"jobs/{bad.id}/job.json", b"{}")
    with pytest.raises(JobError, match=r"job\.json is damaged"):
        load_job(folder_store, bad.id)
    assert [job.id for job in list_jobs(folder_store)] == [good.id]


def test_ids_sort_by_time_and_none_comes_twice(folder_store: Store) -> None:
    jobs = [submit(folder_store, inputs={}, at=later(i / 1000)) for i in range(50)]
    ids = [job.id for job in jobs]
    assert ids == sorted(ids)
    assert [id_time(job.id) for job in jobs] == [job.created for job in jobs]
    assert len({submit(folder_store, inputs={}, at=NOON).id for _ in range(50)}) == 50


def test_the_log_holds_all_attempts_in_order_one_line_each_and_ends_with_the_last(any_store: Store) -> None:
    job = submit(any_store, inputs={}, at=NOON)
    for number in range(1, 12):
        attempt = claim_attempt(any_store, job.id, "one", at=NOON)
        assert attempt is not None
        log = JobLog(any_store, attempt)
        log.say(f"attempt\n{number}")
        log.flush()
        release(any_store, attempt, at=NOON)
    lines = read_log(any_store, job.id).splitlines()
    assert [line.partition(" ")[2] for line in lines] == [f"attempt {number}" for number in range(1, 12)]
    for _ in range(300):
        log.say("x" * 1000)
    log.say("the end")
    assert len(log.text) < MAX_LOG_LETTERS + 1200
    assert log.text.endswith(" the end\n")
    assert "lines left out" in log.text


GOOD = {"landform": "water", "season": "2021", "area": [10, 70, 11, 71], "collection": "test"}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"landform": "volcano"}, "there is: glacial_lake, .*, water"),
        ({"season": "summer"}, "expected a year"),
        ({"season": "2021-09-01/2021-06-01"}, "ends before it starts"),
        ({"model": "/etc/models"}, "input model"),
        ({"model": "../x@1"}, "input model"),
        ({"catalog": "file:///etc/passwd"}, "input catalog"),
        ({"collection": "../../areas"}, "input collection"),
        ({"area": [1, 2, 3]}, "input area"),
        ({"area": [float("nan"), 2, 3, 4]}, "input area"),
        ({"name": "Two Words"}, "lena-delta"),
        ({"threshold": 1.5}, "input threshold"),
        ({"min_area_m2": float("inf")}, "input min_area_m2"),
        ({"block_px": 4}, "input block_px"),
    ],
)
def test_inputs_that_cannot_be_run_are_refused_by_name(change: dict[str, object], says: str) -> None:
    with pytest.raises(JobError, match=says):
        parse_map_inputs({**GOOD, **change})


def test_inputs_change_the_recipe_and_find_the_area(folder_store: Store, tmp_path: Path) -> None:
    inputs = parse_map_inputs({**GOOD, "threshold": 0.0, "composite": "median", "name": "here"})
    assert (inputs.recipe().threshold, inputs.recipe().composite, inputs.recipe().min_area_m2) == (0.0, "median", 400.0)
    aoi = inputs.resolve(folder_store)
    assert (aoi.name, aoi.bbox) == ("here", (10.0, 70.0, 11.0, 71.0))
    shape = {"type": "Feature", "properties": {}, "geometry": aoi.geometry.__geo_interface__}
    assert parse_map_inputs({**GOOD, "area": shape, "name": "here"}).resolve(folder_store) == aoi


def test_the_name_of_an_area_never_opens_a_file(
    folder_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "secret").write_text('{"type":"Point","coordinates":[0,0]}')
    monkeypatch.chdir(tmp_path)
    for name in ("secret", str(tmp_path / "secret"), "POLYGON((0 0,1 0,1 1,0 0))"):
        with pytest.raises(AoiError, match="no area is saved"):
            parse_map_inputs({**GOOD, "area": name}).resolve(folder_store)


class JobDocuments(RuleBasedStateMachine):
    """Any order of claims, heartbeats, silences, deaths and endings by several workers on one job."""

    held = Bundle("held")

    def __init__(self) -> None:
        super().__init__()
        self.store = open_store(tempfile.mkdtemp(prefix="talik-jobs-"))
        self.at = NOON
        self.job = submit(self.store, inputs={}, at=NOON)
        self.last = self.job
        self.claimed: set[int] = set()
        self.alive: dict[int, datetime] = {}
        """Attempts whose worker may think it holds the job, and its last heartbeat."""

    def live(self) -> list[int]:
        return [n for n, beat in self.alive.items() if self.at - beat < timedelta(seconds=LEASE_S)]

    @rule(seconds=st.sampled_from([1, 20, 61]))
    def time_passes(self, seconds: int) -> None:
        self.at += timedelta(seconds=seconds)

    @rule(target=held, worker=st.sampled_from(["a", "b", "c"]))
    def claim(self, worker: str) -> object:
        live, was = self.live(), load_job(self.store, self.job.id)
        attempt = claim_attempt(self.store, self.job.id, worker, at=self.at)
        if attempt is None:
            return multiple()
        assert not live
        assert was.status not in FINAL
        assert attempt.number not in self.claimed
        assert attempt.crashes < MAX_ATTEMPTS
        self.claimed.add(attempt.number)
        self.alive = {attempt.number: self.at}
        return attempt

    @rule(attempt=held, progress=st.integers(0, 100))
    def beat(self, attempt: Attempt, progress: int) -> None:
        further = max(progress, self.last.progress)  # a worker itself never goes back
        told = heartbeat(self.store, attempt, progress=further, message="", at=self.at)
        assert (told == "finished") == (self.last.status in FINAL)
        if told == "held":
            assert list(self.alive) == [attempt.number]
            self.alive[attempt.number] = self.at
        elif told == "lost":
            assert attempt.number not in self.alive

    @rule(attempt=consumes(held))
    def give_back(self, attempt: Attempt) -> None:
        release(self.store, attempt, at=self.at)
        self.alive.pop(attempt.number, None)

    @rule(attempt=consumes(held))
    def dies_seen_by_its_server(self, attempt: Attempt) -> None:
        if report_stopped(self.store, self.job.id, attempt.worker, at=self.at):
            self.alive.clear()

    @rule(attempt=consumes(held), status=st.sampled_from(["successful", "failed"]))
    def ends(self, attempt: Attempt, status: str) -> None:
        finish(self.store, self.job.id, Outcome(status=status, message=str(attempt.number)), at=self.at)  # type: ignore[arg-type]

    @rule()
    def dismissed(self) -> None:
        dismiss(self.store, self.job.id, at=self.at)

    @invariant()
    def status_never_goes_back(self) -> None:
        now = load_job(self.store, self.job.id)
        rank: dict[Status, int] = {"accepted": 0, "running": 1, "successful": 2, "failed": 2, "dismissed": 2}
        assert rank[now.status] >= rank[self.last.status]
        assert now.attempt == max(self.claimed, default=0)
        assert now.progress >= self.last.progress or now.status != "running"
        if self.last.status in FINAL:
            assert now == self.last
        self.last = now
        self.it_stands_as_the_model_says()

    def it_stands_as_the_model_says(self) -> None:
        held = bool(self.live())
        assert (claimable(self.store, self.job.id, self.at)) == (not held and self.last.status not in FINAL)
        assert (self.job.id in open_ids(self.store)) == (self.last.status not in FINAL)


def claimable(store: Store, job_id: str, at: datetime) -> bool:
    papers = read_papers(store, job_id)
    return papers.result is None and not papers.live(at, LEASE_S)


TestJobDocuments = JobDocuments.TestCase
TestJobDocuments.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)


@pytest.fixture(autouse=True)
def _tidy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The stores of the state machine go with the test's own folder."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
