"""What all kinds of source share: paths, files, and errors on one line."""

from __future__ import annotations

import glob
import os
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
import rasterio
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from rasterio.errors import NotGeoreferencedWarning, RasterioError

from talik_inference.gdal import gdal_env
from talik_inference.valid import valid_pixels
from talik_stac.errors import ImageryError, RecipeError
from talik_training.samples import Sample

T = TypeVar("T")

HeldOut = Literal["test", "validation", "none"]


class Source(BaseModel):
    """What every [[source]] table may say."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: str = ""
    """Of the data set; the folder's name if left out."""
    licence: str = "none stated"
    citation: str = ""
    weight: int = Field(default=1, ge=1)
    """Each sample counts this many times in an epoch: few large images among many small ones."""
    limit: int | None = Field(default=None, ge=1)
    """Read at most this many samples, spread evenly over the source: for trials."""

    def samples(self, folder: Path) -> Iterator[Sample]:
        """Read the samples. Raises RecipeError, ImageryError."""
        raise NotImplementedError

    def chosen(self, items: list[T]) -> list[T]:
        """All items, or `limit` of them spread evenly."""
        if self.limit is None or len(items) <= self.limit:
            return items
        return [items[i * len(items) // self.limit] for i in range(self.limit)]


def expand(path: str, folder: Path) -> Path:
    """Put the environment's values for ${NAME} and start relative paths at `folder`. Raises RecipeError."""
    text = os.path.expandvars(path)
    if unset := re.findall(r"\$\{?\w+\}?", text):
        raise RecipeError(f"path '{path}': {unset[0]} is not set; export it, for example TALIK_DATA=/data")
    return folder / text


def files_of(pattern: str, folder: Path) -> list[Path]:
    """The files of a glob, sorted. Raises RecipeError where there is none."""
    whole = expand(pattern, folder)
    found = sorted(Path(name) for name in glob.glob(str(whole), recursive=True) if Path(name).is_file())  # noqa: PTH207
    if not found:
        raise RecipeError(f"no file matches '{whole}'; check the pattern in [[source]]")
    return found


def existing(path: str, folder: Path) -> Path:
    """A folder or file that is there. Raises RecipeError."""
    whole = expand(path, folder)
    if not whole.exists():
        raise RecipeError(f"'{whole}' does not exist; check `folder` in [[source]] or the variable in it")
    return whole


def read_raster(path: Path) -> tuple[NDArray[Any], float | None]:
    """Read all bands (band, y, x) and the number that means no data. Raises ImageryError."""
    try:
        with gdal_env(), warnings.catch_warnings():
            # Training chips are often PNG, JPEG or bare TIFF: their place is in their group.
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            with rasterio.open(path) as source:
                return source.read(), source.nodata
    except RasterioError as error:
        raise ImageryError(f"cannot read {path}: {error}; restore the file or take it out of the source") from error


def as_reflectance(
    numbers: NDArray[Any], *, scale: float, offset: float = 0.0, nodata: float | None = None
) -> NDArray[np.float32]:
    """Digital numbers -> float32 reflectance = number x scale + offset, cut at 0 as the mapper does; NaN for nodata."""
    reflectance: NDArray[np.float32] = np.maximum(
        numbers.astype(np.float32) * np.float32(scale) + np.float32(offset), np.float32(0)
    )
    reflectance[:, ~valid_pixels(numbers, [nodata] * len(numbers))] = np.nan
    return reflectance


def label_of(landform: NDArray[np.bool_], unknown: NDArray[np.bool_] | None = None) -> NDArray[np.uint8]:
    """(y, x) True where landform -> label 0, 1, and 255 where unknown."""
    label = landform.astype(np.uint8)
    if unknown is not None:
        label[unknown] = 255
    return label


def in_one_line(error: ValidationError) -> str:
    """The first complaint of pydantic with the value it is about."""
    first = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in first["loc"]) or "table"
    value = first.get("input")
    shown = "" if isinstance(value, dict) else f" (here {value!r})"
    return f"{where}: {first['msg']}{shown}"
