"""The inputs of the processes that answer at once, validated where they enter."""

from __future__ import annotations

import json
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from talik_api.features.place import Place, place_of_geometry
from talik_api.problems import Problem
from talik_api.service import Service
from talik_stac.aoi import is_name, parse_aoi
from talik_stac.areas import list_areas, load_area

M = TypeVar("M", bound=BaseModel)
Degrees = Annotated[float, Field(allow_inf_nan=False)]
Area = str | Annotated[list[Degrees], Field(min_length=4, max_length=4)] | dict[str, Any]
"""The name of a saved area; west, south, east, north in degrees; or GeoJSON."""


class SummariseInputs(BaseModel):
    """What to summarise."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    collection: str = Field(max_length=200)
    """A landform, or an edition."""
    area: Area | None = None
    """Objects that touch it count, whole; all where it is left out."""
    datetime: str | None = None
    filter: str | dict[str, Any] | None = None
    """CQL2 text or JSON."""


class CompareInputs(BaseModel):
    """Which editions to compare, and where."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    a: str = Field(max_length=200)
    """The earlier edition."""
    b: str = Field(max_length=200)
    area: Area | None = None
    tolerance_percent: float = Field(5.0, ge=0, le=100)
    """Objects whose area differs by no more are unchanged."""
    any_area: bool = False
    """Compare editions of different areas of interest all the same."""


def validated(model: type[M], inputs: Any) -> M:
    """Validate inputs. Raises Problem 400 that names the input, its value and what was expected."""
    try:
        return model.model_validate(inputs)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        name = ".".join(str(part) for part in first["loc"]) or "inputs"
        said = f"input {name} = {repr(first['input'])[:80]}: {first['msg']}"
        raise Problem(400, "The inputs are not valid", said) from error


def place_of(service: Service, area: Area | None) -> Place | None:
    """The ground of an area. Raises Problem 400, AoiError."""
    if area is None:
        return None
    if isinstance(area, str):
        saved = load_area(service.store, area) if is_name(area) else None
        if saved is None:
            names = ", ".join(list_areas(service.store)) or "none yet"
            raise Problem(
                400,
                "There is no such area",
                f"no area is saved as '{area[:64]}'; saved areas: {names}; give west, south, east, north or GeoJSON",
            )
        return place_of_geometry(saved.geometry)
    text = json.dumps(area) if isinstance(area, dict) else ",".join(map(repr, area))
    aoi = parse_aoi(text, max_area_km2=float("inf"), max_vertices=service.settings.max_vertices)
    return place_of_geometry(aoi.geometry)
