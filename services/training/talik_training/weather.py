"""Simulated sky, light and ground over real samples: what few labelled images show and every region has.

Cloud, the shadow of cloud and of mountains, snow, dark forest, burnt ground, turbid and glinting water and new water
bodies are drawn over a chip, and its label is changed with them. All of it is simulated: a card that used it says so.
The spectra are round numbers of the kind found in libraries (blue, green, red, near infrared), not measurements.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from scipy.ndimage import zoom

from talik_training.samples import LANDFORM, OTHER, UNKNOWN

BANDS = ("blue", "green", "red", "nir")
WAVELENGTH_UM = np.array([0.49, 0.56, 0.665, 0.84], np.float32)

Image = NDArray[np.float32]
"""(band, y, x), reflectance, NaN where no data."""
Label = NDArray[np.uint8]


class WeatherRules(BaseModel):
    """Chance that each is drawn over a chip; 0 is never."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    cloud: float = Field(default=0.0, ge=0, le=1)
    cloud_shadow: float = Field(default=0.0, ge=0, le=1)
    relief: float = Field(default=0.0, ge=0, le=1)
    """Slopes that face the sun and slopes in their own shadow; water stays as it is."""
    snow: float = Field(default=0.0, ge=0, le=1)
    dark_land: float = Field(default=0.0, ge=0, le=1)
    """Dark forest, burnt ground or dark rock."""
    bright_land: float = Field(default=0.0, ge=0, le=1)
    """Bare ground, gravel, roofs, salt."""
    new_water: float = Field(default=0.0, ge=0, le=1)
    other_water: float = Field(default=0.0, ge=0, le=1)
    """Water of another colour: clear, turbid, green, shallow, or with glint."""
    air: float = Field(default=0.0, ge=0, le=1)
    """Path radiance as at the top of the atmosphere, before correction."""
    gaps: float = Field(default=0.0, ge=0, le=1)
    """No data in blobs, as where the mapper leaves out what the quality band calls cloud."""

    @property
    def any(self) -> bool:
        """Whether anything is drawn at all."""
        return any(value > 0 for value in self.model_dump().values())


@dataclass(frozen=True, kw_only=True)
class Ground:
    """A kind of ground by its reflectance, from and to."""

    low: tuple[float, float, float, float]
    high: tuple[float, float, float, float]

    def drawn(self, chance: np.random.Generator) -> NDArray[np.float32]:
        """One spectrum (4,) between low and high, all bands by one share and a little each."""
        share = np.clip(chance.uniform() + chance.normal(0, 0.1, 4), 0, 1)
        return np.asarray(np.array(self.low) + share * (np.array(self.high) - np.array(self.low)), np.float32)


WATERS = (
    Ground(low=(0.010, 0.010, 0.005, 0.001), high=(0.050, 0.045, 0.025, 0.015)),  # clear
    Ground(low=(0.050, 0.070, 0.070, 0.020), high=(0.110, 0.160, 0.200, 0.100)),  # turbid
    Ground(low=(0.060, 0.090, 0.110, 0.090), high=(0.110, 0.160, 0.200, 0.190)),  # flood, as red as soil
    Ground(low=(0.020, 0.040, 0.020, 0.010), high=(0.050, 0.110, 0.050, 0.060)),  # green
    Ground(low=(0.090, 0.110, 0.090, 0.030), high=(0.200, 0.250, 0.200, 0.080)),  # glacial flour
    Ground(low=(0.040, 0.070, 0.070, 0.030), high=(0.120, 0.180, 0.180, 0.090)),  # shallow
)
DARK = (
    Ground(low=(0.010, 0.015, 0.010, 0.060), high=(0.030, 0.045, 0.030, 0.200)),  # forest
    Ground(low=(0.020, 0.025, 0.030, 0.040), high=(0.050, 0.055, 0.065, 0.100)),  # burnt
    Ground(low=(0.040, 0.045, 0.050, 0.055), high=(0.090, 0.095, 0.100, 0.120)),  # rock, asphalt
)
BRIGHT = (
    Ground(low=(0.080, 0.110, 0.150, 0.200), high=(0.200, 0.270, 0.350, 0.450)),  # soil
    Ground(low=(0.150, 0.160, 0.170, 0.190), high=(0.400, 0.420, 0.430, 0.450)),  # gravel, roofs
    Ground(low=(0.300, 0.350, 0.380, 0.380), high=(0.500, 0.580, 0.620, 0.620)),  # salt, sand
)
SNOW = Ground(low=(0.55, 0.53, 0.51, 0.40), high=(0.98, 0.97, 0.96, 0.88))


