"""What changed between two editions: which objects are new, gone, grown, shrunk, split, merged or unchanged."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, get_args

import geopandas
import numpy as np
import shapely
from numpy.typing import NDArray

from talik_stac.editions import Edition, load_edition, read_geo, read_observed
from talik_stac.errors import EditionError
from talik_stac.matching import overlapping
from talik_stac.store import Store

Change = Literal["new", "gone", "grown", "shrunk", "unchanged", "split", "merged", "reorganised", "unobserved"]
CHANGES: tuple[Change, ...] = get_args(Change)
"""reorganised: several became several others. unobserved: in one edition only, and the other did not see its place."""
SEEN_SHARE = 0.5
"""An object whose place the other edition saw less of than this share is neither new nor gone."""


@dataclass(frozen=True, kw_only=True)
class Summary:
    """All groups of one class."""

    change: Change
    groups: int
    area_a_m2: float
    area_b_m2: float


@dataclass(frozen=True, kw_only=True)
class Changes:
    """The difference of two editions."""

    a: Edition
    b: Edition
    table: geopandas.GeoDataFrame
    """One row a group of objects that overlap: change, ids_a, ids_b (comma-joined), area_a_m2, area_b_m2, change_m2,
    change_percent (null where a is nothing), on_edge (part of an object may lie beyond the area or what was seen),
    geometry (of b, or of a where b has none), OGC:CRS84."""

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
    unchanged where the areas differ by no more than `tolerance_percent` of the larger. Raises EditionError where the
    landforms differ, or the areas unless `any_area`.
    """
    a, b = load_edition(store, a_id), load_edition(store, b_id)
    if a.landform != b.landform:
        raise EditionError(f"{a.id} holds {a.landform}, {b.id} holds {b.landform}: they cannot be compared")
    if a.area != b.area and not any_area:
        raise EditionError(
            f"{a.id} covers area '{a.area}', {b.id} covers '{b.area}': objects of one only would seem new or gone; "
            "give --any-area to compare them all the same"
        )
    frame_a, frame_b = read_geo(store, a), read_geo(store, b)
    seen_a = _share_seen(frame_a, read_observed(store, b)) >= SEEN_SHARE
    seen_b = _share_seen(frame_b, read_observed(store, a)) >= SEEN_SHARE
    rows = [
        _row(frame_a.iloc[i], frame_b.iloc[j], bool(seen_a[i].all() and seen_b[j].all()), tolerance_percent)
        for i, j in _groups(frame_a.geometry.to_numpy(), frame_b.geometry.to_numpy())
    ]
    columns = ["change", "ids_a", "ids_b", "area_a_m2", "area_b_m2", "change_m2", "change_percent", "on_edge"]
    table = geopandas.GeoDataFrame(rows, columns=[*columns, "geometry"], geometry="geometry", crs="OGC:CRS84")
    return Changes(a=a, b=b, table=table)


def _groups(a: NDArray[np.object_], b: NDArray[np.object_]) -> Iterator[tuple[list[int], list[int]]]:
    """Yield the connected groups of overlapping objects, as indices into both; loners too."""
    pairs = overlapping(a, b)
    parent = list(range(len(a) + len(b)))

    def root(node: int) -> int:
        while parent[node] != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    for i, j in zip(pairs.a.tolist(), pairs.b.tolist(), strict=True):
        parent[root(i)] = root(len(a) + j)
    members: dict[int, tuple[list[int], list[int]]] = {}
    for node in range(len(parent)):
        group = members.setdefault(root(node), ([], []))
        group[node >= len(a)].append(node if node < len(a) else node - len(a))
    yield from members.values()


def _row(
    a: geopandas.GeoDataFrame, b: geopandas.GeoDataFrame, seen: bool, tolerance_percent: float
) -> dict[str, object]:
    area_a, area_b = float(a["area_m2"].sum()), float(b["area_m2"].sum())
    shown = b if len(b) else a
    return {
        "change": _classify(len(a), len(b), area_a, area_b, seen, tolerance_percent),
        "ids_a": ",".join(a["id"]),
        "ids_b": ",".join(b["id"]),
        "area_a_m2": area_a,
        "area_b_m2": area_b,
        "change_m2": area_b - area_a,
        "change_percent": 100 * (area_b - area_a) / area_a if len(a) else None,
        "on_edge": any(bool(frame[flag].any()) for frame in (a, b) for flag in ("on_aoi_edge", "on_data_edge")),
        "geometry": shapely.union_all(shown.geometry.to_numpy()),
    }


def _classify(count_a: int, count_b: int, area_a: float, area_b: float, seen: bool, tolerance_percent: float) -> Change:
    if not count_a or not count_b:
        return "unobserved" if not seen else "gone" if count_a else "new"
    if count_a == 1 and count_b == 1:
        if abs(area_b - area_a) <= tolerance_percent / 100 * max(area_a, area_b):
            return "unchanged"
        return "grown" if area_b > area_a else "shrunk"
    if count_a == 1:
        return "split"
    return "merged" if count_b == 1 else "reorganised"


def _share_seen(frame: geopandas.GeoDataFrame, observed: geopandas.GeoDataFrame) -> NDArray[np.float64]:
    """The share of each object's area that lies on observed ground."""
    polygons, ground = frame.geometry.to_numpy(), observed.geometry.to_numpy()
    seen = np.zeros(len(polygons))
    if len(polygons) and len(ground):
        i, j = shapely.STRtree(ground).query(polygons, predicate="intersects")
        np.add.at(seen, i, shapely.area(shapely.intersection(polygons[i], ground[j])))
    share: NDArray[np.float64] = seen / shapely.area(polygons) if len(polygons) else seen
    return share
