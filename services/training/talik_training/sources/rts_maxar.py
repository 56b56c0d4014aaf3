"""Retrogressive thaw slumps on Maxar RGB: the folder rts_cyber2a_maxar (Yang et al. 2023, RSE 288:113495)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from pydantic import Field

from talik_stac.errors import RecipeError
from talik_training.samples import Part, Sample
from talik_training.sources.base import HeldOut, Source, as_reflectance, existing, label_of, read_raster

_NUMBERED = re.compile(r"^(.*)_(\d+)$")


class RtsMaxar(Source):
    """756 patches for training and 138 held out, as data_split.json says.

    Their scale on the ground is not stated: `pixel_m` is what the recipe's writer takes it for. Bytes / 255 stand for
    reflectance, which they are only by order (stretched for viewing).
    """

    kind: Literal["rts-maxar"]
    folder: str
    held_out: HeldOut = "test"
    """What the publisher's val-test patches are here."""
    pixel_m: float = Field(default=4.0, gt=0)
    neighbours: int = Field(default=16, ge=1)
    """A place is a run of so many numbers. Patches of neighbouring numbers lie near each other and many overlap: the
    median distance of their colours is 0.14 from one number to the next, 0.19 to 0.41 at random. Split by patch (1),
    validation read F1 0.75 where the held-out patches read 0.62."""

    def samples(self, folder: Path) -> Iterator[Sample]:
        """Read patch by patch, those for training first. Raises RecipeError, ImageryError."""
        data = existing(self.folder, folder) / "data"
        split = json.loads((data / "data_split.json").read_text())
        held: Part | None = None if self.held_out == "none" else self.held_out
        parts: list[tuple[str, Part | None]] = [(name, "train") for name in sorted(split["train"])]
        parts += [(name, held) for name in sorted(split["valtest"])]
        for name, part in self.chosen(parts):
            yield self._sample(data, name, part)

    def _sample(self, data: Path, name: str, part: Part | None) -> Sample:
        mask = read_raster(data / "masks" / name)[0][0]
        return Sample(
            id=Path(name).stem,
            group=place_of(Path(name).stem, self.neighbours),
            image=as_reflectance(read_raster(data / "images" / name)[0], scale=1 / 255),
            bands=("red", "green", "blue"),
            label=label_of(mask > 127),  # JPEG: edges hold numbers between 0 and 255
            pixel_m=self.pixel_m,
            part=part,
            source=self.name or "rts_cyber2a_maxar",
        )


def place_of(patch: str, neighbours: int) -> str:
    """The run of neighbours that a patch is of: 16, train_yg_041 -> train_yg_2. Raises RecipeError for another name."""
    found = _NUMBERED.match(patch)
    if found is None:
        raise RecipeError(f"patch '{patch}': expected a name that ends in a number, such as train_yg_041")
    return patch if neighbours == 1 else f"{found.group(1)}_{int(found.group(2)) // neighbours}"
