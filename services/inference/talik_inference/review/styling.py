"""What QGIS shows and accepts in a sheet: value lists and ranges, colours and form widgets, inside the GeoPackage."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from xml.etree import ElementTree as Xml

from talik_stac.review_documents import STATUSES

COLOURS = {
    "confirmed": "0,170,80",
    "edited": "0,120,255",
    "rejected": "220,40,40",
    "unsure": "255,170,0",
    "": "0,213,255",
}
"""Outlines by status, red,green,blue; the empty one is not decided yet."""
READ_ONLY = ("id", "redrawn", "probability", "area_m2", "origin", "edition", "reviewer", "decision")
MEANINGS = {
    "id": "the object; leave it empty for a polygon that you draw",
    "status": "confirmed, edited (outline redrawn), rejected or unsure; empty: not decided",
    "confidence": "how sure you are, 0-1",
    "initiated_after": "the last day on which it was not there yet",
    "initiated_before": "the first day on which it was seen",
    "redrawn": "whether the outline is yours",
    "probability": "of the model, mean over the pixels, 0-1",
    "area_m2": "geodesic area as mapped, m2",
    "origin": "candidate or drawn, and where a decision came from",
    "decision": "the decision that this row was filled in from",
}
_NULL = "{2839923C-8B7D-419E-B84B-CA2FE9B80EC7}"
"""QGIS's own word for null in a value map (QgsValueMapFieldFormatter::NULL_VALUE): a status can be taken out again."""
_SHARE: dict[str, float | int | bool] = {"Min": 0.0, "Max": 1.0, "Step": 0.1, "Precision": 2, "AllowNull": True}
"""Two decimals are said: a GeoPackage has none for its numbers, and QGIS would round to 0 or 1."""
_CALENDAR: dict[str, str | bool] = {
    "display_format": "yyyy-MM-dd",
    "field_format": "yyyy-MM-dd",
    "field_iso_format": False,
    "calendar_popup": True,
    "allow_null": True,
}
_SCHEMA_EXTENSION = "http://www.geopackage.org/spec121/#extension_schema"
_TABLES = """
CREATE TABLE gpkg_data_columns (table_name TEXT NOT NULL, column_name TEXT NOT NULL, name TEXT, title TEXT,
  description TEXT, mime_type TEXT, constraint_name TEXT, CONSTRAINT pk_gdc PRIMARY KEY (table_name, column_name),
  CONSTRAINT gdc_tn UNIQUE (table_name, name));
CREATE TABLE gpkg_data_column_constraints (constraint_name TEXT NOT NULL, constraint_type TEXT NOT NULL, value TEXT,
  min NUMERIC, min_is_inclusive BOOLEAN, max NUMERIC, max_is_inclusive BOOLEAN, description TEXT,
  CONSTRAINT gdcc_ntv UNIQUE (constraint_name, constraint_type, value));
CREATE TABLE layer_styles (id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL, f_table_catalog TEXT(256),
  f_table_schema TEXT(256), f_table_name TEXT(256), f_geometry_column TEXT(256), styleName TEXT(30), styleQML TEXT,
  styleSLD TEXT, useAsDefault BOOLEAN, description TEXT, owner TEXT(30), ui TEXT(30),
  update_time DATETIME DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ','now')));
"""
"""GeoPackage 1.3, annex F.9 (schema extension); layer_styles is QGIS's own table."""


