"""What changed between two editions: which objects are new, gone, grown, shrunk, split, merged or unchanged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import geopandas
import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray

from talik_stac.editions import Edition, load_edition, read_geo, read_observed
from talik_stac.errors import EditionError, MissingKeyError
from talik_stac.matching import overlapping
from talik_stac.store import Store

Change = Literal["new", "gone", "grown", "shrunk", "unchanged", "split", "merged", "reorganised", "unobserved"]
CHANGES: tuple[Change, ...] = get_args(Change)
"""reorganised: several became several others. unobserved: in one edition only, and the other did not see its place."""
COLUMNS = ("change", "ids_a", "ids_b", "area_a_m2", "area_b_m2", "change_m2", "change_percent", "on_edge", "geometry")
SEEN_SHARE = 0.5
"""An object whose place the other edition saw less of than this share is neither new nor gone."""


@dataclass(frozen=True, kw_only=True)
class Summary:
    """All groups of one class."""

    change: Change
    groups: int
    """Their count: a lake that split in three counts once."""
    area_a_m2: float
    area_b_m2: float


@dataclass(frozen=True, kw_only=True)
class Changes:
    """The difference of two editions."""

    a: Edition
    b: Edition
    table: geopandas.GeoDataFrame
    """One row a group of objects that overlap: change, ids_a, ids_b (comma-joined), area_a_m2, area_b_m2, change_m2,
    change_percent (of a; null where a is nothing), on_edge (an object may go on beyond the area or what was seen),
    geometry (of b, or of a where b has none), OGC:CRS84. Rows lie in the order of a, then of b where a has none."""

    def summary(self) -> list[Summary]:
        """Counts and areas by class, in the order of CHANGES; every area of both editions is in one class."""
        return [self._of(change) for change in CHANGES]

    def _of(self, change: Change) -> Summary:
        rows = self.table[self.table["change"] == change]
        return Summary(
            change=change,
            groups=len(rows),
            area_a_m2=float(rows["area_a_m2"].sum()),
            area_b_m2=float(rows["area_b_m2"].sum()),
        )


def diff(store: Store, a_id: str, b_id: str, *, tolerance_percent: float = 5.0, any_area: bool = False) -> Changes:
    """Compare two editions of one landform and area, the earlier first.

    Objects belong together where they share a tenth of the smaller (`matching.overlapping`). One to one they are
    unchanged where the areas differ by no more than `tolerance_percent` of the larger, so that the difference of b and
    a mirrors that of a and b. Raises EditionError where the landforms differ, or the areas unless `any_area`.
    """
    a, b = comparable(store, a_id, b_id, tolerance_percent=tolerance_percent, any_area=any_area)
    return between(store, a, b, read_geo(store, a), read_geo(store, b), tolerance_percent=tolerance_percent)


def comparable(
    store: Store, a_id: str, b_id: str, *, tolerance_percent: float, any_area: bool
) -> tuple[Edition, Edition]:
    """Return the two editions where comparing them means something. Raises EditionError."""
    if not 0 <= tolerance_percent <= 100:
        raise EditionError(f"a tolerance of {tolerance_percent:g} percent; expected 0 to 100 percent of the area")
    a, b = load_edition(store, a_id), load_edition(store, b_id)
    if a.landform != b.landform:
        raise EditionError(f"{a.id} holds {a.landform}, {b.id} holds {b.landform}: compare editions of one landform")
    if a.area != b.area and not any_area:
        raise EditionError(
            f"{a.id} covers area '{a.area}', {b.id} covers '{b.area}': objects of one only would seem new or gone; "
            "give --any-area to compare them all the same"
        )
    return a, b


def between(
    store: Store,
    a: Edition,
    b: Edition,
    frame_a: geopandas.GeoDataFrame,
    frame_b: geopandas.GeoDataFrame,
    *,
    tolerance_percent: float,
) -> Changes:
    """Compare rows of two editions, all or those of a place."""
    seen_a = _seen(frame_a, _observed(store, b))
    seen_b = _seen(frame_b, _observed(store, a))
    return Changes(a=a, b=b, table=compare(frame_a, frame_b, seen_a, seen_b, tolerance_percent=tolerance_percent))


def compare(
    a: geopandas.GeoDataFrame,
    b: geopandas.GeoDataFrame,
    seen_a: NDArray[np.bool_],
    seen_b: NDArray[np.bool_],
    *,
    tolerance_percent: float,
) -> geopandas.GeoDataFrame:
    """Compare two inventories; `seen_a` (object of a) says whether b saw its place. Returns `Changes.table`."""
    group_a, group_b, count = _groups(a.geometry.to_numpy(), b.geometry.to_numpy())
    one, other = _Side.of(a, group_a, seen_a, count), _Side.of(b, group_b, seen_b, count)
    difference = other.area_m2 - one.area_m2
    percent = np.full(count, np.nan)
    np.divide(100 * difference, one.area_m2, out=percent, where=one.count > 0)
    table = {
        "change": _classes(one, other, tolerance_percent),
        "ids_a": one.ids,
        "ids_b": other.ids,
        "area_a_m2": one.area_m2,
        "area_b_m2": other.area_m2,
        "change_m2": difference,
        "change_percent": percent,
        "on_edge": one.on_edge | other.on_edge,
        "geometry": np.where(other.count > 0, other.geometry, one.geometry),
    }
    return geopandas.GeoDataFrame(table, columns=list(COLUMNS), geometry="geometry", crs="OGC:CRS84")


@dataclass(frozen=True, kw_only=True)
class _Side:
    """What one inventory brings to each group: arrays (group,)."""

    count: NDArray[np.int64]
    area_m2: NDArray[np.float64]
    ids: NDArray[np.object_]
    on_edge: NDArray[np.bool_]
    seen: NDArray[np.bool_]
    """The other edition saw the places of all its objects."""
    geometry: NDArray[np.object_]
    """The union, None where it brings nothing."""

    @staticmethod
    def of(frame: geopandas.GeoDataFrame, group: NDArray[np.int64], seen: NDArray[np.bool_], groups: int) -> _Side:
        edge = (frame["on_aoi_edge"] | frame["on_data_edge"]).to_numpy(dtype=bool)
        ids = np.full(groups, "", dtype=object)
        joined = pd.Series(frame["id"].to_numpy(), dtype=object).groupby(group).agg(",".join)
        ids[joined.index.to_numpy(dtype=np.int64)] = joined.to_numpy()
        return _Side(
            count=np.bincount(group, minlength=groups),
            area_m2=np.bincount(group, weights=frame["area_m2"].to_numpy(), minlength=groups).astype(np.float64),
            ids=ids,
            on_edge=np.bincount(group, weights=edge, minlength=groups) > 0,
            seen=np.bincount(group, weights=~seen, minlength=groups) == 0,
            geometry=_unions(frame.geometry.to_numpy(), group, groups),
        )


def _unions(geometry: NDArray[np.object_], group: NDArray[np.int64], groups: int) -> NDArray[np.object_]:
    """Unite the polygons of each group; most have one, which stays as it is."""
    united = np.full(groups, None, dtype=object)
    united[group] = geometry
    order = np.argsort(group, kind="stable")
    starts = np.flatnonzero(np.diff(group[order], prepend=-1))
    for members in np.split(order, starts[1:]) if len(order) else []:
        if len(members) > 1:
            united[group[members[0]]] = shapely.union_all(geometry[members])
    return united


def _groups(a: NDArray[np.object_], b: NDArray[np.object_]) -> tuple[NDArray[np.int64], NDArray[np.int64], int]:
    """Number the connected groups of overlapping objects: the group of each of a, of each of b, and their count."""
    pairs = overlapping(a, b)
    parent = list(range(len(a) + len(b)))

    def root(node: int) -> int:
        while parent[node] != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    for i, j in zip(pairs.a.tolist(), pairs.b.tolist(), strict=True):
        one, other = sorted((root(i), root(len(a) + j)))
        parent[other] = one  # the first object of a group is its root: groups lie in the order of a, then of b
    roots = np.array([root(node) for node in range(len(parent))], dtype=np.int64)
    first, number = np.unique(roots, return_inverse=True)
    return number[: len(a)], number[len(a) :], len(first)


def _classes(a: _Side, b: _Side, tolerance_percent: float) -> NDArray[np.object_]:
    """Give each group its class; the first rule that holds decides."""
    only_a, only_b = b.count == 0, a.count == 0
    one_to_one = (a.count == 1) & (b.count == 1)
    alike = np.abs(b.area_m2 - a.area_m2) <= tolerance_percent / 100 * np.maximum(a.area_m2, b.area_m2)
    rules: list[tuple[NDArray[np.bool_], Change]] = [
        ((only_a & ~a.seen) | (only_b & ~b.seen), "unobserved"),
        (only_a, "gone"),
        (only_b, "new"),
        (one_to_one & alike, "unchanged"),
        (one_to_one & (b.area_m2 > a.area_m2), "grown"),
        (one_to_one, "shrunk"),
        (a.count == 1, "split"),
        (b.count == 1, "merged"),
    ]
    chosen = np.select([rule for rule, _ in rules], [change for _, change in rules], default="reorganised")
    classes: NDArray[np.object_] = chosen.astype(object)
    return classes


def _observed(store: Store, edition: Edition) -> geopandas.GeoDataFrame | None:
    try:
        return read_observed(store, edition)
    except MissingKeyError:
        return None


def _seen(frame: geopandas.GeoDataFrame, ground: geopandas.GeoDataFrame | None) -> NDArray[np.bool_]:
    """Whether observed ground holds at least SEEN_SHARE of each object; all of them where nothing says what was."""
    polygons = frame.geometry.to_numpy()
    if ground is None or not len(polygons):
        return np.ones(len(polygons), dtype=bool)
    tiles, seen = ground.geometry.to_numpy(), np.zeros(len(polygons))
    area = shapely.area(polygons)
    tree = shapely.STRtree(tiles)
    # Most objects lie wholly in one tile, which a prepared tile says at once; an intersection walks its whole outline
    # (6 ms each where clouds gave it 100,000 vertices).
    whole, _ = tree.query(polygons, predicate="covered_by")
    seen[whole] = area[whole]
    rest = np.setdiff1d(np.arange(len(polygons)), whole)
    i, j = tree.query(polygons[rest], predicate="intersects")
    np.add.at(seen, rest[i], shapely.area(shapely.intersection(polygons[rest[i]], tiles[j])))
    # An area in degrees is a true share: over one object the scale hardly changes.
    enough: NDArray[np.bool_] = seen >= SEEN_SHARE * area
    return enough
