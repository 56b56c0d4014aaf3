"""A loop on real thaw slumps: few patches are known, each round searches the others (folder rts_cyber2a_maxar).

What it is: every slump patch holds a slump, so "to search" is to draw it. A component of predicted pixels is a
candidate; it is a slump found where it meets the published mask well enough. Imagery without slumps is searched too
and gives false candidates. The expert is the published mask, a perfect one, which no real loop has. What a candidate
has to reach, and what is taught from one that fails, is in `patches_ground.py` and `PublishedMask`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import shapely
import torch
from shapely.geometry.base import BaseGeometry

from talik_training.batches import Batches
from talik_training.fitting import Fit, Silent, probability_of
from talik_training.loop_state import LoopState, read_checkpoint, write_checkpoint
from talik_training.measured import Measured, Probability, Scaled, measure
from talik_training.networks import Network, build_network
from talik_training.recipe import TrainingRecipe
from talik_training.rounds.loop import LoopRules, Rounds, run_rounds
from talik_training.rounds.patches_figure import draw_rounds
from talik_training.rounds.patches_ground import Ground, Piece, PublishedMask, pieces_of, read_ground, taught
from talik_training.rounds.words import Candidate, Decision, Known, Labelled, RoundRow, Say
from talik_training.samples import Sample
from talik_training.train import CHECKPOINT, measured_scaling

BANDS = ("red", "green", "blue")
WEIGHTS, FIGURE = "weights.pt", "loop-patches.png"
SAME_IOU = 0.3
"""A candidate this like a rejected one is that one, and is not asked again."""


@dataclass(frozen=True, kw_only=True)
class Learning:
    """How each round trains: from the weights of the former round, for a fixed number of steps."""

    first_steps: int = 200
    steps: int = 90
    batch: int = 8
    window_px: int = 160
    first_rate: float = 1e-3
    rate: float = 5e-4
    architecture: str = "deeplabv3plus"
    weights: str = "packaged"
    """Of the first round."""
    seed: int = 4


@dataclass(frozen=True, kw_only=True)
class PatchesRequest:
    """What `talik loop patches` is asked."""

    data: Path
    """The folder that holds rts_cyber2a_maxar, timeseries_naip_landsat, s2_scenes and water_hls_flood_306."""
    out: Path
    start: int = 100
    """Patches that are known before the first round."""
    limit: int | None = None
    """Read at most this many patches: for trials."""
    threads: int = 1
    learning: Learning = field(default_factory=Learning)
    rules: LoopRules = field(default_factory=lambda: LoopRules(max_rounds=8))


def run(request: PatchesRequest, say: Say, *, after: Callable[[RoundRow], None] | None = None) -> Rounds:
    """Run, or go on with, the loop and draw its figure. Raises TalikError."""
    torch.set_num_threads(request.threads)
    say("reading patches")
    ground = read_ground(request.data, limit=request.limit)
    site = PatchesSite(ground=ground, start_count=request.start, learning=request.learning, threads=request.threads)
    rounds = run_rounds(site, request.rules, request.out, say, after=after)
    draw_rounds(rounds.rows, request.out / FIGURE, start=request.start, of=len(ground.patches))
    return rounds


@dataclass(frozen=True, kw_only=True)
class PatchesModel:
    """The network of a round, and what it has to search."""

    number: int
    answer: Probability
    known: Known


@dataclass(kw_only=True)
class PatchesSite:
    """The slump patches as a place of the loop. Keeps the pieces and scores of the round that is running."""

    ground: Ground
    start_count: int
    learning: Learning = field(default_factory=Learning)
    threads: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    def __post_init__(self) -> None:
        """Choose what is known first; by the seed alone. Raises RecipeError."""
        self._first = self.ground.drawn(self.start_count, seed=self.learning.seed)
        self._expert = PublishedMask(patches=self.ground.patches)
        self._scaling = measured_scaling([self.ground.patches[name] for name in self._first])
        self._scaled = Scaled.by(self._scaling)
        self._pieces: dict[str, Piece] = {}
        self._held_out: Measured | None = None

    @property
    def name(self) -> str:
        """Said in the table's title."""
        return (
            f"{len(self.ground.patches)} real patches of thaw slumps (Yang et al. 2023), the published mask as expert"
        )

    def describe(self) -> Mapping[str, object]:
        """What decides the result."""
        return {
            "start": self.start_count,
            "ground": self.ground.digest,
            "learning": asdict(self.learning),
            "expert": self._expert.rules,
        }

    def start(self) -> Known:
        """The first patches, drawn at random."""
        return Known(positives=tuple(Labelled(id=name) for name in self._first), negatives=())

    def train(self, number: int, known: Known, folder: Path, say: Say) -> PatchesModel:
        """Go on from the weights of the former round. Raises ModelError where they are of another run."""
        recipe = self._recipe(number, folder)
        samples = taught(self.ground, known)
        recipe = _with_steps(recipe, len(samples), self._steps(number))
        key = _key(recipe, known)
        done = read_checkpoint(folder / WEIGHTS, key=key)
        if done is None:
            say(f"round {number}: learning from {len(samples):,} patches")
            done = self._fitted(recipe, samples, key, folder)
        network = Network(recipe.network, self._scaling)
        network.load_state_dict(done.best)
        network.to(memory_format=torch.channels_last)
        return PatchesModel(number=number, answer=probability_of(network, self.device), known=known)

    def candidates(self, model: PatchesModel, say: Say) -> Sequence[Candidate]:
        """Every piece in a patch that is not known yet or in imagery without slumps, the surest first."""
        known = {each.id for each in model.known.positives}
        places = [each for name, each in self.ground.patches.items() if name not in known]
        say(f"round {model.number}: searching {len(places)} patches and {len(self.ground.elsewhere)} without slumps")
        rejected = _by_place(model.known.negatives)
        found: list[tuple[Candidate, Piece]] = []
        for place in (*places, *self.ground.elsewhere.values()):
            for index, piece in enumerate(pieces_of(place, model.answer, self._scaled)):
                name = _same(piece.outline, rejected.get(place.id, ())) or f"{model.number}/{place.id}/{index}"
                area = piece.outline.area * place.pixel_m**2
                found.append((Candidate(id=name, probability=piece.probability, area_m2=area), piece))
        self._pieces = {candidate.id: piece for candidate, piece in found}
        self._held_out = measure(self.ground.held_out, model.answer, self._scaled)
        return [candidate for candidate, _ in sorted(found, key=lambda each: (-each[0].probability, each[0].id))]

    def judge(self, number: int, candidates: Sequence[Candidate], folder: Path) -> Sequence[Decision]:  # noqa: ARG002
        """What the published mask says; a decision keeps the outline that was seen."""
        return [self._expert.judge(each, self._pieces[each.id]) for each in candidates]

    def score(self, known: Known, candidates: Sequence[Candidate]) -> Mapping[str, float]:
        """Share of the unknown patches found so far, and the model on the patches that nobody searched."""
        unknown = len(self.ground.patches) - self.start_count
        pieces = [self._pieces[each.id] for each in candidates]
        scores = self._held_out.scores(0.5) if self._held_out else None
        return {
            "recall": (len(known.positives) - self.start_count) / unknown,
            **self._expert.counts(pieces),
            "f1": scores.f1 if scores else 0.0,
            "pixel_precision": scores.precision if scores else 0.0,
            "pixel_recall": scores.recall if scores else 0.0,
        }

    def _steps(self, number: int) -> int:
        return self.learning.first_steps if number == 1 else self.learning.steps

    def _recipe(self, number: int, folder: Path) -> TrainingRecipe:
        former = folder.parent / f"round-{number - 1}" / WEIGHTS
        rules = self.learning
        table = _table(rules)
        table["network"] = {
            "architecture": rules.architecture,
            "weights": rules.weights if number == 1 else str(former),
        }
        table["training"] |= {
            "seed": rules.seed * 1000 + number,
            "learning_rate": rules.first_rate if number == 1 else rules.rate,
        }
        return TrainingRecipe.model_validate(table)

    def _fitted(self, recipe: TrainingRecipe, samples: Sequence[Sample], key: str, folder: Path) -> LoopState:
        """One epoch of the wished steps; the weights after the last are kept, nothing is chosen by a score."""
        checkpoint = folder / CHECKPOINT
        torch.manual_seed(recipe.training.seed)
        network, _ = build_network(recipe.network, self._scaling)
        fit = Fit(
            network=network,
            recipe=recipe,
            batches=Batches(samples=samples, recipe=recipe, scaled=self._scaled, threads=1),
            validation=(),
            state=read_checkpoint(checkpoint, key=key) or LoopState(key=key),
            checkpoint=checkpoint,
            device=self.device,
            watcher=Silent(),
        )
        fit.run()
        done = LoopState(key=key, best=fit.state.best, finished=True)
        write_checkpoint(folder / WEIGHTS, done)
        checkpoint.unlink()  # 80 MB, most of it the optimiser's
        return done


