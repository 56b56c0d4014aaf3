"""A training recipe for a round: the user's own, with all that experts decided as one more source."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import geopandas
from shapely.geometry.base import BaseGeometry

from talik_stac.errors import RecipeError
from talik_training.rounds.kept import write_whole
from talik_training.sources.base import expand

POLYGONS, RECIPE = "decided.gpkg", "recipe.toml"
PATHS = ("images", "labels", "folder", "polygons", "store")
"""Keys of a [[source]] that start at the recipe's folder; a round's recipe lies elsewhere."""


@dataclass(frozen=True, kw_only=True)
class Label:
    """One outline that a round learns from."""

    outline: BaseGeometry
    """Lon/lat."""
    status: str
    """confirmed, rejected, or candidate: unknown."""


@dataclass(frozen=True, kw_only=True)
class Taught:
    """What a round learns, and from which imagery."""

    recipe: Path
    """The user's."""
    number: int
    labels: Sequence[Label]
    store: str
    collection: str
    start: date
    end: date
    bands: tuple[str, ...]


def write_round_recipe(taught: Taught, folder: Path) -> Path:
    """Write recipe.toml, and decided.gpkg where anything was decided. Raises RecipeError."""
    table = _absolute(tomllib.loads(taught.recipe.read_text(encoding="utf-8")), taught.recipe.parent)
    # Each round is another model in the store.
    table["model"] = {**table["model"], "version": f"{table['model']['version']}-round-{taught.number}"}
    if any(label.status != "candidate" for label in taught.labels):
        table["source"] = [*table["source"], _source(taught, folder)]
    path = folder / RECIPE
    write_whole(path, as_toml(table))
    return path


def as_toml(table: Mapping[str, Any]) -> str:
    """Text of tables, arrays of tables and plain values; what it is read back to is equal."""
    plain = {key: value for key, value in table.items() if not isinstance(value, dict) and not _tables(value)}
    lines = [f"{_key(key)} = {_value(value)}" for key, value in plain.items()]
    for key, value in table.items():
        if key in plain:
            continue
        for one in value if _tables(value) else [value]:
            lines += ["", f"[[{_key(key)}]]" if _tables(value) else f"[{_key(key)}]"]
            lines += [f"{_key(name)} = {_value(each)}" for name, each in one.items()]
    return "\n".join([*lines, ""])


def _source(taught: Taught, folder: Path) -> dict[str, Any]:
    """The [[source]] of all that was decided; its polygons are written."""
    frame = geopandas.GeoDataFrame(
        {"status": [label.status for label in taught.labels]},
        geometry=[label.outline for label in taught.labels],
        crs="OGC:CRS84",
    )
    path = folder / POLYGONS
    path.unlink(missing_ok=True)
    frame.to_file(path, driver="GPKG", layer="decided")
    return {
        "kind": "polygons",
        "name": f"decided before round {taught.number}",
        "polygons": str(path.resolve()),
        "store": _whole(taught.store, Path()),
        "collection": taught.collection,
        "start": taught.start,
        "end": taught.end,
        "bands": list(taught.bands),
    }


def _absolute(table: dict[str, Any], folder: Path) -> dict[str, Any]:
    sources = [
        {key: _whole(value, folder) if key in PATHS else value for key, value in source.items()}
        for source in table["source"]
    ]
    return {**table, "source": sources}


def _whole(path: str, folder: Path) -> str:
    return path if "://" in path else str(expand(path, folder).absolute())


def _tables(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(each, dict) for each in value)


def _key(name: str) -> str:
    return name if name.replace("_", "").replace("-", "").isalnum() and name.isascii() else _text(name)


def _text(value: str) -> str:
    """A basic string. TOML has no surrogate pairs, and JSON leaves DEL as it is."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _value(value: object) -> str:
    """One value; inline tables and arrays included. Raises RecipeError for what TOML does not have."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, list):
        return f"[{', '.join(_value(each) for each in value)}]"
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{_key(key)} = {_value(each)}' for key, each in value.items())} }}"
    raise RecipeError(f"{value!r} of {type(value).__name__} in a recipe; expected text, numbers, lists or tables")
