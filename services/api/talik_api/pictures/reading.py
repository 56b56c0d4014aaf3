"""The one door to pixels: GeoTIFF files that the store or its index names, read onto a given grid in bounded memory."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from talik_stac.endpoint import gdal_endpoint
from talik_stac.errors import ImageryError, ReadError

if TYPE_CHECKING:
    from odc.geo.geobox import GeoBox

Allowed = Callable[[str], None]
"""Raises a TalikError where this href (an absolute path, or https://, http:// or s3://) must not be opened."""


@runtime_checkable
class Fetches(Protocol):
    """An Allowed that also opens what lies on other hosts, so that GDAL never chooses where a request goes."""

    def fetch(self, href: str) -> BinaryIO:
        """Open an http(s) address as a seekable file. Raises OSError, OutgoingError."""


MAX_SOURCE_PX = 64_000_000
"""Pixels of one band that one picture may be made from; files with overviews never come near."""
_OPTIONS: dict[str, Any] = {
    "GDAL_CACHEMAX": 64,  # MB
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",  # no side files: neither .aux.xml nor .ovr is looked for
    "GDAL_PAM_ENABLED": False,
    # GDAL itself asks nothing but S3; these are the second lock.
    "CPL_VSIL_CURL_ALLOWED_EXTENSIONS": ".tif,.tiff,.TIF,.TIFF",
    "GDAL_HTTP_CONNECTTIMEOUT": 5,
    "GDAL_HTTP_TIMEOUT": 20,
    "GDAL_HTTP_MAX_RETRY": 1,
    "GDAL_HTTP_LOW_SPEED_TIME": 5,
    "GDAL_HTTP_LOW_SPEED_LIMIT": 1000,
    "GDAL_HTTP_MERGE_CONSECUTIVE_RANGES": True,
}
_PLAIN = re.compile(r"https?://[^\s\\]+|s3://[^\\]+")


@dataclass(frozen=True, kw_only=True)
class Source:
    """Bands of one GeoTIFF."""

    name: str
    """Whose file it is, for errors."""
    href: str
    """An absolute path, or an https://, http:// or s3:// URL."""
    indexes: tuple[int, ...]
    """Band numbers from 1."""
    nodata: float | None = None
    """What means no data, over what the file says; None: the file's own nodata, mask or alpha."""


@dataclass(frozen=True, kw_only=True)
class Pixels:
    """Bands on a grid."""

    data: NDArray[Any]
    """(band, y, x) digital numbers."""
    valid: NDArray[np.bool_]
    """(y, x) True where every band has data."""


@contextmanager
def raster_environment() -> Iterator[None]:
    """GDAL for the service: no side files, only GeoTIFF names over networks, short patience, the store's own S3."""
    import rasterio

    with rasterio.Env(**_OPTIONS, **gdal_endpoint()):
        yield


def check_href(href: str) -> str:
    """Return the href where it is a plain absolute path or URL. Raises ImageryError for GDAL's own file systems."""
    path = href.startswith("/") and not href.startswith("/vsi") and "\x00" not in href
    if (path and ".." not in href.split("/")) or (_PLAIN.fullmatch(href) and href.isprintable()):
        return href
    raise ImageryError(f"an item names {href[:100]!r}; expected an absolute path or an https:// or s3:// URL")


@contextmanager
def open_source(source: Source, allowed: Allowed, *, level: int | None = None) -> Iterator[Any]:
    """Open a GeoTIFF (no other driver, so no VRT that names further files), at an overview level where given.

    Yields rasterio's DatasetReader. Raises ReadError, or what `allowed` raises.
    """
    import rasterio
    from rasterio.errors import RasterioError

    allowed(check_href(source.href))
    options = {} if level is None else {"OVERVIEW_LEVEL": level}
    try:
        with (
            raster_environment(),
            rasterio.open(_named_or_fetched(source.href, allowed), driver="GTiff", **options) as dataset,
        ):
            yield dataset
    except (RasterioError, OSError) as error:
        raise ReadError(scene_id=source.name, href=source.href, reason=str(error).splitlines()[0][:200]) from error


def _named_or_fetched(href: str, allowed: Allowed) -> Any:
    """What rasterio opens: a name, or for http(s) a file of ours that follows no redirect but to allowed hosts."""
    if href.startswith("s3://"):
        return f"/vsis3/{href.removeprefix('s3://')}"
    if href.startswith("/"):
        return href
    if not isinstance(allowed, Fetches):
        raise ImageryError(f"{href[:100]} lies on another host, and this service reads no other hosts")
    return allowed.fetch(href)


def read_on(source: Source, grid: GeoBox, allowed: Allowed, *, smooth: bool = False) -> Pixels | None:
    """Read bands onto a grid in one resampling step; None where the file does not touch it.

    Nearest, or bilinear where `smooth` and the grid is coarser than the file. The overview next finer than the grid
    is taken. Raises ReadError; ImageryError where too many pixels would have to be read.
    """
    with open_source(source, allowed) as dataset:
        coarser = _coarser(dataset, grid)
        level = _level(dataset.overviews(source.indexes[0]), coarser)
        if level is None:
            return _warped(dataset, source, grid, smooth=smooth and coarser > 1)
    with open_source(source, allowed, level=level) as dataset:
        return _warped(dataset, source, grid, smooth=smooth)


def _warped(dataset: Any, source: Source, grid: GeoBox, *, smooth: bool) -> Pixels | None:
    from rasterio.enums import Resampling
    from rasterio.vrt import WarpedVRT

    touched = _touched_px(dataset, grid)
    if touched == 0:
        return None
    if touched > MAX_SOURCE_PX:
        raise ImageryError(
            f"{source.name}: this picture would need {touched / 1e6:.0f} million pixels, at most "
            f"{MAX_SOURCE_PX / 1e6:.0f} million are read; zoom in, or give the file overviews (gdaladdo)"
        )
    options = _nodata_options(dataset, source)
    with WarpedVRT(
        dataset,
        crs=str(grid.crs),
        transform=grid.affine,
        width=grid.width,
        height=grid.height,
        resampling=Resampling.bilinear if smooth else Resampling.nearest,
        warp_mem_limit=64,
        warp_extras={"UNIFIED_SRC_NODATA": "NO"},
        **options,
    ) as vrt:
        data = vrt.read(list(source.indexes))
        masks = vrt.dataset_mask()[None] if options.get("add_alpha") else vrt.read_masks(list(source.indexes))
    return Pixels(data=data, valid=np.asarray((masks > 0).all(axis=0)))


def _nodata_options(dataset: Any, source: Source) -> dict[str, Any]:
    """How the warper knows what has no data: by a value, by the file's alpha band, else by an alpha band it adds."""
    from rasterio.dtypes import in_dtype_range
    from rasterio.enums import ColorInterp

    nodata = dataset.nodata if source.nodata is None else source.nodata
    if nodata is not None and in_dtype_range(nodata, dataset.dtypes[0]):
        return {"src_nodata": nodata, "nodata": nodata}
    return {} if ColorInterp.alpha in dataset.colorinterp else {"add_alpha": True}


def _coarser(dataset: Any, grid: GeoBox) -> float:
    """How many pixels of the file lie side by side in one pixel of the grid, at the grid's middle."""
    columns, rows = _in_file(dataset, grid, np.array([0.5, 0.5, 0.5]), np.array([0.5, 0.5, 0.5]), step=True)
    first = np.hypot(columns[1] - columns[0], rows[1] - rows[0])
    second = np.hypot(columns[2] - columns[0], rows[2] - rows[0])
    smaller = min(first, second)
    return float(smaller) if np.isfinite(smaller) else 1.0


def _touched_px(dataset: Any, grid: GeoBox) -> int:
    """About how many pixels of the file lie on the grid: its edges and inside, 21 x 21 points."""
    steps = np.linspace(0, 1, 21)
    across, down = (part.ravel() for part in np.meshgrid(steps, steps))
    columns, rows = _in_file(dataset, grid, across, down)
    there = np.isfinite(columns) & np.isfinite(rows)
    if not there.any():
        return 0
    # Points that cannot be projected into the file's CRS lie far away, but then the rest says little: take it whole.
    if not there.all():
        return int(dataset.width * dataset.height)
    left, right = max(columns.min() - 1, 0), min(columns.max() + 1, dataset.width)
    top, bottom = max(rows.min() - 1, 0), min(rows.max() + 1, dataset.height)
    return int(max(right - left, 0) * max(bottom - top, 0))


def _in_file(
    dataset: Any, grid: GeoBox, across: NDArray[np.float64], down: NDArray[np.float64], *, step: bool = False
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Fractions of the grid -> (column, row) in the file; with `step` the second and third move on by one pixel."""
    from pyproj import Transformer

    x_px, y_px = across * grid.width, down * grid.height
    if step:
        x_px, y_px = x_px + np.array([0.0, 1.0, 0.0]), y_px + np.array([0.0, 0.0, 1.0])
    affine = grid.affine
    x, y = affine.a * x_px + affine.b * y_px + affine.c, affine.d * x_px + affine.e * y_px + affine.f
    change = Transformer.from_crs(str(grid.crs), dataset.crs.to_wkt(), always_xy=True)
    x, y = change.transform(x, y)
    back = ~dataset.transform
    with np.errstate(invalid="ignore"):  # what lies out of the projection's reach is infinite
        return back.a * x + back.b * y + back.c, back.d * x + back.e * y + back.f


def _level(factors: Sequence[int], coarser: float) -> int | None:
    """The number of the coarsest overview that is still as fine as the grid; None: the file itself."""
    fitting = [number for number, factor in enumerate(factors) if factor <= coarser * 1.001]
    return fitting[-1] if fitting else None
