"""The coordinate reference systems that answers and boxes may be in (OGC API Features Part 2)."""

from __future__ import annotations

from functools import cache

import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj import CRS, Transformer
from shapely.geometry.base import BaseGeometry

from talik_api.problems import Problem

CRS84 = "http://www.opengis.net/def/crs/OGC/1.3/CRS84"
_EPSG = "http://www.opengis.net/def/crs/EPSG/0/"
SUPPORTED = (
    CRS84,
    f"{_EPSG}4326",  # WGS 84, lat/lon
    f"{_EPSG}3857",  # Web Mercator
    f"{_EPSG}3413",  # NSIDC polar stereographic north
    f"{_EPSG}3995",  # Arctic polar stereographic
    f"{_EPSG}3031",  # Antarctic polar stereographic
    f"{_EPSG}6931",  # EASE-Grid 2.0 north
    f"{_EPSG}3573",  # North Pole LAEA Canada
    f"{_EPSG}3576",  # North Pole LAEA Russia
)
"""URIs of what `crs` and `bbox-crs` may be; the data are stored in the first."""
CRS84_NAMES = {CRS84, f"{CRS84}h", "OGC:CRS84"}


def checked_crs(uri: str | None, parameter: str) -> str:
    """Return the URI of a supported CRS, CRS84 where none is given. Raises Problem 400 with the list."""
    if uri is None or uri in CRS84_NAMES:
        return CRS84
    if uri in SUPPORTED:
        return uri
    raise Problem(400, "This CRS is not offered", f"{parameter}={uri[:200]}; expected one of {', '.join(SUPPORTED)}")


def pyproj_crs(uri: str) -> CRS:
    """The pyproj CRS of a supported URI, in the axis order of its authority."""
    if uri in CRS84_NAMES:
        return CRS.from_user_input("OGC:CRS84")
    return CRS.from_epsg(int(uri.rpartition("/")[2]))


@cache
def _transformer(source: str, target: str) -> Transformer:
    return Transformer.from_crs(pyproj_crs(source), pyproj_crs(target))


def transformed(geometry: BaseGeometry, *, source: str, target: str) -> BaseGeometry:
    """Move a geometry's vertices from one CRS to another, both in their authorities' axis order."""
    if source == target:
        return geometry
    mover = _transformer(source, target)

    def move(xy: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.column_stack(mover.transform(xy[:, 0], xy[:, 1]))

    return shapely.transform(geometry, move)
