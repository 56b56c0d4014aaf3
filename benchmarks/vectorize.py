"""Vectorising alone: speed, linearity and memory, against rasterio.features.shapes and one pass over the pixels.

    python benchmarks/vectorize.py

Blocks of 4096 px with 7 % water stream through `vectorize` and `join`; making the water is not counted. Each size
runs in a process of its own, so that the peak memory is its own.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from rasterio.features import shapes
from scipy.ndimage import gaussian_filter

from talik_inference.fragments import Part
from talik_inference.joining import join
from talik_inference.vectorize import vectorize

BLOCK_PX = 4096
BLOCKS_A_SIDE = (1, 2, 4)


def water(seed: int) -> NDArray[np.uint8]:
    """Lakes with rough shores: uint8 probability (y, x), 7 % above 125."""
    rng = np.random.default_rng(seed)
    field = gaussian_filter(rng.standard_normal((BLOCK_PX, BLOCK_PX), dtype=np.float32), 8)
    field += 0.02 * gaussian_filter(rng.standard_normal((BLOCK_PX, BLOCK_PX), dtype=np.float32), 1.5)
    return np.where(field > np.quantile(field[::4, ::4], 0.93), 200, 3).astype(np.uint8)


def measure(side: int) -> dict[str, float]:
    """Vectorise and join side x side blocks."""
    spent, polygons = 0.0, 0
    block = water(1)  # made once: making it is slower and needs more memory than vectorising it

    def parts() -> Iterator[Part]:
        for row in range(side):
            for col in range(side):
                yield vectorize(block, above=125, origin=(col * BLOCK_PX, row * BLOCK_PX))

    started = time.perf_counter()
    polygons = sum(len(fragments) for fragments in join(parts()))
    spent = time.perf_counter() - started
    pixels = side**2 * BLOCK_PX**2
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"mpx": pixels / 1e6, "mpx_per_s": pixels / 1e6 / spent, "polygons": polygons, "peak_mb": peak}


def limits() -> tuple[float, float]:
    """Mpx/s of rasterio.features.shapes and of one comparison over the pixels of a block."""
    block = water(1)
    inside = block > 125
    started = time.perf_counter()
    count = sum(1 for _ in shapes(block, mask=inside, connectivity=4))
    gdal = block.size / 1e6 / (time.perf_counter() - started)
    started = time.perf_counter()
    for _ in range(10):
        np.count_nonzero(block > 125)
    once = 10 * block.size / 1e6 / (time.perf_counter() - started)
    print(f"rasterio.features.shapes: {gdal:.0f} Mpx/s ({count} polygons); one pass over the pixels: {once:.0f} Mpx/s")
    return gdal, once


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps(measure(int(sys.argv[1]))))
        sys.exit()
    gdal, once = limits()
    for side in BLOCKS_A_SIDE:
        done = subprocess.run([sys.executable, __file__, str(side)], check=True, stdout=subprocess.PIPE, text=True)
        run = json.loads(done.stdout)
        print(
            f"{run['mpx']:6.0f} Mpx: {run['mpx_per_s']:5.0f} Mpx/s, {run['polygons']:7d} polygons, peak "
            f"{run['peak_mb']:.0f} MB; {run['mpx_per_s'] / gdal:.2f} of GDAL, {run['mpx_per_s'] / once:.3f} of one pass"
        )
