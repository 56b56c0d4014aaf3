"""From polygons on lattices to rows of the inventory: joined across zones, measured, filtered."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import shapely
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from talik_inference.fragments import Edge, Fragments
from talik_inference.measures import geodesic_measures, polygons_to_lonlat, split_edge_perimeter
from talik_inference.predict import FULL
from talik_inference.vectorize import to_polygons
from talik_inference.zones import SEAM_SOURCE, Zone
from talik_stac.inventory import fresh_id
from talik_stac.scenes import Scene

SNAP_DEG = 1e-9
"""0.1 mm: the grid on which the cuts of two zones meet exactly."""


@dataclass(frozen=True, kw_only=True)
class Objects:
    """Objects before they are measured: parallel arrays."""

    geometry: NDArray[np.object_]
    """lon/lat polygons or multipolygons."""
    pixels: NDArray[np.int64]
    probability: NDArray[np.float64]
    """Mean over the pixels, 0-1."""
    scenes: list[list[Scene]]
    """Those that gave pixels, by date and id."""
    edges: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.geometry)


@dataclass(kw_only=True)
class Seams:
    """Objects cut at the borders of their zones, waiting for their other half."""

    parts: list[Objects] = field(default_factory=list)

    def joined(self) -> Objects | None:
        """Unite the parts that meet. Pixel counts and means are those of the parts, weighed by area."""
        if not self.parts:
            return None
        parts = _concat(self.parts)
        # Blocks come in any order; sums and unions of floats must not notice.
        return _unite(_at(parts, np.argsort(np.array([g.wkb for g in parts.geometry], object))))


def zone_objects(fragments: Fragments, zone: Zone, seams: Seams) -> Objects:
    """Carry joined polygons of one zone to lon/lat; those on a seam go to `seams`, cut at the zone's border."""
    lattice = zone.lattice
    geometry = polygons_to_lonlat(to_polygons(fragments, lattice.transform), lattice.crs, pixel=lattice.resolution)
    objects = Objects(
        geometry=geometry,
        pixels=fragments.pixels,
        probability=fragments.total / (FULL * fragments.pixels.astype(np.float64)),
        scenes=_scenes_of(fragments.sources, zone, geometry),
        edges=fragments.edges,
    )
    on_seam = (fragments.sources & SEAM_SOURCE) != 0
    if on_seam.any():
        seams.parts.append(_cut(_take(objects, on_seam), zone))
    return _take(objects, ~on_seam)


def feature_table(
    objects: Objects, *, landform: str, edition: str, model: str, min_area_m2: float, schema: pa.Schema
) -> pa.Table:
    """Measure, filter and describe objects as rows of the inventory (without its bbox column)."""
    area, perimeter = geodesic_measures(objects.geometry)
    perimeter -= split_edge_perimeter(objects.geometry)
    keep = area >= min_area_m2
    objects, area, perimeter = _take(objects, keep), area[keep], perimeter[keep]
    wkb = shapely.to_wkb(objects.geometry)
    inner = shapely.point_on_surface(objects.geometry)
    count = len(objects)
    columns = {
        "id": [fresh_id(landform, geometry) for geometry in wkb],
        "landform": [landform] * count,
        "geometry": wkb,
        "area_m2": area,
        "perimeter_m": perimeter,
        "shape_index": perimeter / (2 * np.sqrt(np.pi * area)),
        "lon": shapely.get_x(inner),
        "lat": shapely.get_y(inner),
        "probability": objects.probability,
        "confidence": [None] * count,
        "status": ["candidate"] * count,
        "observed_start": [scenes[0].datetime if scenes else None for scenes in objects.scenes],
        "observed_end": [scenes[-1].datetime if scenes else None for scenes in objects.scenes],
        "scenes": [[scene.id for scene in scenes] for scenes in objects.scenes],
        "edition": [edition] * count,
        "model": [model] * count,
        "on_aoi_edge": (objects.edges & Edge.AOI) != 0,
        "on_data_edge": (objects.edges & Edge.DATA) != 0,
        "pixels": objects.pixels,
    }
    fields = [schema.field(name) for name in columns]
    return pa.table(
        [pa.array(values, field.type) for values, field in zip(columns.values(), fields, strict=True)],
        schema=pa.schema(fields),
    )


