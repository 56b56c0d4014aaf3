"""Copies of an edition in the formats that people ask for."""

from __future__ import annotations

import csv
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import geopandas
import pandas as pd
from pyogrio.errors import DataLayerError, DataSourceError

from talik_stac.editions import load_edition, read_geo
from talik_stac.errors import EditionError
from talik_stac.inventory import ATTRIBUTES, schema_with
from talik_stac.store import Store

SHAPEFILE_NAMES = {
    "perimeter_m": "perim_m",
    "shape_index": "shape_ind",
    "probability": "prob",
    "confidence": "confid",
    "observed_start": "obs_start",
    "observed_end": "obs_end",
    "on_aoi_edge": "aoi_edge",
    "on_data_edge": "data_edge",
    "initiated_after": "init_after",
    "initiated_before": "init_befor",
}
"""Columns whose names pass the 10 characters of a Shapefile."""
SHAPEFILE_LIMIT = 2**31 - 1
"""Bytes of a .shp or .dbf (ESRI Shapefile Technical Description, July 1998)."""

_LONLAT = "EPSG:4326"
_TIME = "%Y-%m-%dT%H:%M:%SZ"
TEXT_BYTES = 254
"""Bytes of a text in a .dbf."""
CHANGE_ENDINGS = (".gpkg", ".geojson", ".csv", ".fgb", ".parquet")
"""Files that a table of changes is written to; its columns have no short names for a Shapefile."""

Writer = Callable[[geopandas.GeoDataFrame, Path], None]


def export(store: Store, edition_id: str, form: str, path: Path, *, overwrite: bool = False) -> Path:
    """Write an edition as gpkg, shp (zip), geojson, csv, fgb or parquet; the file appears whole or not at all.

    Lists become comma-separated text; fgb and parquet are copies of the published files. Raises EditionError for an
    unknown format, a file that is there already (unless `overwrite`), or an edition too large for a Shapefile.
    """
    if form not in FORMATS:
        raise EditionError(f"no format '{form}'; there is: {', '.join(FORMATS)}")
    check_target(path, (FORMATS[form],), overwrite=overwrite)
    edition = load_edition(store, edition_id)

    def fill(made: Path) -> None:
        if form in ("fgb", "parquet"):
            made.write_bytes(store.get(f"{edition.prefix}/inventory.{form}"))
        else:
            _WRITERS[form](_flat(read_geo(store, edition)), made)

    return _appear(path, fill, name=f"{edition.id}{FORMATS[form]}")


def write_frame(frame: geopandas.GeoDataFrame, path: Path, *, overwrite: bool = False) -> Path:
    """Write a table of changes in the format of the file's ending. Raises EditionError."""
    check_target(path, CHANGE_ENDINGS, overwrite=overwrite)
    write = _WRITERS[path.suffix.removeprefix(".")]
    return _appear(path, lambda made: write(frame, made), name=path.name)


def check_target(path: Path, endings: tuple[str, ...], *, overwrite: bool) -> None:
    """Refuse a file that cannot or must not be written, before anything is computed. Raises EditionError."""
    if path.suffix not in endings:
        raise EditionError(f"{path} ends with '{path.suffix}'; expected {', '.join(endings)}")
    if path.is_dir():
        raise EditionError(f"{path} is a folder; name a file in it")
    if path.exists() and not overwrite:
        raise EditionError(f"{path} is there already; give --overwrite, or another --out")
    if not path.parent.is_dir():
        raise EditionError(f"the folder {path.parent} does not exist; make it first")


def _appear(path: Path, fill: Callable[[Path], None], *, name: str) -> Path:
    """Fill a file in a folder beside `path`, then give it its name in one step."""
    try:
        with tempfile.TemporaryDirectory(prefix=".talik-export-", dir=path.parent) as folder:
            made = Path(folder) / name
            fill(made)
            made.replace(path)
    except (OSError, DataSourceError, DataLayerError) as error:
        raise EditionError(f"cannot write {path}: {error}; free space, or choose another --out") from error
    return path


def _flat(frame: geopandas.GeoDataFrame) -> geopandas.GeoDataFrame:
    """Lists become text; the geometry comes last."""
    flat = frame.copy()
    flat["scenes"] = pd.Series([",".join(names) for names in frame["scenes"]], index=frame.index, dtype=object)
    return flat[[column for column in flat.columns if column != "geometry"] + ["geometry"]]


