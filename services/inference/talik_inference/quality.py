"""The codes of the products' own quality bands: which pixels are clear of cloud, shadow and snow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from talik_stac.scenes import QualityKind


def clear_pixels(kind: QualityKind, codes: NDArray[Any]) -> NDArray[np.bool_]:
    """Tell which pixels are clear: codes (y, x) -> bool (y, x)."""
    return CLEAR[kind](codes)


def _scl(codes: NDArray[Any]) -> NDArray[np.bool_]:
    """Sentinel-2 L2A scene classification: without 0 no data, 1 saturated, 3 cloud shadow, 8 9 10 cloud, 11 snow.

    2 (dark area, terrain shadow) stays: lakes are often filed there. Source: Sentinel-2 L2A ATBD, S2-PDGS-MPC-L2A.
    """
    clear: NDArray[np.bool_] = np.isin(codes, (0, 1, 3, 8, 9, 10, 11), invert=True)
    return clear


def _udm2(codes: NDArray[Any]) -> NDArray[np.bool_]:
    """Planet usable data mask 2, band 1 (clear). Source: Planet UDM 2.1 product specification."""
    clear: NDArray[np.bool_] = np.equal(codes, 1)
    return clear


def _fmask(codes: NDArray[Any]) -> NDArray[np.bool_]:
    """HLS v2 Fmask bits: 1 cloud, 3 cloud shadow, 4 snow or ice; 255 fill. Source: HLS User Guide v2.0, table 9."""
    clear: NDArray[np.bool_] = np.equal(codes.astype(np.int64) & 0b11010, 0) & np.not_equal(codes, 255)
    return clear


def _qa_pixel(codes: NDArray[Any]) -> NDArray[np.bool_]:
    """Landsat Collection 2 QA_PIXEL bits: 0 fill, 1 dilated cloud, 2 cirrus, 3 cloud, 4 shadow, 5 snow.

    Source: USGS LSDS-1619, Landsat 8-9 Collection 2 Level 2 Science Product Guide, table 6-3.
    """
    clear: NDArray[np.bool_] = np.equal(codes.astype(np.int64) & 0b111111, 0)
    return clear


def _valid(codes: NDArray[Any]) -> NDArray[np.bool_]:
    """A band of one's own: 1 = clear."""
    clear: NDArray[np.bool_] = np.equal(codes, 1)
    return clear


CLEAR: dict[QualityKind, Callable[[NDArray[Any]], NDArray[np.bool_]]] = {
    "scl": _scl,
    "udm2": _udm2,
    "fmask": _fmask,
    "qa_pixel": _qa_pixel,
    "valid": _valid,
}
