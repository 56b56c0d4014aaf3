"""FlatGeobuf, GeoPackage and Shapefile: GDAL makes a file in a private folder, whose bytes are then sent."""

from __future__ import annotations

import csv
import sqlite3
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyproj import CRS

from talik_api.formats.answer import CRS84, Answer, FormatError, is_lonlat
from talik_api.formats.columns import is_text_list, list_texts, moved_wkb, time_texts

PIECE = 2**20
"""Bytes that are read from a made file at a time."""
ZIP_LEVEL = 1
"""Half the time of level 6 for 2 % more bytes: coordinates hardly shrink."""
_LONLAT = "EPSG:4326"
"""Lon/lat by the name that every GIS knows; GeoPackage and Shapefile store lon before lat all the same."""

Column = Callable[[pa.ChunkedArray], pa.ChunkedArray | pa.Array]


def write_flatgeobuf(answer: Answer) -> Iterator[bytes]:
    """Make a FlatGeobuf with a spatial index; lists become text. Raises FormatError.

    Rows pass one batch at a time, but GDAL keeps 120-240 bytes a feature for the index, which it writes first.
    """
    layer = _Layer(answer=answer, column=_flat, crs=_crs(answer, lonlat=CRS84))
    return _sent(lambda folder: layer.write(folder / "made.fgb", driver="FlatGeobuf", SPATIAL_INDEX="YES"))


def write_geopackage(answer: Answer) -> Iterator[bytes]:
    """Make a GeoPackage of one layer with a spatial index; lists become text. Raises FormatError."""
    layer = _Layer(answer=answer, column=_flat, crs=_crs(answer, lonlat=_LONLAT))

    def make(folder: Path) -> Path:
        path = layer.write(folder / "made.gpkg", driver="GPKG")
        _stamp_geopackage(path, answer)
        return path

    return _sent(make)


def write_shapefile(answer: Answer) -> Iterator[bytes]:
    """Make a zip of a Shapefile's parts and fields.csv, which says what each short name means.

    Names are cut to 10 letters, lists to 254 bytes with a count of the rest. Raises FormatError past 2 GB.
    """
    return _sent(lambda folder: _zipped_shapefile(answer, folder))


@dataclass(frozen=True, kw_only=True)
class _Layer:
    """Rows that GDAL writes as they arrive."""

    answer: Answer
    column: Column
    """What a column becomes."""
    crs: str
    names: dict[str, str] | None = None
    """Column -> its name in the file, where that differs."""
    check: Callable[[], None] = lambda: None
    """Called before each slice; may raise."""

    def write(self, path: Path, *, driver: str, geometry_type: str = "Unknown", **options: str) -> Path:
        """Write one layer. Raises what the tables or the check raised, as it was."""
        import pyogrio

        failures: list[Exception] = []
        reader = pa.RecordBatchReader.from_batches(self._schema(), self._batches(failures))
        said: dict[str, Any] = {"geometry_name": "geometry", "geometry_type": geometry_type, "crs": self.crs}
        try:
            pyogrio.write_arrow(reader, path, driver=driver, layer=self.answer.name, **said, **options)
        except Exception:
            if failures:
                # The Arrow stream turns errors of its source into text; this is the true one.
                raise failures[0] from None
            raise
        return path

    def _schema(self) -> pa.Schema:
        return self._converted(self.answer.schema.empty_table()).schema

    def _converted(self, table: pa.Table) -> pa.Table:
        names = [name for name in self.answer.schema.names if name not in ("geometry", "bbox")]
        columns = [self.column(table[name]) for name in names]
        wkb = moved_wkb(table, self.answer.crs)
        short = self.names or {}
        return pa.table([*columns, wkb], names=[*(short.get(name, name) for name in names), "geometry"])

    def _batches(self, failures: list[Exception]) -> Iterator[pa.RecordBatch]:
        from talik_stac.inventory import regrouped

        try:
            # Batches of one size, since GeoPackage and Shapefile grow by batches: other cuts would give other bytes.
            for table in regrouped(self.answer.tables):
                self.check()
                yield from self._converted(table).combine_chunks().to_batches()
        except Exception as error:
            failures.append(error)
            raise


def _sent(make: Callable[[Path], Path]) -> Iterator[bytes]:
    """Make a file in a folder of its own and yield its bytes; on disk it has no name any more by then."""
    with tempfile.TemporaryDirectory(prefix="talik-answer-") as folder:
        file = make(Path(folder)).open("rb")
    # Removed while it is open, the file's bytes are freed when it closes, even where the process is killed.
    with file:
        while piece := file.read(PIECE):
            yield piece


