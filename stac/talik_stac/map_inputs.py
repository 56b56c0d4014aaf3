"""What a request to map may state: validated where it enters, without the packages that map."""

from __future__ import annotations

import json
import re
from datetime import date
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from talik_stac.aoi import MAX_AREA_KM2, MAX_VERTICES, AreaOfInterest, check_area, is_name, parse_aoi
from talik_stac.areas import list_areas, load_area
from talik_stac.errors import AoiError
from talik_stac.job_documents import JobError
from talik_stac.landforms import RECIPES, Despeckle, Recipe, recipe_for
from talik_stac.store import Store

Degrees = Annotated[float, Field(allow_inf_nan=False)]
_CHANGES = ("model", "threshold", "min_area_m2", "composite", "max_cloud_percent", "resolution_m")


class MapInputs(BaseModel):
    """The inputs of the process map-landform. No field names a file or folder of the server."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    landform: str
    """What to map; one of the recipes."""
    season: str
    """A year (2014: the recipe's months) or START/END days, both inclusive."""
    area: str | Annotated[list[Degrees], Field(min_length=4, max_length=4)] | dict[str, Any]
    """The name of a saved area; west, south, east, north in degrees; or GeoJSON (geometry, Feature, collection)."""
    name: str | None = None
    """Name of the area, part of the edition's id."""
    collection: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$")
    """Collection of the store's index, or of the STAC API at `catalog`."""
    catalog: str | None = Field(default=None, pattern=r"^https?://[^\s/]+(/\S*)?$", max_length=2000)
    """URL of a STAC API; the store's index if left out. Who may reach which is for the server to decide."""
    skip_bad: bool = False
    """Go on without scenes whose files cannot be read."""

    # What the recipe says is changed by:
    model: str | None = Field(default=None, pattern=r"^[a-z][a-z0-9-]*@[0-9][0-9A-Za-z.-]*$")
    """name@version of a model shipped with Talik or kept in the store."""
    threshold: float | None = Field(default=None, ge=0, le=1)
    min_area_m2: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    composite: Literal["best", "median"] | None = None
    max_cloud_percent: float | None = Field(default=None, ge=0, le=100)
    resolution_m: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    despeckle: Literal["ppb", "none"] | None = None
    """ppb: filter the speckle of radar, with the parameters that `talik map` has by default; none: do not."""

    @field_validator("landform")
    @classmethod
    def _landform(cls, value: str) -> str:
        if value not in RECIPES:
            raise ValueError(f"no such landform; there is: {', '.join(sorted(RECIPES))}")
        return value

    @field_validator("season")
    @classmethod
    def _season(cls, value: str) -> str:
        if re.fullmatch(r"[0-9]{4}", value) and value != "0000":
            return value
        try:
            start, end = (date.fromisoformat(day) for day in value.split("/"))
        except ValueError:
            raise ValueError("expected a year (2014) or two days (2014-06-01/2014-09-30)") from None
        if end < start:
            raise ValueError("the season ends before it starts; write START/END")
        return value

    @field_validator("name")
    @classmethod
    def _name(cls, value: str | None) -> str | None:
        if value is not None and not is_name(value):
            raise ValueError("expected up to 64 of a-z, 0-9 and single '-' between them, such as lena-delta")
        return value

    def recipe(self) -> Recipe:
        """Return the landform's recipe with what is changed of it."""
        changes = {name: getattr(self, name) for name in _CHANGES if getattr(self, name) is not None}
        if self.despeckle is not None:
            changes["despeckle"] = None if self.despeckle == "none" else Despeckle(method=self.despeckle)
        return recipe_for(self.landform).changed(changes)

    def resolve(
        self, store: Store, *, max_area_km2: float = MAX_AREA_KM2, max_vertices: int = MAX_VERTICES
    ) -> AreaOfInterest:
        """Return the area of interest. Raises AoiError; unlike the command line this opens no files."""
        if isinstance(self.area, str):
            aoi = _saved(store, self.area)
            check_area(aoi, max_area_km2=max_area_km2)
            return AreaOfInterest(name=self.name or aoi.name, geometry=aoi.geometry)
        text = json.dumps(self.area) if isinstance(self.area, dict) else ",".join(map(repr, self.area))
        return parse_aoi(text, name=self.name, max_area_km2=max_area_km2, max_vertices=max_vertices)


def parse_map_inputs(inputs: dict[str, Any]) -> MapInputs:
    """Validate inputs. Raises JobError that names the field, its value and what was expected."""
    try:
        return MapInputs.model_validate(inputs)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        field = ".".join(str(part) for part in first["loc"])
        value = repr(first["input"])[:80]
        raise JobError(f"input {field or 'inputs'} = {value}: {first['msg']}; correct it") from error


def _saved(store: Store, name: str) -> AreaOfInterest:
    aoi = load_area(store, name) if is_name(name) else None
    if aoi is None:
        names = ", ".join(list_areas(store)) or "none yet"
        raise AoiError(
            f"no area is saved as '{name[:64]}'; saved areas: {names}; give west, south, east, north or GeoJSON"
        )
    return aoi
