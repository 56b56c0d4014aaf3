"""Time stacks of a small window, one image a date, through stackstac: for pictures and for people who judge."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from odc.geo.geobox import GeoBox
from rasterio.errors import RasterioError

from talik_inference.gdal import gdal_env
from talik_inference.read import reflectance
from talik_inference.valid import valid_pixels
from talik_stac.errors import ImageryError, ReadError
from talik_stac.scenes import Band, Scene

LARGEST_PX = 2048
"""A chip's side: this door is for small windows; whole areas go through `read.read_scene`."""


def time_stack(scenes: Sequence[Scene], bands: Sequence[str], geobox: GeoBox) -> xr.DataArray:
    """Read bands of several dates over one small grid: float32 reflectance (time, band, y, x), NaN where not valid.

    Nearest neighbour, so that a native grid shows its own pixels. Times ascend; the CRS is in `.rio.crs`. Raises
    ImageryError for a grid that is too large or without EPSG code, ReadError for a file that cannot be read.
    """
    import rioxarray  # noqa: F401 - gives arrays their .rio
    import stackstac

    if max(geobox.shape) > LARGEST_PX:
        raise ImageryError(f"a chip of {tuple(geobox.shape)} px is too large; at most {LARGEST_PX} px a side")
    epsg = geobox.crs.to_epsg() if geobox.crs is not None else None
    if epsg is None:
        raise ImageryError("a chip needs a grid whose CRS has an EPSG code")
    ordered = sorted(scenes, key=lambda scene: (scene.datetime, scene.id))
    box = geobox.boundingbox
    layers = []
    for scene in ordered:
        wanted = [scene.bands[name] for name in bands]
        with gdal_env(), warnings.catch_warnings():
            # stackstac 0.5.1 compares xarray coordinates in a way that pandas will change.
            warnings.simplefilter("ignore")
            try:
                numbers = stackstac.stack(
                    _one_band_items(scene, wanted),
                    assets=["band"],
                    epsg=epsg,
                    resolution=float(geobox.affine.a),
                    bounds=(box.left, box.bottom, box.right, box.top),
                    snap_bounds=False,
                    dtype=np.dtype("float64"),
                    fill_value=np.nan,
                    rescale=False,
                ).values[:, 0]
            except (RuntimeError, RasterioError) as error:
                raise ReadError(scene_id=scene.id, href=wanted[0].href, reason=str(error)) from error
        valid = valid_pixels(numbers, [None] * len(wanted))
        seen = reflectance(numbers, wanted, valid)
        layers.append(np.where(valid, seen, np.float32(np.nan)))
    y, x = (geobox.coordinates[axis].values for axis in geobox.dimensions)
    stack = xr.DataArray(
        np.stack(layers),
        dims=("time", "band", "y", "x"),
        coords={
            "time": [np.datetime64(scene.datetime.replace(tzinfo=None), "ns") for scene in ordered],
            "band": list(bands),
            "y": y,
            "x": x,
            "scene": ("time", [scene.id for scene in ordered]),
        },
    )
    located: xr.DataArray = stack.rio.write_crs(epsg)
    return located


def _one_band_items(scene: Scene, bands: Sequence[Band]) -> list[dict[str, Any]]:
    """One item a band: stackstac reads files of one band only, so each band is shown to it as a file of its own."""
    return [
        {
            "type": "Feature",
            "stac_version": "1.0.0",
            "id": f"{scene.id}-{band.name}",
            "geometry": None,
            "bbox": list(scene.footprint.bounds),
            "properties": {"datetime": scene.datetime.isoformat()},
            "links": [],
            "assets": {"band": {"href": _band_href(band), "type": "image/tiff"} | _grid_fields(band)},
        }
        for band in bands
    ]


def _band_href(band: Band) -> str:
    """GDAL's name for one band of a file (https://gdal.org/drivers/raster/vrt.html, vrt:// connection string)."""
    href = band.href
    if href.startswith("s3://"):
        href = f"/vsis3/{href.removeprefix('s3://')}"
    elif href.startswith(("http://", "https://")):
        href = f"/vsicurl/{href}"
    return f"vrt://{href}?bands={band.index}"


def _grid_fields(band: Band) -> dict[str, Any]:
    if band.grid is None or band.grid.crs is None:
        return {}
    return {
        "proj:epsg": band.grid.crs.to_epsg(),
        "proj:shape": list(band.grid.shape),
        "proj:transform": list(band.grid.affine)[:6],
    }