def describe_columns(path: Path, layer: str, criteria: Sequence[str]) -> None:
    """Add value lists, meanings and a style to a sheet that was just written."""
    with closing(sqlite3.connect(path)) as base, base:
        base.executescript(_TABLES)
        base.executemany(
            "INSERT INTO gpkg_extensions VALUES (?, NULL, 'gpkg_schema', ?, 'read-write')",
            [(name, _SCHEMA_EXTENSION) for name in ("gpkg_data_columns", "gpkg_data_column_constraints")],
        )
        base.executemany(
            "INSERT INTO gpkg_data_column_constraints VALUES (?, ?, ?, ?, ?, ?, ?, NULL)",
            [
                *(("review_status", "enum", status, None, None, None, None) for status in STATUSES),
                ("review_share", "range", None, 0, True, 1, True),
            ],
        )
        limits = {"status": "review_status", "confidence": "review_share"}
        base.executemany(
            "INSERT INTO gpkg_data_columns VALUES (?, ?, NULL, NULL, ?, NULL, ?)",
            [(layer, name, meaning, limits.get(name)) for name, meaning in MEANINGS.items()],
        )
        (geometry,) = base.execute(
            "SELECT column_name FROM gpkg_geometry_columns WHERE table_name = ?", (layer,)
        ).fetchone()
        base.execute(
            "INSERT INTO layer_styles (f_table_catalog, f_table_schema, f_table_name, f_geometry_column, styleName,"
            " styleQML, styleSLD, useAsDefault, description, owner) VALUES ('', '', ?, ?, 'review', ?, '', 1, ?, '')",
            (layer, geometry, style(criteria), "Talik review"),
        )
        base.execute(
            "INSERT INTO gpkg_contents (table_name, data_type, identifier) VALUES ('layer_styles', 'attributes', ?)",
            ("layer_styles",),
        )


def style(criteria: Sequence[str]) -> str:
    """Return the layer's style in QGIS's QML: outlines coloured by status, widgets for what is filled in."""
    root = Xml.Element("qgis", version="3.34", styleCategories="Symbology|Fields|Forms")
    renderer = Xml.SubElement(root, "renderer-v2", {"type": "categorizedSymbol", "attr": "status"})
    categories, symbols = Xml.SubElement(renderer, "categories"), Xml.SubElement(renderer, "symbols")
    for number, (status, colour) in enumerate(COLOURS.items()):
        said = {"value": status, "label": status or "not decided", "symbol": str(number), "render": "true"}
        Xml.SubElement(categories, "category", said)
        _symbol(symbols, str(number), colour)
    fields = Xml.SubElement(root, "fieldConfiguration")
    _widget(fields, "fid", "Hidden", _options({}))
    _widget(fields, "status", "ValueMap", _value_map())
    for name in criteria:
        # Three states: what was not answered is not a no. QGIS 3.22 knows two, and saves what is not ticked as no.
        _widget(fields, name, "CheckBox", _options({"AllowNullState": True}))
    _widget(fields, "confidence", "Range", _options(_SHARE))
    # One line: where there are several, QGIS writes the word NULL into the field, and what is typed stands behind it.
    _widget(fields, "comment", "TextEdit", _options({"IsMultiline": False}))
    for name in ("initiated_after", "initiated_before"):
        _widget(fields, name, "DateTime", _options(_CALENDAR))
    editable = Xml.SubElement(root, "editable")
    for name in READ_ONLY:
        Xml.SubElement(editable, "field", {"name": name, "editable": "0"})
    text: str = Xml.tostring(root, encoding="unicode")
    return "<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>\n" + text


def _symbol(parent: Xml.Element, name: str, colour: str) -> None:
    symbol = Xml.SubElement(parent, "symbol", {"type": "fill", "name": name, "alpha": "1"})
    layer = Xml.SubElement(symbol, "layer", {"class": "SimpleFill", "enabled": "1"})
    look = {"style": "no", "outline_color": f"{colour},255", "outline_style": "solid", "outline_width": "0.6"}
    layer.append(_options(look))


def _widget(parent: Xml.Element, name: str, kind: str, options: Xml.Element) -> None:
    widget = Xml.SubElement(Xml.SubElement(parent, "field", {"name": name}), "editWidget", {"type": kind})
    Xml.SubElement(widget, "config").append(options)


def _value_map() -> Xml.Element:
    options = Xml.Element("Option", {"type": "Map"})
    values = Xml.SubElement(options, "Option", {"type": "List", "name": "map"})
    for said, value in (("not decided", _NULL), *((status, status) for status in STATUSES)):
        one = Xml.SubElement(values, "Option", {"type": "Map"})
        Xml.SubElement(one, "Option", {"type": "QString", "name": said, "value": value})
    return options


def _options(values: Mapping[str, str | float | int | bool]) -> Xml.Element:
    options = Xml.Element("Option", {"type": "Map"})
    for name, value in values.items():
        kind = {bool: "bool", int: "int", float: "double", str: "QString"}[type(value)]
        shown = str(value).lower() if isinstance(value, bool) else str(value)
        Xml.SubElement(options, "Option", {"type": kind, "name": name, "value": shown})
    return options
