"""The documents of a job, and how they are read; `jobs` tells where they lie and what they mean together."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from talik_stac.errors import TalikError
from talik_stac.store import Store

Status = Literal["accepted", "running", "successful", "failed", "dismissed"]
"""The status codes of OGC API - Processes, 18-062r2, table 13."""
Final = Literal["successful", "failed", "dismissed"]
FINAL: tuple[Final, ...] = ("successful", "failed", "dismissed")

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32, in the order of ASCII: ids sort as numbers
_ID = re.compile(rf"[0-7][{_ALPHABET}]{{25}}")
_D = TypeVar("_D", bound="Document")


class JobError(TalikError):
    """A job cannot be found, read or run."""


class NoJobError(JobError):
    """No job has this id."""


class Document(BaseModel):
    """What is written to the store as JSON."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Request(Document):
    """What was asked for."""

    id: str
    process: str
    inputs: dict[str, Any]
    owner: str | None
    km2: float | None
    created: datetime


class Attempt(Document):
    """The right of one worker to run a job, as long as it sends heartbeats."""

    job: str
    number: int = Field(ge=1)
    worker: str
    """Who holds it; unique to a process."""
    token: str
    """Tells two claims of one worker apart, where the answer to the first was lost on its way."""
    claimed: datetime
    started: datetime
    """When the first attempt was claimed."""
    crashes: int = Field(ge=0)
    """How many attempts before this one stopped without a word."""
    progress: int = Field(ge=0, le=100)
    """How far the attempts before came, percent."""


class State(Document):
    """How far an attempt is, as of its last heartbeat."""

    beat: datetime
    progress: int = Field(ge=0, le=100)
    message: str


class Ended(Document):
    """An attempt is over: released in good order, or its worker died."""

    how: Literal["released", "stopped"]
    at: datetime


class Outcome(Document):
    """How a job ended."""

    status: Final
    message: str
    result: str | None = None
    """The id of the edition."""
    warnings: tuple[str, ...] = ()
    blocks_done: int = 0
    """Blocks that the last attempt mapped."""
    blocks_resumed: int = 0
    """Blocks that the last attempt found done."""


class Result(Document):
    """The outcome, and how the job stood then."""

    outcome: Outcome
    attempt: int
    progress: int
    started: datetime | None
    finished: datetime


class Job(Document):
    """A job as it stands at one moment. All times are UTC."""

    id: str
    process: str
    inputs: dict[str, Any]
    created: datetime
    updated: datetime
    started: datetime | None = None
    finished: datetime | None = None
    status: Status = "accepted"
    progress: int = 0
    """Percent; 100 only where the job is successful."""
    message: str = ""
    owner: str | None = None
    """The name of the key that submitted it."""
    km2: float | None = None
    """Area of interest."""
    result: str | None = None
    """The id of the edition that it published."""
    attempt: int = 0
    """How many times a worker took it up."""
    warnings: tuple[str, ...] = ()
    blocks_done: int = 0
    blocks_resumed: int = 0


def log_key(job_id: str, number: int) -> str:
    """Where the log of attempt `number` lies."""
    return f"{job_folder(job_id)}/log-{number}.txt"


def job_folder(job_id: str) -> str:
    """Return the job's folder in the store. Raises NoJobError for what cannot be an id."""
    if _ID.fullmatch(job_id) is None:
        raise no_job(job_id)
    return f"jobs/{job_id}"


def new_id(at: datetime) -> str:
    """Return a new id: 48 bits of milliseconds since 1970 and 80 random bits (a ULID in lower case)."""
    number = int(at.timestamp() * 1000) << 80 | secrets.randbits(80)
    return "".join(_ALPHABET[number >> 5 * place & 31] for place in reversed(range(26)))