def weathered(image: Image, label: Label, rules: WeatherRules, chance: np.random.Generator) -> tuple[Image, Label]:
    """Draw over a chip of blue, green, red, near infrared; new arrays. NaN and 255 stay; gaps add to them."""
    image, label = image.copy(), label.copy()
    for share, draw in (
        (rules.bright_land, _bright_land),
        (rules.dark_land, _dark_land),
        (rules.new_water, _new_water),
        (rules.other_water, _other_water),
        (rules.snow, _snow),
        (rules.relief, _relief),
        (rules.cloud_shadow, _cloud_shadow),
        (rules.air, _air),
        (rules.cloud, _cloud),
        (rules.gaps, _gaps),
    ):
        if chance.random() < share:
            image, label = draw(image, label, chance)
    return image, label


def field_of(shape: tuple[int, int], chance: np.random.Generator, *, knot_px: float, rough: float = 0.5) -> Image:
    """A fractal field (y, x) of mean 0 and deviation 1: octaves of smooth noise, each `rough` times the last."""
    height, width = shape
    total = np.zeros(shape, np.float32)
    weight, knot = 1.0, knot_px
    while knot >= 2 and weight > 0.02:
        knots = (int(np.ceil(height / knot)) + 2, int(np.ceil(width / knot)) + 2)
        grid = chance.standard_normal(knots).astype(np.float32)
        smooth = zoom(grid, knot, order=1)
        start = chance.integers(0, int(knot), 2)
        total += np.float32(weight) * smooth[start[0] : start[0] + height, start[1] : start[1] + width]
        weight, knot = weight * rough, knot / 2
    return np.asarray((total - total.mean()) / max(float(total.std()), 1e-6), np.float32)


def _patch(shape: tuple[int, int], chance: np.random.Generator, *, soft: float, low: float = -1.0) -> Image:
    """A share (y, x) of 0 to 1: blobs of a random size that cover a random part, edges `soft` wide in the field."""
    field = field_of(shape, chance, knot_px=float(np.exp(chance.uniform(np.log(8), np.log(96)))))
    return np.asarray(np.clip((field - chance.uniform(low, 1.5)) / soft + 0.5, 0, 1), np.float32)


def _over(image: Image, share: Image, drawn: Image | NDArray[np.float32]) -> Image:
    """Put spectra (band,) or (band, y, x) over the image by their share (y, x)."""
    drawn = drawn[:, None, None] if drawn.ndim == 1 else drawn
    return (image * (1 - share) + drawn * share).astype(np.float32)


def _texture(image: Image, chance: np.random.Generator, *, low: float = 0.02, high: float = 0.25) -> Image:
    """A factor (y, x) about 1."""
    shape = (image.shape[1], image.shape[2])
    strength = chance.uniform(low, high)
    rough = field_of(shape, chance, knot_px=float(chance.uniform(3, 24)), rough=float(chance.uniform(0.5, 1)))
    return np.asarray(np.clip(1 + np.float32(strength) * rough, 0.3, 2), np.float32)


def _blue_light(chance: np.random.Generator, low: float, high: float) -> NDArray[np.float32]:
    """Scattered light (band,): between low and high in blue, less by wavelength to the minus 1 to 4 in the others."""
    power = np.float32(chance.uniform(1, 4))
    return np.asarray(np.float32(chance.uniform(low, high)) * (WAVELENGTH_UM[0] / WAVELENGTH_UM) ** power, np.float32)


def _land_cover(image: Image, label: Label, kinds: tuple[Ground, ...], chance: np.random.Generator) -> Image:
    share = _patch(label.shape, chance, soft=float(chance.uniform(0.02, 1)))
    share = np.where(label == OTHER, share, np.float32(0))
    spectrum = kinds[int(chance.integers(len(kinds)))].drawn(chance)
    return _over(image, share, spectrum[:, None, None] * _texture(image, chance))


def _bright_land(image: Image, label: Label, chance: np.random.Generator) -> tuple[Image, Label]:
    return _land_cover(image, label, BRIGHT, chance), label


def _dark_land(image: Image, label: Label, chance: np.random.Generator) -> tuple[Image, Label]:
    return _land_cover(image, label, DARK, chance), label


def _new_water(image: Image, label: Label, chance: np.random.Generator) -> tuple[Image, Label]:
    """Lakes on land, or a river along a level of the field; half-covered pixels are unknown."""
    field = field_of(label.shape, chance, knot_px=float(np.exp(chance.uniform(np.log(8), np.log(64)))))
    if chance.random() < 0.4:
        field = np.float32(chance.uniform(0.03, 0.25)) - np.abs(field - np.float32(chance.uniform(-1, 1)))
        share = np.clip(field / 0.05 + 0.5, 0, 1)
    else:
        share = np.clip((field - chance.uniform(0.8, 2)) / 0.08 + 0.5, 0, 1)
    share = np.where(label == OTHER, share, 0).astype(np.float32)
    spectrum = WATERS[int(chance.integers(len(WATERS)))].drawn(chance)
    image = _over(image, share, spectrum[:, None, None] * _texture(image, chance, high=0.12))
    drawn = np.where(share > 0.75, np.uint8(LANDFORM), np.where(share > 0.25, np.uint8(UNKNOWN), label))
    return image, drawn.astype(np.uint8)