def _gpkg(frame: geopandas.GeoDataFrame, path: Path) -> None:
    """EPSG:4326 by its name, which every GIS knows; GeoPackage stores lon before lat all the same."""
    lonlat = frame.set_crs(_LONLAT, allow_override=True)
    _to_file(lonlat, path, driver="GPKG", layer="inventory", geometry_type="Unknown")


def _geojson(frame: geopandas.GeoDataFrame, path: Path) -> None:
    """RFC 7946: lon/lat, 7 decimals (1 cm)."""
    _to_file(frame, path, driver="GeoJSON", RFC7946="YES", WRITE_NAME="NO")


def _to_file(frame: geopandas.GeoDataFrame, path: Path, **options: str) -> None:
    """Write with GDAL; by way of Arrow where there are days, which would be texts otherwise."""
    frame.to_file(path, engine="pyogrio", use_arrow=bool(_days(frame)), **options)


def _days(frame: geopandas.GeoDataFrame) -> list[str]:
    """The columns that hold days, under their names in any format."""
    return [name for name in ATTRIBUTES.names if {name, SHAPEFILE_NAMES[name]} & set(frame.columns)]


def _csv(frame: geopandas.GeoDataFrame, path: Path) -> None:
    """One row an object, its outline as WKT in lon/lat (9 decimals: 0.1 mm)."""
    table = pd.DataFrame(frame.drop(columns="geometry"))
    table["wkt"] = frame.geometry.to_wkt(rounding_precision=9)
    table.to_csv(path, index=False, date_format=_TIME, lineterminator="\n")


def _fgb(frame: geopandas.GeoDataFrame, path: Path) -> None:
    frame.to_file(path, driver="FlatGeobuf", engine="pyogrio", geometry_type="Unknown")


def _parquet(frame: geopandas.GeoDataFrame, path: Path) -> None:
    frame.to_parquet(path, compression="zstd", write_covering_bbox=True, schema_version="1.1.0")


def _shp(frame: geopandas.GeoDataFrame, path: Path) -> None:
    """A zip of the Shapefile's parts (UTF-8) and fields.csv, which says what each short name means."""
    short = frame.rename(columns=SHAPEFILE_NAMES).set_crs(_LONLAT, allow_override=True)
    for column in ("obs_start", "obs_end"):
        short[column] = short[column].dt.strftime(_TIME)
    short["scenes"] = short["scenes"].map(fitting)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        base = Path(folder) / path.stem
        driver = {"driver": "ESRI Shapefile", "geometry_type": "Polygon"}
        _to_file(short, base.with_suffix(".shp"), **driver, ENCODING="UTF-8")
        _check_shapefile(base)
        _write_fields(Path(folder) / "fields.csv", _days(frame))
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for part in sorted(Path(folder).iterdir()):
                archive.write(part, part.name)


def fitting(names: str) -> str:
    """Shorten a list of names to what a .dbf holds, by whole names and with a count of the rest."""
    if len(names.encode()) <= TEXT_BYTES:
        return names
    every = names.split(",")
    for kept in range(len(every) - 1, -1, -1):
        text = ",".join([*every[:kept], f"and {len(every) - kept} more"])
        if len(text.encode()) <= TEXT_BYTES:
            return text
    return f"{len(every)} scenes"


def _check_shapefile(base: Path) -> None:
    for suffix in (".shp", ".dbf"):
        size = base.with_suffix(suffix).stat().st_size
        if size > SHAPEFILE_LIMIT:
            raise EditionError(
                f"the edition needs {size / 1e9:.1f} GB in a Shapefile, which ends at 2 GB; export gpkg or fgb"
            )


def _write_fields(path: Path, attributes: list[str]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["field", "column", "unit", "meaning"])
        for field in schema_with(attributes):
            if field.name != "geometry":
                said = {key.decode(): value.decode() for key, value in field.metadata.items()}
                name = SHAPEFILE_NAMES.get(field.name, field.name)
                short = f"; cut to {TEXT_BYTES} bytes" if field.name == "scenes" else ""
                writer.writerow([name, field.name, said.get("unit", ""), said["description"] + short])


FORMATS = {
    "gpkg": ".gpkg",
    "shp": ".zip",
    "geojson": ".geojson",
    "csv": ".csv",
    "fgb": ".fgb",
    "parquet": ".parquet",
}
"""Format -> ending of its file."""
_WRITERS: dict[str, Writer] = {
    "gpkg": _gpkg,
    "shp": _shp,
    "geojson": _geojson,
    "csv": _csv,
    "fgb": _fgb,
    "parquet": _parquet,
}
