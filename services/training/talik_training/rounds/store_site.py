"""The loop of a scientist with a store: each call does the next step, and stops where an expert has to look."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import geopandas
from shapely.geometry.base import BaseGeometry

from talik_inference.executors import executor
from talik_inference.pipeline import MapRequest, map_landform
from talik_inference.review.candidates import candidates as ordered
from talik_inference.review.candidates import write_candidates
from talik_inference.review.sheets import write_sheet
from talik_inference.search import Imagery
from talik_inference.season import Season, parse_season
from talik_stac.aoi import AreaOfInterest
from talik_stac.editions import load_edition, read_geo
from talik_stac.errors import ModelError
from talik_stac.landforms import Recipe
from talik_stac.reviews import Standing, standing
from talik_stac.store import Store
from talik_training.fitting import Limits, Watcher
from talik_training.recipe import load_recipe
from talik_training.rounds.kept import write_whole
from talik_training.rounds.taught import Label, Taught, write_round_recipe
from talik_training.rounds.words import Candidate, Decision, Known, Labelled, Say, Verdict, Waiting
from talik_training.samples import load_samples
from talik_training.train import TrainRequest, train

EDITION, TRAINED, START = "edition.json", "trained.json", "start.json"
SHEET, CANDIDATES = "sheet.gpkg", "candidates.gpkg"


@dataclass(frozen=True, kw_only=True)
class StoreRequest:
    """What `talik loop RECIPE.toml` is asked."""

    training: Path
    """The training recipe."""
    store: Store
    aoi: AreaOfInterest
    recipe: Recipe
    """Of the landform; its model is the round's."""
    collection: str
    season: str
    reviewer: str
    out: Path
    threads: int = 2
    device: Literal["auto", "cpu", "cuda"] = "auto"
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True, kw_only=True)
class RoundModel:
    """A trained model, and what it mapped."""

    number: int
    folder: Path


