"""Ids of the collections of the STAC API: imagery keeps its name, the editions of `water` are `inventories-water`.

The rule is the same whatever a store holds, so that no id changes when a collection comes: an imagery collection
whose name looks like one of editions (`inventories-x`, `imagery-inventories-x`) gets one more `imagery-` before it.
"""

from __future__ import annotations

import re

_EDITIONS = "inventories-"
_IMAGERY = "imagery-"
_LOOKS_LIKE_EDITIONS = re.compile(r"(imagery-)*inventories-")


def imagery_id(name: str) -> str:
    """The id of an imagery collection of the store's index."""
    return f"{_IMAGERY}{name}" if _LOOKS_LIKE_EDITIONS.match(name) else name


def editions_id(landform: str) -> str:
    """The id of the collection of a landform's editions."""
    return f"{_EDITIONS}{landform}"


def imagery_name(collection: str) -> str | None:
    """The name in the index, None where the id is not one of imagery."""
    if collection.startswith(_EDITIONS):
        return None
    return collection.removeprefix(_IMAGERY) if _LOOKS_LIKE_EDITIONS.match(collection) else collection


def landform_of(collection: str) -> str | None:
    """The landform, None where the id is not one of editions."""
    return collection.removeprefix(_EDITIONS) if collection.startswith(_EDITIONS) else None
