"""The service on 6.5 million water bodies against its limit and against servers that others made, in one run.

    python benchmarks/service.py [--folder .bench/boreal] [--requests 400] [--rivals]

Every answer is GeoJSON with all columns unless its name says otherwise. Times are a client's, from the request to the
last byte, over a connection that is kept alive. `--rivals` installs tipg and pygeoapi in environments of their own
under --folder/rivals; those that are there are measured without it. Requests go to 127.0.0.1 alone.
"""

from __future__ import annotations

import argparse
import http.client
import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import numpy as np
import orjson
import pyarrow.parquet as pq
import shapely

import service_rivals as rivals
from load import (
    Ask,
    Client,
    Drained,
    Reply,
    Run,
    Server,
    Times,
    crowd,
    drain,
    forget_file,
    forget_peak,
    memory_mb,
    one_by_one,
    read_rate,
    side_by_side,
)
from service_limit import LIMIT, in_process
from service_report import Report, table
from talik_stac.editions import Edition
from talik_stac.reading import Box
from water_bodies import COUNT, simulated_edition

FEWEST, MOST = 1_000, 5_000
"""Matches of a box."""
MIN_AREA_M2 = 5_000
DOWNLOADS = "inventory.parquet,inventory.fgb,f=parquet,f=geojson,f=fgb"
MOST_MADE = 2_000_000
"""Features of a FlatGeobuf, which is made whole before it is sent; the service refuses to make one of all rows."""
PEAK_MB = 600.0
"""More than this the server must not hold."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is measured."""

    folder: Path
    edition: Edition
    requests: int
    clients: int
    each: int
    most_s: float
    """Of one download."""
    rival_s: float
    """Of one kind of request to one rival."""
    install: bool
    downloads: Sequence[str]

    @property
    def files(self) -> Path:
        """Where the published files lie."""
        return self.folder / "store" / self.edition.prefix

    @property
    def items(self) -> str:
        """Path of the features."""
        return f"/collections/{self.edition.id}/items"

    def server(self) -> Server:
        """`talik serve`, as an operator starts it."""
        talik = str(Path(sys.executable).parent / "talik")
        store = str(self.folder / "store")
        return Server(
            lambda port: [talik, "serve", "--store", store, "--port", str(port)],
            log=self.folder / "serve.log",
            ready="/health",
        )


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that servers are stopped then too
    plan, report = _plan(), Report()
    with plan.server() as server:
        boxes = draw_boxes(plan, server, plan.requests)
    print(f"{plan.edition.id}: {plan.edition.count:,} rows; {len(boxes)} boxes", flush=True)
    with plan.server() as server:
        _cold(plan, server, boxes, report)
        _one_client(plan, server, boxes, report)
        _many_clients(plan, server, boxes, report)
        _memory(server, report, "requests")
    with plan.server() as server:
        _downloads(plan, server, report)
    with plan.server() as server:  # a new one, which waits while the rivals work and answers in turn with them
        ours = _run(server.port, "warming", _asks(plan.items, boxes))
        one_by_one(ours)
        limits = in_process(str(plan.folder / "store"), plan.edition, boxes)
        _against(report, limits, one_by_one(replace(ours, name="talik beside the limit")))
        _rivals(plan, server.port, boxes, report)
    _finish(plan, report)


def _plan() -> Plan:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path(".bench/boreal"))
    parser.add_argument("--count", type=int, default=COUNT, help="water bodies")
    parser.add_argument("--requests", type=int, default=400, help="of one client, each with a box of its own")
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--each", type=int, default=10, help="requests of each of the clients")
    parser.add_argument("--download-seconds", type=float, default=900.0, help="after which a download is broken off")
    parser.add_argument("--downloads", default=DOWNLOADS, help="which of them, or ''")
    parser.add_argument("--rival-seconds", type=float, default=120.0, help="for each kind of request to a rival")
    parser.add_argument("--rivals", action="store_true", help="install tipg and pygeoapi where they are missing")
    given = parser.parse_args()
    return Plan(
        folder=given.folder.resolve(),
        edition=simulated_edition(given.folder, given.count),
        requests=given.requests,
        clients=given.clients,
        each=given.each,
        most_s=given.download_seconds,
        rival_s=given.rival_seconds,
        install=given.rivals,
        downloads=[name for name in given.downloads.split(",") if name],
    )


