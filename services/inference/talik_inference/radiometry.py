"""Radiometry against the evidence of the pixels: Sentinel-2's offset, which dates and flags get wrong, and decibels.

From processing baseline 04.00 Sentinel-2 adds 1000 to its digital numbers; some catalogues take it off again, and
say so or not. A wrong offset moves NDWI by tenths.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.errors import RasterioError

from talik_inference.gdal import gdal_env
from talik_inference.read import one_line
from talik_stac.conventions import BACKSCATTER
from talik_stac.errors import ImageryError, ReadError
from talik_stac.scenes import Band, Scene

SAMPLE_PX = 512
"""A scene is looked at in an overview of at most this side: the whole scene, so the area asked for does not matter."""
IMPOSSIBLE = -0.01
"""Reflectance below which no noise reaches."""
SHARE = 0.01
"""More than this share of impossible pixels contradicts the item's offset."""
SENTINEL_2_OFFSET = -0.1
FEW = 100
"""Fewer valid pixels in the sample prove nothing."""


@dataclass(frozen=True, kw_only=True)
class Checked:
    """A scene whose scale and offset stand the test of its pixels."""

    scene: Scene
    warnings: tuple[str, ...]


def check_radiometry(scene: Scene, bands: Sequence[str]) -> Checked:
    """Compare each band's offset with its pixels; where they contradict each other, the pixels win, with a warning.

    Only items with an offset, of Sentinel-2 or of radar are looked at. Raises ReadError, and ImageryError for decibels.
    """
    for name in bands:
        if name in BACKSCATTER:
            _check_power(scene, scene.bands[name])
    suspects = [scene.bands[name] for name in bands if _suspect(scene, scene.bands[name])]
    if not suspects:
        return Checked(scene=scene, warnings=scene.warnings)
    samples = {band.name: _sample(scene, band) for band in suspects}
    samples = {name: sample for name, sample in samples.items() if sample.size >= FEW}
    if not samples:
        return Checked(scene=scene, warnings=scene.warnings)
    declared = scene.bands[next(iter(samples))].offset
    worst = max(_impossible_share(scene.bands[name], sample) for name, sample in samples.items())
    if declared < 0 and worst > SHARE:
        return _contradicted(scene, bands, declared, worst)
    darkest = min(float(sample.min()) * scene.bands[name].scale for name, sample in samples.items())
    if declared == 0 and _is_sentinel_2(scene) and darkest >= -SENTINEL_2_OFFSET * 0.98:
        warning = (
            f"scene {scene.id}: its item states no offset, but no pixel is darker than {darkest:.3f}; "
            "the 1000 added from baseline 04.00 may still be in it"
        )
        return Checked(scene=scene, warnings=(*scene.warnings, warning))
    return Checked(scene=scene, warnings=scene.warnings)


def _contradicted(scene: Scene, bands: Sequence[str], declared: float, share: float) -> Checked:
    said = (
        f"scene {scene.id}: with the item's offset {declared:g}, {share:.0%} of the pixels of a band would reflect "
        "less than nothing"
    )
    if not _is_sentinel_2(scene):
        return Checked(scene=scene, warnings=(*scene.warnings, f"{said}; check scale and offset"))
    corrected = {
        name: replace(band, offset=0.0) if name in bands and band.offset == declared else band
        for name, band in scene.bands.items()
    }
    warning = f"{said}: the offset was taken off before; it is not taken off again"
    return Checked(scene=replace(scene, bands=corrected), warnings=(*scene.warnings, warning))


def _check_power(scene: Scene, band: Band) -> None:
    """Backscatter in linear power is above 0; in decibels most of it is below. Raises ImageryError."""
    sample = _sample(scene, band)
    if sample.size >= FEW and float(np.mean(sample * band.scale + band.offset < 0)) > 0.5:
        raise ImageryError(
            f"scene {scene.id}: most of {band.name} is below 0: decibels? Talik reads linear power, 10 ** (dB / 10); "
            "convert the files (docs/imagery.md, Radar) and index them again"
        )


def _suspect(scene: Scene, band: Band) -> bool:
    if band.name in BACKSCATTER:
        return False
    return band.offset < 0 or (_is_sentinel_2(scene) and bool(np.isclose(band.scale, 1e-4)))


def _is_sentinel_2(scene: Scene) -> bool:
    properties = scene.item.get("properties", {})
    words = f"{properties.get('constellation', '')} {properties.get('platform', '')} {scene.collection}".lower()
    return "sentinel-2" in words.replace(" 2", "-2")


def _impossible_share(band: Band, sample: NDArray[np.float64]) -> float:
    return float(np.mean(sample * band.scale + band.offset < IMPOSSIBLE))


def _sample(scene: Scene, band: Band) -> NDArray[np.float64]:
    """The band's valid digital numbers in an overview, flat."""
    try:
        with gdal_env(), rasterio.open(band.href) as source:
            step = max(1, max(source.shape) // SAMPLE_PX)
            shape = (max(1, source.height // step), max(1, source.width // step))
            numbers: NDArray[Any] = source.read(band.index, out_shape=shape)
    except RasterioError as error:
        raise ReadError(scene_id=scene.id, href=band.href, reason=one_line(error)) from error
    values = numbers.astype(np.float64).ravel()
    values = values[np.isfinite(values)]
    return values if band.nodata is None else values[values != band.nodata]
