"""The append-only log of expert decisions, and how it stands for an edition: nothing is asked twice.

reviews/<edition>/<ulid>.json is written once and never changed. A later decision of the same reviewer on the same
object stands in place of the earlier one, which stays to be read. Two reviewers never touch each other's.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import shapely
from numpy.typing import NDArray
from pydantic import ValidationError
from shapely.geometry import shape
from shapely.geometry.base import BaseGeometry

from talik_stac.editions import EditionId
from talik_stac.job_documents import document_bytes
from talik_stac.matching import overlapping
from talik_stac.review_documents import Decision, ReviewError, Said, Status
from talik_stac.store import Store

if TYPE_CHECKING:
    import geopandas

AT_ONCE = 16
"""Documents read or written at a time: a bucket answers each in tens of milliseconds."""
CARRY_IOU = 0.1
"""Intersection over union below which a decision is not carried: a pond inside a rejected plain is another object."""
CARRY_WITHIN = 0.5
"""Share of an object inside an accepted outline from which on it is a part of what was accepted."""


@dataclass(frozen=True, kw_only=True)
class Standing:
    """How one reviewer's word stands for one object of an edition."""

    object_id: str
    """In the edition asked for."""
    decision: Decision
    said: Said
    """What it says of this object, see `said_for`."""
    added: bool
    """The edition does not propose it: the expert drew it."""
    overlap: float
    """Intersection over union of what was seen then and the object now; 1 where it was said of this edition."""
    carried: bool
    """Said of another edition."""

    @property
    def reviewer(self) -> str:
        """Who decided."""
        return self.decision.reviewer

    @property
    def status(self) -> Status:
        """What the reviewer says that it is."""
        return self.said.status

    @property
    def accepted(self) -> bool:
        """Whether the reviewer says that it is one."""
        return self.decision.accepted

    @property
    def redrawn(self) -> BaseGeometry | None:
        """The expert's own outline: redrawn, or drawn in the first place."""
        if self.said.redrawn is not None:
            return shape(self.said.redrawn)
        return self.decision.seen if self.added else None


