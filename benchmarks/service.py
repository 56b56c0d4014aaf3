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
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import numpy as np
import orjson
import pyarrow.parquet as pq
import shapely

import service_rivals as rivals
from load import PIECE, Ask, Client, Drained, Reply, Server, Times, crowd, drain, forget_file, forget_peak, memory_mb
from load import one_by_one as in_turn
from service_limit import LIMIT, in_process
from service_report import table
from talik_stac.editions import Edition
from talik_stac.reading import Box
from water_bodies import COUNT, simulated_edition

FEWEST, MOST = 1_000, 5_000
"""Matches of a box."""
MIN_AREA_M2 = 5_000
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


@dataclass(kw_only=True)
class Report:
    """What was measured."""

    times: list[Times] = field(default_factory=list)
    downloads: list[dict[str, Any]] = field(default_factory=list)
    said: dict[str, Any] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)
    differences: list[str] = field(default_factory=list)

    def add(self, times: Times) -> Times:
        """Keep and show."""
        self.times.append(times)
        count, errors = len(times.seconds), len(times.errors)
        print(f"  {times.name}: p50 {times.quantile_ms(0.5):.1f} ms of {count}, {errors} errors", flush=True)
        return times

    def p50(self, name: str) -> float:
        """The median of what was measured under a name, ms; NaN where it was not."""
        return next((each.quantile_ms(0.5) for each in self.times if each.name == name), float("nan"))


def main() -> None:
    plan, report = _plan(), Report()
    with plan.server() as server:
        boxes = draw_boxes(plan, server, plan.requests)
    print(f"{plan.edition.id}: {plan.edition.count:,} rows; {len(boxes)} boxes", flush=True)
    with plan.server() as server:
        _cold(plan, server, boxes, report)
        _one_client(plan, server, boxes, report)
        _many_clients(plan, server, boxes, report)
        _memory(server, report, "requests")
        _downloads(plan, server, report)
    for times in in_process(str(plan.folder / "store"), plan.edition, boxes):
        report.add(times)
    _rivals(plan, boxes, report)
    with plan.server() as server:  # once more: what else the machine did meanwhile shows as a difference
        _boxes(server.port, "warming", plan.items, boxes[:1], _returned)
        report.add(_boxes(server.port, "talik, again", plan.items, boxes, _returned))
    _finish(plan, report)


def _plan() -> Plan:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path(".bench/boreal"))
    parser.add_argument("--count", type=int, default=COUNT, help="water bodies")
    parser.add_argument("--requests", type=int, default=400, help="of one client, each with a box of its own")
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--each", type=int, default=10, help="requests of each of the clients")
    parser.add_argument("--download-seconds", type=float, default=900.0, help="after which a download is broken off")
    parser.add_argument("--downloads", default="file,parquet,fgb,geojson", help="which whole downloads, or ''")
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


def _search(box: Box) -> bytes:
    wkt = shapely.from_geojson(json.dumps(_polygon(box))).wkt
    condition = f"S_INTERSECTS(geometry, {wkt}) AND area_m2 > {MIN_AREA_M2}"
    return orjson.dumps({"filter": condition, "filter-lang": "cql2-text", "limit": LIMIT})


def _returned(reply: Reply) -> int:
    return int(reply.headers["ogc-numberreturned"])


def _counted(reply: Reply) -> int:
    return reply.body.count(b'"type":"Feature",') + reply.body.count(b'"type": "Feature",')


def _boxes(
    port: int, name: str, items: str, boxes: Sequence[Box], features: Callable[[Reply], int | None], **more: Any
) -> Times:
    budget_s, gzip = more.pop("budget_s", 600.0), more.pop("gzip", False)
    asks = [Ask(path=f"{items}?{_query(box, **more)}", gzip=gzip) for box in boxes]
    return in_turn(port, name, asks, features=features, budget_s=budget_s)


def _cold(plan: Plan, server: Server, boxes: Sequence[Box], report: Report) -> None:
    """The first request of a new process, while the system holds nothing of the file, and the second."""
    forget_file(plan.files / "inventory.parquet")
    report.said["seconds until /health"] = server.started_s
    for name, box in (("talik, first request", boxes[0]), ("talik, second request", boxes[-1])):
        report.add(_boxes(server.port, name, plan.items, [box], _returned))