def _scenes_of(sources: NDArray[np.uint64], zone: Zone, geometry: NDArray[np.object_]) -> list[list[Scene]]:
    """Name the scenes of each source set; where scenes far apart share a bit, the one that covers the polygon."""
    shared = len(set(zone.bits)) < len(zone.bits)
    by_date = sorted(zip(zone.scenes, zone.bits, strict=True), key=lambda s: (s[0].datetime, s[0].id))
    known: dict[int, list[Scene]] = {}
    named = []
    for source, polygon in zip(sources.tolist(), geometry, strict=True):
        if source not in known:
            known[source] = [scene for scene, bit in by_date if source >> bit & 1]
        found = known[source]
        named.append([s for s in found if s.footprint.intersects(polygon)] if shared else found)
    return named


def _cut(objects: Objects, zone: Zone) -> Objects:
    """Keep what lies in the zone's own territory; every piece becomes an object of its own for now."""
    inside = shapely.intersection(objects.geometry, zone.territory, grid_size=SNAP_DEG)
    pieces, owner = shapely.get_parts(inside, return_index=True)
    polygonal = (shapely.get_type_id(pieces) == 3) & ~shapely.is_empty(pieces)
    pieces, owner = pieces[polygonal], owner[polygonal]
    share = shapely.area(pieces) / shapely.area(objects.geometry)[owner]
    return Objects(
        geometry=pieces,
        pixels=np.rint(objects.pixels[owner] * share).astype(np.int64),
        probability=objects.probability[owner],
        scenes=[objects.scenes[i] for i in owner],
        edges=objects.edges[owner],
    )


def _unite(parts: Objects) -> Objects:
    """Merge pieces that share more than a point."""
    cluster = _clusters(parts.geometry)
    order = np.argsort(cluster, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(cluster[order]) != 0]) if len(order) else np.empty(0, np.intp)
    groups = np.split(order, starts[1:])
    weight = shapely.area(parts.geometry)
    return Objects(
        geometry=np.array([_union(parts.geometry[group]) for group in groups], object),
        pixels=np.array([parts.pixels[group].sum() for group in groups], np.int64),
        probability=np.array(
            [np.average(parts.probability[group], weights=weight[group]) for group in groups], np.float64
        ),
        scenes=[_merged([parts.scenes[i] for i in group]) for group in groups],
        edges=np.array([np.bitwise_or.reduce(parts.edges[group]) for group in groups], np.uint8),
    )


def _union(pieces: NDArray[np.object_]) -> shapely.Geometry:
    return shapely.normalize(shapely.union_all(pieces, grid_size=SNAP_DEG))


def _clusters(geometry: NDArray[np.object_]) -> NDArray[np.int32]:
    """Number the connected groups of polygons that share an edge (not only a point)."""
    a, b = shapely.STRtree(geometry).query(geometry, predicate="intersects")
    shared = shapely.length(shapely.intersection(geometry[a], geometry[b], grid_size=SNAP_DEG)) > 10 * SNAP_DEG
    graph = coo_matrix((np.ones(shared.sum(), bool), (a[shared], b[shared])), shape=(len(geometry),) * 2)
    labels: NDArray[np.int32] = connected_components(graph, directed=False)[1]
    return labels


def _merged(groups: Sequence[list[Scene]]) -> list[Scene]:
    unique = {scene.id: scene for group in groups for scene in group}
    return sorted(unique.values(), key=lambda s: (s.datetime, s.id))


def _take(objects: Objects, chosen: NDArray[np.bool_]) -> Objects:
    return _at(objects, np.flatnonzero(chosen))


def _at(objects: Objects, where: NDArray[np.intp]) -> Objects:
    return Objects(
        geometry=objects.geometry[where],
        pixels=objects.pixels[where],
        probability=objects.probability[where],
        scenes=[objects.scenes[i] for i in where],
        edges=objects.edges[where],
    )


def _concat(parts: Sequence[Objects]) -> Objects:
    return Objects(
        geometry=np.concatenate([p.geometry for p in parts]),
        pixels=np.concatenate([p.pixels for p in parts]),
        probability=np.concatenate([p.probability for p in parts]),
        scenes=[scenes for p in parts for scenes in p.scenes],
        edges=np.concatenate([p.edges for p in parts]),
    )


def chunks(stream: Iterator[Fragments], size: int) -> Iterator[list[Fragments]]:
    """Gather small batches of polygons into chunks of about `size`, so that vector calls pay."""
    held: list[Fragments] = []
    for batch in stream:
        held.append(batch)
        if sum(len(b) for b in held) >= size:
            yield held
            held = []
    if held:
        yield held
