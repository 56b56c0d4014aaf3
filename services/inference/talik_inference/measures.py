"""Measures on the ellipsoid: area and perimeter of lon/lat polygons, and the way there from a lattice."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj import Geod

from talik_inference.region import to_lonlat
from talik_stac.antimeridian import split_polygon

WGS84 = Geod(ellps="WGS84")
LONGEST_EDGE = 1000.0
"""Units of the CRS. Straight lines of a projection bend in lon/lat: 3 cm at 1 km near 60 degrees of latitude."""


def polygons_to_lonlat(polygons: NDArray[np.object_], crs: str, *, pixel: float) -> NDArray[np.object_]:
    """Carry polygons from a CRS to lon/lat (OGC:CRS84), splitting those that cross the antimeridian.

    Edges longer than LONGEST_EDGE (or 100 pixels, the larger) get vertices first.
    """
    dense = shapely.segmentize(polygons, max(LONGEST_EDGE, 100 * pixel))
    transformer = to_lonlat(crs)

    def carry(xy: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.column_stack(transformer.transform(xy[:, 0], xy[:, 1]))

    there: NDArray[np.object_] = shapely.transform(dense, carry)
    west, _, east, _ = shapely.bounds(there).T if len(there) else np.empty((4, 0))
    for i in np.flatnonzero(east - west > 180):
        there[i] = split_polygon(there[i])
    return there


def geodesic_measures(polygons: NDArray[np.object_]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Area in m2 and perimeter in m (holes included) of lon/lat polygons on WGS 84.

    Karney 2013, Algorithms for geodesics, J. Geodesy 87, 43-55, through pyproj.
    """
    rings, owner = _rings(polygons)
    area, perimeter = np.zeros(len(polygons)), np.zeros(len(polygons))
    coordinates, index = shapely.get_coordinates(rings, return_index=True)
    offsets = np.searchsorted(index, np.arange(len(rings) + 1))
    shells = _is_shell(polygons)
    for ring, (start, end) in enumerate(pairwise(offsets)):
        lonlat = coordinates[start:end]
        signed, length = WGS84.polygon_area_perimeter(lonlat[:, 0], lonlat[:, 1])
        area[owner[ring]] += abs(signed) if shells[ring] else -abs(signed)
        perimeter[owner[ring]] += length
    return area, perimeter


def _rings(polygons: NDArray[np.object_]) -> tuple[NDArray[np.object_], NDArray[np.intp]]:
    """All rings, parts in order, shells before their holes, and the polygon that each belongs to."""
    parts, part_owner = shapely.get_parts(polygons, return_index=True)
    rings, ring_part = shapely.get_rings(parts, return_index=True)
    return rings, part_owner[ring_part]


def _is_shell(polygons: NDArray[np.object_]) -> NDArray[np.bool_]:
    parts = shapely.get_parts(polygons)
    _, ring_part = shapely.get_rings(parts, return_index=True)
    first = np.ones(len(ring_part), bool)
    first[1:] = ring_part[1:] != ring_part[:-1]
    return first


def split_edge_perimeter(polygons: NDArray[np.object_]) -> NDArray[np.float64]:
    """Length in m of the cuts along the antimeridian that splitting added to each polygon, both sides counted."""
    lengths = np.zeros(len(polygons))
    west, _, east, _ = shapely.bounds(polygons).T if len(polygons) else np.empty((4, 0))
    for i in np.flatnonzero((west == -180) & (east == 180)):
        lonlat = [shapely.get_coordinates(ring) for ring in shapely.get_rings(shapely.get_parts(polygons[i]))]
        lengths[i] = sum(_length_on_cut(ring) for ring in lonlat)
    return lengths


def _length_on_cut(ring: NDArray[np.float64]) -> float:
    on = np.abs(ring[:, 0]) == 180
    edges = on[:-1] & on[1:]
    a, b = ring[:-1][edges], ring[1:][edges]
    return float(WGS84.inv(a[:, 0], a[:, 1], b[:, 0], b[:, 1])[2].sum()) if edges.any() else 0.0