def _other_water(image: Image, label: Label, chance: np.random.Generator) -> tuple[Image, Label]:
    share = np.full(label.shape, chance.uniform(0.5, 1), np.float32)
    if chance.random() < 0.5:
        share *= _patch(label.shape, chance, soft=1.0)
    share = np.where(label == LANDFORM, share, np.float32(0)).astype(np.float32)
    spectrum = WATERS[int(chance.integers(len(WATERS)))].drawn(chance)
    image = _over(image, share, spectrum[:, None, None] * _texture(image, chance, high=0.15))
    if chance.random() < 0.25:  # sun glint and foam lift all bands alike
        glint = chance.uniform(0.01, 0.12) * np.clip(_texture(image, chance, low=0.1, high=0.6), 0, 2)
        image = image + np.where(label == LANDFORM, glint, 0).astype(np.float32)
    return image, label


def _snow(image: Image, label: Label, chance: np.random.Generator) -> tuple[Image, Label]:
    share = _patch(label.shape, chance, soft=float(chance.uniform(0.05, 1.5)), low=-2.0)
    share = np.where(label == OTHER, share * np.float32(chance.uniform(0.6, 1)), np.float32(0))
    snow = SNOW.drawn(chance)[:, None, None] * _texture(image, chance, high=0.2)
    return _over(image, share.astype(np.float32), snow), label


def _relief(image: Image, label: Label, chance: np.random.Generator) -> tuple[Image, Label]:
    """Direct light by the slope's angle to the sun, sky light by wavelength to the minus 2 to 4 stays in shadow."""
    height = field_of(label.shape, chance, knot_px=float(np.exp(chance.uniform(np.log(16), np.log(96)))), rough=0.45)
    steep = float(chance.uniform(2, 14))
    rise_y, rise_x = np.gradient(height * np.float32(steep))
    toward, sun = chance.uniform(0, 2 * np.pi), np.radians(chance.uniform(15, 60))
    normal = np.sqrt(1 + rise_x**2 + rise_y**2)
    facing = (np.sin(sun) - np.cos(sun) * (np.cos(toward) * rise_x + np.sin(toward) * rise_y)) / normal
    direct = np.clip(facing / np.sin(sun), 0, 1.8).astype(np.float32)
    sky = _blue_light(chance, 0.02, 0.25)
    light = direct * (1 - sky[:, None, None]) + sky[:, None, None]
    return np.where(label == LANDFORM, image, image * light).astype(np.float32), label


def _cloud_shadow(image: Image, label: Label, chance: np.random.Generator) -> tuple[Image, Label]:
    """Water in deep shadow becomes unknown: those who label by eye differ on it."""
    share = _patch(label.shape, chance, soft=float(chance.uniform(0.05, 0.8)))
    direct = float(chance.uniform(0.05, 0.6))
    sky = _blue_light(chance, 0.1, 0.35)
    light = 1 - share * (1 - direct) * (1 - sky[:, None, None])
    hidden = (label == LANDFORM) & (share > 0.5) & (direct < 0.3)
    return (image * light).astype(np.float32), np.where(hidden, np.uint8(UNKNOWN), label).astype(np.uint8)


def _air(image: Image, label: Label, chance: np.random.Generator) -> tuple[Image, Label]:
    path = _blue_light(chance, 0.01, 0.11)
    return (image * np.float32(chance.uniform(0.85, 1)) + path[:, None, None]).astype(np.float32), label


def _cloud(image: Image, label: Label, chance: np.random.Generator) -> tuple[Image, Label]:
    """Opaque cloud is not water; under thin cloud land stays land and water is unknown."""
    share = _patch(label.shape, chance, soft=float(chance.uniform(0.1, 1.5)), low=-0.8)
    bright = np.float32(chance.uniform(0.3, 0.95)) * _texture(image, chance, high=0.25)
    colour = np.asarray(1 + chance.uniform(-0.06, 0.06) * (WAVELENGTH_UM / WAVELENGTH_UM[0] - 1), np.float32)
    share = share * np.float32(chance.uniform(0.5, 1))
    image = _over(image, share, colour[:, None, None] * bright)
    thin = (label == LANDFORM) & (share > 0.15)
    label = np.where(thin, np.uint8(UNKNOWN), label)
    return image, np.where((label != OTHER) & (share > 0.6), np.uint8(OTHER), label).astype(np.uint8)


def _gaps(image: Image, label: Label, chance: np.random.Generator) -> tuple[Image, Label]:
    hidden = _patch(label.shape, chance, soft=0.1, low=-0.3) > 0.5
    if hidden.all():
        return image, label
    return np.where(hidden, np.float32(np.nan), image), np.where(hidden, np.uint8(UNKNOWN), label).astype(np.uint8)
