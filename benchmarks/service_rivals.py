"""Servers that others made, on the same rows: PostGIS (SQL alone, and through tipg) and pygeoapi.

Run with the Python of a rival it asks PostGIS (`service.py` does so): that Python has asyncpg, ours need not.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
import time
import venv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from load import HOST, START_S, Server, free_port

PACKAGES = {
    "tipg": ("tipg", "uvicorn"),
    "pygeoapi": ("pygeoapi", "gunicorn", "pyarrow", "pandas", "geopandas", "s3fs"),
}
OSGEO = Path("/usr/lib/python3/dist-packages/osgeo")
"""Debian's Python bindings of GDAL; PyPI has them as source alone."""
TABLE = "water"
DATABASE = "talik"
LOAD_S = 3600.0

ROWS = """select id, landform, area_m2, perimeter_m, shape_index, lon, lat, probability, confidence, status,
 observed_start, observed_end, scenes, edition, model, on_aoi_edge, on_data_edge, pixels,
 st_asgeojson(geometry, 7) as geometry
 from water where st_intersects(geometry, {place}) {condition} {order} limit 1000"""
COUNT = "select count(*) from water where st_intersects(geometry, {place}) {condition}"
ONE_TEXT = """select json_build_object('type', 'FeatureCollection', 'features', json_agg(
 st_asgeojson(page.*, 'geometry', 7)::json))::text
 from (select * from water where st_intersects(geometry, {place}) {condition} limit 1000) page"""
POSTGIS_DIFFERS = (
    "PostGIS: loaded from the FlatGeobuf (scenes are one text); without 'in order' it is any 1,000 rows of the box, "
    "with no next page; SQL makes GeoJSON of geometries alone, 'one text' the whole answer, in the server",
    "tipg: orders by primary key, counts as we do, writes up to 9 digits of a coordinate",
)
PYGEOAPI_DIFFERS = (
    "pygeoapi on GeoParquet: a copy with its `geo` key in the Arrow schema, scenes as text and no bbox column, for it "
    "serves ours not at all; by points inside, strictly within the box; it may answer more features than the limit; "
    "its numberMatched goes no further than the page",
    "pygeoapi on FlatGeobuf: by GDAL's spatial index; counts nothing beside the page",
)
BOX = "st_makeenvelope($1, $2, $3, $4, 4326)"
POLYGON = "st_geomfromgeojson($1)"


class NoRivalError(Exception):
    """A rival cannot be had here; says why."""


def python_of(folder: Path, name: str, *, install: bool) -> Path:
    """The Python of a rival, in an environment of its own. Raises NoRivalError."""
    python, marker = folder / name / "bin" / "python", folder / name / "installed.json"
    wanted = json.dumps(PACKAGES[name])
    if not marker.exists() or marker.read_text() != wanted:
        if not install:
            raise NoRivalError(f"{name} is not installed in {folder / name}; run with --rivals")
        if not python.exists():
            venv.create(folder / name, with_pip=True, symlinks=True)
        _run([python, "-m", "pip", "install", "--quiet", *PACKAGES[name]], "pip cannot install it")
        marker.write_text(wanted)
    return python


def version_of(python: Path, name: str) -> str:
    """The version of a package in an environment."""
    code = f"from importlib.metadata import version; print(version({name!r}))"
    return _run([python, "-c", code], f"no {name} there")


def _run(command: Sequence[object], failing: str, **more: Any) -> str:
    """Run a program to its end; return what it wrote. Raises NoRivalError with the last line of its complaint."""
    done = subprocess.run(
        [str(part) for part in command], check=False, capture_output=True, text=True, timeout=LOAD_S, **more
    )
    if done.returncode:
        raise NoRivalError(f"{failing}: {(done.stderr.strip().splitlines() or ['?'])[-1][-500:]}")
    return str(done.stdout).strip()