def _one_client(plan: Plan, server: Server, boxes: Sequence[Box], report: Report) -> None:
    port = server.port
    report.add(_boxes(port, "talik", plan.items, boxes, _returned))
    report.add(_boxes(port, "talik, gzip", plan.items, boxes, _returned, gzip=True))
    search = f"/collections/{plan.edition.id}/search"
    asks = [Ask(path=search, body=_search(box)) for box in boxes]
    report.add(in_turn(port, "talik, polygon and area", asks, features=_returned))
    report.add(in_turn(port, "talik, next page", list(_next_pages(plan, port, boxes)), features=_returned))


def _next_pages(plan: Plan, port: int, boxes: Sequence[Box]) -> Iterator[Ask]:
    """The second pages, where there are any; finding their addresses is not timed."""
    client = Client(port=port)
    for box in boxes[: max(1, len(boxes) // 2)]:
        following = client.ask(Ask(path=f"{plan.items}?{_query(box)}")).next
        if following is not None:
            yield Ask(path=following)
    client.close()


def _many_clients(plan: Plan, server: Server, boxes: Sequence[Box], report: Report) -> None:
    asks = [Ask(path=f"{plan.items}?{_query(box)}") for box in boxes]
    name = f"talik, {plan.clients} clients"
    times = crowd(server.port, name, asks, clients=plan.clients, each=plan.each, features=_returned)
    report.add(times)
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
    report.said["disk, MB/s"] = _read_file(path)
    report.said["file in memory, MB/s"] = _read_file(path)
    asked = {"file": f"/editions/{plan.edition.id}/files/inventory.parquet"}
    asked |= {name: f"{plan.items}?f={name}&limit=10000000" for name in ("parquet", "fgb", "geojson")}
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


def _read_file(path: Path) -> float:
    started, buffer = time.perf_counter(), bytearray(PIECE)
    with path.open("rb", buffering=0) as file:
        while file.readinto(buffer):
            pass
    return path.stat().st_size / (time.perf_counter() - started) / 1e6


def _rivals(plan: Plan, boxes: Sequence[Box], report: Report) -> None:
    """Each rival by itself: no two servers run at once. One that cannot be had is skipped, and why is said."""
    for name, measure in (("PostGIS", _postgis), ("pygeoapi", _pygeoapi)):
        try:
            measure(plan, boxes, report)
        except (rivals.NoRivalError, OSError, RuntimeError, subprocess.SubprocessError) as error:
            report.skipped.append(f"{name}: {error}")
            print(f"  skipped {report.skipped[-1]}", flush=True)


def _postgis(plan: Plan, boxes: Sequence[Box], report: Report) -> None:
    database = rivals.Database(plan.folder / "rivals" / "postgres")
    python = rivals.python_of(plan.folder / "rivals", "tipg", install=plan.install)
    with database:
        seconds = database.load(plan.files / "inventory.fgb", plan.edition.count)
        report.said["PostGIS"] = {"version": database.version(), "seconds to load": seconds}
        asked = {"boxes": boxes, "polygons": [json.dumps(_polygon(b)) for b in boxes], "budget_s": plan.rival_s}
        for kind, rows in rivals.ask_database(python, database, asked).items():
            seconds_, features, sizes = (list(column) for column in zip(*rows, strict=True))
            report.add(
                Times(
                    name=f"PostGIS SQL, {kind}",
                    seconds=seconds_,
                    features=[int(each) for each in features],
                    sizes=[int(each) for each in sizes] if kind == "one text" else [],
                )
            )
        report.differences.append(
            "PostGIS: loaded from the FlatGeobuf (scenes are one text); without 'in order' it is any 1,000 rows of the "
            "box, with no next page; SQL makes GeoJSON of geometries alone, 'one text' the whole answer, in the server"
        )
        with rivals.tipg(python, database, plan.folder / "rivals" / "tipg.log") as server:
            _tipg(plan, server, boxes, report)
        report.said["tipg"] = rivals.version_of(python, "tipg")


def _tipg(plan: Plan, server: Server, boxes: Sequence[Box], report: Report) -> None:
    items = f"/collections/public.{rivals.TABLE}/items"
    _rival_boxes(plan, server, "tipg", items, boxes, report)
    asks = []
    for box in boxes:
        wkt = shapely.from_geojson(json.dumps(_polygon(box))).wkt
        condition = {"filter": f"S_INTERSECTS(geometry, {wkt}) AND area_m2 > {MIN_AREA_M2}", "filter-lang": "cql2-text"}
        asks.append(Ask(path=f"{items}?{urlencode({**condition, 'limit': LIMIT, 'f': 'geojson'})}"))
    report.add(in_turn(server.port, "tipg, polygon and area", asks, features=_counted, budget_s=plan.rival_s))
    report.differences.append(
        "tipg: orders by primary key, counts as we do, writes all digits of a coordinate it is given"
    )


def _pygeoapi(plan: Plan, boxes: Sequence[Box], report: Report) -> None:
    python = rivals.python_of(plan.folder / "rivals", "pygeoapi", install=plan.install)
    files = {"parquet": plan.files / "inventory.parquet", "fgb": plan.files / "inventory.fgb"}
    rival = rivals.Pygeoapi(python=python, folder=plan.folder / "rivals" / "pygeoapi", **files)
    with rival.server() as server:
        for name, reads in rival.collections.items():
            _rival_boxes(plan, server, f"pygeoapi, {reads}", f"/collections/{name}/items", boxes, report)
    report.said["pygeoapi"] = rivals.version_of(python, "pygeoapi")
    if "fgb" not in rival.collections:
        report.skipped.append("pygeoapi on FlatGeobuf: Debian's python3-gdal is not installed")
    report.differences.append(
        "pygeoapi: GeoParquet by points inside, not outlines (its provider cannot name a member of a bbox column), and "
        "its numberMatched there goes no further than the page"
    )


def _rival_boxes(plan: Plan, server: Server, name: str, items: str, boxes: Sequence[Box], report: Report) -> None:
    """The same boxes by one client, then by many, each for as long as the plan allows."""
    form = "json" if name.startswith("pygeoapi") else "geojson"
    _boxes(server.port, "warming", items, boxes[:1], _counted, f=form, budget_s=plan.rival_s)
    report.add(_boxes(server.port, name, items, boxes, _counted, f=form, budget_s=plan.rival_s))
    asks = [Ask(path=f"{items}?{_query(box, f=form)}") for box in boxes]
    crowded = f"{name}, {plan.clients} clients"
    load = {"clients": plan.clients, "each": plan.each}
    report.add(crowd(server.port, crowded, asks, **load, features=lambda _: None, budget_s=plan.rival_s))
    report.said[f"memory of {name} (its first process), MB"] = memory_mb(server.pid)


def _finish(plan: Plan, report: Report) -> None:
    """Print the table, write the JSON; leave with 1 where something failed."""
    document = {
        "edition": plan.edition.id,
        "count": plan.edition.count,
        "times": [each.summary() for each in report.times],
        "downloads": report.downloads,
        "ratios": _ratios(plan, report),
        "said": report.said,
        "differences": report.differences,
        "skipped": report.skipped,
    }
    (plan.folder / "service.json").write_text(json.dumps(document, indent=1))
    print(table(document))
    sys.exit(any(name.startswith("FAILED") for name in report.said))


def _ratios(plan: Plan, report: Report) -> dict[str, float]:
    """Our median over each other one: below 1 we are the faster."""
    many = f", {plan.clients} clients"
    pairs = [
        ("talik", each.name) for each in report.times if not each.name.startswith("talik") and many not in each.name
    ]
    pairs = [("talik, polygon and area" if "polygon" in theirs else ours, theirs) for ours, theirs in pairs]
    pairs += [(f"talik{many}", each.name) for each in report.times if each.name.endswith(many)][1:]
    return {f"{ours} / {theirs}": report.p50(ours) / report.p50(theirs) for ours, theirs in pairs}


if __name__ == "__main__":
    main()
