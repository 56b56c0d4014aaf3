"""The area of interest: parsing, validity, antimeridian, poles, limits."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from textwrap import shorten

import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj import Geod
from shapely.geometry import MultiPolygon, Polygon

from talik_stac.antimeridian import polygons_of, split_unwrapped
from talik_stac.errors import AoiError
from talik_stac.polygons import METRES, check_lonlat, read_geojson, read_vector_file, read_wkt

MAX_AREA_KM2 = 250_000.0
"""Default limit: a slip of the pen over half of Siberia stops here, the Lena delta (30,000 km2) does not."""
MAX_VERTICES = 100_000
"""Default limit to the vertices of what a user gives."""

_KINDS = "give west,south,east,north, WKT, GeoJSON, the path of a vector file or the name of a saved area"
_SLUG = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
_SLUG_LENGTH = 64
_GEOD = Geod(ellps="WGS84")
_CURVE_STEP_DEG = 0.1  # a chord of it leaves its parallel by less than 2.5 m
_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|[+-]?(?:nan|inf|infinity)"
_NUMBERS = re.compile(rf"\s*(?:{_NUMBER})(?:\s*,\s*(?:{_NUMBER}))+\s*", re.IGNORECASE)
_WKT = re.compile(r"(?:SRID=4326;\s*)?[A-Z]{3,}(?:\s+Z?M?)?\s*(?:\(|EMPTY)", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class AreaOfInterest:
    """A named place on the ground. Valid, not empty, in lon/lat (OGC:CRS84), split at the antimeridian."""

    name: str
    """A slug [a-z0-9-]+, part of edition ids."""
    geometry: Polygon | MultiPolygon
    """Normalised; lon in [-180, 180], lat in [-90, 90]."""

    def __post_init__(self) -> None:
        """Normalise the geometry. Raises AoiError where name or geometry are not what they must be."""
        if not is_name(self.name):
            raise AoiError(
                f"'{self.name}' cannot name an area; expected up to {_SLUG_LENGTH} of a-z, 0-9 and single '-' "
                f"between them, such as '{slug(self.name) or 'lena-delta'}'"
            )
        if not isinstance(self.geometry, Polygon | MultiPolygon):
            raise AoiError(f"area '{self.name}' is a {self.geometry.geom_type}; expected polygons")
        if self.geometry.is_empty:
            raise AoiError(f"area '{self.name}' is empty; expected at least one polygon")
        check_lonlat(shapely.get_coordinates(self.geometry), lon_limit=180)
        if not self.geometry.is_valid:
            reason = shapely.is_valid_reason(self.geometry)
            raise AoiError(f"area '{self.name}' is not valid: {reason}; repair it")
        # + 0.0 turns -0.0 into 0.0: two ways to write one place.
        flat = shapely.transform(shapely.force_2d(self.geometry), lambda xy: xy + 0.0)
        object.__setattr__(self, "geometry", shapely.normalize(flat))

    @property
    def area_km2(self) -> float:
        """Geodesic area on WGS 84 in km2; edges are straight in lon/lat, as GeoJSON says."""
        # In halves: the whole globe in one ring would be nothing, its outside being as good as its inside.
        halves = (shapely.intersection(self.geometry, shapely.box(w, -90, w + 180, 90)) for w in (-180, 0))
        curved = (shapely.segmentize(polygons_of(half), _CURVE_STEP_DEG) for half in halves)
        areas_m2 = (_GEOD.geometry_area_perimeter(shapely.orient_polygons(half))[0] for half in curved)
        return float(sum(map(abs, areas_m2)) / 1e6)

    @property
    def bbox(self) -> tuple[float, float, float, float]:
        """(west, south, east, north) as RFC 7946 says: west > east where it crosses the antimeridian."""
        west, south, east, north = self.geometry.bounds
        if west == -180 and east == 180:
            west, east = _round_the_back(shapely.bounds(shapely.get_parts(self.geometry)))
        return float(west), south, float(east), north


def is_name(text: str) -> bool:
    """Whether `text` can name an area: up to 64 of a-z, 0-9 and single '-' between them."""
    return len(text) <= _SLUG_LENGTH and _SLUG.fullmatch(text) is not None


def slug(text: str) -> str:
    """Return `text` in a-z, 0-9 and '-', at most 64 long; empty where nothing of it can be written so."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:_SLUG_LENGTH].rstrip("-")


def bbox_name(bbox: tuple[float, float, float, float]) -> str:
    """Return a name such as w99p16-n46p99-w99p09-n47p02: west, south, east, north to 1e-4 degrees."""
    hemispheres = ("we", "sn", "we", "sn")
    return "-".join(
        f"{letters[value >= 0]}{abs(value):.4f}".rstrip("0").rstrip(".").replace(".", "p")
        for letters, value in zip(hemispheres, (round(value, 4) for value in bbox), strict=True)
    )