class Database:
    """PostgreSQL with PostGIS on a free port of this machine, its data kept in a folder, for the length of a `with`."""

    def __init__(self, folder: Path) -> None:
        """Raises NoRivalError where PostgreSQL or ogr2ogr is missing."""
        found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
        if not found or not list(Path("/usr/share/postgresql").glob("*/extension/postgis.control")):
            raise NoRivalError("PostgreSQL with PostGIS is not installed (Debian: postgresql-15-postgis-3)")
        if shutil.which("ogr2ogr") is None:
            raise NoRivalError("ogr2ogr is not installed (Debian: gdal-bin)")
        self._programs = found[-1].parent
        self._folder = folder.resolve()
        self._data = self._folder / "data"
        self.port = free_port()

    @property
    def url(self) -> str:
        """For a client."""
        return f"postgresql://postgres@{HOST}:{self.port}/{DATABASE}"

    def __enter__(self) -> Database:
        """Make the cluster, once; start it."""
        self._folder.mkdir(parents=True, exist_ok=True)
        if not (self._folder / "loaded.json").exists():
            shutil.rmtree(self._data, ignore_errors=True)
            self._data.mkdir(mode=0o700)
            self._own(self._folder, self._data)
            made = [self._programs / "initdb", "-D", self._data, "-U", "postgres", "--auth=trust", "-E", "UTF8"]
            _run(made, "initdb failed", **self._user())
        (self._data / "postmaster.pid").unlink(missing_ok=True)  # of a run that was killed; the port is new
        self._start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop at once; a transaction is lost, nothing else."""
        self._process.send_signal(2)
        try:
            self._process.wait(60)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(10)

    def load(self, fgb: Path, count: int) -> float | None:
        """Load the rows with a GiST index, once; return the seconds, None where they were there already."""
        marker = self._folder / "loaded.json"
        if marker.exists():
            return None
        started = time.perf_counter()
        self._sql("postgres", f"create database {DATABASE}")
        self._sql(DATABASE, "create extension postgis")
        target = f"PG:host={HOST} port={self.port} user=postgres dbname={DATABASE}"
        options = ["-lco", "GEOMETRY_NAME=geometry", "-lco", "FID=gid", "-lco", "SPATIAL_INDEX=GIST"]
        options += ["-a_srs", "EPSG:4326", "-nlt", "GEOMETRY", "--config", "PG_USE_COPY", "YES", "-nln", TABLE]
        _run(["ogr2ogr", "-f", "PostgreSQL", target, fgb, *options], "ogr2ogr cannot load the rows")
        self._sql(DATABASE, f"vacuum analyze {TABLE}")
        found = int(self._sql(DATABASE, f"select count(*) from {TABLE}"))
        if found != count:
            raise NoRivalError(f"PostGIS holds {found} rows after loading, not {count}")
        self._sql("postgres", "checkpoint")
        marker.write_text(json.dumps({"count": count}))
        return time.perf_counter() - started

    def version(self) -> str:
        """Of the server and of PostGIS."""
        return self._sql(DATABASE, "select current_setting('server_version') || ', PostGIS ' || postgis_lib_version()")

    def _start(self) -> None:
        settings = {
            "port": self.port,
            "listen_addresses": HOST,
            "unix_socket_directories": "",
            "shared_buffers": "1GB",
            "maintenance_work_mem": "1GB",
            "max_wal_size": "8GB",
            "fsync": "off",  # a copy that can be made again
            "jit": "off",  # costs more than it gains in answers of milliseconds
            "random_page_cost": "1.1",
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        with (self._folder / "postgres.log").open("wb") as log:
            self._process = subprocess.Popen(
                [self._programs / "postgres", "-D", self._data, *options],
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                **self._user(),
            )
        end = time.perf_counter() + START_S
        asked = [str(self._programs / "pg_isready"), "-q", "-U", "postgres", "-h", HOST, "-p", str(self.port)]
        while subprocess.run(asked, check=False).returncode:
            if self._process.poll() is not None or time.perf_counter() > end:
                self.__exit__()
                raise NoRivalError(f"PostgreSQL does not start: {(self._folder / 'postgres.log').read_text()[-1000:]}")
            time.sleep(0.2)

    def _sql(self, database: str, statement: str) -> str:
        place = ["-h", HOST, "-p", str(self.port), "-U", "postgres", "-d", database]
        asked = [self._programs / "psql", *place, "-v", "ON_ERROR_STOP=1", "-Atqc", statement]
        return _run(asked, "PostgreSQL does not take a statement")

    def _user(self) -> dict[str, Any]:
        """PostgreSQL refuses to run as root."""
        return {"user": "postgres", "group": "postgres", "extra_groups": [], "cwd": "/"} if os.geteuid() == 0 else {}

    def _own(self, *folders: Path) -> None:
        if os.geteuid() == 0:
            for folder in folders:
                shutil.chown(folder, "postgres", "postgres")


def ask_database(python: Path, database: Database, asked: Mapping[str, Any]) -> dict[str, list[list[float]]]:
    """Time SQL over one connection, in a process with asyncpg; returns (seconds, features, bytes) by kind."""
    written = _run([python, Path(__file__)], "asking PostGIS failed", input=json.dumps({"url": database.url, **asked}))
    answer: dict[str, list[list[float]]] = json.loads(written)
    return answer


def copy_for_pygeoapi(source: Path, target: Path) -> None:
    """Copy GeoParquet, once, row group by row group, into what pygeoapi's provider can serve.

    It looks for the `geo` key in the Arrow schema alone, and can write no lists: `scenes` become text, `bbox` goes.
    """
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    if target.exists():
        return
    unfinished = target.with_suffix(".unfinished")
    with pq.ParquetFile(source) as file:
        fields = [f.with_type(pa.string()) if f.name == "scenes" else f for f in file.schema_arrow if f.name != "bbox"]
        schema = pa.schema(fields, {b"geo": file.metadata.metadata[b"geo"]})
        with pq.ParquetWriter(unfinished, schema, compression="zstd", version="2.6") as writer:
            for group in range(file.num_row_groups):
                table = file.read_row_group(group, columns=schema.names)
                texts = pc.binary_join(table["scenes"], ",")
                table = table.set_column(table.schema.get_field_index("scenes"), schema.field("scenes"), texts)
                writer.write_table(table.cast(schema), row_group_size=len(table))
    unfinished.rename(target)


def tipg(python: Path, database: Database, log: Path) -> Server:
    """Tipg over the database, one process."""
    options = ["--host", HOST, "--log-level", "warning"]
    return Server(
        lambda port: [str(python.parent / "uvicorn"), "tipg.main:app", *options, "--port", str(port)],
        log=log,
        ready=f"/collections/public.{TABLE}",
        environment={"DATABASE_URL": database.url},
    )


@dataclass(frozen=True, kw_only=True)
class Pygeoapi:
    """pygeoapi over the published files: GeoParquet, and FlatGeobuf where Debian's GDAL is there."""

    python: Path
    folder: Path
    parquet: Path
    fgb: Path

    @property
    def collections(self) -> dict[str, str]:
        """Name of the collection -> what it reads."""
        return {"parquet": "GeoParquet"} | ({"fgb": "FlatGeobuf by GDAL"} if OSGEO.exists() else {})

    def server(self) -> Server:
        """One worker process of eight threads. Raises NoRivalError where its description cannot be made."""
        self.folder.mkdir(parents=True, exist_ok=True)
        bridge = self.folder / "osgeo-of-system"  # osgeo alone, nothing else of the system's Python
        bridge.mkdir(exist_ok=True)
        if OSGEO.exists() and not (bridge / "osgeo").exists():
            (bridge / "osgeo").symlink_to(OSGEO)
        configuration, described = self.folder / "configuration.yml", self.folder / "openapi.yml"
        settings = {
            "PYGEOAPI_CONFIG": str(configuration),
            "PYGEOAPI_OPENAPI": str(described),
            "PYTHONPATH": str(bridge.resolve()),
        }
        copy_for_pygeoapi(self.parquet, self.folder / "copy.parquet")
        configuration.write_text(json.dumps(self._configuration()))  # JSON is YAML
        made = [self.python.parent / "pygeoapi", "openapi", "generate", configuration, "--output-file", described]
        _run(made, "pygeoapi does not take its configuration", env={**os.environ, **settings})
        options = ["--workers", "1", "--threads", "8", "--timeout", "300", "--keep-alive", "30"]
        options.append("--no-control-socket")  # else it puts one into the home folder
        return Server(
            lambda port: [
                *(str(self.python.parent / "gunicorn"), "pygeoapi.flask_app:APP", *options),
                *("--bind", f"{HOST}:{port}"),
            ],
            log=self.folder / "log.txt",
            ready="/",
            environment=settings,
        )

    def _configuration(self) -> dict[str, Any]:
        providers: dict[str, dict[str, Any]] = {
            # Points inside stand for outlines: the provider cannot name the members of a bbox column.
            "parquet": {
                "name": "Parquet",
                "data": {"source": str((self.folder / "copy.parquet").resolve())},
                "x_field": "lon",
                "y_field": "lat",
            },
            "fgb": {
                "name": "OGR",
                "data": {"source_type": "FlatGeobuf", "source": str(self.fgb.resolve())},
                "layer": "inventory",
            },
        }
        extents = {"spatial": {"bbox": [-180, -90, 180, 90], "crs": "http://www.opengis.net/def/crs/OGC/1.3/CRS84"}}
        text = {"title": "Water", "description": "Simulated water bodies", "keywords": ["water"]}
        resources = {
            name: {
                "type": "collection",
                **text,
                "links": [],
                "extents": extents,
                "providers": [{"type": "feature", "id_field": "id", **providers[name]}],
            }
            for name in self.collections
        }
        server = {
            "bind": {"host": HOST, "port": 5000},
            "url": f"http://{HOST}",
            "mimetype": "application/json; charset=UTF-8",
            "encoding": "utf-8",
            "languages": ["en-US"],
            "limits": {"default_items": 10, "max_items": 10_000},
            "map": {"url": f"http://{HOST}/{{z}}/{{x}}/{{y}}.png", "attribution": "none"},
        }
        metadata = {
            "identification": {**text, "terms_of_service": "none", "url": f"http://{HOST}"},
            "license": {"name": "CC-BY-4.0", "url": f"http://{HOST}"},
            "provider": {"name": "Talik", "url": f"http://{HOST}"},
            "contact": {"name": "Talik", "email": "nobody@example.org"},
        }
        return {"server": server, "logging": {"level": "ERROR"}, "metadata": metadata, "resources": resources}