def append(store: Store, decisions: Sequence[Decision]) -> None:
    """Write decisions, each as a file of its own. Raises ReviewError where one is there already."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        written = list(pool.map(lambda each: store.put_if_absent(_key(each), document_bytes(each)), decisions))
    if not all(written):
        there = _key(decisions[written.index(False)])
        raise ReviewError(f"{store.url(there)} is there already; decisions are never changed: make another one")


def _key(decision: Decision) -> str:
    return f"reviews/{decision.edition}/{decision.id}.json"


def read_decisions(store: Store, edition: str) -> list[Decision]:
    """Read all decisions about an edition, by time. Raises ReviewError for a damaged file."""
    return _read(store, list(store.list(f"reviews/{EditionId.parse(edition)}")))


def read_area(store: Store, *, landform: str, area: str) -> list[Decision]:
    """Read all decisions about all editions of a landform and area, by time. Raises ReviewError."""
    names = {key: key.split("/") for key in store.list("reviews")}
    editions = {key: EditionId.parse(parts[1]) for key, parts in names.items() if len(parts) == 3}
    return _read(store, [key for key, each in editions.items() if (each.landform, each.area) == (landform, area)])


def _read(store: Store, keys: list[str]) -> list[Decision]:
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return sorted(pool.map(lambda key: _load(store, key), keys), key=_when)


def _load(store: Store, key: str) -> Decision:
    try:
        return Decision.model_validate_json(store.get(key))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise ReviewError(f"{store.url(key)} is damaged ({place}: {first['msg']}); restore it from a copy") from error


def _when(decision: Decision) -> tuple[object, str]:
    return decision.at, decision.id


def latest(decisions: Iterable[Decision]) -> dict[tuple[str, str], Decision]:
    """Keep the last word of each reviewer on each object: (reviewer, object id) -> decision.

    The order they come in leaves no trace. Ids stay with their objects over the editions of an area, so this holds
    within one edition and over several of one season.
    """
    last: dict[tuple[str, str], Decision] = {}
    for decision in sorted(decisions, key=_when):
        last[decision.reviewer, decision.object_id] = decision
    return last


def standing(store: Store, edition: str, frame: geopandas.GeoDataFrame) -> list[Standing]:
    """Say how every decision stands for an edition, whose objects are `frame` (id, geometry): own and carried ones.

    One for each reviewer and object, by (object id, reviewer); what an expert drew comes with them.
    """
    wanted = EditionId.parse(edition)
    return carried(read_area(store, landform=wanted.landform, area=wanted.area), edition, frame)


def carried(decisions: Iterable[Decision], edition: str, frame: geopandas.GeoDataFrame) -> list[Standing]:
    """Match decisions about any editions of the landform and area to the objects of `edition`.

    What was said of the edition itself holds. Else an object gets, of each reviewer, the decision whose outline it
    overlaps most (`matching.overlapping`, and an intersection over union of CARRY_IOU or lying within what was
    accepted, as the pieces of a split do): one about the same season before all others, of equal ones the later. An
    object that an expert drew and nothing proposes stays in editions of its own season.
    """
    known = list(decisions)
    own = latest(each for each in known if each.edition == edition)
    found = {key: _standing(each, edition, added=each.added) for key, each in own.items()}
    others = _last_of_others(known, edition)
    ids = frame["id"].tolist()
    matches = [
        (_season(others[n].edition) == _season(edition), iou, _when(others[n]), n, ids[row])
        for n, row, iou in _matches(others, frame.geometry.to_numpy())
    ]
    for _, iou, _, n, object_id in sorted(matches, reverse=True):
        match = _standing(others[n], edition, object_id=object_id, overlap=iou, added=False)
        found.setdefault((match.reviewer, object_id), match)
    placed = {n for *_, n, _ in matches}
    for n, each in enumerate(others):
        if each.added and n not in placed and _season(each.edition) == _season(edition):
            found.setdefault((each.reviewer, each.object_id), _standing(each, edition, added=True))
    return [found[key] for key in sorted(found, key=lambda key: key[::-1])]


def _last_of_others(decisions: Iterable[Decision], edition: str) -> list[Decision]:
    """The last word on each object in each season, but for `edition` itself; by time."""
    seasons: dict[str, list[Decision]] = {}
    for each in decisions:
        if each.edition != edition:
            seasons.setdefault(_season(each.edition), []).append(each)
    return sorted((each for season in seasons.values() for each in latest(season).values()), key=_when)


def said_for(decision: Decision, edition: str, *, added: bool) -> Said:
    """Say what a decision means for an object of `edition`; `added` where the edition does not propose the object.

    Of another edition of the same season, an outline that the expert drew comes along. Of another season it does not,
    since the landform has grown: what was edited then is confirmed now.
    """
    said = decision.said
    if added or decision.edition == edition:
        return said
    same = _season(decision.edition) == _season(edition)
    redrawn = (said.redrawn or (decision.geometry if decision.added else None)) if same else None
    status: Status = ("confirmed" if redrawn is None else "edited") if decision.accepted else said.status
    return said.model_copy(update={"status": status, "redrawn": redrawn})


def _standing(
    decision: Decision, edition: str, *, object_id: str | None = None, overlap: float = 1.0, added: bool
) -> Standing:
    return Standing(
        object_id=object_id or decision.object_id,
        decision=decision,
        said=said_for(decision, edition, added=added),
        added=added,
        overlap=overlap,
        carried=decision.edition != edition,
    )


def _season(edition: str) -> str:
    return EditionId.parse(edition).season


def _matches(decisions: Sequence[Decision], geometry: NDArray[np.object_]) -> list[tuple[int, int, float]]:
    """Pairs (number of the decision, row, intersection over union) that are the same object."""
    before = valid_polygons(np.array([each.seen for each in decisions], object))
    now = valid_polygons(geometry)
    pairs = overlapping(before, now)
    one, other = before[pairs.a], now[pairs.b]
    iou = intersection_over_union(one, other)
    accepted = np.array([each.accepted for each in decisions], bool)[pairs.a]
    within = shapely.area(shapely.intersection(one, other)) >= CARRY_WITHIN * shapely.area(other)
    same = np.flatnonzero((iou >= CARRY_IOU) | (accepted & within))
    return [(int(pairs.a[i]), int(pairs.b[i]), float(iou[i])) for i in same]


def valid_polygons(geometry: NDArray[np.object_]) -> NDArray[np.object_]:
    """Make polygons valid that a step through lon/lat made invalid; the others stay as they are."""
    broken = ~shapely.is_valid(geometry)
    mended = geometry.copy()
    mended[broken] = shapely.make_valid(geometry[broken])
    return mended


def intersection_over_union(a: NDArray[np.object_], b: NDArray[np.object_]) -> NDArray[np.float64]:
    """Share of the common ground in all ground of pairs of polygons; near each other, degrees do."""
    common = shapely.area(shapely.intersection(a, b))
    every = shapely.area(a) + shapely.area(b) - common
    return np.divide(common, every, out=np.zeros(len(common)), where=every > 0)
