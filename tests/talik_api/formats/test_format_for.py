"""Which format a client gets."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from talik_api.formats import FORMATS, FormatError, NotAcceptableError, format_for

HTML = replace(FORMATS["csv"], name="html", media_type="text/html", also=())
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"


@pytest.mark.parametrize(
    ("accept", "name"),
    [
        (None, "geojson"),
        ("", "geojson"),
        ("*/*", "geojson"),
        ("application/geo+json", "geojson"),
        ("application/json", "geojson"),
        ("APPLICATION/JSON; charset=utf-8", "geojson"),
        ("application/flatgeobuf", "fgb"),
        ("application/vnd.apache.parquet", "parquet"),
        ("application/geopackage+sqlite3", "gpkg"),
        ("application/zip", "shp"),
        ("text/csv", "csv"),
        ("text/*", "csv"),
        ("text/csv;q=0.5, application/flatgeobuf;q=0.9", "fgb"),
        ("text/csv;q=0.5, */*;q=0.4", "csv"),
        ("application/geo+json;q=0, */*;q=0.1", "fgb"),
        ("text/csv;q=nonsense, application/zip;q=0.1", "shp"),
        ("nonsense", "geojson"),
        (BROWSER, "geojson"),
    ],
)
def test_the_accept_header_chooses(accept: str | None, name: str) -> None:
    assert format_for(None, accept).name == name


def test_a_browser_gets_the_page_where_there_is_one_and_curl_does_not() -> None:
    formats = {**FORMATS, "html": HTML}
    assert format_for(None, BROWSER, formats).name == "html"
    assert format_for(None, "*/*", formats).name == "geojson"
    assert format_for("html", None, formats).name == "html"


def test_f_wins_over_accept() -> None:
    assert format_for("csv", "application/geo+json").name == "csv"


def test_an_unknown_f_is_told_what_there_is() -> None:
    with pytest.raises(FormatError, match=r"f='kml'; there is: geojson, fgb, parquet, gpkg, shp, csv"):
        format_for("kml", None)


@pytest.mark.parametrize("accept", ["image/png", "application/geo+json;q=0", "*/*;q=0", "text/html"])
def test_what_nobody_can_make_is_refused(accept: str) -> None:
    with pytest.raises(NotAcceptableError, match=re.escape(accept)):
        format_for(None, accept)


def test_every_format_says_what_it_is() -> None:
    assert {name: (form.media_type, form.extension) for name, form in FORMATS.items()} == {
        "geojson": ("application/geo+json", ".geojson"),
        "fgb": ("application/flatgeobuf", ".fgb"),
        "parquet": ("application/vnd.apache.parquet", ".parquet"),
        "gpkg": ("application/geopackage+sqlite3", ".gpkg"),
        "shp": ("application/zip", ".zip"),
        "csv": ("text/csv", ".csv"),
    }
    assert all(form.name == name and form.title for name, form in FORMATS.items())
