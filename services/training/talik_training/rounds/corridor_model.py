"""A round's model of the *simulated* corridor: trained from where the last round's stood, and run over all of it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from talik_inference.grid import Rect
from talik_inference.model import Model, ModelCard, Scaling, open_predictor
from talik_inference.plan import Windows
from talik_inference.predict import FULL, landform_above, predict_block
from talik_inference.vectorize import NO_DATA, to_polygons, vectorize
from talik_training.augment import AugmentRules
from talik_training.batches import Batches
from talik_training.corridor.scene import window_grid
from talik_training.corridor.terrain import PIXEL_M, Window
from talik_training.export import Calibration, export
from talik_training.fitting import Fit, Silent, probability_of
from talik_training.loop_state import LoopState, read_checkpoint
from talik_training.losses import LossRules
from talik_training.measured import Scaled, measure
from talik_training.networks import Network, NetworkRules, build_network
from talik_training.recipe import ModelRules, TrainingRecipe, TrainingRules
from talik_training.rounds.corridor_ground import BANDS, Chips, Ground
from talik_training.rounds.words import Candidate, Known, Labelled
from talik_training.train import CHECKPOINT, fitted_calibration

NAME, TITLE = "simulated-corridor", "Thaw slumps of the simulated corridor"
LICENCE, LIMITS = "Apache-2.0", "Simulated ground only."
WINDOWS = Windows(core_px=1024, halo_px=64)
SCALING = {  # rounded means of tundra, by eye; the standard deviation is wide enough for gravel and water
    "blue": Scaling(mean=0.08, std=0.04),
    "green": Scaling(mean=0.11, std=0.04),
    "red": Scaling(mean=0.12, std=0.05),
    "nir": Scaling(mean=0.25, std=0.06),
}


@dataclass(frozen=True, kw_only=True)
class LearningRules:
    """How much a round learns."""

    first_steps: int = 250
    """Of the first round, which starts from ImageNet's weights."""
    steps: int = 120
    """Of every later round, which starts from the last one's."""
    epochs: int = 2
    """Validations in a round; the best is kept."""
    batch: int = 8
    chip_px: int = 128
    window_px: int = 96
    first_rate: float = 3e-3
    rate: float = 1e-3
    """Largest learning rates, of the first round and of later ones."""
    validation: float = 0.15
    """Share of the labelled objects that choose the best weights and teach nothing."""
    threshold: float = 0.3
    """Of probability, above which a pixel is proposed: low, for an expert looks at each."""
    least_m2: float = 800.0
    """Smallest candidate; the smallest slumps of the law have 1,000 m2."""
    network: NetworkRules = field(default_factory=lambda: NetworkRules(decoder_channels=(64, 32, 24, 16, 8)))
    """A narrow decoder: 2.9 Mpx a CPU second in ONNX Runtime where the usual one runs 1.4."""
    threads: int = 2


def trained(ground: Ground, known: Known, rules: LearningRules, *, seed: int, number: int, folder: Path) -> Model:
    """Train round `number` into `folder`; goes on after a kill, and a finished one is not trained again."""
    torch.set_num_threads(rules.threads)
    teaching, judging = _parts(known, rules.validation, seed)
    recipe = _recipe(rules, seed=seed + number, first=number == 1, chips=len(teaching))
    fit = Fit(
        network=_network(recipe, folder, number),
        recipe=recipe,
        batches=Batches(
            samples=Chips(ground=ground, known=known, chosen=teaching, size_px=rules.chip_px),
            recipe=recipe,
            scaled=_scaled(),
            threads=rules.threads,
        ),
        validation=Chips(ground=ground, known=known, chosen=judging, size_px=rules.chip_px),
        state=_state(recipe, known, folder),
        checkpoint=folder / CHECKPOINT,
        device=torch.device("cpu"),
        watcher=Silent(),
    )
    fit.run()
    # Only the round after needs a checkpoint to start from.
    (folder.parent / f"round-{number - 1}" / CHECKPOINT).unlink(missing_ok=True)
    fit.network.load_state_dict(fit.state.best)
    raw = measure(fit.validation, probability_of(fit.network, fit.device), _scaled())
    return _kept(fit.network, fitted_calibration(raw), rules, known, number, folder)


def predicted(ground: Ground, model: Model, *, threads: int) -> NDArray[np.uint8]:
    """Run the model over the whole ground: uint8 (y, x) probability 0..250, 255 where nothing was seen."""
    predictor = open_predictor(model, threads=threads)
    rows, cols = ground.shape
    whole = Rect(col=0, row=0, col_end=cols, row_end=rows)
    out = np.full(whole.shape, NO_DATA, np.uint8)
    for core in whole.cells(WINDOWS.core_px):
        data = ground.reflectance(core.expand(WINDOWS.halo_px))
        valid = np.asarray(~np.isnan(data).any(axis=0))
        answer = predict_block(predictor, model.card, WINDOWS, data, valid, np.ones(core.shape, bool), core)
        inside = core.intersect(whole)
        out[inside.within(whole)] = answer[inside.within(core)]
    return out


