"""Training, on one screen: recipe -> samples -> split -> fit -> calibrate -> export -> card and pictures."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit, logit

from talik_inference.model import ModelCard, Scaling
from talik_inference.predict import FULL
from talik_stac.errors import ModelError
from talik_training.batches import Batches
from talik_training.card import Facts, counted, write_model
from talik_training.curves import Example, draw_curves, draw_examples
from talik_training.export import Answering, Calibration, export, round_weights
from talik_training.fitting import Fit, Limits, Watcher, probability_of
from talik_training.loop_state import LoopState, read_checkpoint
from talik_training.measured import Measured, Probability, Scaled, measure, windows_of
from talik_training.networks import Loaded, Network, build_network
from talik_training.recipe import TrainingRecipe, load_recipe
from talik_training.samples import Part, Sample, load_samples
from talik_training.split import Split, split_by_place
from talik_training.weather import WeatherRules, weathered

CHECKPOINT = "checkpoint.pt"


@dataclass(frozen=True, kw_only=True)
class TrainRequest:
    """What `talik train` is asked."""

    recipe: Path
    out: Path
    threads: int = 2
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """auto: a GPU where there is one."""
    fresh: bool = False
    """Leave an earlier checkpoint aside."""
    limits: Limits = field(default_factory=Limits)
    command: str = "talik train"


@dataclass(frozen=True, kw_only=True)
class Trained:
    """What came of it."""

    card: ModelCard
    folder: Path
    finished: bool
    """False where the limits ended it before the recipe did; the same command goes on."""
    loaded: Loaded
    history: Sequence[dict[str, float]]


@dataclass(frozen=True, kw_only=True)
class _Data:
    samples: Sequence[Sample]
    split: Split
    scaling: dict[str, Scaling]
    scaled: Scaled

    def part(self, name: Part) -> list[Sample]:
        return self.split.part(self.samples, name)


def train(request: TrainRequest, watcher: Watcher, say: Callable[[str], None]) -> Trained:
    """Train, or go on training, and export the best weights so far. Raises TalikError."""
    torch.set_num_threads(request.threads)
    recipe = load_recipe(request.recipe)
    request.out.mkdir(parents=True, exist_ok=True)
    say("reading samples")
    data = _prepare(recipe, load_samples(request.recipe))
    data.split.write(request.out / "split.json", recipe.split, data.samples)
    for part, count in data.split.counts(data.samples).items():
        say(f"{part}: {count['samples']} samples ({count['with_landform']} with landform) of {count['places']} places")
    fit, loaded = _start(request, recipe, data, watcher)
    say(f"encoder: {loaded}; on {fit.device}")
    finished = fit.run()
    card = _finish(request, fit, data, loaded)
    return Trained(card=card, folder=request.out, finished=finished, loaded=loaded, history=fit.state.history)


def judged(validation: Sequence[Sample], recipe: TrainingRecipe) -> list[Sample]:
    """What chooses the best epoch and the threshold: validation and, where training has weather, the same under it."""
    rules = recipe.augment.weather
    drawn = [_under(sample, rules, number) for number, sample in enumerate(validation)] if rules.any else []
    return [*validation, *drawn]


def _under(sample: Sample, rules: WeatherRules, number: int) -> Sample:
    """The sample under simulated weather, the same each time."""
    image, label = weathered(sample.image, sample.label, rules, np.random.default_rng(number))
    return replace(sample, id=f"{sample.id}-simulated-weather", image=image, label=label)


def measured_scaling(samples: Sequence[Sample]) -> dict[str, Scaling]:
    """Mean and standard deviation of each band over all valid pixels. Raises ModelError where there are none."""
    bands = samples[0].bands
    sums, squares, count = np.zeros(len(bands)), np.zeros(len(bands)), 0
    for sample in samples:
        seen = sample.image[:, sample.valid].astype(np.float64)
        sums, squares, count = sums + seen.sum(axis=1), squares + (seen**2).sum(axis=1), count + seen.shape[1]
    if count == 0:
        raise ModelError(f"no valid pixel in {len(samples)} samples; check nodata and scale of the source")
    mean = sums / count
    std = np.sqrt(np.maximum(squares / count - mean**2, 1e-6))
    return {
        b: Scaling(mean=round(float(m), 5), std=round(float(s), 5)) for b, m, s in zip(bands, mean, std, strict=True)
    }


def fitted_calibration(measured: Measured) -> Calibration:
    """Scale and shift of the logit that make the counts most likely; none without both kinds of pixel."""
    total = measured.counts.sum(axis=0)
    if total.sum(axis=1).min() < 100:
        return Calibration()
    raw = logit(np.clip(np.arange(FULL + 1) / FULL, 0.25 / FULL, 1 - 0.25 / FULL))
    share = total / total.sum()

    def surprise(values: NDArray[np.float64]) -> float:
        slope, shift = math.exp(values[0]), values[1]
        sure = slope * raw + shift
        return float((share[1] * np.logaddexp(0, -sure) + share[0] * np.logaddexp(0, sure)).sum())

    found = minimize(surprise, np.zeros(2), method="Nelder-Mead").x
    return Calibration(slope=round(float(np.clip(np.exp(found[0]), 0.2, 5)), 4), shift=round(float(found[1]), 4))


def _prepare(recipe: TrainingRecipe, found: Iterable[Sample]) -> _Data:
    samples = [sample.with_bands(recipe.model.bands) for sample in found]
    split = split_by_place(samples, recipe.split)
    scaling = recipe.model.scaling or measured_scaling(split.part(samples, "train"))
    return _Data(samples=samples, split=split, scaling=dict(scaling), scaled=Scaled.by(scaling))


def _start(request: TrainRequest, recipe: TrainingRecipe, data: _Data, watcher: Watcher) -> tuple[Fit, Loaded]:
    device = _device(request.device)
    torch.manual_seed(recipe.training.seed)
    network, loaded = build_network(recipe.network, data.scaling)
    key = key_of(recipe, data.samples)
    checkpoint = request.out / CHECKPOINT
    state = None if request.fresh else read_checkpoint(checkpoint, key=key)
    training = data.part("train")
    fit = Fit(
        network=network,
        recipe=recipe,
        batches=Batches(samples=training, recipe=recipe, scaled=data.scaled, threads=request.threads),
        validation=judged(data.part("validation"), recipe),
        state=state or LoopState(key=key),
        checkpoint=checkpoint,
        device=device,
        watcher=watcher,
        limits=request.limits,
    )
    return fit, loaded


def _device(wanted: str) -> torch.device:
    if wanted == "cuda" and not torch.cuda.is_available():
        raise ModelError("torch sees no GPU here; give --device cpu or auto")
    return torch.device(("cuda" if torch.cuda.is_available() else "cpu") if wanted == "auto" else wanted)


def _finish(request: TrainRequest, fit: Fit, data: _Data, loaded: Loaded) -> ModelCard:
    """Take the best weights, calibrate and choose the threshold on validation, measure on test, export, describe."""
    if not fit.state.best:
        raise ModelError(
            f"stopped in the first epoch, at step {fit.state.step} of {fit.batches.steps}: there is no model yet; "
            "the same command goes on"
        )
    network = fit.network
    network.load_state_dict(fit.state.best)
    stored = fit.recipe.model.stored
    if stored == "float16":
        round_weights(network)
    validation = judged(data.part("validation"), fit.recipe)
    raw = measure(validation, probability_of(network, fit.device), data.scaled)
    calibration = fitted_calibration(raw) if fit.recipe.training.calibrate else Calibration()
    tested: Part = "test" if data.part("test") else "validation"
    answer = _calibrated(network, calibration, fit.device)
    threshold = measure(validation, answer, data.scaled).best_threshold()
    measured = measure(data.part(tested), answer, data.scaled)
    examples = _examples(data, tested, answer)
    exported = export(network.cpu(), calibration, [data.scaled(e.image) for e in examples], stored=stored)
    draw_curves(fit.state.history, request.out / "curves.png", title=fit.recipe.model.title)
    draw_examples(examples, request.out / "examples.png", threshold=threshold)
    return write_model(
        Facts(
            recipe=fit.recipe,
            scaling=data.scaling,
            counts=data.split.counts(data.samples),
            found=counted(data.samples),
            exported=exported,
            calibration=calibration,
            threshold=threshold,
            measured=measured,
            part=tested,
            loaded=loaded,
            epochs=fit.state.epoch,
            best_epoch=fit.state.best_epoch,
            seconds=fit.state.seconds,
            device=str(fit.device),
            command=request.command,
        ),
        request.out,
    )


def _calibrated(network: Network, calibration: Calibration, device: torch.device) -> Probability:
    raw = probability_of(network, device)

    def answer(scaled: NDArray[np.float32]) -> NDArray[np.float32]:
        sure = calibration.slope * logit(np.clip(raw(scaled), 1e-7, 1 - 1e-7)) + calibration.shift
        return np.asarray(expit(sure), np.float32)

    return answer


def _examples(data: _Data, part: Part, answer: Probability) -> list[Example]:
    """Up to six windows, spread evenly over the samples with landform."""
    samples = [s for s in data.part(part) if s.has_landform] or data.part(part)
    made = []
    for number in range(min(6, len(samples))):
        sample = samples[number * len(samples) // min(6, len(samples))]
        chip = max(windows_of(sample, size_px=512), key=lambda c: int((c.label == 1).sum()))
        probability = answer(data.scaled(chip.image))
        made.append(
            Example(
                title=f"{part}: {sample.id}",
                image=chip.image,
                bands=sample.bands,
                label=chip.label,
                probability=probability,
            )
        )
    return made


def key_of(recipe: TrainingRecipe, samples: Sequence[Sample]) -> str:
    """Digest of what decides the weights: how they are learned, and every sample's pixels and label.

    What only describes is not in it, so that a finished run given a better text writes a better card; nor are
    defaults, so that a rule added to Talik later refuses no checkpoint.
    """
    deciding = {"split", "network", "augment", "loss", "training"}
    rules = recipe.model_dump_json(
        include={"model": {"bands", "scaling"}} | dict.fromkeys(deciding, True), exclude_defaults=True
    )
    digest = hashlib.sha256(rules.encode())
    for sample in samples:
        counts = "" if sample.weight == 1 else f" x{sample.weight}"
        digest.update(f"{sample.id} {sample.group} {sample.part}{counts}".encode())
        digest.update(sample.image.tobytes())
        digest.update(sample.label.tobytes())
    return digest.hexdigest()


__all__ = ["Answering", "TrainRequest", "Trained", "fitted_calibration", "measured_scaling", "train"]
