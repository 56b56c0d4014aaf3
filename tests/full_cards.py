"""A card in which no field is left out."""

from __future__ import annotations

from datetime import date
from pathlib import Path

from talik_inference.model import Calibrated, ModelCard, PartCount, Score, Source, load_model
from talik_stac.store import open_store
from tiny_models import always_one


def full_card(folder: Path) -> ModelCard:
    """A simulated card in which no field is left out."""
    own = {"low": 0.7, "high": 0.85, "places": 40, "command": "talik evaluate tiny --data lakes.toml"}
    scores = (
        Score(
            metric="pixel IoU", value=0.9, data="test part: 8 samples of 8 places", places=8, command="talik train x"
        ),
        Score(metric="pixel IoU", value=0.8, data="lakes", **own),
        Score(metric="pixel F1", value=0.889, data="lakes", **own),
    )
    fields = {
        "landform": "thermokarst_lake",
        "scores": scores,
        "baseline": (scores[1].model_copy(update={"value": 0.5, "low": 0.4, "high": 0.6, "of": "ndwi@1"}),),
        "sources": (
            Source(name="ponds | simulated", licence="CC0", citation="nobody", samples=90, places=50, dates="2020"),
        ),
        "split": {"train": PartCount(places=34, samples=1070, with_landform=60)},
        "calibration": Calibrated(slope=0.9, shift=-0.1, expected_calibration_error=0.0123),
        "architecture": "U-Net",
        "encoder": "random numbers",
        "precision": "float16",
        "command": "talik train tiny.toml",
        "seconds": 7260.0,
        "device": "cpu",
        "made": date(2026, 11, 21),
    }
    return load_model(always_one(folder, **fields), open_store("nowhere")).card
