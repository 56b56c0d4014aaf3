"""The formats that features are answered in, and the choice among them."""

from __future__ import annotations

from collections.abc import Mapping

from talik_api.formats.answer import CRS84, Answer, Format, FormatError, NotAcceptableError, started
from talik_api.formats.csv import write_csv
from talik_api.formats.files import write_flatgeobuf, write_geopackage, write_shapefile
from talik_api.formats.geojson import feature_bytes, write_geojson
from talik_api.formats.parquet import write_parquet

__all__ = ["CRS84", "FORMATS", "Answer", "Format", "FormatError", "NotAcceptableError", "feature_bytes", "format_for"]

_EVERY = (
    Format(
        name="geojson",
        media_type="application/geo+json",
        extension=".geojson",
        title="GeoJSON",
        streams=True,
        write=started(write_geojson),
        also=("application/json", "application/vnd.geo+json"),
    ),
    Format(
        name="fgb",
        media_type="application/flatgeobuf",
        extension=".fgb",
        title="FlatGeobuf",
        streams=False,
        write=started(write_flatgeobuf),
        also=("application/vnd.flatgeobuf",),
    ),
    Format(
        name="parquet",
        media_type="application/vnd.apache.parquet",
        extension=".parquet",
        title="GeoParquet",
        streams=True,
        write=started(write_parquet),
        also=("application/x-parquet",),
    ),
    Format(
        name="gpkg",
        media_type="application/geopackage+sqlite3",
        extension=".gpkg",
        title="GeoPackage",
        streams=False,
        write=started(write_geopackage),
        also=("application/x-gpkg",),
    ),
    Format(
        name="shp",
        media_type="application/zip",
        extension=".zip",
        title="Shapefile (zip)",
        streams=False,
        write=started(write_shapefile),
        also=("application/x-shapefile",),
    ),
    Format(
        name="csv",
        media_type="text/csv",
        extension=".csv",
        title="CSV with WKT",
        streams=True,
        write=started(write_csv),
    ),
)
FORMATS: dict[str, Format] = {form.name: form for form in _EVERY}
"""Name -> format; the first one answers clients that take anything. The service adds `html`, a page."""


def format_for(f: str | None, accept: str | None, formats: Mapping[str, Format] = FORMATS) -> Format:
    """Choose the format of an answer: `f=` wins over the Accept header (RFC 9110 12.5.1), which wins over the first.

    Raises FormatError for an unknown `f`, NotAcceptableError where Accept allows none of the formats.
    """
    names = ", ".join(formats)
    if f:
        if f not in formats:
            raise FormatError(f"no format f={f!r}; there is: {names}")
        return formats[f]
    ranges = _ranges(accept or "*/*")
    # max keeps the first of equals, which is the order of the table.
    best = max(formats.values(), key=lambda form: _quality(form, ranges))
    if _quality(best, ranges) == 0:
        raise NotAcceptableError(f"no format suits Accept: {accept}; give f= one of {names}")
    return best


def _ranges(accept: str) -> dict[str, float]:
    """The media ranges of an Accept header and their qualities; what cannot be read is left out."""
    ranges: dict[str, float] = {}
    for item in accept.lower().split(","):
        media, *parameters = (part.strip() for part in item.split(";"))
        weights = [value for name, _, value in (p.partition("=") for p in parameters) if name.strip() == "q"]
        quality = _weight(weights[0]) if weights else 1.0
        if "/" in media and quality is not None:
            ranges[media] = max(quality, ranges.get(media, 0.0))
    return ranges or {"*/*": 1.0}


def _weight(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if 0 <= value <= 1 else None


def _quality(form: Format, ranges: dict[str, float]) -> float:
    """What the client gives a format: by the most exact range that names it, or by its other media types."""
    media = form.media_type
    named = next((ranges[name] for name in (media, f"{media.partition('/')[0]}/*", "*/*") if name in ranges), 0.0)
    return max(named, *(ranges.get(other, 0.0) for other in form.also), 0.0)
