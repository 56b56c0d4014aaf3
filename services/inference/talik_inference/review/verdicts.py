"""What the experts' words amount to, object by object."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Literal

from shapely.geometry.base import BaseGeometry

from talik_stac.review_documents import ReviewError
from talik_stac.reviews import Standing

Rule = Literal["both", "any"]
Outcome = Literal["accepted", "rejected", "undecided"]


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The outcome for one object."""

    object_id: str
    outcome: Outcome
    words: tuple[Standing, ...]
    """Of all reviewers that count, by name."""

    @property
    def redrawn(self) -> BaseGeometry | None:
        """The outline drawn last by those who accept; None: as it was proposed."""
        drawn = [each.redrawn for each in self._accepting if each.redrawn is not None]
        return drawn[-1] if drawn else None

    @property
    def confidence(self) -> float | None:
        """The mean of what those who accept stated."""
        stated = [each.said.confidence for each in self._accepting if each.said.confidence is not None]
        return sum(stated) / len(stated) if stated else None

    @property
    def initiated(self) -> tuple[date | None, date | None]:
        """(after, before) as the last of those said who accept and state any."""
        stated = [(each.said.initiated_after, each.said.initiated_before) for each in self._accepting]
        return next((each for each in reversed(stated) if any(each)), (None, None))

    @property
    def added(self) -> bool:
        """Whether an expert drew it where nothing was proposed."""
        return any(each.added for each in self.words)

    @property
    def decisions(self) -> list[str]:
        """The ids of the decisions, sorted."""
        return sorted(each.decision.id for each in self.words)

    @property
    def _accepting(self) -> list[Standing]:
        """Those who say that it is one, by time."""
        chosen = [each for each in self.words if each.accepted]
        return sorted(chosen, key=lambda each: (each.decision.at, each.decision.id))


def verdicts(standings: Iterable[Standing], *, reviewer: str | None = None, rule: Rule | None = None) -> list[Verdict]:
    """Settle every object that somebody decided, by id: by one reviewer's word, or by a rule over all of them.

    any: accepted where one accepts, rejected where nobody accepts and one rejects. both: at least two decided, and all
    of them say the same. What is neither is undecided. Raises ReviewError where nobody decided, or several did and
    neither a reviewer nor a rule is named.
    """
    every = list(standings)
    names = sorted({each.reviewer for each in every})
    if not names:
        raise ReviewError("nobody decided anything here; hand out a sheet with talik review export, then import it")
    if reviewer is not None and rule is not None:
        raise ReviewError(f"--reviewer {reviewer} and --rule {rule}: give one of them")
    if reviewer is not None and reviewer not in names:
        raise ReviewError(f"reviewer '{reviewer}' decided nothing here; expected one of {', '.join(names)}")
    if reviewer is None and rule is None and len(names) > 1:
        raise ReviewError(f"{', '.join(names)} decided here; give --reviewer NAME, --rule both or --rule any")
    objects: dict[str, list[Standing]] = {}
    for each in every:
        if reviewer in (None, each.reviewer):
            objects.setdefault(each.object_id, []).append(each)
    return [
        Verdict(object_id=name, outcome=_outcome(objects[name], rule), words=tuple(objects[name]))
        for name in sorted(objects)
    ]


def _outcome(words: Sequence[Standing], rule: Rule | None) -> Outcome:
    accepts = sum(each.accepted for each in words)
    rejects = sum(each.status == "rejected" for each in words)
    if rule == "both":
        needed = max(2, len(words))
        return "accepted" if accepts == needed else "rejected" if rejects == needed else "undecided"
    return "accepted" if accepts else "rejected" if rejects else "undecided"
