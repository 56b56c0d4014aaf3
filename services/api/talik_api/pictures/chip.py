"""A chip: the imagery around one feature, north as the scene's own grid has it, with outline, date and scale bar."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray
from pyproj import CRS, Geod, Transformer
from shapely.geometry.base import BaseGeometry

from talik_api.pictures.reading import Allowed
from talik_api.pictures.render import Drawing, Stretch, coloured, drawn, encoded, limits_for
from talik_api.pictures.scenes import Frame, file_grid, fixed_range, read_frame

if TYPE_CHECKING:
    from odc.geo.geobox import GeoBox

SIZES_PX = (64, 1024)
MAX_SIDE_M = 200_000.0
"""The longest side of the ground in one picture."""
_WGS84 = Geod(ellps="WGS84")


@dataclass(frozen=True, kw_only=True)
class Look:
    """How a picture is to be made."""

    size_px: int = 256
    buffer_m: float | None = None
    """Ground around the feature; None: a quarter of its longer side, at least ten pixels of the scene."""
    stretch: Stretch = "fixed"


@dataclass(frozen=True, kw_only=True)
class View:
    """Where a picture looks."""

    grid: GeoBox
    outline: BaseGeometry
    """The feature in the grid's CRS."""
    metres_per_px: float
    """On the ground, across the middle, by geodesic."""

    def drawing(self, label: str) -> Drawing:
        """What is drawn over the pixels."""
        return Drawing(outline=self.outline, label=label, metres_per_px=self.metres_per_px)


def chip(
    feature: BaseGeometry, frame: Frame, allowed: Allowed, *, look: Look, kind: Literal["png", "webp"] = "png"
) -> bytes:
    """Draw a feature (lon/lat polygons) over the scenes of one date. Raises ReadError, ImageryError."""
    view = view_of(feature, file_grid(frame.scenes[0], allowed), look)
    pixels = read_frame(frame, view.grid, allowed)
    rgba = coloured(pixels, limits_for([pixels], look.stretch, fixed_range(frame)))
    return encoded(drawn(rgba, view.grid, view.drawing(frame.day.isoformat())), kind)


def view_of(feature: BaseGeometry, native: GeoBox, look: Look) -> View:
    """A square grid in the scene's own metric CRS that holds the feature and its buffer."""
    crs = metric_crs(native, feature)
    outline = shapely.transform(feature, _Changed("OGC:CRS84", crs))
    left, bottom, right, top = outline.bounds
    longer = max(right - left, top - bottom)
    buffer = look.buffer_m if look.buffer_m is not None else max(longer / 4, 10 * _pixel_m(native))
    side = min(max(longer + 2 * buffer, look.size_px * 0.01), MAX_SIDE_M)
    pixel = side / look.size_px
    corner = ((left + right - side) / 2, (bottom + top + side) / 2)
    from odc.geo.geobox import GeoBox  # late: it brings dask where that is installed

    affine = Affine(pixel, 0.0, corner[0], 0.0, -pixel, corner[1])
    grid = GeoBox((look.size_px, look.size_px), affine, crs.to_wkt())
    return View(grid=grid, outline=outline, metres_per_px=ground_metres(grid))


def metric_crs(native: GeoBox, feature: BaseGeometry) -> CRS:
    """The scene's CRS where it is projected in metres and not Web Mercator; else equal area around the feature."""
    crs = CRS.from_user_input(str(native.crs))
    metres = crs.is_projected and all(axis.unit_conversion_factor == 1.0 for axis in crs.axis_info)
    if metres and crs.to_epsg() not in (3857, 3395, 900913):
        return crs
    point = feature.representative_point()
    return CRS.from_user_input(f"+proj=laea +lat_0={point.y:.6f} +lon_0={point.x:.6f} +datum=WGS84 +units=m")


def ground_metres(grid: GeoBox) -> float:
    """Metres on the ground that a pixel in the middle of the grid is wide (WGS 84 geodesic)."""
    affine, row = grid.affine, grid.height / 2
    columns = np.array([0.0, grid.width])
    x, y = affine.a * columns + affine.b * row + affine.c, affine.d * columns + affine.e * row + affine.f
    lon, lat = Transformer.from_crs(str(grid.crs), "OGC:CRS84", always_xy=True).transform(x, y)
    return float(_WGS84.inv(lon[0], lat[0], lon[1], lat[1])[2]) / grid.width


def _pixel_m(native: GeoBox) -> float:
    """About how many metres wide a pixel of the scene is."""
    crs = CRS.from_user_input(str(native.crs))
    return abs(native.affine.a) * (111_320.0 if crs.is_geographic else 1.0)


class _Changed:
    """A change of coordinates for shapely.transform."""

    def __init__(self, source: Any, target: Any) -> None:
        self._change = Transformer.from_crs(source, target, always_xy=True)

    def __call__(self, xy: NDArray[np.float64]) -> NDArray[np.float64]:
        """(n, 2) -> (n, 2)."""
        return np.column_stack(self._change.transform(xy[:, 0], xy[:, 1]))


def best_frame(frames: Sequence[Frame], feature: BaseGeometry) -> Frame:
    """The date a chip shows where nobody chose one: covers most of the feature, then fewest clouds, then newest."""

    def rank(frame: Frame) -> tuple[float, float, float]:
        seen = shapely.union_all([scene.footprint for scene in frame.scenes]).intersection(feature).area
        share = seen / feature.area if feature.area else 1.0
        clouds = [50.0 if scene.cloud_cover is None else scene.cloud_cover for scene in frame.scenes]
        return -round(share, 2), float(np.mean(clouds)), -frame.day.toordinal()

    return min(frames, key=rank)
