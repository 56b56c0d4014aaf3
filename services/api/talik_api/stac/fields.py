"""Which members of items an answer holds (STAC API Fields Extension).

`include` alone adds to what makes an item valid; `exclude` alone takes away from the whole item, as clients expect
and other services do; both: what is included and not excluded. Names may leave out `properties.`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from talik_api.problems import Problem

DEFAULT = (
    *("type", "stac_version", "id", "collection", "geometry", "bbox", "links", "assets"),
    *("properties.datetime", "properties.start_datetime", "properties.end_datetime"),
)
_ALWAYS = ("type", "id", "collection")
_TOP = frozenset([*DEFAULT[:8], "properties", "stac_extensions"])
_MOST = 200
Path = tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Fields:
    """Paths into an item, such as ("properties", "eo:cloud_cover")."""

    include: frozenset[Path] | None
    """None: everything."""
    exclude: frozenset[Path]

    def of(self, item: dict[str, Any]) -> dict[str, Any]:
        """The wanted part of an item."""
        found: dict[str, Any] = item if self.include is None else _picked(item, self.include)
        return _without(found, self.exclude)


def fields_of(include: Sequence[str], exclude: Sequence[str]) -> Fields:
    """Read both lists. Raises Problem 400 where they are very long."""
    if len(include) + len(exclude) > _MOST:
        raise Problem(400, "The fields are not valid", f"more than {_MOST} fields are named; leave `fields` out")
    names = list(include) if include and exclude else [*DEFAULT, *include]
    return Fields(
        include=None if exclude and not include else frozenset(map(_path, [*names, *_ALWAYS])),
        exclude=frozenset(map(_path, exclude)) - {(name,) for name in _ALWAYS},
    )


def fields_of_text(text: str) -> Fields:
    """Read `fields` of a URL: id,+properties,-geometry."""
    names = [part.strip() for part in text.split(",") if part.strip()]
    # In a URL '+' stands for a blank, which is stripped above.
    return fields_of(
        [name.removeprefix("+") for name in names if not name.startswith("-")],
        [name[1:] for name in names if name.startswith("-")],
    )


def _path(name: str) -> Path:
    """Properties may hold dots, so nothing below them is split; assets.red.href is."""
    first, _, rest = name.partition(".")
    if first == "properties":
        return (first, rest) if rest else (first,)
    if first in _TOP:
        return (first, *rest.split(".")) if rest else (first,)
    return ("properties", name)


def _picked(item: Mapping[str, Any], paths: Iterable[Path]) -> dict[str, Any]:
    """Keep the paths, in the order of the item."""
    below: dict[str, set[Path]] = {}
    for path in paths:
        below.setdefault(path[0], set()).add(path[1:])
    return {
        name: value if () in below[name] or not isinstance(value, Mapping) else _picked(value, below[name])
        for name, value in item.items()
        if name in below
    }


def _without(item: Mapping[str, Any], paths: Iterable[Path]) -> dict[str, Any]:
    below: dict[str, set[Path]] = {}
    for path in paths:
        below.setdefault(path[0], set()).add(path[1:])
    return {
        name: _without(value, below[name]) if name in below and isinstance(value, Mapping) else value
        for name, value in item.items()
        if () not in below.get(name, ())
    }
