"""Zones: each CRS that holds imagery gets its own lattice and its own share of the ground.

Every place belongs to one zone: of the CRSs whose scenes cover the place, the one whose central meridian is
nearest (the rule of UTM itself); so no place is mapped twice and none is left out, whatever the area asked for.
Near a border both zones map a little too far; their polygons are cut at the border and joined as vectors.
"""

from __future__ import annotations

import logging
import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import shapely
from pyproj import CRS
from shapely.geometry.base import BaseGeometry

from talik_inference.grid import Lattice, lattice_of
from talik_stac.errors import ImageryError, RecipeError
from talik_stac.scenes import Scene

MAX_SOURCES = 63
"""Scenes that one place can name; of more, the best are kept. A pixel's source set is one bit each in a uint64."""
SEAM_SOURCE = np.uint64(1 << MAX_SOURCES)
"""The 64th bit: the pixel lies on the seam to another zone."""
SEAM_PX = 4
"""How far a zone maps past its border, in pixels at 84 degrees of latitude (more pixels further south)."""


_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Zone:
    """One lattice and the ground that it maps."""

    lattice: Lattice
    scenes: tuple[Scene, ...]
    """Those that lie in this CRS, best first."""
    bits: tuple[int, ...]
    """The bit of each scene in a source set: scenes that overlap never share one."""
    territory: BaseGeometry
    """lon/lat: the ground that belongs to this zone, before the area of interest is cut out."""
    mapped: BaseGeometry
    """lon/lat: area of interest within the territory and a little past its borders with other zones."""
    seam: BaseGeometry | None
    """lon/lat: the strip along the borders with other zones; None where there are none."""
    beyond: BaseGeometry | None
    """lon/lat: the part of the area that other zones map alone; None where there is none."""


def zones_of(
    scenes: Sequence[Scene],
    area: BaseGeometry,
    *,
    resolution: float | None = None,
    season: Sequence[Scene] = (),
) -> list[Zone]:
    """Group scenes by CRS and divide the ground between the groups.

    `area` is lon/lat. `resolution` None takes the imagery's own, which must then be one. `season` are all scenes
    of the season, near or far: they choose each CRS's lattice, so that the area has no say in it.
    Raises ImageryError where scenes mix pixel sizes or have no usable grid.
    """
    by_crs: dict[str, list[Scene]] = defaultdict(list)
    lattices: dict[str, set[Lattice]] = defaultdict(set)
    for scene in scenes:
        lattice = native_lattice(scene)
        by_crs[lattice.crs].append(scene)
        lattices[lattice.crs].add(lattice)
    for scene in season:
        lattice = native_lattice(scene)
        if lattice.crs in by_crs:
            lattices[lattice.crs].add(lattice)
    chosen = {crs: _common_lattice(found, resolution) for crs, found in lattices.items()}
    sizes = {lattice.resolution for lattice in chosen.values()}
    if len(sizes) > 1:
        raise ImageryError(f"scenes of different pixel sizes {sorted(sizes)}; give --resolution")
    coverage = {crs: shapely.union_all([s.footprint for s in group]) for crs, group in sorted(by_crs.items())}
    territories = _territories(coverage)
    return [
        _zone(chosen[crs], by_crs[crs], territories, crs, area)
        for crs in sorted(by_crs)
        if territories[crs].intersects(area)
    ]


def native_lattice(scene: Scene) -> Lattice:
    """The lattice of the scene's finest band. Raises ImageryError where there is none."""
    found = [lattice_of(band.grid) for band in scene.bands.values() if band.grid is not None]
    usable = [lattice for lattice in found if lattice is not None]
    if not usable:
        raise ImageryError(
            f"scene {scene.id}: no band states a north-up grid of square pixels "
            "(proj:code, proj:transform, proj:shape); index the files with `talik index`"
        )
    return min(usable, key=lambda lattice: lattice.resolution)


def best_first(scenes: Sequence[Scene]) -> tuple[Scene, ...]:
    """Order by cloud cover as the catalogue says (unknown last), then date, then id."""
    return tuple(
        sorted(
            scenes,
            key=lambda s: (math.inf if s.cloud_cover is None else s.cloud_cover, s.datetime, s.id),
        )
    )


def number_sources(scenes: Sequence[Scene]) -> tuple[tuple[Scene, ...], tuple[int, ...]]:
    """Give each scene (best first) the lowest bit that no better scene over the same ground has.

    Scenes that find all bits taken are left out: better ones cover their ground 63 times. Returns those kept
    and their bits.
    """
    if len(scenes) <= MAX_SOURCES:
        return tuple(scenes), tuple(range(len(scenes)))
    tree = shapely.STRtree([scene.footprint for scene in scenes])
    bits: list[int | None] = []
    for number, scene in enumerate(scenes):
        near = tree.query(scene.footprint, predicate="intersects")
        taken = {bits[i] for i in near if i < number}
        bits.append(next((b for b in range(MAX_SOURCES) if b not in taken), None))
    kept = [(scene, bit) for scene, bit in zip(scenes, bits, strict=True) if bit is not None]
    if len(kept) < len(scenes):
        _log.warning(
            "%d of %d scenes left out: %d better ones lie over the same ground",
            len(scenes) - len(kept),
            len(scenes),
            MAX_SOURCES,
        )
    return tuple(scene for scene, _ in kept), tuple(bit for _, bit in kept)


