"""Lakes drawn by hand in high mountains: a Landsat 7 scene of Everest with ICIMOD's glacial lakes of 2000."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import geopandas as gpd
import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.features import rasterize

from talik_inference.gdal import gdal_env
from talik_training.samples import UNKNOWN, Sample
from talik_training.sources.base import Source, existing, read_raster

BANDS = ("blue", "green", "red", "nir")
SCENE = "data/Everest_Landsat/LE71400412000304SGS00_"
# Chander, Markham and Helder 2009, RSE 113, 893-903, table 4: high gain, W/(m2 sr um) a digital number, and ESUN.
GAIN = (0.778740, 0.798819, 0.621654, 0.639764)
BIAS = (-6.98, -7.20, -5.62, -5.74)
SUNLIGHT = (1997.0, 1812.0, 1533.0, 1039.0)
SUN_ELEVATION_DEG = 46.0
"""On 30 October near 28 N at 10 in the morning, reckoned by us: the scene's own metadata are not in the folder."""
SUN_DISTANCE = 0.9932
WIDE_M = 45.0
"""Around a drawn lake: unknown, for the outline is as old as the scene only to the year."""


class EverestLakes(Source):
    """Snow, ice, rock, deep shadow and a few lakes at the top of the atmosphere; 38 % of its pixels are saturated.

    Two places of 400 columns: the west of the scene and the east, so that one can test what the other taught.
    """

    kind: Literal["everest-lakes"]
    scene: str
    """The folder everest_l7_rgi."""
    lakes: str
    """HKH_2000.shp of the folder lakes_hkh_2000_2010_2020."""
    halves: tuple[Literal["west", "east"], ...] = ("west", "east")

    def samples(self, folder: Path) -> Iterator[Sample]:
        """Read the halves that are wanted. Raises RecipeError, ImageryError."""
        start = existing(self.scene, folder) / SCENE
        colours = read_raster(start.with_name(start.name + "RGB.tif"))[0]
        nir = read_raster(start.with_name(start.name + "B4.tif"))[0]
        image = toa_reflectance(np.concatenate([colours[::-1], nir]))  # red, green, blue -> blue, green, red
        label = _label(start.with_name(start.name + "B4.tif"), existing(self.lakes, folder))
        middle = label.shape[1] // 2
        for name in self.halves:
            columns = slice(0, middle) if name == "west" else slice(middle, None)
            yield Sample(
                id=f"everest-{name}",
                group=f"everest-{name}",
                image=np.ascontiguousarray(image[:, :, columns]),
                bands=BANDS,
                label=np.ascontiguousarray(label[:, columns]),
                pixel_m=30.0,
                source=self.name or "everest_l7_rgi",
            )


def toa_reflectance(numbers: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Digital numbers (blue, green, red, nir) of Landsat 7 at high gain -> reflectance; NaN where all are 0."""
    gain, bias, sunlight = (np.array(values, np.float32)[:, None, None] for values in (GAIN, BIAS, SUNLIGHT))
    radiance = np.maximum(gain * numbers.astype(np.float32) + bias, 0)
    light = sunlight * np.float32(np.sin(np.radians(SUN_ELEVATION_DEG)))
    reflectance = (np.float32(np.pi * SUN_DISTANCE**2) * radiance / light).astype(np.float32)
    reflectance[:, (numbers == 0).all(axis=0)] = np.nan
    return np.asarray(reflectance, np.float32)


def _label(scene: Path, lakes: Path) -> NDArray[np.uint8]:
    with gdal_env(), rasterio.open(scene) as source:
        outlines = gpd.read_file(lakes).to_crs(source.crs).geometry.dropna()
        shape, transform = source.shape, source.transform
    drawn, near = (
        rasterize([(outline, 1) for outline in grown], out_shape=shape, transform=transform, dtype=np.uint8)
        for grown in (outlines, outlines.buffer(WIDE_M))
    )
    return np.where((near == 1) & (drawn == 0), np.uint8(UNKNOWN), drawn).astype(np.uint8)
