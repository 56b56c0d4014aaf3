"""The model card: what the model needs, what it was trained on, and how well it was measured to do."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from talik_inference.model import ModelCard, Scaling, Score
from talik_training.evaluate.bootstrap import Interval
from talik_training.export import Calibration, Exported
from talik_training.measured import Measured
from talik_training.networks import Loaded
from talik_training.recipe import TrainingRecipe

METRICS = ("iou", "f1", "precision", "recall")


@dataclass(frozen=True, kw_only=True)
class Facts:
    """All that the card states."""

    recipe: TrainingRecipe
    scaling: Mapping[str, Scaling]
    counts: Mapping[str, Mapping[str, int]]
    """Places, samples and samples with landform of each part."""
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
    """Write model.onnx, card.json and training.json, what the card has no field for. The folder is a model."""
    card = make_card(facts)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.onnx").write_bytes(facts.exported.onnx)
    (folder / "card.json").write_text(card.model_dump_json(indent=1))
    (folder / "training.json").write_text(json.dumps(_more(facts), indent=1))
    return card


def make_card(facts: Facts) -> ModelCard:
    """Put the facts into the fields that the mapper reads."""
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
        training_data=_data(facts),
        scores=tuple(_scores(facts)),
        limits=rules.limits,
    )


def _scores(facts: Facts) -> list[Score]:
    counts = facts.counts[facts.part]
    whose = f"{facts.part}: {counts['samples']} samples of {counts['places']} places"
    found = facts.measured.intervals(facts.threshold)
    scores = [
        Score(
            metric=f"pixel {name}",
            value=round(found[name].value or 0.0, 4),
            data=f"{whose}; {_said(found[name])}",
            command=facts.command,
        )
        for name in METRICS
    ]
    error = round(facts.measured.calibration_error(), 4)
    return [*scores, Score(metric="expected calibration error", value=error, data=whose, command=facts.command)]


def _said(interval: Interval) -> str:
    if interval.low is None or interval.high is None:
        return "too few places for an interval"
    return f"95 % interval {interval.low:.3f} to {interval.high:.3f} by bootstrapping over places"


def _data(facts: Facts) -> str:
    """One sentence a source: name, samples, places, licence, citation."""
    said = []
    for table in facts.recipe.source:
        name = str(table.get("name") or Path(str(table.get("folder", table.get("kind")))).name)
        about = [str(table.get("licence", "licence: none stated")), str(table.get("citation", ""))]
        said.append(f"{name} ({'; '.join(text for text in about if text)})")
    parts = ", ".join(f"{part}: {n['samples']} samples of {n['places']} places" for part, n in facts.counts.items())
    return f"{'; '.join(said)}. Split by place: {parts}. Encoder: {facts.loaded}."


def _more(facts: Facts) -> dict[str, Any]:
    intervals = facts.measured.intervals(facts.threshold)
    return {
        "recipe": facts.recipe.model_dump(mode="json"),
        "split": {"file": "split.json", "counts": {part: dict(n) for part, n in facts.counts.items()}},
        "encoder": vars(facts.loaded),
        "calibration": {
            **vars(facts.calibration),
            "expected_calibration_error": facts.measured.calibration_error(),
        },
        "measured_on": facts.part,
        "threshold": facts.threshold,
        "intervals": {name: vars(interval) for name, interval in intervals.items()},
        "export": {"difference": facts.exported.difference, "windows": facts.exported.windows},
        "epochs": facts.epochs,
        "best_epoch": facts.best_epoch,
        "seconds": facts.seconds,
        "device": facts.device,
        "command": facts.command,
    }
