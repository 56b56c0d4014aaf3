"""The loop on a *simulated* corridor with a *simulated* expert: the truth is known, and so is what a round misses."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import shapely

from talik_inference.model import Model
from talik_stac.errors import RecipeError
from talik_training.corridor.chance import uniform
from talik_training.corridor.expert import Decision as Answer
from talik_training.corridor.expert import ExpertErrors, SimulatedExpert
from talik_training.corridor.expert import Verdict as Said
from talik_training.corridor.scene import Corridor
from talik_training.corridor.terrain import PIXEL_M
from talik_training.rounds.corridor_ground import Ground
from talik_training.rounds.corridor_model import LearningRules, predicted, proposed, trained
from talik_training.rounds.loop import LoopRules, Rounds, run_rounds
from talik_training.rounds.report import write_report
from talik_training.rounds.words import Candidate, Decision, Known, Labelled, RoundRow, Say, Verdict

KNOWN_SHARE = 300 / 875
"""Of the slumps of the corridor inventory, what its first round knew (Xia et al. 2022, Table 1)."""
SMALL_TILES = (4, 2)
"""Columns and rows of a trial: 839 km2."""
BACKGROUND_M = 500.0
"""Side of a square that was looked over before the first round and holds no slump."""


@dataclass(frozen=True, kw_only=True)
class CorridorRules:
    """What is simulated, and how much of it is known at first."""

    seed: int
    tiles_x: int = 8
    tiles_y: int = 5
    tile_px: int = 1024
    known_share: float = KNOWN_SHARE
    """Of the slumps, before the first round."""
    background: float = 1.0
    """Squares without slumps for each of these."""
    learning: LearningRules = field(default_factory=LearningRules)
    errors: ExpertErrors = field(default_factory=ExpertErrors)

    def __post_init__(self) -> None:
        if not 0 < self.known_share <= 1 or self.background <= 0:
            raise RecipeError(
                f"known_share {self.known_share}, background {self.background}: expected above 0 to 1, and above 0"
            )

    def small(self) -> CorridorRules:
        """The same with fewer tiles."""
        columns, rows = SMALL_TILES
        return replace(self, tiles_x=columns, tiles_y=rows)

    @property
    def corridor(self) -> Corridor:
        """The simulated ground."""
        return Corridor(seed=self.seed, tiles_x=self.tiles_x, tiles_y=self.tiles_y, tile_px=self.tile_px)


class CorridorSite:
    """A `Site` whose whole world is simulated. Everything follows from the rules."""

    def __init__(self, rules: CorridorRules, folder: Path, say: Say) -> None:
        """Simulate the imagery into `folder` where it is not there yet."""
        self.rules, self.corridor = rules, rules.corridor
        self.year = self.corridor.law.years[-1]
        self.ground = Ground.open(self.corridor, folder, self.year, say)
        self.expert = SimulatedExpert(
            seed=rules.seed, corridor_seed=rules.seed, area=self.corridor.area, year=self.year, errors=rules.errors
        )
        slumps = self.expert.slumps
        self._truth: dict[str, shapely.Polygon] = dict(zip(slumps["id"], slumps.geometry, strict=True))

    @property
    def name(self) -> str:
        """Says that it is simulated."""
        return f"simulated corridor, seed {self.rules.seed}"

    def describe(self) -> Mapping[str, object]:
        """The rules and what the ground holds. Threads are left out: they change no rule."""
        learning = {
            key: value for key, value in asdict(self.rules.learning).items() if key not in ("threads", "network")
        }
        return {
            "simulated": True,
            "seed": self.rules.seed,
            "area_km2": round(self.corridor.area_km2, 1),
            "pixel_m": PIXEL_M,
            "year": self.year,
            "slumps": len(self._truth),
            "slumps_under_cloud": self.hidden,
            "lookalikes": {
                str(kind): int(count) for kind, count in self.expert.lookalikes["kind"].value_counts().items()
            },
            "known_share": self.rules.known_share,
            "expert_errors": asdict(self.rules.errors),
            "learning": {**learning, "network": self.rules.learning.network.model_dump(mode="json")},
        }

    @property
    def truth(self) -> int:
        """How many slumps there are."""
        return len(self._truth)

    def notes(self) -> list[str]:
        """What a reader of the table has to know."""
        others = len(self.expert.lookalikes)
        return [
            f"simulated: {self.corridor.area_km2:,.0f} km2 of {PIXEL_M:g} m pixels, {self.truth:,} thaw slumps "
            f"({self.hidden} of them under cloud), {others:,} look-alikes; everything here is simulated",
            errors_said(self.rules.errors),
            "recall: share of all slumps in the inventory; precision: share of the inventory that are slumps; "
            "the model's: of all its candidates in that round, before the expert",
        ]

    @cached_property
    def hidden(self) -> int:
        """Slumps of which cloud hides more than half in the only date there is."""
        return sum(self.ground.seen_share(outline) < 0.5 for outline in self._truth.values())

    def start(self) -> Known:
        """A share of the slumps by chance, as drawn in the field, and squares that hold none."""
        names = sorted(self._truth)
        luck = uniform(self.rules.seed, "known at first", np.arange(len(names)))
        count = max(round(self.rules.known_share * len(names)), 1)
        chosen = [names[n] for n in np.sort(np.argsort(luck)[:count])]
        return Known(
            positives=tuple(Labelled(id=name, outline=self._truth[name]) for name in chosen),
            negatives=tuple(self._background(max(round(self.rules.background * count), 1))),
        )

    def _background(self, wanted: int) -> Iterable[Labelled]:
        """Squares by chance that touch no slump, known or not: somebody looked."""
        left, bottom, right, top = self.corridor.area
        tree = shapely.STRtree(list(self._truth.values()))
        luck = uniform(self.rules.seed, "background", np.arange(20 * wanted)[:, None], np.arange(2)[None, :])
        made = 0
        for across, down in luck:
            east, north = left + across * (right - left), bottom + down * (top - bottom)
            square = shapely.box(east, north, east + BACKGROUND_M, north + BACKGROUND_M)
            if made < wanted and not len(tree.query(square, predicate="intersects")):
                made += 1
                yield Labelled(id=f"background-{made}", outline=square)

    def train(self, number: int, known: Known, folder: Path, say: Say) -> Model:
        """Go on from the last round's weights."""
        say(f"round {number}: training on {len(known.positives):,} slumps and {len(known.negatives):,} other places")
        return trained(self.ground, known, self.rules.learning, seed=self.rules.seed, number=number, folder=folder)

    def candidates(self, model: Model, say: Say) -> Sequence[Candidate]:
        """Predict all of the corridor and polygonise it."""
        say(f"round {model.card.version}: mapping {self.corridor.area_km2:,.0f} km2")
        probability = predicted(self.ground, model, threads=self.rules.learning.threads)
        return proposed(probability, self.rules.learning, number=int(model.card.version))

    def judge(self, number: int, candidates: Sequence[Candidate], folder: Path) -> Sequence[Decision]:  # noqa: ARG002
        """Ask the simulated expert, who draws every slump that is accepted as it is."""
        answers = self.expert.judge(_outlines(candidates))
        return [self._decision(each, answer) for each, answer in zip(candidates, answers, strict=True)]

    def _decision(self, candidate: Candidate, answer: Answer) -> Decision:
        verdict = Verdict.ACCEPTED if answer.verdict is Said.ACCEPTED else Verdict.REJECTED
        return Decision(
            candidate=candidate,
            verdict=verdict,
            object_id=answer.slump or answer.lookalike,
            outline=self._truth.get(answer.slump or "") if verdict is Verdict.ACCEPTED else None,
        )

    def score(self, known: Known, candidates: Sequence[Candidate]) -> Mapping[str, float]:
        """Object recall and precision of the inventory so far, and of what the model alone proposes."""
        listed = {each.id for each in known.positives}
        shown = [answer.slump for answer in self.expert.judge(_outlines(candidates))]
        found = {name for name in shown if name is not None}
        return {
            "recall": _ratio(len(listed & self._truth.keys()), len(self._truth)),
            "precision": _ratio(len(listed & self._truth.keys()), len(listed)),
            "model_recall": _ratio(len(found), len(self._truth)),
            "model_precision": _ratio(sum(name is not None for name in shown), len(shown)),
        }


