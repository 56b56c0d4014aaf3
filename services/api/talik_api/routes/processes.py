"""OGC API Processes Part 1: processes, their execution, and jobs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal, get_args

from fastapi import APIRouter, Body, Path, Query, Request
from pydantic import BaseModel, ConfigDict
from starlette.responses import JSONResponse, Response

from talik_api.links import asked_again, link
from talik_api.principals import DOCUMENTED, Submitter, asking
from talik_api.problems import Problem
from talik_api.processes.compare import compare
from talik_api.processes.descriptions import NAMES, description_of, outputs_of, summary_of
from talik_api.processes.inputs import CompareInputs, SummariseInputs, validated
from talik_api.processes.job_list import JobConditions, find_jobs
from talik_api.processes.mapping import offered, submit_mapping
from talik_api.processes.summarise import summarise
from talik_api.service import Served, Service
from talik_api.times import parse_span
from talik_stac.editions import EditionId
from talik_stac.jobs import PROCESS, Job, Status, dismiss, load_job, read_log

router = APIRouter(tags=["Processes"])
_OGC = "http://www.opengis.net/def/exceptions/ogcapi-processes-1/1.0"
_EXECUTE = "http://www.opengis.net/def/rel/ogc/1.0/execute"
_RESULTS = "http://www.opengis.net/def/rel/ogc/1.0/results"
_STATUS_NAMES = "|".join(get_args(Status))
ProcessId = Annotated[str, Path(alias="processId", max_length=100)]
JobId = Annotated[str, Path(alias="jobId", max_length=100)]


class Execute(BaseModel):
    """What to run, on what."""

    model_config = ConfigDict(extra="ignore")  # a client may ask for a callback, which is not offered

    inputs: dict[str, Any] = {}
    outputs: dict[str, Any] | None = None
    """Those that are wanted; all if left out."""
    response: Literal["raw", "document"] = "raw"
    """raw: one output as it is; document: all of them by name."""


@router.get("/processes")
def processes(request: Request, service: Served, limit: Annotated[int | None, Query(ge=1, le=1000)] = None) -> Response:
    """What can be computed here."""
    base = service.base_url(request)
    listed = [
        {**summary_of(name), "links": [link("self", f"{base}/processes/{name}", title="Description")]}
        for name in _names(service)[:limit]
    ]
    return _json({"processes": listed, "links": [link("self", f"{base}/processes")]})


@router.get("/processes/{processId}")
def process(request: Request, service: Served, name: ProcessId) -> Response:
    """A process with its inputs and outputs."""
    _check_process(service, name)
    here = f"{service.base_url(request)}/processes/{name}"
    links = [link("self", here), link(_EXECUTE, f"{here}/execution", title="Execute it (POST)")]
    return _json({**description_of(name), "links": links})


@router.post(
    "/processes/{processId}/execution",
    status_code=200,
    responses={201: {"description": "Accepted as a job.", "headers": {"Location": {"schema": {"type": "string"}}}}},
    dependencies=DOCUMENTED,
)
def execute(request: Request, service: Served, name: ProcessId, asked: Annotated[Execute, Body()]) -> Response:
    """Run a process: summarise and compare answer at once, map-landform becomes a job and needs a key."""
    _check_process(service, name)
    wanted = tuple(asked.outputs) if asked.outputs is not None else outputs_of(name)
    unknown = sorted(set(wanted) - set(outputs_of(name)))
    if unknown:
        raise Problem(
            400, "There is no such output", f"output {unknown[0][:100]}; there is: {', '.join(outputs_of(name))}"
        )
    if name == PROCESS:
        job = submit_mapping(service, asking(request, service), asked.inputs)
        headers = {"Location": f"{service.base_url(request)}/jobs/{job.id}", "Preference-Applied": "respond-async"}
        return _json(_status(service, request, job), status=201, headers=headers)
    found = {each: value for each, value in _SYNCHRONOUS[name](service, asked.inputs).items() if each in wanted}
    if asked.response == "raw" and len(found) == 1:
        return _json(next(iter(found.values())))
    return _json(found)


@router.get("/jobs", dependencies=DOCUMENTED)
def jobs(  # noqa: PLR0913, PLR0917 - one parameter a query parameter
    request: Request,
    service: Served,
    principal: Submitter,
    status: Annotated[
        str | None,
        Query(
            description="Some of accepted, running, successful, failed, dismissed.",
            json_schema_extra={"pattern": rf"^({_STATUS_NAMES})(,({_STATUS_NAMES}))*$"},
        ),
    ] = None,
    kind: Annotated[str | None, Query(alias="type", description="Kinds, joined by commas; all are process.")] = None,
    process_id: Annotated[str | None, Query(alias="processID", description="Processes, joined by commas.")] = None,
    datetime: Annotated[str | None, Query(description="When jobs were submitted: an instant, or an interval.")] = None,
    shortest: Annotated[float | None, Query(alias="minDuration", ge=0, description="Seconds.")] = None,
    longest: Annotated[float | None, Query(alias="maxDuration", ge=0, description="Seconds.")] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 10,
    after: Annotated[str | None, Query(description="From a 'next' link.", max_length=100)] = None,
) -> Response:
    """The jobs of the key that asks, newest first."""
    conditions = JobConditions(
        statuses=_statuses(status),
        kinds=_names_in(kind),
        processes=_names_in(process_id),
        created=None if datetime is None else parse_span(datetime),
        shortest_s=shortest,
        longest_s=longest,
    )
    found, following = find_jobs(service, principal.id, conditions, limit=limit, after=after)
    base = service.base_url(request)
    links = [link("self", asked_again(request, base))]
    if following is not None:
        links.append(link("next", asked_again(request, base, after=following)))
    return _json({"jobs": [_status(service, request, job) for job in found], "links": links})


def _names_in(text: str | None) -> frozenset[str] | None:
    return None if text is None else frozenset(text.split(","))


@router.get("/jobs/{jobId}")
def job_status(request: Request, service: Served, job_id: JobId) -> Response:
    """How a job stands; who knows its id, which cannot be guessed, may ask."""
    return _json(_status(service, request, load_job(service.store, job_id)))


@router.delete("/jobs/{jobId}", dependencies=DOCUMENTED)
def job_dismissal(request: Request, service: Served, principal: Submitter, job_id: JobId) -> Response:
    """Dismiss a job of the key that asks; what it has not published it will not publish."""
    job = load_job(service.store, job_id)
    if job.owner != principal.id:
        raise Problem(403, "This job is not yours", f"job {job_id} was submitted with another key; use that one")
    dismissed = dismiss(service.store, job_id)
    if service.executor is not None:
        service.executor.stop(job_id)
    return _json(_status(service, request, dismissed))


@router.get("/jobs/{jobId}/results")
def job_results(request: Request, service: Served, job_id: JobId) -> Response:
    """Links to what a job made."""
    job = load_job(service.store, job_id)
    if job.status == "failed":
        reason = job.message.replace(service.store.root, "the store")
        raise Problem(400, "The job failed", reason or "no reason is known; see its log")
    if job.status != "successful" or job.result is None:
        raise Problem(
            404,
            "The result is not ready",
            f"job {job_id} is {job.status}; ask again later",
            kind=f"{_OGC}/result-not-ready",
        )
    base, edition = service.base_url(request), EditionId.parse(job.result)
    files = f"{base}/editions/{edition}/files"
    return _json(
        {
            "edition": link("item", f"{base}/collections/{edition}", title=str(edition)),
            "inventory": link("enclosure", f"{files}/inventory.parquet", "application/vnd.apache.parquet"),
            "flatgeobuf": link("enclosure", f"{files}/inventory.fgb", "application/vnd.flatgeobuf"),
        }
    )


@router.get("/jobs/{jobId}/log", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
def job_log(service: Served, job_id: JobId) -> Response:
    """What the job's workers said."""
    load_job(service.store, job_id)
    said = read_log(service.store, job_id).replace(service.store.root, "the store")
    return Response(said, media_type="text/plain", headers={"Cache-Control": "no-store"})


