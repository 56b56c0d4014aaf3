"""What a person says of imagery files: options, a TOML side-car beside a file, or one for a whole folder."""

from __future__ import annotations

import datetime as dt  # the models have a field datetime
import tomllib
from collections.abc import Iterable
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from talik_stac.conventions import band_role
from talik_stac.errors import ImageryError


class ScenePart(BaseModel):
    """One date of a file that stacks several."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    datetime: dt.datetime
    """UTC where no zone is given; midnight where only a date is."""
    bands: tuple[str, ...] | None = None
    """Roles of consecutive bands of the file; None: those of the file's table."""
    first_band: int | None = Field(default=None, ge=1)
    """Where this date begins, from 1; None: after the date before it."""
    id: str | None = None
    cloud_cover: float | None = Field(default=None, ge=0, le=100)
    """Percent."""

    @field_validator("datetime", mode="before")
    @classmethod
    def _moment(cls, value: Any) -> Any:
        return _as_datetime(value)


class Said(BaseModel):
    """What is said of one file, or of all; None where nothing is."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str | None = None
    datetime: dt.datetime | None = None
    bands: tuple[str, ...] | None = None
    """One role for each band of the file, '-' for a band that is not used."""
    scale: float | None = None
    offset: float | None = None
    """reflectance = digital number * scale + offset."""
    nodata: float | None = None
    cloud_cover: float | None = Field(default=None, ge=0, le=100)
    """Percent."""
    scene: tuple[ScenePart, ...] = ()
    """The dates of a file that stacks several."""

    @field_validator("datetime", mode="before")
    @classmethod
    def _moment(cls, value: Any) -> Any:
        return _as_datetime(value)

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if self.scene and (self.datetime or self.id):
            raise ValueError("give datetime and id in each [[scene]], or none at all")
        for words in (self.bands, *(part.bands for part in self.scene)):
            for word in words or ():
                try:
                    band_role(word)
                except ImageryError as error:  # pydantic reports ValueError only
                    raise ValueError(str(error)) from error
        return self

    def over(self, other: Said) -> Said:
        """This, and what the other says where this says nothing."""
        values = {name: getattr(other, name) for name in other.model_fields_set}
        values |= {name: getattr(self, name) for name in self.model_fields_set}
        if "datetime" in self.model_fields_set or "id" in self.model_fields_set:
            values.pop("scene", None)
        if "scene" in self.model_fields_set:
            values.pop("datetime", None)
            values.pop("id", None)
        return Said(**values)


class SideCar(Said):
    """A TOML side-car; `[files."PATTERN"]` tables say more of the files whose names match."""

    files: dict[str, Said] = Field(default_factory=dict)

    def of(self, name: str) -> Said:
        """What the side-car says of one file; later tables outweigh earlier ones, and all outweigh the top."""
        said = Said(**{field: getattr(self, field) for field in self.model_fields_set - {"files"}})
        for pattern, table in self.files.items():
            if fnmatch(name, pattern):
                said = table.over(said)
        return said


def load_sidecar(path: Path) -> SideCar:
    """Read a side-car. Raises ImageryError naming the file and what is wrong."""
    try:
        return SideCar(**tomllib.loads(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ImageryError(f"side-car {path}: cannot be read: {error}") from error
    except ValidationError as error:
        raise ImageryError(f"side-car {path}: {_first(error)}") from error


def said_of(path: Path, *, options: Said, shared: SideCar | None) -> Said:
    """What is said of a file: options first, then `<name>.toml` beside it, then the shared side-car."""
    layers = [options]
    beside = path.with_suffix(".toml")
    if beside.is_file():
        layers.append(load_sidecar(beside).of(path.name))
    if shared is not None:
        layers.append(shared.of(path.name))
    return _layered(layers)


def _layered(layers: Iterable[Said]) -> Said:
    said = Said()
    for layer in layers:
        said = said.over(layer)
    return said


def _as_datetime(value: Any) -> Any:
    """Dates become midnight, and moments without a zone become UTC."""
    if isinstance(value, str):
        try:
            value = dt.datetime.fromisoformat(value.replace("Z", "+00:00"))
        except ValueError as error:
            raise ValueError(f"'{value}' is no date; expected 2014-07-20 or 2014-07-20T17:05:00Z") from error
    if isinstance(value, dt.date) and not isinstance(value, dt.datetime):
        value = dt.datetime(value.year, value.month, value.day)
    if isinstance(value, dt.datetime):
        return value.replace(tzinfo=dt.UTC) if value.tzinfo is None else value.astimezone(dt.UTC)
    return value


def _first(error: ValidationError) -> str:
    """The first fault on one line: where, and what."""
    fault = error.errors()[0]
    where = ".".join(str(part) for part in fault["loc"])
    return f"{where + ': ' if where else ''}{fault['msg'].removeprefix('Value error, ')}"