async def _ask(asked: Mapping[str, Any]) -> dict[str, list[list[float]]]:
    """Time each kind of statement over the same places."""
    import asyncpg  # type: ignore[import-not-found]

    connection = await asyncpg.connect(asked["url"])
    box, ordered = {"place": BOX, "condition": "", "order": ""}, "order by gid"
    polygon = {"place": POLYGON, "condition": "and area_m2 > 5000", "order": ""}
    boxes, polygons = asked["boxes"], [[each] for each in asked["polygons"]]
    kinds: dict[str, tuple[tuple[str, ...], dict[str, str], Sequence[Sequence[Any]]]] = {
        "rows": ((ROWS,), box, boxes),
        "rows and count": ((ROWS, COUNT), box, boxes),
        "rows in order and count": ((ROWS, COUNT), {**box, "order": ordered}, boxes),
        "one text": ((ONE_TEXT,), box, boxes),
        "polygon": ((ROWS,), polygon, polygons),
        "polygon, in order and count": ((ROWS, COUNT), {**polygon, "order": ordered}, polygons),
    }
    found = {}
    for name, (statements, words, places) in kinds.items():
        asking = [statement.format(**words) for statement in statements]
        found[name] = await _timed(connection, asking, places, float(asked["budget_s"]))
    await connection.close()
    return found


async def _timed(
    connection: Any, statements: Sequence[str], places: Sequence[Sequence[Any]], budget_s: float
) -> list[list[float]]:
    prepared = [await connection.prepare(statement) for statement in statements]
    end, times = time.perf_counter() + budget_s, []
    for place in places:
        started = time.perf_counter()
        answers = [await each.fetch(*place) for each in prepared]
        seconds = time.perf_counter() - started
        text = answers[0][0][0] if len(answers[0]) == 1 and len(answers[0][0]) == 1 else None
        features = len(answers[0]) if text is None else text.count('"Feature"')
        times.append([seconds, features, len(text or "")])
        if time.perf_counter() > end:
            break
    return times


if __name__ == "__main__":
    json.dump(asyncio.run(_ask(json.load(sys.stdin))), sys.stdout)
