"""What a run will take, before it runs: time from one timed window, memory from the block's arrays."""

from __future__ import annotations

import resource
import time
from dataclasses import dataclass

import numpy as np

from talik_inference.despeckle import parameters_of
from talik_inference.grid import pixel_metres
from talik_inference.model import open_predictor
from talik_inference.pipeline import Prepared
from talik_inference.speckle import filter_ppb
from talik_stac.conventions import BACKSCATTER

PIXEL_SECONDS = 1 / 25e6
"""Reading, vectorising and writing one pixel on one core; measured by benchmarks/end_to_end.py."""

TRIAL_PX = 96
"""Side of the image that the speckle filter is timed on."""


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """Expected cost of a run on this machine."""

    seconds: float
    memory_mb: float


def estimate(prepared: Prepared) -> Estimate:
    """Time the model on one window of noise and add up. A rough figure: within a factor of two."""
    job, executor = prepared.job, prepared.request.executor
    windows, bands = job.plan.windows, len(prepared.model.card.bands)
    predictor = open_predictor(prepared.model, threads=executor.threads)
    window = np.random.default_rng(0).random((bands, windows.window_px, windows.window_px), np.float32)
    before_mb = _peak_mb()
    predictor(window)
    window_mb = _peak_mb() - before_mb
    started = time.perf_counter()
    predictor(window)
    per_window = time.perf_counter() - started
    count = job.plan.pixels / windows.core_px**2
    workers = executor.workers
    seconds = (count * per_window + job.plan.pixels * PIXEL_SECONDS + _despeckling_seconds(prepared)) / workers
    side = max((max(b.core.shape) for b in job.plan.blocks), default=0) + 2 * windows.halo_px
    # Per pixel of a block: float32 bands twice (scene and composite), its digital numbers, 8 bytes of sources, flags.
    block_mb = side**2 * (bands * 10 + 8 + 6) / 1e6
    return Estimate(seconds=seconds, memory_mb=before_mb + workers * (block_mb + window_mb))


def _despeckling_seconds(prepared: Prepared) -> float:
    """Time of the speckle filter over the area, from a trial; of one scene, or of all of them for a median."""
    recipe = prepared.job.recipe
    if recipe.despeckle is None:
        return 0.0
    parameters = parameters_of(recipe.despeckle)
    intensity = np.random.default_rng(0).random((TRIAL_PX, TRIAL_PX), np.float32)
    filter_ppb(intensity[:1, :1], parameters)  # measures its scale once
    started = time.perf_counter()
    filter_ppb(intensity, parameters)
    each = (time.perf_counter() - started) / TRIAL_PX**2
    layers = sum(name in BACKSCATTER for name in prepared.model.card.bands)
    scenes = len(prepared.scenes) if recipe.composite == "median" else 1
    pixel_m2 = min(pixel_metres(zone.lattice) for zone in prepared.job.plan.zones) ** 2
    pixels = min(prepared.job.plan.pixels, prepared.request.aoi.area_km2 * 1e6 / pixel_m2)
    return each * layers * scenes * pixels


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
