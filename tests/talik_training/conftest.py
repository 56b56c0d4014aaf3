"""A small simulated data set of pairs on disk, and the recipe that learns it in seconds."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from making import write_tif
from talik_training.samples import Sample
from world import paint

RECIPE = """
[model]
name = "tiny-water"
version = "1"
title = "Water, simulated"
landform = "water"
bands = ["green", "nir"]
resolution_min_m = 5
resolution_max_m = 20
core_px = 64
halo_px = 32
licence = "Apache-2.0"
limits = "Tests only."

[[source]]
kind = "pairs"
name = "simulated ponds"
licence = "CC0"
images = "images/*.tif"
labels = "labels/*.tif"
bands = ["green", "nir"]
scale = 1e-4
nodata = 0
label_above = 0
pixel_m = 10
group = "^(place\\\\d+)"

[split]
validation = 0.2
test = 0.2

[network]
weights = "random"
decoder_channels = [32, 16, 16, 8, 8]

[augment]
scale = [0.8, 1.25]

[training]
seed = 3
epochs = 4
batch = 4
window_px = 64
repeats = 2
learning_rate = 3e-3
checkpoint_seconds = 60
"""


def ponds(seed: int, side: int = 64) -> NDArray[np.bool_]:
    """Simulated round ponds: bool (y, x)."""
    chance = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side]
    water = np.zeros((side, side), bool)
    for _ in range(3):
        row, column, radius = chance.integers(8, side - 8), chance.integers(8, side - 8), chance.integers(4, 12)
        water |= (y - row) ** 2 + (x - column) ** 2 < radius**2
    return water


@pytest.fixture(scope="session")
def write_recipe_in() -> Callable[..., Path]:
    """Write twelve pairs of six places and the recipe with lines replaced into a folder; returns the recipe's path."""

    def write(folder: Path, *replaced: tuple[str, str]) -> Path:
        grid = GeoBox.from_bbox((500000, 6000000, 500640, 6000640), crs="EPSG:32633", resolution=10)
        for number in range(12):
            water = ponds(number)
            stem = f"place{number // 2}_{number % 2}"
            noise = np.random.default_rng(number).integers(-60, 60, (2, 64, 64))
            write_tif(folder / "images" / f"{stem}.tif", (paint(water) + noise).astype(np.uint16), grid, nodata=0)
            write_tif(folder / "labels" / f"{stem}.tif", water[None].astype(np.uint8), grid)
        text = RECIPE
        for old, new in replaced:
            assert old in text
            text = text.replace(old, new)
        (folder / "recipe.toml").write_text(text)
        return folder / "recipe.toml"

    return write


@pytest.fixture
def write_recipe(write_recipe_in: Callable[..., Path], tmp_path: Path) -> Callable[..., Path]:
    """The same, into the test's own folder."""
    return partial(write_recipe_in, tmp_path)


@pytest.fixture
def make_sample() -> Callable[..., Sample]:
    """A simulated sample of 64 x 64 px."""

    def make(seed: int = 0, *, group: str = "here", side: int = 64, **fields: object) -> Sample:
        water = ponds(seed, side)
        image = (paint(water) * np.float32(1e-4)).astype(np.float32)
        described = {"id": f"{group}-{seed}", "bands": ("green", "nir"), "pixel_m": 10.0, **fields}
        return Sample(group=group, **{"image": image, "label": water.astype(np.uint8), **described})  # type: ignore[arg-type]

    return make
