"""A sheet comes back from an expert: what changed becomes decisions, and nothing else does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from pydantic import ValidationError
from shapely.geometry.base import BaseGeometry

from talik_inference.review.sheets import LAYER, read_rows
from talik_stac.editions import load_edition, read_geo
from talik_stac.inventory import fresh_id
from talik_stac.review_documents import (
    STATUSES,
    Decision,
    ReviewError,
    Said,
    as_geojson,
    criteria_for,
    decide,
    plain_polygon,
    same_outline,
)
from talik_stac.reviews import (
    Standing,
    append,
    carried,
    intersection_over_union,
    read_area,
    said_for,
)
from talik_stac.store import Store

SAME_DRAWING_IOU = 0.5
"""A polygon without an id that overlaps an own earlier drawing by more is that drawing, moved."""
SHOWN_FAULTS = 5
_TRUTH = {"true": True, "t": True, "yes": True, "1": True, "false": False, "f": False, "no": False, "0": False}


@dataclass(frozen=True, kw_only=True)
class Imported:
    """What came of a sheet."""

    edition: str
    reviewer: str
    decisions: tuple[Decision, ...]
    """What was appended."""
    changed: int
    """How many of them say otherwise than the reviewer did before."""
    unchanged: int
    """Rows whose decision stands already."""
    undecided: int
    """Rows without a status."""
    emptied: tuple[str, ...]
    """Objects whose status was taken out; their decisions stand."""
    missing: tuple[str, ...]
    """Objects that the sheet no longer holds; nothing is decided about them."""


@dataclass(frozen=True, kw_only=True)
class _Row:
    """One row, read and checked."""

    object_id: str
    added: bool
    seen: BaseGeometry
    """The outline as it was proposed or first drawn."""
    said: Said | None
    """None: not decided."""
    baseline: str | None
    """The id of the decision that the row was filled in from."""


class _RowError(Exception):
    """What is wrong with one row."""


def import_sheet(
    store: Store, path: Path, *, reviewer: str, edition: str | None = None, now: datetime | None = None
) -> Imported:
    """Append the decisions of a sheet that the log does not hold yet.

    A row that is as it was exported says nothing new, even where the log went on since. `edition` is needed only
    where no row names it. Nothing is appended where any row is faulty. Raises ReviewError naming layer, row and value.
    """
    rows = read_rows(path)
    edition_id = _the_only(path, "edition", rows, edition)
    _the_only(path, "reviewer", rows, reviewer)
    loaded = load_edition(store, edition_id)
    frame = read_geo(store, loaded)
    log = read_area(store, landform=loaded.landform, area=loaded.area)
    own = {each.object_id: each for each in carried(log, edition_id, frame) if each.reviewer == reviewer}
    reader = _Reader(
        landform=loaded.landform,
        proposed=dict(zip(frame["id"].tolist(), frame.geometry.tolist(), strict=True)),
        drawn={each.object_id: each.decision.seen for each in own.values() if each.added},
        outlines={name: each.redrawn for name, each in own.items() if each.redrawn is not None},
    )
    checked = _checked(path, reader, rows)
    known = {each.id: each for each in log}
    changed = [row for row in checked if _is_news(row, own, known, edition_id)]
    at = _after(log, reviewer, now or datetime.now(UTC))
    decisions = tuple(_decision(row, edition_id, reviewer, at) for row in changed)
    append(store, decisions)
    held = {row.object_id for row in checked}
    silent = [row for row in checked if row.said is None]
    return Imported(
        edition=edition_id,
        reviewer=reviewer,
        decisions=decisions,
        changed=sum(each.object_id in own for each in decisions),
        unchanged=len(checked) - len(silent) - len(changed),
        undecided=len(silent),
        emptied=tuple(row.object_id for row in silent if row.baseline is not None),
        missing=tuple(name for name in [*reader.proposed, *reader.drawn] if name not in held),
    )


def _the_only(path: Path, column: str, rows: Sequence[Mapping[str, Any]], said: str | None) -> str:
    """Return what all rows name in a column, and `said` too. Raises ReviewError where they differ."""
    for row in rows:
        found = _text(row.get(column))
        if found and said and found != said:
            hint = "export a sheet for each reviewer" if column == "reviewer" else f"leave --{column} out"
            raise ReviewError(f"{path}, layer {LAYER}, row {row['fid']}: {column} is '{found}', not '{said}'; {hint}")
        said = said or found
    if not said:
        raise ReviewError(f"{path}, layer {LAYER}: no row names the {column}; give --{column}")
    return said


def _is_news(row: _Row, own: Mapping[str, Standing], known: Mapping[str, Decision], edition_id: str) -> bool:
    """Whether a row says what neither stands already nor was filled in by the export."""
    if row.said is None:
        return False
    stands = own.get(row.object_id)
    if stands is not None and stands.said.same(row.said):
        return False
    before = known.get(row.baseline or "")
    return before is None or not said_for(before, edition_id, added=row.added).same(row.said)


def _after(log: Iterable[Decision], reviewer: str, now: datetime) -> datetime:
    """A time after all that the reviewer said before, even where the clock was set back."""
    last = max((each.at for each in log if each.reviewer == reviewer), default=None)
    return now if last is None else max(now, last + timedelta(milliseconds=1))


def _decision(row: _Row, edition_id: str, reviewer: str, at: datetime) -> Decision:
    said = row.said
    if said is None:
        raise ReviewError(f"object {row.object_id} is not decided")
    return decide(
        edition=edition_id,
        object_id=row.object_id,
        geometry=row.seen,
        reviewer=reviewer,
        at=at,
        said=said,
        added=row.added,
    )


def _checked(path: Path, reader: _Reader, rows: Sequence[Mapping[str, Any]]) -> list[_Row]:
    """Read all rows; all faults are told at once."""
    checked, faults = [], []
    names = {_text(row.get("id")) for row in rows}
    for row in rows:
        try:
            checked.append(reader.read(row, names))
        except _RowError as fault:
            faults.append(f"row {row['fid']} ({_text(row.get('id')) or 'new'}): {fault}")
    twice = [name for name, count in Counter(row.object_id for row in checked).items() if count > 1]
    faults += [f"object {name} is there twice: make one multipolygon of it, or empty the id of one" for name in twice]
    if faults:
        more = f"; and {len(faults) - SHOWN_FAULTS} more" if len(faults) > SHOWN_FAULTS else ""
        raise ReviewError(f"{path}, layer {LAYER}, {'; '.join(faults[:SHOWN_FAULTS])}{more}; nothing was imported")
    return checked


@dataclass(frozen=True, kw_only=True)
class _Reader:
    """Reads rows of a sheet of one edition."""

    landform: str
    proposed: Mapping[str, BaseGeometry]
    """The edition's objects."""
    drawn: Mapping[str, BaseGeometry]
    """What the reviewer drew before, as first drawn."""
    outlines: Mapping[str, BaseGeometry]
    """The reviewer's own outlines as they stand."""

    def read(self, row: Mapping[str, Any], names: set[str]) -> _Row:
        """Read one row; `names` are the ids of all rows. Raises _RowError."""
        polygon, given = _polygon(row["geometry"]), _text(row.get("id"))
        if given and given not in self.proposed and given not in self.drawn:
            raise _RowError("no such object in the edition; empty the id of what you drew")
        if not given:
            _check_drawing(polygon)
        object_id = given or self._name(polygon, names)
        known = _Row(
            object_id=object_id,
            added=object_id not in self.proposed,
            seen=self.proposed.get(object_id, self.drawn.get(object_id, polygon)),
            said=None,
            baseline=_text(row.get("decision")) or None,
        )
        return replace(known, said=self._said(row, known, polygon))

    def _name(self, polygon: BaseGeometry, names: set[str]) -> str:
        """Name what has no id: an own drawing that it is, or a new one."""
        here = [name for name in self.drawn if name not in names]
        if here:
            outlines = np.array([self.outlines.get(name, self.drawn[name]) for name in here], object)
            shares = intersection_over_union(outlines, np.full(len(here), polygon, object))
            if shares.max() > SAME_DRAWING_IOU:
                return here[int(shares.argmax())]
        return fresh_id(self.landform, shapely.to_wkb(polygon))

    def _said(self, row: Mapping[str, Any], known: _Row, polygon: BaseGeometry) -> Said | None:
        """What a row says; None where it is not decided. Raises _RowError."""
        same = same_outline(polygon, known.seen)
        filled = self._values(row)
        status = _status(row)
        if status is None and known.baseline is not None:
            return None  # taken out: the decision stands
        if status is None:
            shown = self.outlines.get(known.object_id, known.seen)
            untouched = same_outline(polygon, shown) and not known.added
            if untouched and _answered(filled):
                name, value = next(iter(filled.items()))
                raise _RowError(f"{name} is '{value}' but status is empty; expected one of {', '.join(STATUSES)}")
            if untouched:
                return None
            status = "confirmed"
        if status in ("confirmed", "edited"):
            status = "confirmed" if same and (known.added or status == "confirmed") else "edited"
        # Of a confirmed edition, the outline proposed is the expert's own: it stays an edit.
        own = same and status == "edited" and known.object_id in self.outlines
        redrawn = as_geojson(polygon) if own or not same else None
        try:
            return Said.model_validate({"status": status, **filled, "redrawn": redrawn})
        except ValidationError as error:
            raise _RowError(_first(error)) from error

    def _values(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """What is filled in besides the status."""
        criteria = {name: _truth(name, row.get(name)) for name in criteria_for(self.landform)}
        values = {
            "criteria": {name: answer for name, answer in criteria.items() if answer is not None},
            "confidence": _number("confidence", row.get("confidence")),
            "comment": _text(row.get("comment")),
            "initiated_after": _date("initiated_after", row.get("initiated_after")),
            "initiated_before": _date("initiated_before", row.get("initiated_before")),
        }
        return {name: value for name, value in values.items() if value not in (None, "", {})}


def _polygon(geometry: BaseGeometry | None) -> BaseGeometry:
    if geometry is None or geometry.is_empty:
        raise _RowError("it has no outline; draw one, or delete the row")
    if geometry.geom_type not in ("Polygon", "MultiPolygon"):
        raise _RowError(f"its geometry is a {geometry.geom_type}; expected a polygon")
    return plain_polygon(geometry)


def _check_drawing(polygon: BaseGeometry) -> None:
    """Refuse what cannot be an object."""
    try:
        Said.model_validate({"status": "edited", "redrawn": as_geojson(polygon)})
    except ValidationError as error:
        raise _RowError(_first(error).removeprefix("redrawn ")) from error


def _answered(filled: Mapping[str, Any]) -> bool:
    """Whether anything was said; a box that was ticked and cleared again says nothing."""
    return any(name != "criteria" or any(value.values()) for name, value in filled.items())


def _status(row: Mapping[str, Any]) -> str | None:
    text = _text(row.get("status")).lower()
    if text and text not in STATUSES:
        raise _RowError(f"status is '{text}'; expected one of {', '.join(STATUSES)}, or nothing")
    return text or None


def _text(value: object) -> str:
    return "" if value is None else str(value).strip()


def _truth(name: str, value: object) -> bool | None:
    text = _text(value).lower()
    if text and text not in _TRUTH:
        raise _RowError(f"{name} is '{value}'; expected true, false or nothing")
    return _TRUTH.get(text)


def _number(name: str, value: object) -> float | None:
    text = _text(value)
    try:
        number = float(text) if text else None
    except ValueError:
        number = -1.0
    if number is not None and not 0 <= number <= 1:
        raise _RowError(f"{name} is '{value}'; expected a number from 0 to 1, or nothing")
    return number


def _date(name: str, value: object) -> date | None:
    if isinstance(value, datetime):
        return value.date()
    if isinstance(value, date) or value is None:
        return value
    try:
        return date.fromisoformat(_text(value).replace("/", "-")[:10]) if _text(value) else None
    except ValueError as error:
        raise _RowError(f"{name} is '{value}'; expected a date such as 2016-08-31, or nothing") from error


def _first(error: ValidationError) -> str:
    """The first thing that is wrong, in one line."""
    first = error.errors()[0]
    place = ".".join(map(str, first["loc"]))
    message = first["msg"].removeprefix("Value error, ")
    return f"{place} {message}" if place else message
