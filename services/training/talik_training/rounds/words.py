"""The words of the loop: what is proposed, what an expert says of it, what is known, and a round in numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from talik_stac.errors import RecipeError
from talik_stac.reviews import CARRY_IOU, CARRY_WITHIN

Say = Callable[[str], None]
"""Hears one line of progress."""


class Verdict(StrEnum):
    """What an expert says of a candidate."""

    ACCEPTED = "accepted"
    REJECTED = "rejected"
    UNSURE = "unsure"
    """Neither taught nor asked again."""


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """What a model proposes for inspection."""

    id: str
    """Of a patch that stays what it is, its name; of a polygon, its name within the round."""
    probability: float
    area_m2: float
    outline: BaseGeometry | None = None
    """In the site's own CRS; None where the id says which it is in every round."""


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What the expert says of one candidate."""

    candidate: Candidate
    verdict: Verdict
    object_id: str | None = None
    """The object that it shows, where that has a name: two candidates may show one. Else the candidate is one."""
    outline: BaseGeometry | None = None
    """As the expert drew it anew; None: as proposed."""


@dataclass(frozen=True, kw_only=True)
class Labelled:
    """An object or place that is known to be a landform, or to be none."""

    id: str
    outline: BaseGeometry | None = None
    """In the site's own CRS; None where the id is enough."""


@dataclass(frozen=True, kw_only=True)
class Known:
    """What a round learns from. Adding gives another one."""

    positives: tuple[Labelled, ...]
    negatives: tuple[Labelled, ...]

    def add(self, decisions: Iterable[Decision]) -> Known:
        """With what was accepted and rejected; an object counts once, and as a landform where anything says so."""
        positives = {each.id: each for each in self.positives}
        negatives = {each.id: each for each in self.negatives}
        for each in decisions:
            if each.verdict is Verdict.UNSURE:
                continue
            kind = positives if each.verdict is Verdict.ACCEPTED else negatives
            name = each.object_id or each.candidate.id
            kind.setdefault(name, Labelled(id=name, outline=each.outline or each.candidate.outline))
        left = tuple(each for name, each in negatives.items() if name not in positives)
        return Known(positives=tuple(positives.values()), negatives=left)


@dataclass(frozen=True, kw_only=True)
class Asked:
    """Every decision so far: no candidate is asked twice."""

    decisions: tuple[Decision, ...] = ()

    def add(self, decisions: Iterable[Decision]) -> Asked:
        """With those of another round."""
        return Asked(decisions=(*self.decisions, *decisions))

    def new_of(self, known: Known, candidates: Sequence[Candidate]) -> list[Candidate]:
        """The candidates that are neither decided nor known, in their order.

        One with an outline was decided where its intersection over union with a decided one reaches CARRY_IOU, or half
        of it lies within an accepted one; as decisions are carried from edition to edition.
        """
        accepted = [each for each in self.decisions if each.verdict is Verdict.ACCEPTED]
        sure = [*(each.outline for each in known.positives), *(each.candidate.outline for each in accepted)]
        every = [*sure, *(each.candidate.outline for each in self.decisions)]
        names = {each.id for each in (*known.positives, *known.negatives)}
        names |= {each.candidate.id for each in self.decisions if each.candidate.outline is None}
        flat = [each for each in candidates if each.outline is not None]
        seen = {
            each.id
            for each, like, part in zip(flat, _alike(flat, every), _within(flat, sure), strict=True)
            if like >= CARRY_IOU or part >= CARRY_WITHIN
        }
        return [each for each in candidates if each.id not in (names if each.outline is None else seen)]


@dataclass(frozen=True, kw_only=True)
class RoundRow:
    """One row of the table."""

    round: int
    positives: int
    negatives: int
    """That the model of this round learned from."""
    proposed: int
    """Candidates of the model, whether decided before or not."""
    inspected: int
    """Candidates that the expert looked at."""
    accepted: int
    newly_found: int
    """Objects that were not known before; two accepted candidates may show one."""
    total: int
    """Objects known after the round."""
    measures: dict[str, float] = field(default_factory=dict)
    """Against the truth, where it is known."""


def _alike(candidates: Sequence[Candidate], outlines: Sequence[BaseGeometry | None]) -> Any:
    """For each candidate its largest intersection over union with any outline, float64 (candidate,)."""
    here, there, which, other, common = _met(candidates, outlines)
    union = shapely.area(here[which]) + shapely.area(there[other]) - common
    return _largest(len(here), which, common / union)


def _within(candidates: Sequence[Candidate], outlines: Sequence[BaseGeometry | None]) -> Any:
    """For each candidate the largest share of it that lies in one outline, float64 (candidate,)."""
    here, _, which, _, common = _met(candidates, outlines)
    return _largest(len(here), which, common / shapely.area(here[which]))


def _met(candidates: Sequence[Candidate], outlines: Sequence[BaseGeometry | None]) -> tuple[Any, Any, Any, Any, Any]:
    """Both as arrays, the pairs that meet, and their common area."""
    here = np.array([each.outline for each in candidates], object)
    there = np.array([each for each in outlines if each is not None], object)
    if not len(here) or not len(there):
        none = np.empty(0, np.intp)
        return here, there, none, none, np.empty(0)
    which, other = shapely.STRtree(there).query(here, predicate="intersects")
    return here, there, which, other, shapely.area(shapely.intersection(here[which], there[other]))


def _largest(count: int, which: Any, values: Any) -> Any:
    found = np.zeros(count)
    np.maximum.at(found, which, values)
    return found


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """The expert has not answered yet."""

    until: str
    """What to do, in a sentence or two."""

    def __post_init__(self) -> None:
        if not self.until:
            raise RecipeError("waiting for nothing; say what somebody has to do")
