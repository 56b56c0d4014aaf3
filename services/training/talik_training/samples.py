"""Samples: images with labels, each from a named place, and the TOML file that says where they lie."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from talik_stac.errors import ImageryError, RecipeError

OTHER, LANDFORM, UNKNOWN = 0, 1, 255
"""The values of a label."""

Part = Literal["train", "validation", "test"]


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One image with its label. Validated on construction; raises ImageryError."""

    id: str
    group: str
    """The place; samples of one place are never parted by a split."""
    image: NDArray[np.float32]
    """(band, y, x) reflectance 0..1; NaN where no data."""
    bands: tuple[str, ...]
    """Common names, in the image's order."""
    label: NDArray[np.uint8]
    """(y, x): 1 landform, 0 other, 255 unknown."""
    pixel_m: float
    part: Part | None = None
    """Where the publisher of the data says which part it is of."""
    source: str = ""
    """Name of the data set, for the card."""
    weight: int = 1
    """How many times it counts in an epoch of training; scores count it once."""

    def __post_init__(self) -> None:
        shape = (len(self.bands), *self.label.shape)
        if self.image.shape != shape or self.image.dtype != np.float32:
            raise ImageryError(
                f"sample {self.id}: image of {self.image.dtype} {self.image.shape}; its bands "
                f"{', '.join(self.bands)} and its label {self.label.shape} need float32 {shape}"
            )
        odd = np.setdiff1d(np.unique(self.label), (OTHER, LANDFORM, UNKNOWN))
        if odd.size or self.label.dtype != np.uint8:
            raise ImageryError(f"sample {self.id}: a label is uint8 0, 1 or 255, here is {self.label.dtype} {odd[:5]}")
        if not self.pixel_m > 0:
            raise ImageryError(f"sample {self.id}: pixel of {self.pixel_m} m; give pixel_m above 0")

    @property
    def valid(self) -> NDArray[np.bool_]:
        """(y, x) True where every band has data."""
        return np.asarray(~np.isnan(self.image).any(axis=0))

    def normalised_difference(self, first: str, second: str) -> NDArray[np.float32]:
        """(first - second) / (first + second) of two bands (y, x); of green and nir it is NDWI. NaN where no data."""
        a, b = (self.image[self.bands.index(name)] for name in (first, second))
        index: NDArray[np.float32] = (a - b) / np.maximum(a + b, np.float32(1e-6))
        return index

    @property
    def has_landform(self) -> bool:
        """Whether any pixel is landform."""
        return bool((self.label == LANDFORM).any())

    def with_bands(self, wanted: tuple[str, ...]) -> Sample:
        """The same sample with these bands in this order. Raises ImageryError for one that it lacks."""
        if wanted == self.bands:
            return self
        missing = [band for band in wanted if band not in self.bands]
        if missing:
            raise ImageryError(
                f"sample {self.id} of {self.source or 'its source'} has {', '.join(self.bands)} and lacks "
                f"{', '.join(missing)}; choose other bands in the recipe or leave this source out"
            )
        return replace(self, image=self.image[[self.bands.index(band) for band in wanted]], bands=wanted)


def load_samples(path: Path) -> Iterator[Sample]:
    """Read the samples of the `[[source]]` tables of a TOML file, in a fixed order.

    Paths in it are relative to the file; ${NAME} is an environment variable. Other tables are not looked at, so that a
    training recipe is such a file. Raises RecipeError, ImageryError.
    """
    from talik_training.sources import open_source

    tables = read_toml(path).get("source", [])
    if not isinstance(tables, list) or not tables:
        raise RecipeError(f'{path}: no [[source]] table; give at least one, such as kind = "pairs"')
    for table in tables:
        for sample in open_source(table, path.parent, where=str(path)):
            # What is drawn where nothing was seen teaches nothing.
            yield replace(sample, label=np.where(sample.valid, sample.label, np.uint8(UNKNOWN)))


def read_toml(path: Path) -> dict[str, object]:
    """The tables of a file. Raises RecipeError."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RecipeError(f"cannot read {path}: {error.strerror}; give a TOML file with [[source]] tables") from error
    except ValueError as error:
        raise RecipeError(f"{path} is not TOML: {error}") from error