def draw_boxes(plan: Plan, server: Server, count: int) -> list[Box]:
    """Boxes round randomly drawn objects, each of FEWEST to MOST matches by the service's own count."""
    random = np.random.default_rng(20250101)
    inventory = pq.ParquetFile(plan.files / "inventory.parquet")
    group_numbers = random.integers(0, inventory.num_row_groups, count * 3)
    client, boxes = Client(port=server.port), []
    for number in group_numbers:
        rows = inventory.read_row_group(int(number), columns=["lon", "lat"])
        row = int(random.integers(0, len(rows)))
        box = _fitting(client, plan.items, rows["lon"][row].as_py(), rows["lat"][row].as_py())
        if box is not None:
            boxes.append(box)
        if len(boxes) == count:
            break
    client.close()
    return boxes


def _fitting(client: Client, items: str, lon: float, lat: float) -> Box | None:
    half = 0.25
    for _ in range(8):
        box = (round(lon - half, 6), round(lat - half / 2, 6), round(lon + half, 6), round(lat + half / 2, 6))
        reply = client.ask(Ask(path=f"{items}?{_query(box, limit=1)}"))
        if reply.status != 200:
            raise RuntimeError(f"{reply.status} for {box}: {reply.body[:300]!r}")
        matched = int(reply.headers["ogc-numbermatched"])
        if FEWEST <= matched <= MOST:
            return box
        half = min(8.0, half * float(np.clip(np.sqrt(2_200 / max(matched, 1)), 0.3, 4.0)))
    return None


def _query(box: Box, **more: object) -> str:
    return urlencode({"bbox": ",".join(map(str, box)), "limit": LIMIT, **more}, safe=",")


def _polygon(box: Box) -> dict[str, Any]:
    """A ring of twelve corners, twice as wide as the box, so that what is left after the area is no handful."""
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    turn = np.linspace(0, 2 * np.pi, 13)
    ring = np.column_stack([x + (box[2] - box[0]) * np.cos(turn), y + (box[3] - box[1]) * np.sin(turn)]).round(6)
    ring[-1] = ring[0]
    return {"type": "Polygon", "coordinates": [ring.tolist()]}


def _condition(box: Box) -> dict[str, str]:
    wkt = shapely.from_geojson(json.dumps(_polygon(box))).wkt
    return {"filter": f"S_INTERSECTS(geometry, {wkt}) AND area_m2 > {MIN_AREA_M2}", "filter-lang": "cql2-text"}


def _searches(plan: Plan, port: int, boxes: Sequence[Box]) -> Run:
    path = f"/collections/{plan.edition.id}/search"
    asks = [Ask(path=path, body=orjson.dumps({**_condition(box), "limit": LIMIT})) for box in boxes]
    return _run(port, "talik, polygon and area", asks)


def _returned(reply: Reply) -> int:
    return int(reply.headers["ogc-numberreturned"])


def _counted(reply: Reply) -> int:
    return reply.body.count(b'"type":"Feature",') + reply.body.count(b'"type": "Feature",')


def _asks(items: str, boxes: Sequence[Box], *, gzip: bool = False, **more: object) -> list[Ask]:
    return [Ask(path=f"{items}?{_query(box, **more)}", gzip=gzip) for box in boxes]


def _run(port: int, name: str, asks: Sequence[Ask], features: Callable[[Reply], int | None] = _returned) -> Run:
    return Run(port=port, name=name, asks=asks, features=features)


def _against(report: Report, theirs: Sequence[Times], ours: Times) -> None:
    for times in theirs:
        times.beside = ours
        report.add(times)
    report.add(ours)


def _cold(plan: Plan, server: Server, boxes: Sequence[Box], report: Report) -> None:
    """The first request of a new process, while the system holds nothing of the file, and the second."""
    forget_file(plan.files / "inventory.parquet")
    report.said["seconds until /health"] = server.started_s
    for name, box in (("talik, first request", boxes[0]), ("talik, second request", boxes[-1])):
        report.add(one_by_one(_run(server.port, name, _asks(plan.items, [box]))))


