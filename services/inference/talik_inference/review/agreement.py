"""How far two experts agree, beyond what chance would give."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from talik_stac.reviews import Standing

CLASSES = ("accepted", "rejected", "unsure")
"""Confirmed and edited are one class: both say that it is one."""


@dataclass(frozen=True, kw_only=True)
class Difference:
    """An object on which two experts differ."""

    object_id: str
    first: str
    second: str
    """What each said: a status."""


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """Two experts on the objects that both decided."""

    first: str
    second: str
    counts: NDArray[np.int64]
    """(first, second) by CLASSES."""
    differences: tuple[Difference, ...]
    only_first: int
    only_second: int
    """Objects that only one of them decided."""

    @property
    def both(self) -> int:
        """Objects that both decided."""
        return int(self.counts.sum())

    @property
    def percent(self) -> float | None:
        """Percent of these on which they agree."""
        return 100 * float(np.trace(self.counts)) / self.both if self.both else None

    @property
    def kappa(self) -> float | None:
        """Cohen's kappa (1960, Educ. Psychol. Meas. 20, 37-46), -1 to 1; None where chance explains all or nothing."""
        if not self.both:
            return None
        observed, expected = self._shares()
        return None if math.isclose(expected, 1) else (observed - expected) / (1 - expected)

    @property
    def kappa_error(self) -> float | None:
        """Its standard error for large samples (Cohen 1960): sqrt(po (1 - po) / (n (1 - pe)^2))."""
        if self.kappa is None:
            return None
        observed, expected = self._shares()
        return math.sqrt(observed * (1 - observed) / (self.both * (1 - expected) ** 2))

    def _shares(self) -> tuple[float, float]:
        """The share on which they agree, and the share on which two would who only guess as often."""
        share = self.counts / self.both
        return float(np.trace(share)), float(share.sum(axis=1) @ share.sum(axis=0))


def agreements(standings: Iterable[Standing]) -> list[Agreement]:
    """Compare every two reviewers, by name."""
    words: dict[str, dict[str, Standing]] = {}
    for each in standings:
        words.setdefault(each.reviewer, {})[each.object_id] = each
    return [_between(a, words[a], b, words[b]) for a, b in combinations(sorted(words), 2)]


def _between(first: str, one: dict[str, Standing], second: str, other: dict[str, Standing]) -> Agreement:
    counts = np.zeros((len(CLASSES), len(CLASSES)), np.int64)
    differences = []
    for name in sorted(one.keys() & other.keys()):
        a, b = _class(one[name]), _class(other[name])
        counts[a, b] += 1
        if a != b:
            differences.append(Difference(object_id=name, first=one[name].status, second=other[name].status))
    return Agreement(
        first=first,
        second=second,
        counts=counts,
        differences=tuple(differences),
        only_first=len(one.keys() - other.keys()),
        only_second=len(other.keys() - one.keys()),
    )


def _class(word: Standing) -> int:
    return CLASSES.index("accepted" if word.accepted else word.status)
