"""Drawing a strip: images of one place side by side, in one stretch, with outline, scale bar and dates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from shapely.geometry.base import BaseGeometry

OUTLINE = (0, 213, 255)
NOT_SEEN = 128
"""Grey of pixels without data."""
GAP_PX = 4
SMALLEST_RING_PX = 5
"""Holes and parts of a smaller side are not drawn: where there are many, their lines hide the ground."""
CAPTION_PX = 22
PERCENTILES = (1.0, 99.0)
"""Of all dates together, shown as black and as white: a change of tone is then a change on the ground."""
BARS_M = tuple(m * 10**e for e in range(6) for m in (1, 2, 5))


@dataclass(frozen=True, kw_only=True)
class Frame:
    """One date."""

    date: str
    """YYYY-MM-DD."""
    note: str = ""
    """Written behind the date."""
    values: NDArray[np.float32]
    """Shown as red, green, blue: (3, y, x), NaN where not seen."""


def draw_strip(
    frames: Sequence[Frame], outline: BaseGeometry, *, title: str, metres_per_px: float, panel_px: int
) -> Image.Image:
    """Draw frames side by side; `outline` in pixels of a frame (column, row)."""
    shown = stretched([frame.values for frame in frames])
    width = len(frames) * (panel_px + GAP_PX) + GAP_PX
    sheet = Image.new("RGB", (width, panel_px + 2 * CAPTION_PX), (255, 255, 255))
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(13)
    pen.text((GAP_PX, 3), title, fill=(0, 0, 0), font=font)
    for number, (frame, pixels) in enumerate(zip(frames, shown, strict=True)):
        left = GAP_PX + number * (panel_px + GAP_PX)
        panel = Image.fromarray(pixels).resize((panel_px, panel_px), Image.Resampling.NEAREST)
        scale = panel_px / pixels.shape[1]
        _draw_outline(ImageDraw.Draw(panel), outline, scale)
        _draw_bar(ImageDraw.Draw(panel), panel_px, metres_per_px / scale)
        sheet.paste(panel, (left, CAPTION_PX))
        pen.text((left, CAPTION_PX + panel_px + 3), frame.date + frame.note, fill=(0, 0, 0), font=font)
    return sheet


def stretched(dates: Sequence[NDArray[np.float32]]) -> list[NDArray[np.uint8]]:
    """Each (3, y, x) as uint8 (y, x, 3); each band in one stretch over all dates."""
    every = np.stack(dates)  # (date, band, y, x)
    limits = np.array([_limits(every[:, band]) for band in range(every.shape[1])])
    low, high = limits.T[:, np.newaxis, :, np.newaxis, np.newaxis]  # (limit, date, band, y, x)
    shown = np.clip((every - low) / (high - low), 0, 1) * 255
    filled = np.where(np.isnan(shown), NOT_SEEN, np.rint(shown)).astype(np.uint8)
    return [np.ascontiguousarray(np.moveaxis(date, 0, -1)) for date in filled]


def _limits(band: NDArray[np.float32]) -> tuple[float, float]:
    """What is black and what is white in a band of all dates."""
    seen = band[~np.isnan(band)]
    low, high = np.percentile(seen, PERCENTILES) if len(seen) else (0.0, 1.0)
    return (float(low), float(high)) if high > low else (float(low), float(low) + 1.0)


def _draw_outline(pen: ImageDraw.ImageDraw, outline: BaseGeometry, scale: float) -> None:
    rings = shapely.get_rings(shapely.get_parts(outline))
    left, top, right, bottom = shapely.bounds(rings).T * scale
    sides = np.maximum(right - left, bottom - top)
    for ring in rings[sides >= min(SMALLEST_RING_PX, sides.max())]:
        points = [(x * scale, y * scale) for x, y in shapely.get_coordinates(ring)]
        pen.line(points, fill=OUTLINE, width=1, joint="curve")


def _draw_bar(pen: ImageDraw.ImageDraw, panel_px: int, metres_per_px: float) -> None:
    """A bar of a round length, at most a third of the width."""
    length = max((m for m in BARS_M if m <= panel_px * metres_per_px / 3), default=BARS_M[0])
    left, bottom, width = 8, panel_px - 8, length / metres_per_px
    pen.rectangle((left - 1, bottom - 4, left + width + 1, bottom + 1), fill=(0, 0, 0))
    pen.rectangle((left, bottom - 3, left + width, bottom), fill=(255, 255, 255))
    label = f"{length / 1000:g} km" if length >= 1000 else f"{length:g} m"
    font = ImageFont.load_default(12)
    pen.text((left, bottom - 20), label, fill=(255, 255, 255), font=font, stroke_width=1, stroke_fill=(0, 0, 0))
