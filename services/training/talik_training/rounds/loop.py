"""The loop, on one screen: train -> map -> review -> add, again, until nothing new is found.

It knows neither networks nor imagery: a `Site` does. Everything that it decides is in `round-N/decisions.json`, written
once; a loop that was killed goes on in the round where it was, and ends as one that was not.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

from talik_stac.errors import RecipeError
from talik_training.rounds.kept import Kept
from talik_training.rounds.words import Asked, Candidate, Decision, Known, RoundRow, Say, Verdict, Waiting

M = TypeVar("M")


class Site(Protocol[M]):
    """Where a loop runs: imagery, a way to train and to map, and an expert. Each step gives the same for the same."""

    @property
    def name(self) -> str:
        """Said in the table's title; says "simulated" where the ground is."""

    def describe(self) -> Mapping[str, object]:
        """What decides the result, as JSON; a folder of another description is refused."""

    def start(self) -> Known:
        """What is known before the first round."""

    def train(self, number: int, known: Known, folder: Path, say: Say) -> M:
        """The model of round `number` (from 1); what it keeps lies in `folder`, and a kill costs little."""

    def candidates(self, model: M, say: Say) -> Sequence[Candidate]:
        """All that the model proposes, in the order in which it is worth looking at."""

    def judge(self, number: int, candidates: Sequence[Candidate], folder: Path) -> Sequence[Decision] | Waiting:
        """The expert's word on each of the candidates in their order, then on what the expert drew; or Waiting."""

    def score(self, known: Known, candidates: Sequence[Candidate]) -> Mapping[str, float]:
        """Measures of what is known after a round and of all its candidates; empty where the truth is not known."""


@dataclass(frozen=True, kw_only=True)
class LoopRules:
    """When to stop."""

    max_rounds: int = 12
    stop_after_nothing_new: int = 2
    """Rounds in a row that find nothing new."""
    largest_inspection: int | None = None
    """The most candidates that are asked in a round; all if left out."""

    def __post_init__(self) -> None:
        if min(self.max_rounds, self.stop_after_nothing_new, self.largest_inspection or 1) < 1:
            raise RecipeError(f"{self}: expected at least 1 of each")


@dataclass(frozen=True, kw_only=True)
class Rounds:
    """How far a loop is."""

    site: str
    rows: tuple[RoundRow, ...]
    """One a round, the first is round 1."""
    known: Known
    """After the last of them."""
    ended: str | None = None
    """Why no round follows; None while the loop waits."""
    waiting: str | None = None
    """What somebody has to do before it goes on."""


def run_rounds(
    site: Site[M], rules: LoopRules, folder: Path, say: Say, *, after: Callable[[RoundRow], None] | None = None
) -> Rounds:
    """Run, or go on with, the rounds of a site. `after` hears of each finished round. Raises TalikError."""
    kept = Kept.open(folder, site=site.name, described=site.describe())
    known, asked, rows = site.start(), Asked(), [*kept.rows]
    for row in rows:
        before = kept.decisions(row.round)
        known, asked = known.add(before), asked.add(before)
    while (ended := _ended(rows, rules)) is None:
        number, began = len(rows) + 1, time.monotonic()
        done = _round(site, rules, number, known, asked, kept.folder_of(number), say)
        if isinstance(done, Waiting):
            return Rounds(site=site.name, rows=tuple(rows), known=known, waiting=done.until)
        row, decisions = done
        kept.add(row, decisions, seconds=time.monotonic() - began)
        known, asked, rows = known.add(decisions), asked.add(decisions), [*rows, row]
        if after:
            after(row)
    kept.end(ended)
    return Rounds(site=site.name, rows=tuple(rows), known=known, ended=ended)


def _round(
    site: Site[M], rules: LoopRules, number: int, known: Known, asked: Asked, folder: Path, say: Say
) -> tuple[RoundRow, Sequence[Decision]] | Waiting:
    """Train, map, ask what was never asked, and count."""
    model = site.train(number, known, folder, say)
    proposed = site.candidates(model, say)
    fresh = asked.new_of(known, proposed)[: rules.largest_inspection]
    say(f"round {number}: {len(proposed):,} candidates, {len(fresh):,} of them to look at")
    decisions = site.judge(number, fresh, folder)
    if isinstance(decisions, Waiting):
        return decisions
    _check(fresh, decisions)
    later = known.add(decisions)
    row = RoundRow(
        round=number,
        positives=len(known.positives),
        negatives=len(known.negatives),
        proposed=len(proposed),
        inspected=len(fresh),
        accepted=sum(each.verdict is Verdict.ACCEPTED for each in decisions),
        newly_found=len(later.positives) - len(known.positives),
        total=len(later.positives),
        measures=dict(site.score(later, proposed)),
    )
    return row, decisions


def _check(asked: Sequence[Candidate], decisions: Sequence[Decision]) -> None:
    if [each.candidate.id for each in decisions[: len(asked)]] != [each.id for each in asked]:
        raise RecipeError(
            f"{len(decisions)} decisions on {len(asked)} candidates; expected one on each, in their order"
        )


def _ended(rows: Sequence[RoundRow], rules: LoopRules) -> str | None:
    quiet = rules.stop_after_nothing_new
    if len(rows) >= quiet and not any(row.newly_found for row in rows[-quiet:]):
        return "nothing new" if quiet == 1 else f"nothing new in {quiet} rounds"
    return f"{rules.max_rounds} rounds, as the rules allow" if len(rows) >= rules.max_rounds else None