@dataclass(frozen=True, kw_only=True)
class Papers:
    """All documents of a job that decide how it stands; of the attempts the latest."""

    request: Request
    attempt: Attempt | None
    state: State | None
    ended: Ended | None
    result: Result | None

    @property
    def number(self) -> int:
        """How many attempts were made."""
        return self.attempt.number if self.attempt else 0

    @property
    def progress(self) -> int:
        """Percent, of the attempts before where the latest has not said."""
        return self.state.progress if self.state else self.attempt.progress if self.attempt else 0

    @property
    def crashes(self) -> int:
        """Attempts that stopped without a word, the latest among them (asked where it is not live)."""
        if self.attempt is None:
            return 0
        return self.attempt.crashes + (self.ended is None or self.ended.how == "stopped")

    @property
    def times(self) -> Iterator[datetime]:
        """When a worker was last heard of."""
        if self.attempt is not None:
            yield self.attempt.claimed
        if self.state is not None:
            yield self.state.beat
        if self.ended is not None:
            yield self.ended.at

    def live(self, at: datetime, lease_s: float) -> bool:
        """Whether a worker holds the job and was heard of within its lease."""
        if self.attempt is None or self.ended is not None:
            return False
        beat = self.state.beat if self.state else self.attempt.claimed
        return at - beat < timedelta(seconds=lease_s)


def read_papers(store: Store, job_id: str) -> Papers:
    """Read a job: its names once, then what of them counts. Raises NoJobError, JobError, StoreError."""
    names = read_names(store, job_id)
    folder = job_folder(job_id)
    latest = max(numbers_in(names, r"attempts/(\d+)\.json"), default=0)

    def read(name: str, kind: type[_D]) -> _D | None:
        return load(store, f"{folder}/{name}", kind) if name in names else None

    return Papers(
        request=load(store, f"{folder}/job.json", Request),
        attempt=read(f"attempts/{latest}.json", Attempt),
        state=read(f"state-{latest}.json", State),
        ended=read(f"ended-{latest}.json", Ended),
        result=read("result.json", Result),
    )


def load(store: Store, key: str, kind: type[_D]) -> _D:
    """Read one document. Raises JobError where it is not what it should be."""
    try:
        return kind.model_validate_json(store.get(key))
    except ValidationError as error:
        first = error.errors()[0]
        raise JobError(
            f"{store.url(key)} is damaged ({'.'.join(map(str, first['loc']))}: {first['msg']}); restore it or remove it"
        ) from error


def names_of(store: Store, job_id: str) -> set[str]:
    """List the names in a job's folder."""
    folder = job_folder(job_id)
    return {key.removeprefix(f"{folder}/") for key in store.list(folder)}


def read_names(store: Store, job_id: str) -> set[str]:
    """Like `names_of`. Raises NoJobError where there is no request."""
    names = names_of(store, job_id)
    if "job.json" not in names:
        raise no_job(job_id)
    return names


def numbers_in(names: set[str], pattern: str) -> list[int]:
    """Return the numbers that the first group of `pattern` finds, sorted."""
    return sorted(int(found[1]) for name in names if (found := re.fullmatch(pattern, name)))


def job_of(papers: Papers) -> Job:
    """Put together how a job stands."""
    request, attempt, result = papers.request, papers.attempt, papers.result
    times = [request.created, *papers.times]
    known = request.model_dump()
    if result is not None:
        outcome = result.outcome.model_dump()
        return Job(**known, **outcome, **result.model_dump(exclude={"outcome"}), updated=result.finished)
    return Job(
        **known,
        updated=max(times),
        started=attempt.started if attempt else None,
        status="running" if attempt else "accepted",
        progress=papers.progress,
        message=_message(papers),
        attempt=papers.number,
    )


def _message(papers: Papers) -> str:
    if papers.attempt is None:
        return "waiting for a worker"
    if papers.ended is not None:
        return "waiting for a worker to go on"
    return papers.state.message if papers.state else "started"


def document_bytes(document: Document) -> bytes:
    """Write a document."""
    return document.model_dump_json(indent=1).encode()


def id_time(job_id: str) -> datetime:
    """Return when an id was made, to the millisecond."""
    number = 0
    for letter in job_id:
        number = number << 5 | _ALPHABET.index(letter)
    return datetime.fromtimestamp((number >> 80) / 1000, UTC)


def no_job(job_id: str) -> NoJobError:
    """Say that there is no such job."""
    return NoJobError(f"there is no job {job_id[:40]!r}; see the list of jobs")
