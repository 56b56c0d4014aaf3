"""The settings of one process, read once from TALIK_* at the edge and handed down."""

from __future__ import annotations

from typing import Any

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from talik_stac.aoi import MAX_AREA_KM2, MAX_VERTICES
from talik_stac.errors import TalikError


class Settings(BaseSettings):
    """What a user or an operator sets for every command; options of a command go before it."""

    model_config = SettingsConfigDict(env_prefix="TALIK_", frozen=True, extra="forbid")

    store: str = Field(default="./talik-data", min_length=1)
    """TALIK_STORE: a folder, or s3://bucket/prefix."""
    max_area_km2: float = Field(default=MAX_AREA_KM2, gt=0, allow_inf_nan=False)
    """TALIK_MAX_AREA_KM2: larger areas of interest are refused."""
    max_vertices: int = Field(default=MAX_VERTICES, ge=3)
    """TALIK_MAX_VERTICES: areas of interest with more vertices are refused."""
    workers: int | None = Field(default=None, ge=1, le=1024)
    """TALIK_WORKERS: threads, processes or dask workers that map blocks; None: one per core."""
    debug: bool = False
    """TALIK_DEBUG: unexpected errors keep their traceback."""

    def __init__(self, **given: Any) -> None:
        """Read TALIK_* from the environment. Raises TalikError that names the variable and what was expected."""
        try:
            super().__init__(**given)
        except ValidationError as error:
            first = error.errors()[0]
            variable = "_".join(["talik", *map(str, first["loc"])]).upper()
            reason = first["msg"].lower()
            raise TalikError(f"{variable}={first['input']!r}: {reason}; correct it or unset it") from error
