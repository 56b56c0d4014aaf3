"""Water labelled by an index where it is sure, with a threshold of each image's own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from talik_stac.errors import RecipeError
from talik_training.samples import LANDFORM, OTHER, UNKNOWN, Sample
from talik_training.sources.pairs import Pairs


class OtsuNdwi(Pairs):
    """Clear images with much open water but no labels: water above Otsu's threshold of an index, unknown near it.

    It teaches how water looks in a sensor whose bytes are no reflectance, and nothing of cloud, snow or shadow: only
    for images without them. A part of an image can be kept back by `window`.
    """

    kind: Literal["otsu-ndwi"]  # type: ignore[assignment]
    index: Literal["ndwi", "dark"] = "ndwi"
    """What is parted: NDWI, or minus the near infrared alone. Stretched bytes can leave NDWI without two heaps (NAIP of
    2010 and 2012: half of the land above the threshold), where water is still the darkest in the near infrared."""
    margin: float = Field(default=0.1, ge=0)
    """Unknown where the index is nearer to the threshold than this."""
    window: tuple[float, float, float, float] = (0, 0, 1, 1)
    """Left, top, right, bottom as shares of the image: what is read."""

    @model_validator(mode="after")
    def _has_bands(self) -> OtsuNdwi:
        if not {"green", "nir"} <= set(self.bands) or self.labels is not None:
            raise ValueError("otsu-ndwi needs bands green and nir, and no labels")
        left, top, right, bottom = self.window
        if not (0 <= left < right <= 1 and 0 <= top < bottom <= 1):
            raise ValueError("window is left, top, right, bottom between 0 and 1")
        return self

    def samples(self, folder: Path) -> Iterator[Sample]:
        """Read image by image. Raises RecipeError, ImageryError."""
        for sample in super().samples(folder):
            index = (
                sample.normalised_difference("green", "nir")
                if self.index == "ndwi"
                else -sample.image[sample.bands.index("nir")]
            )
            threshold = otsu(index[np.isfinite(index)])
            label = np.where(index > threshold, np.uint8(LANDFORM), np.uint8(OTHER))
            label[~(np.abs(index - threshold) >= self.margin)] = UNKNOWN
            yield self._cut(replace(sample, label=label))

    def _cut(self, sample: Sample) -> Sample:
        left, top, right, bottom = self.window
        height, width = sample.label.shape
        rows = slice(round(top * height), round(bottom * height))
        columns = slice(round(left * width), round(right * width))
        return replace(
            sample,
            image=np.ascontiguousarray(sample.image[:, rows, columns]),
            label=np.ascontiguousarray(sample.label[rows, columns]),
        )


def otsu(values: NDArray[np.floating[Any]], *, bins: int = 256) -> float:
    """The threshold that parts values best into two classes (Otsu 1979, IEEE Trans. SMC 9(1), 62-66, eq. 18).

    Raises RecipeError where all values are alike.
    """
    if values.size == 0 or float(values.max()) - float(values.min()) < 1e-6:
        raise RecipeError("Otsu's threshold needs values that differ; is the image empty?")
    counts, edges = np.histogram(values, bins)
    middle, share = (edges[:-1] + edges[1:]) / 2, counts / counts.sum()
    below = np.cumsum(share)
    moment = np.cumsum(share * middle)
    between = (moment[-1] * below - moment) ** 2 / np.maximum(below * (1 - below), 1e-12)
    return float(edges[int(np.argmax(between[:-1])) + 1])
