"""`talik models`: which models there are, what each is for, and how well it was measured to do."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from talik_inference.card_page import Beside, beside, headline, made, page, said_pixels, said_size
from talik_inference.model import Model, ModelCard, load_model
from talik_stac.errors import TalikError
from talik_stac.settings import Settings
from talik_stac.store import Store, open_store

app = typer.Typer(help="List the models and show their cards.", no_args_is_help=True)

ModelArgument = Annotated[str, typer.Argument(help="name@version, or a folder with model.onnx and card.json.")]
StoreOption = Annotated[str | None, typer.Option(help="Folder or s3://bucket/prefix; TALIK_STORE.")]
JsonOption = Annotated[bool, typer.Option("--json", help="For machines.")]


@app.command("list")
def list_(
    landform: Annotated[str | None, typer.Option(help="Only this landform.")] = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the models that ship with Talik and those in the store."""
    models = [m for m in _models(open_store(store or Settings().store)) if landform in (None, m.card.landform)]
    if as_json:
        typer.echo(json.dumps([_described(model) for model in models], indent=1))
        return
    table = Table()
    for column in ("model", "landform", "bands", "pixels", "size", "pixel IoU, 95 % interval", "beside"):
        table.add_column(column, no_wrap=True)
    for model in models:
        table.add_row(*_row(model))
    _console().print(table)


@app.command()
def show(model: ModelArgument, store: StoreOption = None, as_json: JsonOption = False) -> None:
    """Show the card of one model."""
    found = load_model(model, open_store(store or Settings().store))
    if as_json:
        typer.echo(found.card.model_dump_json(indent=1))
        return
    out = _console()
    out.print(f"{found.card.reference}  {found.card.title}", style="bold", highlight=False, markup=False)
    for name, value in _facts(found):
        out.print(f"  {name:13s} {value}", highlight=False, markup=False)


@app.command("page")
def page_(
    model: ModelArgument,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="A file; on the screen if left out.")] = None,
    store: StoreOption = None,
) -> None:
    """Write the card of one model as a page in Markdown."""
    found = load_model(model, open_store(store or Settings().store))
    written = page(found.card, len(found.onnx))
    if out is None:
        typer.echo(written, nl=False)
        return
    try:
        out.write_text(written, encoding="utf-8")
    except OSError as error:
        raise TalikError(
            f"cannot write {out}: {error.strerror}; give --out a file in a folder that is there"
        ) from error
    typer.echo(str(out))


def _models(store: Store) -> Iterator[Model]:
    """Every model by name and version, once: what ships goes before what the store keeps of it."""
    for reference in sorted({*_shipped(), *_kept(store)}):
        try:
            yield load_model(reference, store)
        except TalikError as error:  # one broken card must not hide the others
            Console(stderr=True, soft_wrap=True).print(f"warning: {error}", style="yellow", markup=False)


def _shipped() -> Iterator[str]:
    for folder in (resources.files("talik_inference") / "models").iterdir():
        if folder.is_dir():
            yield from (f"{folder.name}@{v.name}" for v in folder.iterdir() if (v / "card.json").is_file())


def _kept(store: Store) -> Iterator[str]:
    for key in store.list("models"):
        match key.split("/"):
            case ["models", name, version, "card.json"]:
                yield f"{name}@{version}"


def _row(model: Model) -> tuple[str, ...]:
    card, judged = model.card, headline(model.card)
    return (
        card.reference,
        card.landform,
        ", ".join(card.bands),
        said_pixels(card),
        said_size(len(model.onnx)),
        "not measured" if judged is None else _said(judged),
        "" if judged is None else ", ".join(f"{other.of} {other}" for other in judged.others),
    )


def _said(judged: Beside) -> str:
    """The figure; its name too where it is not the one of the column."""
    score = judged.score
    return str(score) if score.metric.lower() == "pixel iou" else f"{score.metric} {score}"


def _described(model: Model) -> dict[str, Any]:
    judged = headline(model.card)
    return {
        "model": model.card.reference,
        "title": model.card.title,
        "landform": model.card.landform,
        "bands": list(model.card.bands),
        "resolution_m": [model.card.resolution_min_m, model.card.resolution_max_m],
        "size_bytes": len(model.onnx),
        "score": None if judged is None else judged.score.model_dump(),
        "baseline": [] if judged is None else [other.model_dump() for other in judged.others],
    }


def _facts(model: Model) -> Iterator[tuple[str, str]]:
    """The card as lines of a name and a value; a name once where it has several values."""
    card = model.card
    yield "landform", f"{card.landform}, where probability is above {card.threshold:g}"
    yield "bands", ", ".join(card.bands)
    yield "pixels", said_pixels(card)
    yield "size", said_size(len(model.onnx))
    yield "not for", card.limits
    yield from _measured(card)
    yield "data", card.training_data
    for source in card.sources:
        counts = [f"{n:,} {of}" for n, of in ((source.samples, "samples"), (source.places, "places")) if n is not None]
        yield (
            "",
            "; ".join(text for text in (source.name, *counts, source.dates, source.licence, source.citation) if text),
        )
    for name, count in card.split.items():
        yield name, f"{count.places:,} places, {count.samples:,} samples, {count.with_landform:,} with landform"
    yield from made(card)
    if card.command:
        yield "command", card.command


def _measured(card: ModelCard) -> Iterator[tuple[str, str]]:
    if not card.scores:
        yield "measured", "nothing"
    data = ""
    for pair in beside(card):
        if pair.score.data != data:
            data = pair.score.data
            yield "measured on", data
        others = "".join(f"; {other.of} {other}" for other in pair.others)
        yield "", f"{pair.score.metric} {pair.score}{others}"
    if card.calibration and card.calibration.expected_calibration_error is not None:
        yield "", f"expected calibration error in training {card.calibration.expected_calibration_error:.4f}"


def _console() -> Console:
    """As wide as the terminal; elsewhere wide enough for every row."""
    console = Console(soft_wrap=True)
    return console if console.is_terminal else Console(soft_wrap=True, width=220)
