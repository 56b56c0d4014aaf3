"""The kinds of [[source]]: each a pydantic model that validates its table and reads its samples."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated

from pydantic import Field, TypeAdapter, ValidationError

from talik_stac.errors import RecipeError
from talik_training.samples import Sample
from talik_training.sources.base import in_one_line
from talik_training.sources.crevasse_moa import CrevasseMoa
from talik_training.sources.everest_lakes import EverestLakes
from talik_training.sources.hls_water import HlsWater
from talik_training.sources.otsu_ndwi import OtsuNdwi
from talik_training.sources.pairs import Pairs
from talik_training.sources.polygons import Polygons
from talik_training.sources.rts_maxar import RtsMaxar
from talik_training.sources.s1_lakes_nepal import S1LakesNepal

AnySource = Annotated[
    Pairs | Polygons | RtsMaxar | CrevasseMoa | S1LakesNepal | HlsWater | OtsuNdwi | EverestLakes,
    Field(discriminator="kind"),
]

_ADAPTER: TypeAdapter[AnySource] = TypeAdapter(AnySource)


def open_source(table: object, folder: Path, *, where: str) -> Iterator[Sample]:
    """Read the samples of one table; relative paths start at `folder`. Raises RecipeError, ImageryError."""
    try:
        source = _ADAPTER.validate_python(table)
    except ValidationError as error:
        raise RecipeError(f"{where}: [[source]] {in_one_line(error)}") from error
    for sample in source.samples(folder):
        yield replace(sample, weight=source.weight)
