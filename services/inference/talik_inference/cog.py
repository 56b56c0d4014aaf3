"""Cloud-optimised GeoTIFFs: told from other files by rio-cogeo, written without loss by GDAL's COG driver."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import rasterio
import rasterio.shutil
from rasterio.errors import RasterioError
from rio_cogeo.cogeo import cog_validate

from talik_stac.errors import ImageryError

TILE_PX = 512
_CHUNK_BYTES = 8 * 1024 * 1024


def is_cog(path: Path) -> bool:
    """Say whether rio-cogeo finds the file a valid COG, whose layout lets a reader fetch what it needs."""
    try:
        valid, _, _ = cog_validate(str(path), quiet=True)
    except (RasterioError, TypeError):  # rio-cogeo raises TypeError for a raster that is no GeoTIFF
        return False
    return bool(valid)


def write_cog(source: Path, target: Path, *, categorical: bool, nodata: float | None = None) -> None:
    """Write the same pixels as a COG: deflate with predictor, tiles of 512, overviews.

    GDAL's COG driver copies pixels, tags, descriptions, masks and types as they are. rio-cogeo's own writer goes
    through a warp, which blanks colours where an alpha band is 0; GDAL marks the near infrared of R,G,B,NIR files
    alpha (15 % of the values of a random 8-bit file changed). `categorical` takes overviews by nearest neighbour
    (an average of two classes is a third), else by average. `nodata` replaces the file's own where given.
    Raises ImageryError naming the file.
    """
    options: dict[str, Any] = {
        "COMPRESS": "DEFLATE",
        "PREDICTOR": "YES",
        "BLOCKSIZE": TILE_PX,
        "OVERVIEW_RESAMPLING": "NEAREST" if categorical else "AVERAGE",
        "BIGTIFF": "IF_SAFER",
        "NUM_THREADS": os.cpu_count() or 1,
    }
    try:
        _copy(source, target, nodata, options)
    except (RasterioError, OSError) as error:
        raise ImageryError(f"{source}: cannot convert to COG: {' '.join(str(error).split())}") from error


def _copy(source: Path, target: Path, nodata: float | None, options: dict[str, Any]) -> None:
    with rasterio.open(source) as opened:
        same = nodata is None or nodata == opened.nodata
    if same:
        rasterio.shutil.copy(str(source), str(target), driver="COG", **options)
        return
    view = target.with_suffix(".vrt")
    try:
        rasterio.shutil.copy(str(source.absolute()), str(view), driver="VRT")
        with rasterio.open(view, "r+") as opened:
            opened.nodata = nodata
        rasterio.shutil.copy(str(view), str(target), driver="COG", **options)
    finally:
        view.unlink(missing_ok=True)


def checksum(path: Path, report: Callable[[int], None] | None = None) -> str:
    """Return the file's sha256 as a multihash (hexadecimal, 12 20 first), as file:checksum wants it."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
            if report is not None:
                report(len(chunk))
    return "1220" + digest.hexdigest()
