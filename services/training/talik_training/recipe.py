"""A training recipe: the TOML file that says what is learned, from what, and how."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from talik_inference.model import Scaling
from talik_inference.predict import STRIDE_PX
from talik_stac.errors import RecipeError
from talik_training.augment import AugmentRules
from talik_training.losses import LossRules
from talik_training.networks import NetworkRules
from talik_training.samples import Sample, load_samples, read_toml
from talik_training.sources.base import in_one_line
from talik_training.split import SplitRules, split_by_place


class ModelRules(BaseModel):
    """What the card says of the model, and how it is to be run."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: str = Field(pattern=r"^[a-z][a-z0-9-]*$")
    version: str = Field(pattern=r"^[0-9][0-9A-Za-z.-]*$")
    title: str
    landform: str = Field(pattern=r"^[a-z][a-z_]*$")
    bands: tuple[str, ...] = Field(min_length=1)
    """Common names, in the order of the model's input."""
    resolution_min_m: float = Field(gt=0)
    resolution_max_m: float = Field(gt=0)
    core_px: int = Field(default=384, gt=0)
    halo_px: int = Field(default=64, ge=0)
    licence: str
    limits: str
    stored: Literal["float32", "float16"] = "float32"
    """How the weights lie in model.onnx. float16 halves the file; they are rounded before anything is measured, and the
    arithmetic is float32 all the same."""
    scaling: dict[str, Scaling] | None = None
    """Mean and standard deviation of reflectance; measured on the training places if left out."""

    @model_validator(mode="after")
    def _sizes(self) -> ModelRules:
        if (self.core_px + 2 * self.halo_px) % STRIDE_PX:
            raise ValueError(
                f"core_px + 2 halo_px must be a multiple of {STRIDE_PX}, here {self.core_px}+2x{self.halo_px}"
            )
        if self.scaling is not None and tuple(self.scaling) != self.bands:
            raise ValueError(f"scaling names {', '.join(self.scaling)}, bands are {', '.join(self.bands)}")
        return self


class TrainingRules(BaseModel):
    """How long and how fast."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    seed: int = Field(default=0, ge=0)
    epochs: int = Field(default=40, ge=1)
    repeats: float = Field(default=1.0, gt=0)
    """Crops of each training sample in an epoch, on average."""
    landform_share: float | None = Field(default=None, ge=0, le=1)
    """Share of crops from samples with landform; as they come if left out."""
    batch: int = Field(default=8, ge=2)
    window_px: int = Field(default=256, ge=32, multiple_of=32)
    learning_rate: float = Field(default=1e-3, gt=0)
    encoder_rate: float = Field(default=0.3, ge=0, le=1)
    """The encoder learns at this share of the rate where its weights are packaged; 0 freezes it."""
    weight_decay: float = Field(default=1e-2, ge=0)
    schedule: Literal["one-cycle", "cosine"] = "one-cycle"
    clip_norm: float = Field(default=1.0, gt=0)
    patience: int = Field(default=10, ge=1)
    """Stop after this many epochs without a better validation IoU."""
    checkpoint_seconds: float = Field(default=120.0, gt=0)
    calibrate: bool = True
    """Put the scale and shift of the logit that fit validation best (Platt 1999) into the exported graph."""


class TrainingRecipe(BaseModel):
    """One training run; with its data it decides the weights."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    model: ModelRules
    source: tuple[dict[str, Any], ...] = Field(min_length=1)
    """[[source]] tables, validated by `sources` when they are read."""
    split: SplitRules = SplitRules()
    network: NetworkRules = NetworkRules()
    augment: AugmentRules = AugmentRules()
    loss: LossRules = LossRules()
    training: TrainingRules = TrainingRules()


def parted_samples(path: Path) -> Iterator[Sample]:
    """The samples of a file of [[source]] tables; of a training recipe, each with the part that training gives it.

    Raises RecipeError, ImageryError.
    """
    if "model" not in read_toml(path):
        yield from load_samples(path)
        return
    samples = list(load_samples(path))
    split = split_by_place(samples, load_recipe(path).split)
    yield from (replace(sample, part=split.of_place[sample.group]) for sample in samples)


def load_recipe(path: Path) -> TrainingRecipe:
    """Read and check a recipe. Raises RecipeError, one line with the value that is wrong."""
    try:
        return TrainingRecipe.model_validate(read_toml(path))
    except ValidationError as error:
        raise RecipeError(f"{path}: {in_one_line(error)}") from error