def _table(rules: Learning) -> dict[str, Any]:
    """The recipe of every round: as recipes/thaw-slump.toml, in one epoch."""
    return {
        "model": {
            "name": "loop-patches",
            "version": "1",
            "title": "Thaw slumps, in rounds",
            "landform": "thaw_slump",
            "bands": BANDS,
            "resolution_min_m": 2,
            "resolution_max_m": 8,
            "licence": "none stated",
            "limits": "Of a trial of the loop.",
        },
        "source": [{"kind": "rts-maxar"}],
        "augment": {"scale": [0.6, 1.6], "gain": 0.2, "brightness": 0.3},
        "training": {
            "epochs": 1,
            "landform_share": 0.75,
            "batch": rules.batch,
            "window_px": rules.window_px,
            "checkpoint_seconds": 60.0,
        },
    }


def _with_steps(recipe: TrainingRecipe, samples: int, steps: int) -> TrainingRecipe:
    """The same recipe whose one epoch has so many steps, however many samples there are."""
    repeats = steps * recipe.training.batch / samples
    return recipe.model_copy(update={"training": recipe.training.model_copy(update={"repeats": repeats})})


def _key(recipe: TrainingRecipe, known: Known) -> str:
    """Digest of recipe and of what is known; not of the folder, which may be moved."""
    network = recipe.network.model_copy(update={"weights": Path(recipe.network.weights).name})
    digest = hashlib.sha256(recipe.model_copy(update={"network": network}).model_dump_json().encode())
    for each in (*known.positives, *known.negatives):
        digest.update(each.id.encode() + (each.outline.wkb if each.outline is not None else b""))
    return digest.hexdigest()


def _by_place(negatives: Sequence[Labelled]) -> dict[str, list[Labelled]]:
    held: dict[str, list[Labelled]] = {}
    for each in negatives:
        held.setdefault(each.id.split("/")[1], []).append(each)
    return held


def _same(outline: BaseGeometry, rejected: Sequence[Labelled]) -> str | None:
    """The id of the rejected candidate that this one is again, if any."""
    for each in rejected:
        common = shapely.area(shapely.intersection(outline, each.outline))
        if common >= SAME_IOU * (outline.area + shapely.area(each.outline) - common):
            return each.id
    return None