def proposed(probability: NDArray[np.uint8], rules: LearningRules, *, number: int) -> list[Candidate]:
    """The polygons above the threshold, the surest first."""
    fragments = vectorize(probability, above=landform_above(rules.threshold), origin=(0, 0)).fragments
    rows, cols = probability.shape
    grid = window_grid(Window(row=0, col=0, row_end=rows, col_end=cols))
    outlines = to_polygons(fragments, grid.affine)
    found = [
        _candidate(n, number, outline, int(pixels), int(total))
        for n, (outline, pixels, total) in enumerate(zip(outlines, fragments.pixels, fragments.total, strict=True))
        if pixels * PIXEL_M**2 >= rules.least_m2
    ]
    return sorted(found, key=lambda each: (-each.probability, each.id))


def _candidate(n: int, number: int, outline: BaseGeometry, pixels: int, total: int) -> Candidate:
    return Candidate(
        id=f"round-{number}-{n}", probability=total / pixels / FULL, area_m2=pixels * PIXEL_M**2, outline=outline
    )


def _parts(known: Known, share: float, seed: int) -> tuple[tuple[Labelled, ...], tuple[Labelled, ...]]:
    """Those that teach and those that judge: an object's own name decides, so that it stays where it is."""
    every = [*known.positives, *known.negatives]
    judges = [_draw(each.id, seed) < share for each in every]
    teaching = tuple(each for each, judge in zip(every, judges, strict=True) if not judge)
    return teaching, tuple(each for each, judge in zip(every, judges, strict=True) if judge) or teaching[:1]


def _draw(name: str, seed: int) -> float:
    digest = hashlib.sha256(f"{seed} {name}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def _recipe(rules: LearningRules, *, seed: int, first: bool, chips: int) -> TrainingRecipe:
    """The same recipe for every round but for its length."""
    steps = rules.first_steps if first else rules.steps
    return TrainingRecipe(
        model=ModelRules(
            name=NAME,
            version="1",
            title=TITLE,
            landform="thaw_slump",
            bands=BANDS,
            resolution_min_m=PIXEL_M,
            resolution_max_m=PIXEL_M,
            core_px=WINDOWS.core_px,
            halo_px=WINDOWS.halo_px,
            licence=LICENCE,
            limits=LIMITS,
            scaling=SCALING,
        ),
        source=({"kind": "simulated corridor"},),
        network=rules.network,
        augment=AugmentRules(scale=(0.9, 1.2), on_landform=0.7, gain=0.05, brightness=0.1, gamma=0.05, haze=0.1),
        # The focal and Tversky losses leave every probability near one half after so few steps.
        loss=LossRules(kind="cross-entropy"),
        training=TrainingRules(
            seed=seed,
            epochs=rules.epochs,
            repeats=steps * rules.batch / rules.epochs / chips,
            batch=rules.batch,
            window_px=rules.window_px,
            learning_rate=rules.first_rate if first else rules.rate,
            encoder_rate=1.0,
            patience=rules.epochs,
        ),
    )


def _scaled() -> Scaled:
    return Scaled.by(SCALING)


def _network(recipe: TrainingRecipe, folder: Path, number: int) -> Network:
    """With the last round's weights; the first round starts from the packaged ones."""
    torch.manual_seed(recipe.training.seed)
    network, _ = build_network(recipe.network, SCALING)
    before = read_checkpoint(folder.parent / f"round-{number - 1}" / CHECKPOINT)
    if before is not None:
        network.load_state_dict(before.best)
    return network


def _state(recipe: TrainingRecipe, known: Known, folder: Path) -> LoopState:
    """Where this round's training stands."""
    digest = hashlib.sha256(recipe.model_dump_json().encode())
    for kind in (known.positives, known.negatives):
        digest.update(" ".join(each.id for each in kind).encode())
    key = digest.hexdigest()
    return read_checkpoint(folder / CHECKPOINT, key=key) or LoopState(key=key)


def _kept(
    network: Network, calibration: Calibration, rules: LearningRules, known: Known, number: int, folder: Path
) -> Model:
    """Export, and write what `talik map --model` takes."""
    exported = export(network, calibration, [])
    card = ModelCard(
        name=NAME,
        version=f"{number}",
        title=f"{TITLE}, round {number}",
        landform="thaw_slump",
        sha256=hashlib.sha256(exported.onnx).hexdigest(),
        bands=SCALING,
        resolution_min_m=PIXEL_M,
        resolution_max_m=PIXEL_M,
        core_px=WINDOWS.core_px,
        halo_px=WINDOWS.halo_px,
        threshold=rules.threshold,
        licence=LICENCE,
        training_data=f"simulated corridor: {len(known.positives)} slumps, {len(known.negatives)} other places",
        limits=LIMITS,
    )
    (folder / "model.onnx").write_bytes(exported.onnx)
    (folder / "card.json").write_text(card.model_dump_json(indent=1), encoding="utf-8")
    return Model(card=card, onnx=exported.onnx)
