"""A world whose jobs take long enough to be killed: hundreds of small blocks behind a model that looks around."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from making import footprint_of, grid_at
from talik_inference.model import keep_model, load_model
from talik_stac.store import open_store
from tiny_models import blurred_green
from world import World, paint

SIDE_PX = 768
BLOCKS = 182
"""Of 64 px: the box of degrees around the scene reaches beyond its 12 x 12."""
SMALL_BLOCKS = ("--block", "64", "--workers", "2")


def job_world(folder: Path, *, side_px: int = SIDE_PX) -> World:
    """A store with one scene of water and land at random, and the model tiny@1."""
    world = World(folder=folder)
    water = np.random.default_rng(1).random((side_px // 8, side_px // 8)) > 0.6
    world.add("a_20210715", paint(np.kron(water, np.ones((8, 8), bool))), grid_at(40_000, -540_000, side_px, side_px))
    store = open_store(world.root)
    keep_model(load_model(blurred_green(folder / "model", radius=10, core_px=64), store), store)
    return world


def job_inputs(side_px: int = SIDE_PX, **changes: Any) -> dict[str, Any]:
    """What maps the whole scene."""
    grid = grid_at(40_000, -540_000, side_px, side_px)
    inputs = {
        "landform": "water",
        "season": "2021",
        "collection": "test",
        "area": list(footprint_of(grid).bounds),
        "name": "area",
        "model": "tiny@1",
        "threshold": 0.08,
    }
    return {**inputs, **changes}


def wait_until(true: Callable[[], object], *, seconds: float = 60) -> None:
    """Wait for something that another process does."""
    until = time.monotonic() + seconds
    while not true():
        if time.monotonic() > until:
            raise TimeoutError(f"still not after {seconds} s")
        time.sleep(0.02)


def blocks_there(world: World) -> int:
    """How many blocks of unfinished runs lie in the store."""
    return len(list(Path(world.root).glob("runs/*/blocks/*.json")))
