"""Augmentation: other places, sensors, skies and resolutions out of the samples that we have.

Chance comes from numpy generators seeded by (seed, epoch, sample), which kornia's and albumentations' own random
transforms do not offer per sample and which resuming needs; kornia does the resampling. Neither library knows no data.
"""

from __future__ import annotations

from dataclasses import dataclass

import kornia.geometry.transform as geometry
import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from talik_training.samples import LANDFORM, UNKNOWN, Sample
from talik_training.weather import WeatherRules, weathered

WAVELENGTH_UM = {
    "coastal": 0.44,
    "blue": 0.49,
    "green": 0.56,
    "red": 0.665,
    "rededge": 0.72,
    "nir": 0.84,
    "nir08": 0.865,
    "swir16": 1.61,
    "swir22": 2.2,
}
"""Bands of sunlight; others (radar, grey) get no haze."""
AIRLIGHT = 0.45
"""Reflectance of a sky that is all haze."""


class AugmentRules(BaseModel):
    """How far each change may go; 0 (or 1 for `scale`) is none."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    flips: bool = True
    """And turns by 90 degrees."""
    scale: tuple[float, float] = (0.75, 1.5)
    """A pixel becomes this many times larger."""
    on_landform: float = Field(default=0.5, ge=0, le=1)
    """Share of crops that are centred on a landform pixel, where there is one."""
    gain: float = Field(default=0.15, ge=0, lt=1)
    """Per band, times 1 - gain .. 1 + gain."""
    offset: float = Field(default=0.01, ge=0)
    """Per band, reflectance."""
    brightness: float = Field(default=0.3, ge=0, lt=1)
    """All bands alike: lower sun, shadow of thin cloud."""
    gamma: float = Field(default=0.15, ge=0, lt=1)
    haze: float = Field(default=0.25, ge=0, lt=1)
    """Largest share of airlight in blue; in half of the crops none."""
    noise: float = Field(default=0.01, ge=0)
    """Standard deviation of reflectance, per band and pixel."""
    dropout: float = Field(default=0.0, ge=0, le=1)
    """Chance that one band is lost (its mean everywhere)."""
    weather: WeatherRules = WeatherRules()
    """Simulated, for samples of blue, green, red, near infrared."""


NONE = AugmentRules(flips=False, scale=(1, 1), on_landform=0, gain=0, offset=0, brightness=0, gamma=0, haze=0, noise=0)


@dataclass(frozen=True, kw_only=True)
class Chip:
    """A square cut out of a sample."""

    image: NDArray[np.float32]
    """(band, y, x) reflectance, NaN where no data."""
    label: NDArray[np.uint8]
    """(y, x), 255 where unknown or no data."""


def augmented(sample: Sample, rules: AugmentRules, *, size_px: int, key: tuple[int, int, int]) -> Chip:
    """Cut and change a square of `size_px`; `key` (seed, epoch, sample number) decides everything."""
    chance = np.random.default_rng(np.random.SeedSequence(key))
    chip = _crop(sample, rules, size_px, chance)
    if rules.flips:
        chip = _turned(chip, int(chance.integers(8)))
    if rules.weather.any:
        image, label = weathered(chip.image, chip.label, rules.weather, chance)
        chip = Chip(image=image, label=label)
    image = _seen_otherwise(chip.image, sample.bands, rules, chance)
    label = np.where(np.isnan(image).any(axis=0), np.uint8(UNKNOWN), chip.label)
    return Chip(image=image, label=label)


def window_of(sample: Sample, *, row: int, column: int, size_px: int) -> Chip:
    """The square whose first pixel is (row, column), which may lie outside: NaN and unknown beyond the sample."""
    height, width = sample.label.shape
    image = np.full((len(sample.bands), size_px, size_px), np.nan, np.float32)
    label = np.full((size_px, size_px), UNKNOWN, np.uint8)
    top, left = max(row, 0), max(column, 0)
    bottom, right = min(row + size_px, height), min(column + size_px, width)
    if top < bottom and left < right:
        to = (slice(top - row, bottom - row), slice(left - column, right - column))
        image[:, *to] = sample.image[:, top:bottom, left:right]
        label[to] = sample.label[top:bottom, left:right]
    return Chip(image=image, label=label)


def _crop(sample: Sample, rules: AugmentRules, size_px: int, chance: np.random.Generator) -> Chip:
    low, high = rules.scale
    zoom = float(np.exp(chance.uniform(np.log(low), np.log(high)))) if high > low else low
    taken = max(round(size_px * zoom), 1)
    row, column = _corner(sample, taken, chance, on_landform=chance.random() < rules.on_landform)
    chip = window_of(sample, row=row, column=column, size_px=taken)
    return chip if taken == size_px else _resized(chip, size_px)


def _corner(sample: Sample, taken: int, chance: np.random.Generator, *, on_landform: bool) -> tuple[int, int]:
    """Where a crop starts: inside the sample if it is larger, else such that it holds all of it."""
    height, width = sample.label.shape
    places = np.flatnonzero(sample.label == LANDFORM) if on_landform else np.empty(0, np.intp)
    if len(places):
        row, column = divmod(int(places[chance.integers(len(places))]), width)
        jitter = chance.integers(-taken // 4, taken // 4 + 1, 2)
        row, column = row - taken // 2 + int(jitter[0]), column - taken // 2 + int(jitter[1])
    else:
        row, column = (int(chance.integers(min(0, n - taken), max(0, n - taken) + 1)) for n in (height, width))
    return _held(row, height - taken), _held(column, width - taken)


def _held(start: int, slack: int) -> int:
    return min(max(start, min(slack, 0)), max(slack, 0))


def _resized(chip: Chip, size_px: int) -> Chip:
    """Resample with the weight of valid pixels alone; smoothed first where pixels grow, as a coarser sensor does."""
    valid = np.asarray(~np.isnan(chip.image).any(axis=0))
    stacked = np.concatenate([np.where(valid, chip.image, 0), valid[np.newaxis].astype(np.float32)])
    small = geometry.resize(torch.from_numpy(stacked)[None], (size_px, size_px), antialias=size_px < valid.shape[0])
    out = small[0].numpy()
    seen = out[-1] > 0.5
    image = np.where(seen, out[:-1] / np.maximum(out[-1], 1e-6), np.float32(np.nan))
    at = np.minimum((np.arange(size_px) + 0.5) * valid.shape[0] / size_px, valid.shape[0] - 1).astype(np.intp)
    return Chip(image=image.astype(np.float32), label=chip.label[at[:, None], at[None, :]])


def _turned(chip: Chip, number: int) -> Chip:
    """One of the eight symmetries of a square."""
    image, label = np.rot90(chip.image, number % 4, (1, 2)), np.rot90(chip.label, number % 4)
    if number >= 4:
        image, label = image[:, :, ::-1], label[:, ::-1]
    return Chip(image=np.ascontiguousarray(image), label=np.ascontiguousarray(label))


def _seen_otherwise(
    image: NDArray[np.float32], bands: tuple[str, ...], rules: AugmentRules, chance: np.random.Generator
) -> NDArray[np.float32]:
    """Another sensor under another sky; NaN stays NaN. All chances are drawn always, in the same order."""
    count = len(bands)
    gain = chance.uniform(1 - rules.gain, 1 + rules.gain, count) * (
        1 + chance.uniform(-rules.brightness, rules.brightness)
    )
    offset = chance.uniform(-rules.offset, rules.offset, count)
    gamma = 1 + chance.uniform(-rules.gamma, rules.gamma)
    haze = _haze(bands, rules.haze * max(0.0, chance.uniform(-1, 1)), chance.uniform(1, 4))
    lost = int(chance.integers(count)) if chance.random() < rules.dropout else None
    noise = chance.standard_normal(image.shape, np.float32) * np.float32(rules.noise) if rules.noise else 0
    changed = np.maximum(image, 0) ** np.float32(gamma) if rules.gamma else image
    changed = changed * _column(gain * (1 - haze)) + _column(AIRLIGHT * haze + offset) + noise
    changed = np.maximum(changed, 0)  # np.maximum keeps NaN
    if lost is not None:
        changed[lost] = np.where(np.isnan(changed[lost]), np.nan, np.float32(_mean(changed[lost])))
    return changed.astype(np.float32)


def _haze(bands: tuple[str, ...], in_blue: float, power: float) -> NDArray[np.float64]:
    """Share of airlight in each band: wavelength to the minus 1 (large droplets) to minus 4 (Rayleigh)."""
    return np.array([in_blue * (0.49 / WAVELENGTH_UM[b]) ** power if b in WAVELENGTH_UM else 0.0 for b in bands]).clip(
        0, 0.9
    )


def _mean(layer: NDArray[np.float32]) -> float:
    seen = layer[~np.isnan(layer)]
    return float(seen.mean()) if seen.size else 0.0


def _column(values: NDArray[np.float64]) -> NDArray[np.float32]:
    return values.astype(np.float32)[:, None, None]