class StoreSite:
    """A `Site` on indexed imagery, with the decisions of one reviewer in the store's log."""

    def __init__(self, request: StoreRequest, watcher: Watcher) -> None:
        """Read the training recipe. Raises RecipeError."""
        self.request, self.watcher = request, watcher
        self.bands = load_recipe(request.training).model.bands

    @property
    def name(self) -> str:
        """Landform, area and season."""
        return f"{self.request.recipe.landform}, {self.request.aoi.name}, {self.request.season}"

    def describe(self) -> Mapping[str, object]:
        """What a folder must not be used with twice; the imagery may grow between rounds, as its log does."""
        asked = self.request
        return {
            "recipe": load_recipe(asked.training).model_dump(mode="json"),
            "landform": asked.recipe.model_dump(mode="json"),
            "store": asked.store.root,
            "area": asked.aoi.name,
            "collection": asked.collection,
            "season": asked.season,
            "reviewer": asked.reviewer,
        }

    def start(self) -> Known:
        """The recipe's own samples, with landform and without."""
        path = self.request.out / START
        if not path.exists():
            kinds: dict[bool, list[str]] = {True: [], False: []}
            for sample in load_samples(self.request.training):
                kinds[sample.has_landform].append(f"sample {sample.source} {sample.id}")
            write_whole(path, json.dumps({"positives": kinds[True], "negatives": kinds[False]}))
        found = json.loads(path.read_text(encoding="utf-8"))
        positives, negatives = (tuple(Labelled(id=name) for name in found[kind]) for kind in ("positives", "negatives"))
        return Known(positives=positives, negatives=negatives)

    def train(self, number: int, known: Known, folder: Path, say: Say) -> RoundModel:
        """Train on the recipe's samples and all that was decided; a trained round is not trained again."""
        model = folder / "model"
        done = folder / TRAINED
        if not done.exists():
            say(
                f"round {number}: training on {len(known.positives):,} positives and {len(known.negatives):,} negatives"
            )
            recipe = write_round_recipe(self._taught(number, known), folder)
            asked = self.request
            trained = train(
                TrainRequest(
                    recipe=recipe,
                    out=model,
                    threads=asked.threads,
                    device=asked.device,
                    limits=asked.limits,
                    command=f"talik loop {asked.training}, round {number}",
                ),
                self.watcher,
                say,
            )
            if not trained.finished:
                raise ModelError(f"the time was over before round {number} was trained; the same command goes on")
            write_whole(done, json.dumps({"model": trained.card.reference}))
        return RoundModel(number=number, folder=folder)

    def candidates(self, model: RoundModel, say: Say) -> Sequence[Candidate]:
        """Map with the round's model, or read what it mapped; the most worth looking at first."""
        edition = self._edition(model, say)
        frame = ordered(self.request.store, edition, decided_too=True)
        return [
            Candidate(id=name, probability=float(probability), area_m2=float(area), outline=outline)
            for name, probability, area, outline in zip(
                frame["id"], frame["probability"], frame["area_m2"], frame.geometry, strict=True
            )
        ]

    def judge(
        self,
        number: int,  # noqa: ARG002
        candidates: Sequence[Candidate],
        folder: Path,
    ) -> Sequence[Decision] | Waiting:
        """The reviewer's word in the log; where one is missing, a sheet to fill in."""
        edition = _edition_in(folder)
        frame = read_geo(self.request.store, load_edition(self.request.store, edition))
        said = {each.object_id: each for each in standing(self.request.store, edition, frame) if self._counts(each)}
        missing = [each.id for each in candidates if each.id not in said]
        if missing:
            return self._waiting(edition, frame, missing, asked=len(candidates), folder=folder)
        answers = [_decision(each, said[each.id]) for each in candidates]
        drawn = [each for each in said.values() if each.added and not each.carried and each.accepted]
        return [*answers, *(_drawn(each) for each in drawn)]

    def score(self, known: Known, candidates: Sequence[Candidate]) -> Mapping[str, float]:  # noqa: ARG002
        """Nobody knows the truth here."""
        return {}

    def last_edition(self, rounds: int) -> str | None:
        """The edition of the last round that mapped."""
        folders = [self.request.out / f"round-{number}" for number in range(rounds, 0, -1)]
        return next((_edition_in(folder) for folder in folders if (folder / EDITION).exists()), None)

    @property
    def _season(self) -> Season:
        return parse_season(self.request.season, self.request.recipe)

    def _counts(self, word: Standing) -> bool:
        return word.reviewer == self.request.reviewer

    def _edition(self, model: RoundModel, say: Say) -> str:
        path = model.folder / EDITION
        if not path.exists():
            say(f"round {model.number}: mapping {self.request.aoi.name}")
            recipe = self.request.recipe.model_copy(update={"model": str(model.folder / "model")})
            mapped = map_landform(
                MapRequest(
                    store_root=self.request.store.root,
                    aoi=self.request.aoi,
                    recipe=recipe,
                    season=self._season,
                    imagery=Imagery(collection=self.request.collection),
                    executor=executor("threads", workers=self.request.threads),
                )
            )
            write_whole(path, json.dumps({"edition": mapped.edition.id}))
        return _edition_in(model.folder)

    def _taught(self, number: int, known: Known) -> Taught:
        """What is drawn, and what nobody decided in the last round's map: unknown, not background."""
        labels = [
            Label(outline=each.outline, status=status)
            for status, kind in (("confirmed", known.positives), ("rejected", known.negatives))
            for each in kind
            if each.outline is not None
        ]
        return Taught(
            recipe=self.request.training,
            number=number,
            labels=(*labels, *self._undecided(number, known)),
            store=self.request.store.root,
            collection=self.request.collection,
            start=self._season.start,
            end=self._season.end,
            bands=self.bands,
        )

    def _undecided(self, number: int, known: Known) -> list[Label]:
        if number == 1:
            return []
        frame = read_geo(
            self.request.store, load_edition(self.request.store, _edition_in(self.request.out / f"round-{number - 1}"))
        )
        decided = {each.id for each in (*known.positives, *known.negatives)}
        return [
            Label(outline=outline, status="candidate")
            for name, outline in zip(frame["id"], frame.geometry, strict=True)
            if name not in decided
        ]

    def _waiting(
        self, edition: str, frame: geopandas.GeoDataFrame, missing: Sequence[str], *, asked: int, folder: Path
    ) -> Waiting:
        """Write the sheet and the ordered candidates once; an expert's work is not written over."""
        sheet, reviewer = folder / SHEET, self.request.reviewer
        if not sheet.exists():
            write_sheet(self.request.store, edition, reviewer=reviewer, path=sheet)
            shown = ordered(self.request.store, edition, decided_too=True)
            write_candidates(shown[shown["id"].isin(missing)], folder / CANDIDATES, overwrite=True)
        return Waiting(
            until=f"{len(missing):,} of {asked:,} candidates of {edition} ({len(frame):,} objects) wait for "
            f"{reviewer}: inspect {sheet} ({CANDIDATES} beside it says in which order), then "
            f"talik review import {sheet} --reviewer {reviewer}, and run the same command again"
        )


def _edition_in(folder: Path) -> str:
    return str(json.loads((folder / EDITION).read_text(encoding="utf-8"))["edition"])


def _decision(candidate: Candidate, word: Standing) -> Decision:
    verdict = Verdict.ACCEPTED if word.accepted else Verdict.REJECTED if word.status == "rejected" else Verdict.UNSURE
    return Decision(candidate=candidate, verdict=verdict, outline=word.redrawn)


def _drawn(word: Standing) -> Decision:
    """What the expert drew where nothing was proposed."""
    outline: BaseGeometry = word.decision.seen
    return Decision(
        candidate=Candidate(id=word.object_id, probability=0.0, area_m2=0.0, outline=outline),
        verdict=Verdict.ACCEPTED,
        outline=word.redrawn,
    )
