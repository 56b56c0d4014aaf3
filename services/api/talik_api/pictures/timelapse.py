"""A time-lapse: one frame for each date, all on one grid and in one stretch, so that only the ground changes."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from talik_api.pictures.chip import Look, view_of
from talik_api.pictures.reading import Allowed, Pixels
from talik_api.pictures.render import Stretch, animated, coloured, drawn, limits_for
from talik_api.pictures.scenes import Frame, evenly, file_grid, fixed_range, read_frame
from talik_stac.errors import ReadError

if TYPE_CHECKING:
    from odc.geo.geobox import GeoBox

_log = logging.getLogger(__name__)
MAX_SIZE_PX = 512
"""60 frames of 512 x 512 are 63 MB while they are put together."""
FRAME_MS = 700
LAST_MS = 1500
"""The last date stays longer, so that the eye sees where the round begins."""
SAMPLE_PX = 64
"""The percentile stretch is taken from so small a view of every date."""


@dataclass(frozen=True, kw_only=True)
class Timelapse:
    """An animation and what it holds."""

    data: bytes
    dates: tuple[str, ...]
    """ISO dates of its frames."""
    found: int
    """How many dates there are; where more than frames, they were evenly chosen."""
    unreadable: tuple[str, ...]
    """Scenes that were left out because a file cannot be read."""


def timelapse(
    feature: BaseGeometry,
    frames: Sequence[Frame],
    allowed: Allowed,
    *,
    look: Look,
    kind: Literal["webp", "gif"] = "webp",
) -> Timelapse:
    """Draw a feature (lon/lat) over each date; dates without any pixel there are left out.

    Raises ReadError where no date can be read.
    """
    chosen = evenly(frames)
    look = replace(look, size_px=min(look.size_px, MAX_SIZE_PX))
    view = view_of(feature, file_grid(chosen[0].scenes[0], allowed), look)
    limits = _limits(chosen, view.grid, allowed, look.stretch)
    images, dates, bad = [], [], list[str]()
    for frame in chosen:
        pixels = _read(frame, view.grid, allowed, bad)
        if pixels is None or not (pixels.valid.any() or len(chosen) == 1):
            continue
        day = frame.day.isoformat()
        images.append(drawn(coloured(pixels, limits), view.grid, view.drawing(day)))
        dates.append(day)
    if not images:  # every date is empty here: show the first, transparent, rather than nothing
        pixels = read_frame(chosen[0], view.grid, allowed)
        images, dates = [drawn(coloured(pixels, limits), view.grid, view.drawing("no data"))], ["no data"]
    durations = [FRAME_MS] * (len(images) - 1) + [LAST_MS]
    data = animated(images, kind, durations)
    return Timelapse(data=data, dates=tuple(dates), found=len(frames), unreadable=tuple(dict.fromkeys(bad)))


def _limits(frames: Sequence[Frame], grid: GeoBox, allowed: Allowed, stretch: Stretch) -> NDArray[np.float64]:
    if stretch == "fixed":
        count = len(frames[0].scenes[0].bands)
        nothing = Pixels(data=np.zeros((count, 1, 1), np.float32), valid=np.zeros((1, 1), np.bool_))
        return limits_for([nothing], stretch, fixed_range(frames[0]))
    small = grid.zoom_to((SAMPLE_PX, SAMPLE_PX))
    samples = [pixels for frame in frames if (pixels := _read(frame, small, allowed, [])) is not None]
    if not samples:
        samples = [read_frame(frames[0], small, allowed)]  # which raises, and says why
    return limits_for(samples, stretch)


def _read(frame: Frame, grid: GeoBox, allowed: Allowed, bad: list[str]) -> Pixels | None:
    """A date's pixels; None, and its scene in `bad`, where a file cannot be read."""
    try:
        return read_frame(frame, grid, allowed)
    except ReadError as error:
        _log.warning("%s", error)
        bad.append(error.scene_id)
        return None
