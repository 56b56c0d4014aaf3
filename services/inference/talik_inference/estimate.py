"""What a run will take, before it runs: time from one timed window, memory from the block's arrays."""

from __future__ import annotations

import resource
import time
from dataclasses import dataclass

import numpy as np

from talik_inference.model import open_predictor
from talik_inference.pipeline import Prepared

PIXEL_SECONDS = 1 / 25e6
"""Reading, vectorising and writing one pixel on one core; measured by benchmarks/end_to_end.py."""


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
    seconds = count * per_window / workers + job.plan.pixels * PIXEL_SECONDS / workers
    side = max((max(b.core.shape) for b in job.plan.blocks), default=0) + 2 * windows.halo_px
    # Per pixel of a block: float32 bands twice (scene and composite), its digital numbers, 8 bytes of sources, flags.
    block_mb = side**2 * (bands * 10 + 8 + 6) / 1e6
    return Estimate(seconds=seconds, memory_mb=before_mb + workers * (block_mb + window_mb))


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