def errors_said(errors: ExpertErrors) -> str:
    """The expert's stated rates in a sentence."""
    miss, false, ground = errors.miss, errors.false, errors.ground
    return (
        f"simulated expert: rejects a slump with a chance of {miss.small:.0%} (smallest) to {miss.large:.0%} "
        f"(largest), accepts a look-alike with {false.small:.0%} to {false.large:.0%}, plain ground with "
        f"{ground.small:.1%} to {ground.large:.1%}; halfway at {np.log(2) * miss.scale_m2:,.0f} m2; the same object "
        "gets the same answer"
    )


def _outlines(candidates: Sequence[Candidate]) -> list[shapely.Geometry]:
    return [each.outline for each in candidates if each.outline is not None]


def _ratio(part: Any, whole: Any) -> float:
    return round(float(part / whole), 4) if whole else 0.0


def simulated_loop(
    described: CorridorRules,
    rules: LoopRules,
    folder: Path,
    say: Say,
    *,
    after: Callable[[RoundRow], None] | None = None,
) -> tuple[Rounds, list[Path], list[str]]:
    """Run, or go on with, the loop in `folder`: what came of it, what was written, and what has to be known of it."""
    folder.mkdir(parents=True, exist_ok=True)
    site = CorridorSite(described, folder, say)
    done = run_rounds(site, rules, folder, say, after=after)
    notes = site.notes()
    return done, write_report(done, folder, notes=notes, truth=site.truth), notes
