"""The recipes: what each landform needs to be mapped."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from talik_stac.errors import RecipeError


class Despeckle(BaseModel):
    """The speckle filter of a recipe: on backscatter in linear power, scene by scene, before the model sees it.

    Parameters of `talik_inference.speckle`, which says where they come from and how far the filter looks.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    method: Literal["ppb"] = "ppb"
    """Probabilistic patch-based weights: Deledalle, Denis and Tupin 2009, IEEE Trans. Image Process. 18(12)."""
    looks: float = Field(default=4.4, gt=0.5, le=1000)
    """Equivalent number of looks of the imagery; Sentinel-1 IW GRD of 10 m has 4.4 (ESA)."""
    search_px: int = Field(default=10, ge=1, le=20)
    """Radius of the search window."""
    patch_px: int = Field(default=3, ge=0, le=7)
    """Radius of the patches that are compared."""
    alpha: float = Field(default=0.88, gt=0.5, lt=1)
    """Quantile of the similarity in pure speckle; larger smooths more: 0.92 is usual for several rounds."""
    rounds: int = Field(default=1, ge=1, le=25)
    """1: the non-iterative form."""
    temperature: float = Field(default=1.0, gt=0)
    """How little later rounds trust the round before; without effect in one round."""


class Recipe(BaseModel):
    """How one landform is mapped: season, model, composite and filters. Part of the configuration hash."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    landform: str = Field(pattern=r"^[a-z][a-z_]*$")
    title: str
    model: str
    """name@version of a model card, or a path to a folder with model.onnx and card.json."""
    season_start: str = Field(default="06-01", pattern=r"^\d\d-\d\d$")
    season_end: str = Field(default="09-30", pattern=r"^\d\d-\d\d$")
    """First and last day (month-day, inclusive) that `--season YEAR` takes in."""
    composite: Literal["best", "median"] = "best"
    """best: the clearest scene, gaps filled by the next; median: per pixel over all clear scenes."""
    max_cloud_percent: float = Field(default=80.0, ge=0, le=100)
    """Scenes that the catalogue calls cloudier are not read."""
    resolution_m: float | None = Field(default=None, gt=0)
    """Pixel size of the grid; None: the imagery's own."""
    threshold: float | None = Field(default=None, ge=0, le=1)
    """Probability above which a pixel is landform; None: the model card's."""
    min_area_m2: float = Field(default=0.0, ge=0)
    """Smaller polygons are dropped, after joining."""
    despeckle: Despeckle | None = None
    """A filter for the speckle of radar imagery; None: none."""
    stretch: tuple[tuple[float, float], ...] | None = None
    """Points (decibels, value) of the rising curve, straight between them, by which backscatter becomes what the model
    was trained on; after despeckling. None: linear power as it is. Pictures of 8 bits are stretched already."""

    @model_validator(mode="after")
    def _rises(self) -> Self:
        points = self.stretch
        if points is not None and not (len(points) > 1 and all(a < b for a, b in pairwise(p[0] for p in points))):
            raise ValueError("expected two points or more whose decibels rise")
        return self

    @model_serializer(mode="wrap")
    def _without_unused_steps(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out steps that are not taken, so that recipes from before there were any keep their hash."""
        written: dict[str, Any] = write(self)
        return {name: value for name, value in written.items() if value is not None or name not in _STEPS}

    def changed(self, changes: Mapping[str, Any]) -> Recipe:
        """The recipe with other values. Its stretch is its model's: a model of another name is given linear power.

        Raises pydantic's ValidationError.
        """
        fields = {**self.model_dump(), **changes}
        if str(fields["model"]).partition("@")[0] != self.model.partition("@")[0]:
            fields.pop("stretch", None)
        return Recipe.model_validate(fields)


_STEPS = ("despeckle", "stretch")
SENTINEL_1_EQUALISED = (
    (-25.0, 0.0),
    (-17.1, 0.05),
    (-14.7, 0.1),
    (-11.3, 0.25),
    (-8.3, 0.5),
    (-5.8, 0.75),
    (-3.5, 0.9),
    (-2.0, 0.95),
    (5.0, 1.0),
)
"""VV of 20 m -> rank in the chip, which the training chips of glacial-lake-sar are: mean over 60 dates of Tsho Rolpa.

One curve for all leaves 0.05 of the range (root mean square; 0.16 on the worst date); linear power would leave 0.34.
"""

RECIPES: dict[str, Recipe] = {
    recipe.landform: recipe
    for recipe in (
        Recipe(landform="water", title="Water bodies", model="water@1", min_area_m2=400.0),
        # About 30 px of 4 m, the pixel that the model was trained at; smaller ones an expert cannot tell either.
        Recipe(landform="thaw_slump", title="Retrogressive thaw slumps", model="thaw-slump@1", min_area_m2=500.0),
        # Austral summer, the months of the MODIS Mosaic of Antarctica; four of its pixels of 125 m.
        Recipe(
            landform="ice_fracture",
            title="Ice-shelf fractures",
            model="ice-fracture@1",
            season_start="11-01",
            season_end="03-31",
            min_area_m2=62_500.0,
        ),
        # When lakes of high mountains are free of ice; 0.003 km2 is the smallest lake of ICIMOD's inventories.
        Recipe(
            landform="glacial_lake",
            title="Glacial lakes",
            model="glacial-lake-sar@1",
            season_start="06-01",
            season_end="11-15",
            min_area_m2=3000.0,
            stretch=SENTINEL_1_EQUALISED,
        ),
    )
}


def recipe_for(landform: str) -> Recipe:
    """Return the recipe of a landform. Raises RecipeError naming those that exist."""
    if landform not in RECIPES:
        raise RecipeError(f"no recipe for landform '{landform}'; there is: {', '.join(sorted(RECIPES))}")
    return RECIPES[landform]
