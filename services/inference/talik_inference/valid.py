"""Which pixels hold data: the one rule that the index, the reader and the composite share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


def valid_pixels(
    data: NDArray[Any], nodata: Sequence[float | None], *, eight_bit: bool | None = None
) -> NDArray[np.bool_]:
    """Say where data exist: (band, y, x) digital numbers and each band's nodata -> bool (y, x).

    NaN in any band is no data. In 8 bits 0..255 are all real values (water in NAIP has a near infrared of 0,
    its nodata value), so a pixel is no data only where every band equals its nodata value. In wider types one
    band is enough. `eight_bit` says so where 8-bit numbers were widened on the way; None: look at the dtype.
    """
    if data.ndim != 3 or data.shape[0] != len(nodata):
        raise ValueError(f"expected (band, y, x) with {len(nodata)} bands, got shape {data.shape}")
    every = data.dtype.itemsize == 1 if eight_bit is None else eight_bit
    valid = np.ones(data.shape[1:], dtype=bool)
    if np.issubdtype(data.dtype, np.floating):
        for layer in data:
            valid &= ~np.isnan(layer)
    numbers = [None if value is None or np.isnan(value) else value for value in nodata]
    if not every:
        for layer, value in zip(data, numbers, strict=True):
            if value is not None:
                valid &= layer != value
    elif len(numbers) > 0 and all(value is not None for value in numbers):
        empty = np.ones(data.shape[1:], dtype=bool)
        for layer, value in zip(data, numbers, strict=True):
            empty &= layer == value
        valid &= ~empty
    return valid
