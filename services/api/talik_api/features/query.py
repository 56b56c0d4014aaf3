"""What is asked of a collection of features, and where a page of the answer ends."""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass
from typing import Any

from talik_api.cql import Filter
from talik_api.features.place import Place
from talik_api.problems import Problem
from talik_api.times import Span
from talik_stac.inventory import ATTRIBUTES, schema_with

MAX_SORTED = 10_000
"""Features of a sorted answer: they are held in memory. The next page goes on."""
SORTABLE = tuple(name for name in schema_with(ATTRIBUTES.names).names if name not in ("geometry", "scenes"))


@dataclass(frozen=True, kw_only=True)
class SortKey:
    """One column to sort by; nulls come last."""

    column: str
    descending: bool = False


@dataclass(frozen=True, kw_only=True)
class Cursor:
    """Where the next page begins: behind this row.

    Published rows never move, so a cursor stays good while new editions appear.
    """

    group: str
    """landform area season of the row's edition: what orders the editions of a collection."""
    edition: str
    row: int
    at: str
    """When the newest edition of the first page was published (RFC 3339): those published since are left out."""
    values: tuple[Any, ...] = ()
    """The row's values of the sort keys."""

    def token(self) -> str:
        """A text that fits in a URL."""
        data = json.dumps([self.group, self.edition, self.row, self.at, *self.values], separators=(",", ":")).encode()
        return base64.urlsafe_b64encode(data).decode().rstrip("=")

    @staticmethod
    def parse(token: str, *, values: int) -> Cursor:
        """Read a token. Raises Problem 400."""
        try:
            data = json.loads(base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True))
            group, edition, row, at, *given = data
            texts = all(isinstance(each, str) for each in (group, edition, at))
            if (
                not (texts and isinstance(row, int) and row >= 0)
                or len(given) != values
                or any(isinstance(each, list | dict) for each in given)
            ):
                raise ValueError(token)
        except (ValueError, TypeError, RecursionError, binascii.Error) as error:
            raise Problem(
                400, "The token is not valid", f"token={token[:100]}; use the 'next' link of the page before as it is"
            ) from error
        return Cursor(group=group, edition=edition, row=row, at=at, values=tuple(given))


@dataclass(frozen=True, kw_only=True)
class Query:
    """Which features; all conditions hold at once."""

    place: Place | None = None
    during: Span | None = None
    """Features seen in this span; those without dates count with their edition's season."""
    filter: Filter | None = None
    sort: tuple[SortKey, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """What deciding a row needs, its outline excepted."""
        wanted = ["bbox"] if self.place is not None else []
        wanted += ["observed_start", "observed_end"] if self.during is not None else []
        # A filter without properties, such as `false`, decides rows too: a column of one bit says how many there are.
        wanted += (sorted(self.filter.columns) or ["on_aoi_edge"]) if self.filter is not None else []
        return tuple(dict.fromkeys(wanted))


def parse_sortby(text: str) -> tuple[SortKey, ...]:
    """Read `sortby`: names joined by commas, '-' before one that descends. Raises Problem 400."""
    keys = []
    for part in text.split(","):
        name = part.strip().lstrip("+-")
        if name not in SORTABLE or len(part.strip()) - len(name) > 1:
            raise Problem(
                400,
                "The sorting is not valid",
                f"sortby={part[:100]}; expected +name or -name of: {', '.join(SORTABLE)}",
            )
        keys.append(SortKey(column=name, descending=part.strip().startswith("-")))
    if len({key.column for key in keys}) < len(keys):
        raise Problem(400, "The sorting is not valid", f"sortby={text[:100]} names a column twice")
    return tuple(keys)
