"""`talik evaluate`: models against labels, side by side with the index baseline."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from talik_stac.errors import ModelError, RecipeError
from talik_stac.settings import Settings
from talik_stac.store import open_store

if TYPE_CHECKING:
    from talik_training.evaluate.run import Evaluation
    from talik_training.samples import Sample

app = typer.Typer(help="Score models on labelled samples: pixels, objects, outlines, calibration, with intervals.")
console = Console(stderr=True, highlight=False, soft_wrap=True)

DATA_FILE = "data.toml"
NO_BASELINE = "none"


@app.command()
def evaluate(  # noqa: PLR0913, PLR0917 - one parameter an option
    models: Annotated[
        list[str], typer.Argument(help="name@version, or a folder with model.onnx and card.json.", metavar="MODEL...")
    ],
    data: Annotated[Path, typer.Option(help=f"A TOML file with [[source]] tables, or a folder with {DATA_FILE}.")],
    out: Annotated[Path, typer.Option(help="Folder for evaluation.json and evaluation.png.")],
    baseline: Annotated[str, typer.Option(help=f"A model to set beside; '{NO_BASELINE}' for none.")] = "ndwi@1",
    part: Annotated[
        str | None, typer.Option(help="Only train, validation or test, as the publisher or the recipe has it.")
    ] = None,
    min_object: Annotated[float, typer.Option(min=0, help="Smaller objects are left out, m2.")] = 0.0,
    published: Annotated[
        Path | None, typer.Option(help="TOML with [[published]] tables (source, f1, iou) to check.")
    ] = None,
    draws: Annotated[int, typer.Option(min=100, help="How often places are drawn for the intervals.")] = 2000,
    seed: Annotated[int, typer.Option(min=0, help="Of the draws.")] = 0,
    card: Annotated[
        bool, typer.Option("--card", help="Write the scores into the card.json of each MODEL that is a folder.")
    ] = False,
    called: Annotated[str | None, typer.Option(help="What the card calls the data; its sources if left out.")] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="All cores if left out.")] = None,
    store: Annotated[str | None, typer.Option(help="Where models are looked up; TALIK_STORE if left out.")] = None,
) -> None:
    """Score models on labelled samples and write evaluation.json and evaluation.png."""
    if card and not any(_is_folder(model) for model in models):
        raise ModelError(f"--card writes into folders, and {', '.join(models)} is none; give the folder of a model")
    from talik_inference.model import load_model
    from talik_training.evaluate.bootstrap import Draws
    from talik_training.evaluate.published import claims_of, contradictions, read_claims
    from talik_training.evaluate.run import evaluate as evaluate_models
    from talik_training.recipe import parted_samples

    opened = open_store(store or Settings().store)
    loaded = [load_model(reference, opened) for reference in models]
    beside = None if baseline == NO_BASELINE else load_model(baseline, opened)
    if beside is not None and beside.card.reference in [model.card.reference for model in loaded]:
        beside = None  # `talik evaluate ndwi@1`: the baseline itself is asked for
    claims = [claim for model in loaded for claim in claims_of(model.card)]
    stated = contradictions([*claims, *(read_claims(published) if published else ())])
    sources: dict[str, None] = {}
    done = evaluate_models(
        loaded,
        _shown(_noted(_of_part(parted_samples(_data_file(data)), part), sources)),
        baseline=beside,
        threads=threads or os.cpu_count() or 1,
        min_object_m2=min_object,
        draws=Draws(count=draws, seed=seed),
    )
    _write(replace(done, warnings=(*done.warnings, *stated)), out)
    if card:
        _into_cards(models, done, _Told(data=data, called=called, sources=tuple(sources), part=part))


@dataclass(frozen=True, kw_only=True)
class _Told:
    """What was said of the data."""

    data: Path
    called: str | None
    sources: tuple[str, ...]
    part: str | None


def _into_cards(models: Sequence[str], done: Evaluation, told: _Told) -> None:
    from talik_training.evaluate.into_card import Measured, add_to_card

    few = told.sources if len(told.sources) <= 3 and all(told.sources) else (told.data.stem,)
    plain = ["talik", "evaluate", *models, "--data", str(told.data)]
    measured = Measured(
        data=told.called or ", ".join(few),
        sources=told.sources,
        test_only=told.part == "test",
        command=shlex.join(["talik", *sys.argv[1:]] if sys.argv[1:2] == ["evaluate"] else plain),
    )
    for model, scores in zip(models, done.models, strict=False):  # the baseline comes after them
        if _is_folder(model):
            add_to_card(Path(model), scores, done, measured)
            typer.echo(str(Path(model) / "card.json"))


def _is_folder(model: str) -> bool:
    """As load_model takes it."""
    return "@" not in model and Path(model).is_dir()


def _write(done: Evaluation, out: Path) -> None:
    from talik_training.evaluate.report import as_json, draw, table

    out.mkdir(parents=True, exist_ok=True)
    (out / "evaluation.json").write_text(as_json(done), encoding="utf-8")
    draw(out / "evaluation.png", done)
    for warning in done.warnings:
        console.print(f"warning: {warning}", style="yellow", markup=False)
    # Wide enough for a file or a pipe, where a terminal's width is not known.
    said = Console(highlight=False, soft_wrap=True, width=48 + 30 * len(done.models))
    said.print(table(done))
    said.print(f"{out / 'evaluation.json'}\n{out / 'evaluation.png'}", markup=False)


def _data_file(data: Path) -> Path:
    if not data.is_dir():
        return data
    if not (data / DATA_FILE).is_file():
        raise RecipeError(f"{data} holds no {DATA_FILE}; write one with [[source]] tables, or give such a file")
    return data / DATA_FILE


def _of_part(samples: Iterable[Sample], part: str | None) -> Iterator[Sample]:
    if part not in (None, "train", "validation", "test"):
        raise RecipeError(f"--part '{part}' is no part of data; expected train, validation or test")
    return (sample for sample in samples if part is None or sample.part == part)


def _noted(samples: Iterable[Sample], sources: dict[str, None]) -> Iterator[Sample]:
    """Remember, in order, which data sets the samples are of."""
    for sample in samples:
        sources[sample.source] = None
        yield sample


def _shown(samples: Iterator[Sample]) -> Iterator[Sample]:
    """Tell which sample is at work, on a terminal only."""
    if not console.is_terminal:
        yield from samples
        return
    with console.status("reading") as status:
        for count, sample in enumerate(samples, start=1):
            status.update(f"sample {count}: {sample.id}")
            yield sample
