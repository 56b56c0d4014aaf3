"""Ice-shelf fractures on the MODIS Mosaic of Antarctica: the folder crevasse_moa_antarctica (Lai et al. 2020)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from talik_training.samples import Part, Sample
from talik_training.sources.base import HeldOut, Source, as_reflectance, existing, label_of, read_raster


class CrevasseMoa(Source):
    """26 images for training and 6 held out, 1000 x 1000 px of 125 m, uint16 stretched to its full range."""

    kind: Literal["crevasse-moa"]
    folder: str
    held_out: HeldOut = "test"
    outside: Literal["unknown", "other"] = "unknown"
    """What the number 0 is: beyond the ice shelf, 14 to 99.8 % of an image. Scores that count it look better."""

    def samples(self, folder: Path) -> Iterator[Sample]:
        """Read image by image; each is a place of its own. Raises RecipeError, ImageryError."""
        data = existing(self.folder, folder)
        held: Part | None = None if self.held_out == "none" else self.held_out
        found: list[tuple[Path, Part | None]] = [(path, "train") for path in _images(data / "data_trainset")]
        found += [(path, held) for path in _images(data / "data_validset")]
        nodata = 0.0 if self.outside == "unknown" else None
        for path, part in self.chosen(found):
            yield Sample(
                id=path.stem,
                group=path.stem,
                image=as_reflectance(read_raster(path)[0], scale=1 / 65535, nodata=nodata),
                bands=("grey",),
                label=label_of(read_raster(path.with_name(f"{path.stem}_mask.tif"))[0][0] > 127),
                pixel_m=125.0,
                part=part,
                source=self.name or "crevasse_moa_antarctica",
            )


def _images(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*.tif") if not path.stem.endswith("_mask"))
