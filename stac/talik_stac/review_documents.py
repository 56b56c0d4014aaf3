"""What an expert said of one object: one document, written once."""

from __future__ import annotations

import json
from datetime import date, datetime
from typing import Annotated, Any, Literal, Self, get_args

import numpy as np
import shapely
from pydantic import AfterValidator, AwareDatetime, Field, StringConstraints, model_validator
from shapely.errors import GEOSException
from shapely.geometry import mapping, shape
from shapely.geometry.base import BaseGeometry

from talik_stac.editions import EditionId
from talik_stac.errors import TalikError
from talik_stac.job_documents import Document, new_id

Status = Literal["confirmed", "rejected", "edited", "unsure"]
STATUSES: tuple[Status, ...] = get_args(Status)
"""confirmed: it is one, as drawn; edited: it is one, and the expert drew it better; rejected: it is none; unsure."""
ACCEPTED: frozenset[Status] = frozenset({"confirmed", "edited"})

CRITERIA: dict[str, tuple[str, ...]] = {
    "slump": ("headwall_visible", "exposed_soil", "tongue_or_debris", "differs_from_before"),
}
"""What an expert looks for, by the last word of a landform's name (slump, thaw_slump).

Geomorphic features and change over time, by which the thaw slumps of the Qinghai-Tibet Engineering Corridor were told
from what looks alike: Xia et al. 2022, Earth Syst. Sci. Data 14, 3875-3887, https://doi.org/10.5194/essd-14-3875-2022.
The words are ours: correct them here where the paper's four are named otherwise.
"""
OTHER_CRITERIA = ("outline_clear", "tone_fits", "setting_fits", "seen_on_other_dates")
"""Of landforms without a list of their own."""

SAME_DEG = 1e-9
"""Corners closer than this (0.1 mm) are one: what a round trip through a file may move."""


class ReviewError(TalikError):
    """A decision, or a file of decisions, cannot be used."""


def criteria_for(landform: str) -> tuple[str, ...]:
    """Return the names of the criteria that decisions about a landform answer."""
    word = landform.rpartition("_")[2]
    return CRITERIA.get(landform, CRITERIA.get(word, CRITERIA.get(word.removesuffix("s"), OTHER_CRITERIA)))


def _polygon(value: dict[str, Any]) -> dict[str, Any]:
    """Refuse what is no polygon on the globe. What a model proposed may be invalid by a digit: it stays as it was."""
    try:
        polygon = shape(value)
        found = polygon.geom_type in ("Polygon", "MultiPolygon") and not polygon.is_empty and _on_the_globe(polygon)
    except (AttributeError, KeyError, TypeError, ValueError, GEOSException) as error:
        raise ValueError(f"is no GeoJSON geometry: {error}") from error
    if not found:
        raise ValueError(f"is no polygon in lon/lat but {polygon.geom_type} {polygon.bounds}")
    return as_geojson(polygon)


def _drawn(value: dict[str, Any]) -> dict[str, Any]:
    """Refuse an outline that crosses itself: what an expert draws can be drawn again."""
    if not shape(value).is_valid:
        raise ValueError(f"is no valid polygon: {shapely.is_valid_reason(shape(value))}")
    return value


def _on_the_globe(polygon: BaseGeometry) -> bool:
    west, south, east, north = polygon.bounds
    return bool(np.isfinite(polygon.bounds).all()) and west >= -180 and east <= 180 and south >= -90 and north <= 90


def as_geojson(polygon: BaseGeometry) -> dict[str, Any]:
    """Return a polygon as GeoJSON of lists, as it is read back from a file, digit for digit."""
    found: dict[str, Any] = json.loads(json.dumps(mapping(polygon)))
    return found


Outline = Annotated[dict[str, Any], AfterValidator(_polygon)]
"""A Polygon or MultiPolygon as GeoJSON, lon/lat (OGC:CRS84)."""
Drawn = Annotated[Outline, AfterValidator(_drawn)]
"""An Outline that is valid, too."""
Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=80, pattern=r"^[^\x00-\x1f]+$")]


class Said(Document):
    """What the expert said, apart from who, when and of what: two of them are equal where nothing changed."""

    status: Status
    criteria: dict[str, bool] = Field(default_factory=dict)
    """Answers by name; what was not answered is left out."""
    confidence: float | None = Field(default=None, ge=0, le=1)
    comment: str = ""
    redrawn: Drawn | None = None
    """The expert's own outline, where status is edited (or the object is not confirmed yet)."""
    initiated_after: date | None = None
    """The last day on which it was not there yet."""
    initiated_before: date | None = None
    """The first day on which it was seen."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        after, before = self.initiated_after, self.initiated_before
        if after is not None and before is not None and after > before:
            raise ValueError(f"initiated_after {after} lies after initiated_before {before}")
        if self.status == "edited" and self.redrawn is None:
            raise ValueError("status 'edited' without another outline: redraw it, or say confirmed")
        if self.status == "confirmed" and self.redrawn is not None:
            raise ValueError("status 'confirmed' with another outline: that is 'edited'")
        return self

    def same(self, other: Said) -> bool:
        """Whether both say the same; an outline that only went through a file is the same."""
        if self.model_copy(update={"redrawn": None}) != other.model_copy(update={"redrawn": None}):
            return False
        if self.redrawn is None or other.redrawn is None:
            return self.redrawn is other.redrawn
        return same_outline(shape(self.redrawn), shape(other.redrawn))


class Decision(Document):
    """What one expert said of one object of one edition, at one time."""

    id: str
    """A ULID: sorts by time."""
    edition: str
    object_id: str
    geometry: Outline
    """The outline that the expert saw, or drew where `added`."""
    added: bool = False
    """Nobody proposed the object: the expert drew it."""
    reviewer: Name
    at: AwareDatetime
    said: Said

    @model_validator(mode="after")
    def _known_criteria(self) -> Self:
        known = criteria_for(EditionId.parse(self.edition).landform)
        for name in self.said.criteria:
            if name not in known:
                raise ValueError(f"criterion '{name}'; expected {', '.join(known)}")
        return self

    @property
    def seen(self) -> BaseGeometry:
        """The outline that the expert saw."""
        return shape(self.geometry)

    @property
    def accepted(self) -> bool:
        """Whether the expert says that it is one."""
        return self.said.status in ACCEPTED


def decide(
    *,
    edition: str,
    object_id: str,
    geometry: BaseGeometry,
    reviewer: str,
    at: datetime,
    said: Said,
    added: bool = False,
) -> Decision:
    """Make a decision with a new id. Raises pydantic's ValidationError."""
    return Decision(
        id=new_id(at),
        edition=edition,
        object_id=object_id,
        geometry=as_geojson(geometry),
        added=added,
        reviewer=reviewer,
        at=at,
        said=said,
    )


def same_outline(a: BaseGeometry, b: BaseGeometry) -> bool:
    """Whether two polygons have the same corners, wherever their rings begin and however many wrappers they have."""
    return bool(shapely.equals_exact(plain_polygon(a), plain_polygon(b), tolerance=SAME_DEG))


def plain_polygon(polygon: BaseGeometry) -> BaseGeometry:
    """Write a polygon in one way: no z, no wrapper around a single part, rings in GEOS's normal order."""
    flat = shapely.force_2d(polygon)
    parts = shapely.get_parts(flat)
    return shapely.normalize(parts[0] if len(parts) == 1 else flat)
