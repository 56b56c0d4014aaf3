"""The season of a run: a year with the recipe's months, or two dates."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time

from talik_stac.errors import RecipeError
from talik_stac.landforms import Recipe


@dataclass(frozen=True, kw_only=True)
class Season:
    """A span of days, both inclusive."""

    label: str
    """Part of the edition id: 2014, or 20140601-20140930."""
    start: date
    end: date

    @property
    def interval(self) -> tuple[datetime, datetime]:
        """From the first to the last instant, UTC."""
        return (
            datetime.combine(self.start, time.min, UTC),
            datetime.combine(self.end, time.max, UTC),
        )


def parse_season(text: str, recipe: Recipe) -> Season:
    """Read `2014` (the recipe's days of that year) or `2014-06-01/2014-08-31`. Raises RecipeError.

    A recipe whose season ends before it starts in the calendar runs over New Year and bears its first year.
    """
    if re.fullmatch(r"\d{4}", text):
        year = int(text)
        wraps = recipe.season_end < recipe.season_start
        return Season(
            label=text,
            start=_day(f"{year:04d}-{recipe.season_start}", text),
            end=_day(f"{year + wraps:04d}-{recipe.season_end}", text),
        )
    start_text, slash, end_text = text.partition("/")
    if not slash:
        start_text = end_text = text
    start, end = _day(start_text, text), _day(end_text, text)
    if end < start:
        raise RecipeError(f"season '{text}' ends before it starts; write START/END")
    return Season(label=f"{start:%Y%m%d}-{end:%Y%m%d}", start=start, end=end)


def _day(text: str, whole: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise RecipeError(
            f"season '{whole}': '{text}' is not a day ({error}); write a year (2014) or two days "
            "(2014-06-01/2014-09-30)"
        ) from error