def _crs(answer: Answer, *, lonlat: str) -> str:
    """The name of the system, `lonlat` for lon/lat."""
    return lonlat if is_lonlat(answer.crs) else CRS.from_user_input(answer.crs).to_wkt()


def _flat(column: pa.ChunkedArray) -> pa.ChunkedArray | pa.Array:
    return list_texts(column) if is_text_list(column.type) else column


def _stamp_geopackage(path: Path, answer: Answer) -> None:
    """Write the answer's moment where GDAL wrote now; its own setting for that holds for the whole process."""
    moment = answer.stamp.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("UPDATE gpkg_contents SET last_change = ?", (moment,))
    # GDAL commits once more where the clock has ticked; the count of commits stands in two places, which must agree
    # (https://www.sqlite.org/fileformat2.html#file_change_counter).
    with path.open("r+b") as file:
        for offset in (24, 92):
            file.seek(offset)
            file.write((1).to_bytes(4, "big"))


def _zipped_shapefile(answer: Answer, folder: Path) -> Path:
    from talik_stac.exports import SHAPEFILE_NAMES

    parts = folder / "parts"
    parts.mkdir()
    base = parts / answer.name
    layer = _Layer(
        answer=answer,
        column=_shapefile_column,
        crs=_crs(answer, lonlat=_LONLAT),
        names=SHAPEFILE_NAMES,
        check=lambda: _check_size(base),
    )
    options = {"ENCODING": "UTF-8", "DBF_DATE_LAST_UPDATE": answer.stamp.strftime("%Y-%m-%d")}
    layer.write(base.with_suffix(".shp"), driver="ESRI Shapefile", geometry_type="Polygon", **options)
    _check_size(base)
    _write_fields(parts / "fields.csv", answer.schema)
    return _zipped(parts, folder / "made.zip", answer)


def _shapefile_column(column: pa.ChunkedArray) -> pa.ChunkedArray | pa.Array:
    """Times and lists as text; a .dbf has neither."""
    from talik_stac.exports import fitting

    if pa.types.is_timestamp(column.type):
        return time_texts(column)
    if is_text_list(column.type):
        texts = list_texts(column).to_pylist()
        return pa.array([None if text is None else fitting(text) for text in texts], pa.string())
    return column


def _write_fields(path: Path, schema: pa.Schema) -> None:
    """Write what each field of the Shapefile means."""
    from talik_stac.exports import SHAPEFILE_NAMES, TEXT_BYTES

    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["field", "column", "unit", "meaning"])
        for field in (field for field in schema if field.name not in ("geometry", "bbox")):
            said = {key.decode(): value.decode() for key, value in (field.metadata or {}).items()}
            cut = f"; cut to {TEXT_BYTES} bytes" if is_text_list(field.type) else ""
            name = SHAPEFILE_NAMES.get(field.name, field.name)
            rows.writerow([name, field.name, said.get("unit", ""), said.get("description", "") + cut])


def _check_size(base: Path) -> None:
    """Refuse as soon as a part passes the limit, so that no disk fills with what cannot be sent."""
    from talik_stac.exports import SHAPEFILE_LIMIT

    for suffix in (".shp", ".dbf"):
        part = base.with_name(base.name + suffix)
        size = part.stat().st_size if part.exists() else 0
        if size > SHAPEFILE_LIMIT:
            raise FormatError(f"the answer passes {size / 1e9:.1f} GB in a Shapefile, which ends at 2 GB; ask for gpkg")


def _zipped(parts: Path, path: Path, answer: Answer) -> Path:
    """Zip the files of a folder, with the answer's moment as their time."""
    with zipfile.ZipFile(path, "w") as archive:
        for part in sorted(parts.iterdir()):
            entry = zipfile.ZipInfo(part.name, date_time=answer.stamp.astimezone(UTC).timetuple()[:6])
            entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
            # An entry that is given takes no level from its archive; this name is zipfile's own until Python 3.13.
            entry._compresslevel = ZIP_LEVEL  # type: ignore[attr-defined]
            with part.open("rb") as source, archive.open(entry, "w", force_zip64=True) as target:
                while piece := source.read(PIECE):
                    target.write(piece)
    return path