def _names(service: Service) -> list[str]:
    """The processes offered: map-landform only where jobs are run."""
    runs = service.executor is not None and service.executor.available() is None
    return [name for name in NAMES if name != PROCESS or runs]


def _check_process(service: Service, name: str) -> None:
    if name == PROCESS:
        offered(service)
    if name not in NAMES:
        raise Problem(
            404,
            "There is no such process",
            f"process '{name[:100]}'; there is: {', '.join(_names(service))}",
            kind=f"{_OGC}/no-such-process",
        )


def _summarised(service: Service, inputs: dict[str, Any]) -> dict[str, Any]:
    return {"summary": summarise(service, validated(SummariseInputs, inputs))}


def _compared(service: Service, inputs: dict[str, Any]) -> dict[str, Any]:
    return compare(service, validated(CompareInputs, inputs))


_SYNCHRONOUS: dict[str, Callable[[Service, dict[str, Any]], dict[str, Any]]] = {
    "summarise": _summarised,
    "compare": _compared,
}
_STATUSES: tuple[Status, ...] = ("accepted", "running", "successful", "failed", "dismissed")


def _statuses(text: str | None) -> tuple[Status, ...] | None:
    if text is None:
        return None
    wanted = tuple(each for each in _STATUSES if each in text.split(","))
    if len(wanted) < len(set(text.split(","))):
        raise Problem(400, "There is no such status", f"status={text[:100]}; expected some of: {', '.join(_STATUSES)}")
    return wanted


def _status(service: Service, request: Request, job: Job) -> dict[str, Any]:
    """A statusInfo document."""
    here = f"{service.base_url(request)}/jobs/{job.id}"
    links = [link("self", here), link("monitor", here), link("related", f"{here}/log", "text/plain", "Log")]
    if job.status == "successful":
        links.append(link(_RESULTS, f"{here}/results", title="Results"))
    times = {name: getattr(job, name) for name in ("created", "started", "finished", "updated")}
    return {
        "processID": job.process,
        "type": "process",
        "jobID": job.id,
        "status": job.status,
        # An error of the worker may name where the store lies on the server.
        "message": job.message.replace(service.store.root, "the store"),
        "progress": job.progress,
        **{name: moment.isoformat().replace("+00:00", "Z") for name, moment in times.items() if moment is not None},
        **({"warnings": list(job.warnings)} if job.warnings else {}),
        "links": links,
    }


def _json(document: Any, *, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return JSONResponse(document, status, {"Cache-Control": "no-store", **(headers or {})})
