"""Pairs of image and label files."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from talik_stac.errors import RecipeError
from talik_training.samples import Sample
from talik_training.sources.base import Source, as_reflectance, files_of, label_of, read_raster


class Pairs(Source):
    """Images and labels found by two globs, matched in sorted order."""

    kind: Literal["pairs"]
    images: str
    labels: str | None = None
    """Left out: images without any landform, negatives."""
    bands: tuple[str, ...] = Field(min_length=1)
    """One name for each band of a file; "-" for a band that is not used."""
    scale: float = Field(default=1.0, gt=0)
    offset: float = 0.0
    nodata: float | None = None
    """The file's own if left out."""
    label_above: float | None = None
    """A label's number above this is landform."""
    label_values: tuple[float, ...] = ()
    """Or: these numbers are landform."""
    unknown_values: tuple[float, ...] = ()
    """These numbers of a label are unknown."""
    pixel_m: float = Field(gt=0)
    group: str = r"^(.*)$"
    """Regular expression on the image's name without its ending; its first group is the place."""

    @model_validator(mode="after")
    def _one_rule(self) -> Pairs:
        if self.labels is not None and (self.label_above is None) == (not self.label_values):
            raise ValueError("give either label_above or label_values")
        if re.compile(self.group).groups < 1:
            raise ValueError(f"group '{self.group}' needs a group in brackets that names the place")
        return self

    def samples(self, folder: Path) -> Iterator[Sample]:
        """Read pair by pair. Raises RecipeError, ImageryError."""
        images = files_of(self.images, folder)
        labels: list[Path] | list[None] = [None] * len(images)
        if self.labels is not None:
            labels = files_of(self.labels, folder)
            images = [path for path in images if path not in set(labels)]
        if len(images) != len(labels):
            raise RecipeError(
                f"{len(images)} images match '{self.images}' but {len(labels)} labels match '{self.labels}'; "
                "every image needs one label"
            )
        for image, label in self.chosen(list(zip(images, labels, strict=True))):
            yield self._sample(image, label)

    def _sample(self, image: Path, label: Path | None) -> Sample:
        numbers, stated = read_raster(image)
        used = [i for i, name in enumerate(self.bands) if name != "-"]
        if len(self.bands) != len(numbers):
            raise RecipeError(f"{image} has {len(numbers)} bands, the source names {len(self.bands)}; use - for unused")
        nodata = self.nodata if self.nodata is not None else stated
        return Sample(
            id=image.stem,
            group=self._place(image),
            image=as_reflectance(numbers[used], scale=self.scale, offset=self.offset, nodata=nodata),
            bands=tuple(self.bands[i] for i in used),
            label=np.zeros(numbers.shape[1:], np.uint8) if label is None else self._drawn(label),
            pixel_m=self.pixel_m,
            source=self.name or "pairs",
        )

    def _place(self, image: Path) -> str:
        found = re.search(self.group, image.stem)
        if found is None:
            raise RecipeError(f"group '{self.group}' does not match the name '{image.stem}'")
        return found.group(1)

    def _drawn(self, path: Path) -> NDArray[np.uint8]:
        drawn = read_raster(path)[0][0]
        above = self.label_above
        landform = np.isin(drawn, self.label_values) if above is None else np.asarray(drawn > above)
        return label_of(landform, np.isin(drawn, self.unknown_values))
