"""The recipes: what each landform needs to be mapped."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from talik_stac.errors import RecipeError


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


RECIPES: dict[str, Recipe] = {
    recipe.landform: recipe
    for recipe in (Recipe(landform="water", title="Water bodies", model="ndwi@1", min_area_m2=400.0),)
}


def recipe_for(landform: str) -> Recipe:
    """Return the recipe of a landform. Raises RecipeError naming those that exist."""
    if landform not in RECIPES:
        raise RecipeError(f"no recipe for landform '{landform}'; there is: {', '.join(sorted(RECIPES))}")
    return RECIPES[landform]