def _common_lattice(found: set[Lattice], resolution: float | None) -> Lattice:
    """The imagery's own lattice where all scenes of a CRS share it; else one anchored at the CRS origin."""
    sizes = {lattice.resolution for lattice in found}
    first = min(found, key=lambda lattice: (lattice.resolution, lattice.phase_x, lattice.phase_y))
    if resolution is None and len(sizes) > 1:
        raise ImageryError(f"scenes in {first.crs} have pixels of {sorted(sizes)} m; give --resolution")
    if len(found) == 1 and resolution in (None, first.resolution):
        return first
    size = resolution or first.resolution
    if CRS.from_user_input(first.crs).is_geographic and resolution is not None:
        raise RecipeError(f"--resolution is in metres but the scenes are in {first.crs}; reproject them first")
    return Lattice(crs=first.crs, resolution=size)


def _territories(coverage: dict[str, BaseGeometry]) -> dict[str, BaseGeometry]:
    """Divide the covered ground (lon/lat by CRS) so that each place goes to the nearest central meridian."""
    if len(coverage) == 1:
        return dict(coverage)
    parts: dict[str, list[BaseGeometry]] = {crs: [] for crs in coverage}
    meridians = {crs: _central_meridian(crs) for crs in coverage}
    for strip, order in _strips(meridians):
        left = strip
        for crs in order:
            parts[crs].append(_polygonal(left.intersection(coverage[crs])))
            left = left.difference(coverage[crs])
    return {crs: shapely.union_all(found) for crs, found in parts.items()}


def _strips(meridians: dict[str, float | None]) -> list[tuple[BaseGeometry, list[str]]]:
    """Cut the world where the order of nearness of the central meridians changes; each strip with its order."""
    known = sorted({m for m in meridians.values() if m is not None})
    middles = {((a + b) / 2 + 180) % 360 - 180 for a in known for b in known if a < b}
    opposite = {(m + 360) % 360 - 180 for m in middles}
    cuts = sorted({-180.0, 180.0} | middles | opposite)
    strips: list[tuple[BaseGeometry, list[str]]] = []
    for west, east in pairwise(cuts):
        centre = (west + east) / 2
        order = sorted(meridians, key=lambda crs: (_gap(meridians[crs], centre), crs))
        strips.append((shapely.box(west, -90, east, 90), order))
    return strips


def _gap(meridian: float | None, lon: float) -> float:
    """Degrees between a meridian and a longitude; CRSs without one come last."""
    if meridian is None:
        return math.inf
    gap = abs(meridian - lon) % 360
    return min(gap, 360 - gap)


def _central_meridian(crs: str) -> float | None:
    operation = CRS.from_user_input(crs).coordinate_operation
    if operation is None or "Mercator" not in operation.method_name:
        return None
    lons = [p.value for p in operation.params if p.name == "Longitude of natural origin"]
    return float(lons[0]) if lons else None


def _zone(
    lattice: Lattice,
    scenes: list[Scene],
    territories: dict[str, BaseGeometry],
    crs: str,
    area: BaseGeometry,
) -> Zone:
    territory = territories[crs]
    kept, bits = number_sources(best_first(scenes))
    others = shapely.union_all([t for other, t in territories.items() if other != crs])
    if others.is_empty:
        return Zone(
            lattice=lattice,
            scenes=kept,
            bits=bits,
            territory=territory,
            mapped=area,
            seam=None,
            beyond=None,
        )
    reach = SEAM_PX * lattice.resolution / (111_320 * math.cos(math.radians(84)))
    strip = _polygonal(territory.buffer(reach).intersection(others.buffer(reach)))
    beyond = _polygonal(area.intersection(others).difference(strip))
    return Zone(
        lattice=lattice,
        scenes=kept,
        bits=bits,
        territory=territory,
        mapped=_polygonal(area.difference(beyond)),
        seam=strip,
        beyond=beyond,
    )


def _polygonal(geometry: BaseGeometry) -> BaseGeometry:
    """Drop the points and lines that an intersection leaves."""
    parts = [p for p in shapely.get_parts(geometry) if p.geom_type in ("Polygon", "MultiPolygon")]
    if geometry.geom_type == "GeometryCollection":
        parts = [q for p in parts for q in shapely.get_parts(p)]
    return shapely.union_all(parts) if parts else shapely.MultiPolygon()