def parse_aoi(
    text: str,
    *,
    name: str | None = None,
    max_area_km2: float = MAX_AREA_KM2,
    max_vertices: int = MAX_VERTICES,
) -> AreaOfInterest:
    """Understand an area: a bbox 'west,south,east,north', WKT, GeoJSON, or the path of a vector file.

    A bbox with west > east crosses the antimeridian. A file states its CRS (GeoJSON is lon/lat); its polygons are
    united, so that however an area is divided it is the same area. `name` defaults to the file's own, else to
    one made of the bbox. Raises AoiError for everything that is no area, and past the limits.
    """
    text = text.strip()
    if not text:
        raise AoiError(f"no area of interest given; {_KINDS}")
    if _NUMBERS.fullmatch(text):
        geometry, stem = _from_bbox(text), ""
    elif text.startswith("{"):
        geometry, stem = read_geojson(text, max_vertices=max_vertices), ""
    elif _WKT.match(text):
        geometry, stem = read_wkt(text, max_vertices=max_vertices), ""
    else:
        path = _existing(text)
        geometry, stem = read_vector_file(path, max_vertices=max_vertices), slug(path.stem)
    default = stem or bbox_name(AreaOfInterest(name="a", geometry=geometry).bbox)
    aoi = AreaOfInterest(name=name or default, geometry=geometry)
    check_area(aoi, max_area_km2=max_area_km2)
    return aoi


def check_area(aoi: AreaOfInterest, *, max_area_km2: float) -> None:
    """Raise AoiError where the area is nothing, or larger than the limit."""
    area_km2 = aoi.area_km2
    if area_km2 < 1e-9:
        raise AoiError(f"area '{aoi.name}' has no area (bbox {_comma(aoi.bbox)}); give a polygon that has an inside")
    if area_km2 > max_area_km2:
        raise AoiError(
            f"area '{aoi.name}' is {area_km2:,.0f} km2, more than the limit of {max_area_km2:,.0f} km2; "
            "give a smaller one, or raise TALIK_MAX_AREA_KM2"
        )


def _from_bbox(text: str) -> Polygon | MultiPolygon:
    numbers = [float(part) for part in text.split(",")]
    if len(numbers) != 4:
        raise AoiError(f"bbox {text} has {len(numbers)} numbers; expected four: west,south,east,north in degrees")
    west, south, east, north = numbers
    if not np.isfinite(numbers).all():
        raise AoiError(f"bbox {text} holds a number that is not finite; expected west,south,east,north in degrees")
    if max(abs(south), abs(north)) > 90:
        if max(abs(west), abs(east)) <= 90 and max(abs(south), abs(north)) <= 360:
            raise AoiError(
                f"bbox {text} is not in the order west,south,east,north: latitude {south:g} to {north:g} is past a "
                f"pole; did you mean {_comma((south, west, north, east))}?"
            )
        raise AoiError(f"bbox {text}: latitude {south:g} to {north:g}; expected degrees from -90 to 90{METRES}")
    if max(abs(west), abs(east)) > 360 or east - west > 360:
        raise AoiError(f"bbox {text}: longitude {west:g} to {east:g}; expected degrees from -180 to 180{METRES}")
    if south > north:
        raise AoiError(f"bbox {text}: south {south:g} lies north of {north:g}; expected west,south,east,north")
    if west > east:
        east += 360
    if west == east or south == north or east - west > 360:
        raise AoiError(f"bbox {text} has no area; expected west,south,east,north with a width and a height")
    return polygons_of(split_unwrapped(shapely.box(west, south, east, north)))


def _existing(text: str) -> Path:
    try:
        path = Path(text).expanduser()
        if path.exists():
            return path
    except (OSError, RuntimeError, ValueError):  # a name too long, no such user, a NUL
        pass
    raise AoiError(f"there is no file '{shorten(text, 80)}', and it is no bbox, WKT or GeoJSON; {_KINDS}")


def _round_the_back(bounds: NDArray[np.float64]) -> tuple[float, float]:
    """Return west > east of parts (part, 4) that meet at +-180: all but the widest stretch without any part."""
    order = bounds[np.argsort(bounds[:, 0])]
    reach = np.maximum.accumulate(order[:, 2])  # the easternmost of the parts so far
    gaps = order[1:, 0] - reach[:-1]
    if not gaps.size or gaps.max() <= 0:
        return -180.0, 180.0
    widest = int(gaps.argmax())
    return float(order[widest + 1, 0]), float(reach[widest])


def _comma(bbox: tuple[float, float, float, float]) -> str:
    return ",".join(f"{value:.10g}" for value in bbox)
