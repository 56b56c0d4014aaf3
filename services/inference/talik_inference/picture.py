"""A picture for people: imagery with the mapped outlines over it, one panel a date."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import geopandas
import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

OUTLINE = "#00d5ff"
STRETCH = (0.0, 0.35)
"""Reflectance shown as black and as white, the same in every panel; nir is halved."""


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One date."""

    title: str
    reflectance: NDArray[np.float32]
    """(band, y, x) shown as red, green, blue; NaN where not seen."""
    grid: GeoBox
    outlines: geopandas.GeoDataFrame
    """In any CRS."""


def draw(path: Path, panels: Sequence[Panel], *, caption: str) -> Path:
    """Write a PNG of panels side by side, with a scale bar and a caption."""
    from matplotlib.figure import Figure  # 60 MB that mapping does without

    figure = Figure(figsize=(4.6 * len(panels), 5.2), dpi=130, layout="constrained")
    axes = np.atleast_1d(figure.subplots(1, len(panels), squeeze=True))
    for axis, panel in zip(axes, panels, strict=True):
        box = panel.grid.boundingbox
        axis.imshow(stretched(panel.reflectance), extent=(box.left, box.right, box.bottom, box.top))
        shapes = panel.outlines.to_crs(str(panel.grid.crs))
        if len(shapes):
            shapes.boundary.plot(ax=axis, color=OUTLINE, linewidth=0.9, aspect=None)
        axis.set(xlim=(box.left, box.right), ylim=(box.bottom, box.top), xticks=[], yticks=[])
        axis.set_title(panel.title, fontsize=11)
        _scale_bar(axis, panel.grid)
    figure.supxlabel(caption, fontsize=9)
    figure.savefig(path)
    return path


def stretched(reflectance: NDArray[np.float32]) -> NDArray[np.uint8]:
    """(band, y, x) reflectance -> uint8 (y, x, band) by STRETCH; mid grey where NaN."""
    low, high = STRETCH
    shown = np.clip((reflectance - low) / (high - low), 0, 1) * 255
    return np.moveaxis(np.where(np.isnan(shown), 128, shown), 0, -1).astype(np.uint8)  # (band, y, x) -> (y, x, band)


def _scale_bar(axis: object, grid: GeoBox) -> None:
    """Draw a bar of a round length of about a quarter of the width."""
    box = grid.boundingbox
    width = box.right - box.left
    length = max(m for m in (10, 20, 50, 100, 200, 500, 1000, 2000, 5000) if m <= max(10, width / 3))
    x, y = box.left + 0.05 * width, box.bottom + 0.05 * (box.top - box.bottom)
    axis.plot([x, x + length], [y, y], color="white", linewidth=3)  # type: ignore[attr-defined]
    label = f"{length / 1000:g} km" if length >= 1000 else f"{length} m"
    axis.text(x, y + 0.02 * (box.top - box.bottom), label, color="white", fontsize=9)  # type: ignore[attr-defined]
