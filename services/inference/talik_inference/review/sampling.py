"""Mean probability inside any outline, from the probability COGs of an edition."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
import shapely
from numpy.typing import NDArray
from rasterio.features import geometry_mask
from rasterio.windows import Window
from shapely.geometry.base import BaseGeometry

from talik_inference.gdal import gdal_env
from talik_inference.predict import FULL
from talik_inference.region import from_lonlat
from talik_inference.vectorize import NO_DATA


@dataclass(frozen=True, kw_only=True)
class Sampled:
    """Of each outline."""

    probability: NDArray[np.float64]
    """Mean over the pixels whose centres lie inside and that were seen, 0-1; 0 where there are none."""
    pixels: NDArray[np.int64]
    """Their count."""


def sampled(tiles: Sequence[Path], polygons: NDArray[np.object_]) -> Sampled:
    """Read probability inside polygons (lon/lat) from uint8 COGs (0..FULL, NO_DATA), which hold each place once."""
    total, count = np.zeros(len(polygons), np.int64), np.zeros(len(polygons), np.int64)
    for path in tiles if len(polygons) else ():
        with gdal_env(), rasterio.open(path) as source:
            there = shapely.transform(polygons, _carry(str(source.crs)))
            for n in shapely.STRtree(there).query(shapely.box(*source.bounds), predicate="intersects"):
                values = _inside(source, there[n])
                total[n] += int(values.sum(dtype=np.int64))
                count[n] += len(values)
    probability = np.divide(total, FULL * count, out=np.zeros(len(polygons)), where=count > 0)
    return Sampled(probability=probability, pixels=count)


def _carry(crs: str) -> Callable[[NDArray[np.float64]], NDArray[np.float64]]:
    transformer = from_lonlat(crs)
    return lambda xy: np.column_stack(transformer.transform(xy[:, 0], xy[:, 1]))


def _inside(source: rasterio.DatasetReader, polygon: BaseGeometry) -> NDArray[np.uint8]:
    """The values of the pixels inside a polygon that were seen, flat."""
    around = source.window(*polygon.bounds)
    col, row = math.floor(around.col_off) - 1, math.floor(around.row_off) - 1
    grown = Window(col, row, math.ceil(around.width) + 3, math.ceil(around.height) + 3)
    window = grown.intersection(Window(0, 0, source.width, source.height))
    values: NDArray[np.uint8] = source.read(1, window=window)
    inside = geometry_mask([polygon], values.shape, source.window_transform(window), invert=True)
    seen: NDArray[np.uint8] = values[inside & (values != NO_DATA)]
    return seen
