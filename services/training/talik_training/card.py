"""The model card: what the model needs, what it was trained on, and how well it was measured to do."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from talik_inference.model import Calibrated, ModelCard, PartCount, Scaling, Score, Source, read_card
from talik_stac.errors import ModelError
from talik_training.evaluate.bootstrap import Interval
from talik_training.export import Calibration, Exported
from talik_training.measured import Measured
from talik_training.networks import Loaded, NetworkRules
from talik_training.recipe import TrainingRecipe
from talik_training.samples import Sample

METRICS = {"iou": "pixel IoU", "f1": "pixel F1", "precision": "pixel precision", "recall": "pixel recall"}
EVALUATED = "talik evaluate"
"""Scores whose command starts so were added to the card after training."""
_NAMES = {"unet": "U-Net", "deeplabv3plus": "DeepLabv3+", "csmask": "U-Net of ukis-csmask"}


@dataclass(frozen=True, kw_only=True)
class Facts:
    """All that the card states."""

    recipe: TrainingRecipe
    scaling: Mapping[str, Scaling]
    counts: Mapping[str, Mapping[str, int]]
    """Places, samples and samples with landform of each part."""
    found: Mapping[str, tuple[int, int]]
    """Samples and places of each source."""
    exported: Exported
    calibration: Calibration
    threshold: float
    measured: Measured
    part: str
    """Where it was measured: test, or validation where there is no test."""
    loaded: Loaded
    epochs: int
    best_epoch: int
    seconds: float
    device: str
    command: str


def write_model(facts: Facts, folder: Path) -> ModelCard:
    """Write model.onnx, card.json and training.json, what the card has no field for. The folder is a model.

    Scores that `talik evaluate --card` added to a card of the same weights stay, and so do day and device.
    """
    card = make_card(facts)
    folder.mkdir(parents=True, exist_ok=True)
    if (earlier := _earlier(folder)) is not None and earlier.sha256 == card.sha256:
        card = _with_what_is_known(card, earlier)
    (folder / "model.onnx").write_bytes(facts.exported.onnx)
    write_card(card, folder)
    (folder / "training.json").write_text(json.dumps(_more(facts), indent=1) + "\n")
    return card


def write_card(card: ModelCard, folder: Path) -> None:
    """Write card.json in one step."""
    beside = folder / "card.json.part"
    beside.write_text(card.model_dump_json(indent=1) + "\n", encoding="utf-8")
    beside.replace(folder / "card.json")


def make_card(facts: Facts) -> ModelCard:
    """Put the facts into the fields that the mapper and the reader of a card look at."""
    rules = facts.recipe.model
    return ModelCard(
        name=rules.name,
        version=rules.version,
        title=rules.title,
        landform=rules.landform,
        sha256=hashlib.sha256(facts.exported.onnx).hexdigest(),
        bands=dict(facts.scaling),
        resolution_min_m=rules.resolution_min_m,
        resolution_max_m=rules.resolution_max_m,
        core_px=rules.core_px,
        halo_px=rules.halo_px,
        threshold=facts.threshold,
        licence=rules.licence,
        training_data=_sentence(facts),
        scores=tuple(_scores(facts)),
        limits=rules.limits,
        sources=tuple(_sources(facts)),
        split={part: PartCount.model_validate(dict(count)) for part, count in facts.counts.items()},
        calibration=Calibrated(
            slope=facts.calibration.slope,
            shift=facts.calibration.shift,
            expected_calibration_error=round(facts.measured.calibration_error(), 4),
        ),
        architecture=_architecture(facts.recipe.network),
        encoder=str(facts.loaded),
        precision=rules.stored,
        command=facts.command,
        seconds=round(facts.seconds, 1),
        device=facts.device,
        made=date.today(),
    )


def with_scores(card: ModelCard, scores: Iterable[Score], baseline: Iterable[Score]) -> ModelCard:
    """The card with more scores; one of the same metric, data and model takes the place of the earlier."""
    return card.model_copy(
        update={"scores": _merged(card.scores, scores), "baseline": _merged(card.baseline, baseline)}
    )


def counted(samples: Iterable[Sample]) -> dict[str, tuple[int, int]]:
    """Samples and places of each source, by its name."""
    seen: dict[str, list[str]] = {}
    for sample in samples:
        seen.setdefault(sample.source, []).append(sample.group)
    return {name: (len(groups), len(set(groups))) for name, groups in seen.items()}


def _merged(earlier: Sequence[Score], later: Iterable[Score]) -> tuple[Score, ...]:
    by_what = {(score.metric, score.data, score.of): score for score in earlier}
    by_what.update({(score.metric, score.data, score.of): score for score in later})
    return tuple(by_what.values())


def _earlier(folder: Path) -> ModelCard | None:
    """The card of an earlier run, None where there is none that can be read: it is about to be replaced."""
    path = folder / "card.json"
    try:
        return read_card(str(folder), path.read_bytes()) if path.exists() else None
    except ModelError:
        return None


def _with_what_is_known(card: ModelCard, earlier: ModelCard) -> ModelCard:
    """The same weights, described again: perhaps on another day and machine than they were trained."""
    kept = [score for score in earlier.scores if score.command.startswith(EVALUATED)]
    known = {
        "made": earlier.made or card.made,
        "device": earlier.device or card.device,
        "seconds": card.seconds if earlier.seconds is None else earlier.seconds,
    }
    return with_scores(card, kept, earlier.baseline).model_copy(update=known)


def _scores(facts: Facts) -> list[Score]:
    found = facts.measured.intervals(facts.threshold)
    return [_score(facts, words, found[name]) for name, words in METRICS.items()]


def _score(facts: Facts, metric: str, interval: Interval) -> Score:
    count = facts.counts[facts.part]
    return Score(
        metric=metric,
        value=round(interval.value or 0.0, 4),
        low=None if interval.low is None else round(interval.low, 4),
        high=None if interval.high is None else round(interval.high, 4),
        data=f"{facts.part} part: {count['samples']} samples of {count['places']} places",
        places=count["places"],
        command=facts.command,
    )


def _sentence(facts: Facts) -> str:
    names = [name for name, *_ in _tables(facts.recipe)]
    parts = [f"{count['samples']} samples of {count['places']} places for {p}" for p, count in facts.counts.items()]
    return f"{'; '.join(names)}. Split by place: {', '.join(parts)}."


def _sources(facts: Facts) -> list[Source]:
    made = []
    for name, table in _tables(facts.recipe):
        samples, places = facts.found.get(name, (None, None))
        made.append(
            Source(
                name=name,
                licence=str(table.get("licence", "none stated")),
                citation=str(table.get("citation", "")),
                samples=samples,
                places=places,
                dates=str(table.get("taken", "")),
            )
        )
    return made


def _tables(recipe: TrainingRecipe) -> list[tuple[str, Mapping[str, Any]]]:
    """The [[source]] tables by name: that of the table, else of its folder."""
    return [(str(t.get("name") or Path(str(t.get("folder", t.get("kind")))).name), t) for t in recipe.source]


def _architecture(rules: NetworkRules) -> str:
    name = _NAMES.get(rules.architecture, rules.architecture)
    said = name if rules.architecture == "csmask" else f"{name}, encoder {rules.encoder}"
    if rules.architecture == "unet":
        said += f", decoder of {', '.join(map(str, rules.decoder_channels))} channels"
    pairs = [f"({a} - {b}) / ({a} + {b})" for a, b in rules.indices]
    return said + (f", with {', '.join(pairs)} beside the bands" if pairs else "")


def _more(facts: Facts) -> dict[str, Any]:
    return {
        "recipe": facts.recipe.model_dump(mode="json"),
        "split": "split.json",
        "encoder": vars(facts.loaded),
        "measured_on": facts.part,
        "export": {"difference": facts.exported.difference, "windows": facts.exported.windows},
        "epochs": facts.epochs,
        "best_epoch": facts.best_epoch,
    }
