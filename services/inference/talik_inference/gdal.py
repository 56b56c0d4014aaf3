"""GDAL as Talik uses it: bounded memory, patient with networks, and the same S3 as the store."""

from __future__ import annotations

import os
from typing import Any

import rasterio

from talik_stac.endpoint import gdal_endpoint

_OPTIONS: dict[str, Any] = {
    "GDAL_CACHEMAX": 64,  # MB; the default is 5 % of the machine, which breaks the memory bound
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    "GDAL_HTTP_MAX_RETRY": 4,
    "GDAL_HTTP_RETRY_DELAY": 1,
    "GDAL_HTTP_MERGE_CONSECUTIVE_RANGES": True,
}


_INDIRECT = ("VRT", "GTI", "STACIT", "STACTA", "WMS", "WMTS", "WCS", "OGCAPI", "MRF", "KMLSUPEROVERLAY", "ZARR")
"""Formats of GDAL that point to other files or addresses. WarpedVRT does not need VRT's driver."""


def gdal_env() -> rasterio.Env:
    """Make the environment that every file is opened in."""
    return rasterio.Env(**_OPTIONS, **gdal_endpoint())


def refuse_indirect_files() -> None:
    """Make this process open no file that names further files; call it before the first file is opened.

    GDAL knows these formats by their content, so that `a.tif` on an allowed host may be a VRT of any address.
    What is left open: GDAL follows redirects by itself and resolves names again after we checked them. It has no
    option against either (GDAL_HTTP_FOLLOWLOCATION is none; measured with 3.10.3), so an allowed host may still send
    a read elsewhere. List hosts that are trusted to serve their files themselves, and let the network of workers
    reach nothing private.
    """
    os.environ["GDAL_SKIP"] = " ".join([os.environ.get("GDAL_SKIP", ""), *_INDIRECT]).strip()
