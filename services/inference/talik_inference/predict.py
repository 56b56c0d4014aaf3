"""Pure: a block of imagery -> uint8 probability, window by window."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from talik_inference.grid import Rect
from talik_inference.model import ModelCard, Predictor
from talik_inference.plan import Windows
from talik_inference.vectorize import NO_DATA
from talik_stac.errors import ModelError

STRIDE_PX = 64
"""Windows are cut to multiples of this side: encoders halve up to six times."""
FULL = 250
"""Probability 1; a quarter of a percent is 0.625 steps, and sums of uint8 stay exact integers."""


def landform_above(threshold: float) -> int:
    """The uint8 probability above which (strictly) a pixel is landform: floor(250 threshold)."""
    return int(np.floor(threshold * FULL + 1e-9))


def quantise(probability: NDArray[np.float32], valid: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """float32 0..1 (y, x) -> uint8 0..250, 255 where not valid; rounds half to even."""
    steps = np.rint(np.clip(probability, 0.0, 1.0) * np.float32(FULL))
    return np.where(valid, steps, NO_DATA).astype(np.uint8)


def predict_block(
    predictor: Predictor,
    card: ModelCard,
    windows: Windows,
    data: NDArray[np.float32],
    valid: NDArray[np.bool_],
    wanted: NDArray[np.bool_],
    core: Rect,
) -> NDArray[np.uint8]:
    """Run the model over every window of a block.

    `data` float32 reflectance (band, y, x) in the card's band order and `valid` bool (y, x) cover `core`
    grown by the halo; `wanted` bool (y, x) covers `core`: windows without a wanted pixel are not run.
    Returns uint8 (y, x) of `core`: 0..250, 255 where not valid or not wanted.
    """
    outer = core.expand(windows.halo_px)
    answer = np.full(core.shape, NO_DATA, np.uint8)
    for kept in core.cells(windows.core_px):
        here = kept.within(core)
        seen = kept.expand(windows.halo_px).within(outer)
        if not (wanted[here] & valid[kept.within(outer)]).any():
            continue
        probability = predict_window(predictor, card, data[:, *seen], valid[seen])
        inner = kept.within(kept.expand(windows.halo_px))
        answer[here] = quantise(probability[inner], valid[kept.within(outer)] & wanted[here])
    return answer


def predict_window(
    predictor: Predictor, card: ModelCard, data: NDArray[np.float32], valid: NDArray[np.bool_]
) -> NDArray[np.float32]:
    """Scale, fill and run one window: float32 (band, y, x), bool (y, x) -> float32 probability (y, x), 0 beyond.

    The model runs over the rectangle of valid data alone, in steps of STRIDE_PX: at the edge of a scene most of a
    window can be empty. Raises ModelError where the model answers NaN on valid pixels.
    """
    part = _valid_rectangle(valid)
    probability = np.zeros(valid.shape, np.float32)
    probability[part] = predictor(fill(scale(data[:, *part], card), valid[part]))
    if np.isnan(probability[valid]).any():
        raise ModelError(f"model {card.reference} answered NaN on valid pixels; the model or its scaling is broken")
    return probability


def _valid_rectangle(valid: NDArray[np.bool_]) -> tuple[slice, slice]:
    """The (y, x) slices that hold all valid pixels, widened to steps of STRIDE_PX where the window allows."""
    rows, cols = np.flatnonzero(valid.any(axis=1)), np.flatnonzero(valid.any(axis=0))
    return _widened(rows, valid.shape[0]), _widened(cols, valid.shape[1])


def _widened(found: NDArray[np.intp], size: int) -> slice:
    if not len(found):
        return slice(0, min(STRIDE_PX, size))
    start = int(found[0]) // STRIDE_PX * STRIDE_PX
    return slice(start, min(size, -(-(int(found[-1]) + 1) // STRIDE_PX) * STRIDE_PX))


def scale(data: NDArray[np.float32], card: ModelCard) -> NDArray[np.float32]:
    """Apply the card's scaling, the same for every window (never a window's own statistics)."""
    mean = np.array([s.mean for s in card.bands.values()], np.float32)[:, None, None]
    std = np.array([s.std for s in card.bands.values()], np.float32)[:, None, None]
    scaled: NDArray[np.float32] = (data - mean) / std
    return scaled


def fill(data: NDArray[np.float32], valid: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Give every pixel a finite value: reflect at the edges of the valid rectangle, 0 in the gaps inside it.

    So a scene smaller than a window shows the model more of itself and not a wall of zeros. The result depends
    on this window's imagery alone.
    """
    if valid.all():
        return data
    filled = np.where(valid, data, np.float32(0))
    rows, cols = np.flatnonzero(valid.any(axis=1)), np.flatnonzero(valid.any(axis=0))
    if rows.size == 0:
        return filled
    y = _reflected(rows[0], rows[-1] + 1, valid.shape[0])
    x = _reflected(cols[0], cols[-1] + 1, valid.shape[1])
    return np.ascontiguousarray(filled[:, y[:, None], x[None, :]])


def _reflected(start: int, end: int, size: int) -> NDArray[np.intp]:
    """Indices 0..size-1 folded into start..end-1 as a mirror does (edge pixel not repeated)."""
    length = end - start
    if length == 1:
        return np.full(size, start, np.intp)
    period = 2 * (length - 1)
    folded = (np.arange(size, dtype=np.intp) - start) % period
    return start + np.where(folded < length, folded, period - folded)
