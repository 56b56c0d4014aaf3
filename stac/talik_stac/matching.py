"""Which object of one inventory is which of another: by overlap, so that ids stay with their objects."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import shapely
from numpy.typing import NDArray

from talik_stac.inventory import fresh_id

MIN_SHARE = 0.1
"""Overlap as a share of the smaller object below which two objects only touch: dates of real series lie up to a
pixel apart."""


@dataclass(frozen=True, kw_only=True)
class Pairs:
    """Overlapping objects of two inventories: parallel arrays."""

    a: NDArray[np.int64]
    b: NDArray[np.int64]
    """Indices into the two inventories."""
    overlap: NDArray[np.float64]
    """Area in common: degrees squared times cos(latitude), comparable between neighbours only."""


def overlapping(a: NDArray[np.object_], b: NDArray[np.object_]) -> Pairs:
    """Find the pairs of polygons (lon/lat) that share at least MIN_SHARE of the smaller."""
    if not (len(a) and len(b)):
        return Pairs(a=np.empty(0, np.int64), b=np.empty(0, np.int64), overlap=np.empty(0))
    i, j = shapely.STRtree(b).query(a, predicate="intersects")
    common = shapely.area(shapely.intersection(a[i], b[j]))
    enough = common >= MIN_SHARE * np.minimum(shapely.area(a)[i], shapely.area(b)[j])
    enough &= common > 0
    i, j = i[enough], j[enough]
    latitude = np.radians(shapely.bounds(a[i])[:, 1]) if len(i) else np.empty(0)
    return Pairs(a=i, b=j, overlap=common[enough] * np.cos(latitude))


def carried_ids(new: Iterable[pa.Table], previous: pa.Table) -> dict[str, str]:
    """Give new objects the ids that they bore before: fresh id -> previous id.

    `new` are tables of the inventory in any chunks, `previous` the table of the edition before (id, geometry).
    The largest overlaps choose first; each id goes to one object. So the largest part of a split keeps the id, and a
    merged object bears the id of the predecessor that it overlaps most. An object that carries nothing, but has the
    very shape from which an id of the edition before was once made (a lake grew, then split again), gets another.
    """
    before = shapely.from_wkb(previous["geometry"].to_numpy(zero_copy_only=False))
    before_ids = previous["id"].to_pylist()
    known = set(before_ids)
    borne: list[str] = []
    claims: list[tuple[float, str, str]] = []
    for table in new:
        ids = table["id"].to_pylist()
        borne += [name for name in ids if name in known]
        pairs = overlapping(shapely.from_wkb(table["geometry"].to_numpy(zero_copy_only=False)), before)
        claims += [
            (-float(overlap), ids[i], before_ids[j])
            for i, j, overlap in zip(pairs.a, pairs.b, pairs.overlap, strict=True)
        ]
    given: dict[str, str] = {}
    taken: set[str] = set()
    for _, fresh, old in sorted(claims):
        if fresh not in given and old not in taken:
            given[fresh] = old
            taken.add(old)
    given.update({fresh: _another(fresh, known) for fresh in borne if fresh not in given})
    return given


def _another(name: str, known: set[str]) -> str:
    """A fresh id made from an id that another object bears."""
    while name in known:
        name = fresh_id(name.rpartition("-")[0], name.encode())
    return name