def _one_client(plan: Plan, server: Server, boxes: Sequence[Box], report: Report) -> None:
    kinds = {
        "talik": _asks(plan.items, boxes),
        "talik, gzip": _asks(plan.items, boxes, gzip=True),
        "talik, polygon and area": _searches(plan, server.port, boxes).asks,
        "talik, next page": list(_next_pages(plan, server.port, boxes)),
    }
    for name, asks in kinds.items():
        report.add(one_by_one(_run(server.port, name, asks)))


def _next_pages(plan: Plan, port: int, boxes: Sequence[Box]) -> Iterator[Ask]:
    """The second pages, where there are any; finding their addresses is not timed."""
    client = Client(port=port)
    for box in boxes[: max(1, len(boxes) // 2)]:
        following = client.ask(Ask(path=f"{plan.items}?{_query(box)}")).next
        if following is not None:
            yield Ask(path=following)
    client.close()


def _many_clients(plan: Plan, server: Server, boxes: Sequence[Box], report: Report) -> None:
    run = _run(server.port, f"talik, {plan.clients} clients", _asks(plan.items, boxes))
    times = report.add(crowd(run, clients=plan.clients, each=plan.each))
    if times.errors:
        report.said["FAILED"] = f"{len(times.errors)} errors of {plan.clients} clients: {times.errors[0]}"


def _memory(server: Server, report: Report, of: str) -> dict[str, float]:
    """The server's memory since the peak was last forgotten."""
    found = memory_mb(server.pid)
    report.said[f"memory after {of}, MB"] = found
    if found["peak"] > PEAK_MB:
        report.said[f"FAILED memory after {of}"] = f"peak {found['peak']:.0f} MB, more than {PEAK_MB:.0f}"
    forget_peak(server.pid)
    return found


def _downloads(plan: Plan, server: Server, report: Report) -> None:
    """Whole downloads, each against reading the published GeoParquet from the disk or the system's memory."""
    path = plan.files / "inventory.parquet"
    forget_file(path)
    report.said["disk, MB/s"] = read_rate(path)
    report.said["file in memory, MB/s"] = read_rate(path)
    files = f"/editions/{plan.edition.id}/files"
    asked = {
        "inventory.parquet": f"{files}/inventory.parquet",
        "inventory.fgb": f"{files}/inventory.fgb",
        # With a limit the rows are written anew; without one the service leads to the published file.
        "f=parquet": f"{plan.items}?f=parquet&limit={plan.edition.count}",
        "f=geojson": f"{plan.items}?f=geojson&limit={plan.edition.count}",
        "f=fgb": f"{plan.items}?f=fgb&limit={min(plan.edition.count, MOST_MADE)}",
    }
    for name in plan.downloads:
        forget_peak(server.pid)
        try:
            done = drain(server.port, asked[name], most_s=plan.most_s)
        except (OSError, http.client.HTTPException) as error:
            report.said[f"FAILED download of {name}"] = repr(error)
            done = Drained(size=0, first_s=0.0, seconds=plan.most_s, whole=False)
        memory = _memory(server, report, f"download {name}")
        report.downloads.append({"name": name, **asdict(done), "mb_per_s": done.mb_per_s, **memory})
        print(f"  download {name}: {done.size / 1e6:.0f} MB, {done.mb_per_s:.0f} MB/s", flush=True)


def _rivals(plan: Plan, port: int, boxes: Sequence[Box], report: Report) -> None:
    """One rival after the other, ours at `port`. One that cannot be had is skipped, and why is said."""
    for name, measure in (("PostGIS", _postgis), ("pygeoapi", _pygeoapi)):
        try:
            measure(plan, port, boxes, report)
        except (rivals.NoRivalError, OSError, RuntimeError, subprocess.SubprocessError) as error:
            report.skipped.append(f"{name}: {error}")
            print(f"  skipped {report.skipped[-1]}", flush=True)


def _postgis(plan: Plan, port: int, boxes: Sequence[Box], report: Report) -> None:
    python = rivals.python_of(plan.folder / "rivals", "tipg", install=plan.install)
    with rivals.Database(plan.folder / "rivals" / "postgres") as database:
        seconds = database.load(plan.files / "inventory.fgb", plan.edition.count)
        report.said["PostGIS"] = {"version": database.version(), "seconds to load": seconds}
        _sql(plan, port, python, database, boxes, report)
        with rivals.tipg(python, database, plan.folder / "rivals" / "tipg.log") as server:
            items = f"/collections/public.{rivals.TABLE}/items"
            _rival(plan, (port, server), "tipg", items, boxes, report, form="geojson")
            theirs = [
                Ask(path=f"{items}?{urlencode({**_condition(b), 'limit': LIMIT, 'f': 'geojson'})}") for b in boxes
            ]
            _in_turn(
                plan,
                _run(server.port, "tipg, polygon and area", theirs, _counted),
                _searches(plan, port, boxes),
                report,
            )
    report.said["tipg"] = rivals.version_of(python, "tipg")
    report.differences += rivals.POSTGIS_DIFFERS


def _sql(plan: Plan, port: int, python: Path, database: rivals.Database, boxes: Sequence[Box], report: Report) -> None:
    """SQL over one connection, ours right after it."""
    asked = {"boxes": boxes, "polygons": [json.dumps(_polygon(box)) for box in boxes], "budget_s": plan.rival_s}
    found: list[Times] = []
    for kind, rows in rivals.ask_database(python, database, asked).items():
        seconds, features, sizes = zip(*rows, strict=True)
        times = Times(name=f"PostGIS SQL, {kind}", seconds=list(seconds), features=[int(each) for each in features])
        times.sizes = [int(each) for each in sizes if each]
        found.append(times)
    ours = one_by_one(_run(port, "talik beside PostGIS SQL", _asks(plan.items, boxes)))
    _against(report, [times for times in found if "polygon" not in times.name], ours)
    ours = one_by_one(replace(_searches(plan, port, boxes), name="talik, polygon and area, beside PostGIS SQL"))
    _against(report, [times for times in found if "polygon" in times.name], ours)


def _pygeoapi(plan: Plan, port: int, boxes: Sequence[Box], report: Report) -> None:
    python = rivals.python_of(plan.folder / "rivals", "pygeoapi", install=plan.install)
    files = {"parquet": plan.files / "inventory.parquet", "fgb": plan.files / "inventory.fgb"}
    rival = rivals.Pygeoapi(python=python, folder=plan.folder / "rivals" / "pygeoapi", **files)
    with rival.server() as server:
        for name, reads in rival.collections.items():
            _rival(plan, (port, server), f"pygeoapi, {reads}", f"/collections/{name}/items", boxes, report, form="json")
    report.said["pygeoapi"] = rivals.version_of(python, "pygeoapi")
    report.differences += rivals.PYGEOAPI_DIFFERS
    if "fgb" not in rival.collections:
        report.skipped.append("pygeoapi on FlatGeobuf: Debian's python3-gdal is not installed")


def _rival(
    plan: Plan, ports: tuple[int, Server], name: str, items: str, boxes: Sequence[Box], report: Report, *, form: str
) -> None:
    """The same boxes in turn with ours, then by many clients, each for as long as the plan allows."""
    port, server = ports
    run = _run(server.port, name, _asks(items, boxes, f=form), _counted)
    one_by_one(replace(run, asks=run.asks[:1]), budget_s=plan.rival_s)
    _in_turn(plan, run, _run(port, "talik", _asks(plan.items, boxes)), report)
    many = replace(run, name=f"{name}, {plan.clients} clients", features=lambda _: None)
    times = crowd(many, clients=plan.clients, each=plan.each, budget_s=plan.rival_s)
    times.beside = report.ours(f"talik, {plan.clients} clients")
    report.add(times)
    report.said[f"memory of {name}, MB"] = memory_mb(server.pid)


def _in_turn(plan: Plan, theirs: Run, ours: Run, report: Report) -> None:
    ours = replace(ours, name=f"talik beside {theirs.name}")
    theirs_times, ours_times = side_by_side([theirs, ours], budget_s=plan.rival_s)
    _against(report, [theirs_times], ours_times)


def _finish(plan: Plan, report: Report) -> None:
    """Print the table, write the JSON; leave with 1 where something failed."""
    document = {
        "edition": plan.edition.id,
        "count": plan.edition.count,
        "times": [each.summary() for each in report.times],
        "downloads": report.downloads,
        "said": report.said,
        "differences": report.differences,
        "skipped": report.skipped,
    }
    (plan.folder / "service.json").write_text(json.dumps(document, indent=1))
    print(table(document))
    sys.exit(any(name.startswith("FAILED") for name in report.said))


if __name__ == "__main__":
    main()
