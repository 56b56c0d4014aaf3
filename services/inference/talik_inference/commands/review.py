"""`talik review`: experts look at what was mapped; what they say is kept, compared and published."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.console import Console
from rich.table import Table

from talik_stac.editions import load_edition, read_geo
from talik_stac.errors import TalikError
from talik_stac.review_documents import ReviewError
from talik_stac.settings import Settings
from talik_stac.store import Store, open_store

if TYPE_CHECKING:
    import geopandas

    from talik_inference.review.agreement import Agreement
    from talik_inference.review.returned import Imported

app = typer.Typer(help="Look at what was mapped: order, show, hand out, take back, compare, publish.")

EditionArgument = Annotated[str, typer.Argument(help="Such as thaw_slump-corridor-2019-v1.")]
StoreOption = Annotated[str | None, typer.Option(help="Folder or s3://bucket/prefix; TALIK_STORE.")]
ReviewerOption = Annotated[str, typer.Option(help="The expert's name; written the same way each time.")]
JsonOption = Annotated[bool, typer.Option("--json", help="For machines.")]
OverwriteOption = Annotated[bool, typer.Option("--overwrite", help="Replace a file that is there.")]
Weight = Annotated[float, typer.Option(min=0, help="How much it counts; only the ratios matter.")]


@app.command()
def candidates(  # noqa: PLR0913, PLR0917 - one parameter an option
    edition: EditionArgument,
    limit: Annotated[int, typer.Option(min=1, help="Rows shown and written.")] = 20,
    out: Annotated[Path | None, typer.Option(help="Write them: .gpkg or .csv.")] = None,
    uncertainty: Weight = 1.0,
    size: Weight = 1.0,
    novelty: Weight = 1.0,
    reviewer: Annotated[str | None, typer.Option(help="Leave out only what this expert decided.")] = None,
    all_: Annotated[bool, typer.Option("--all", help="What is decided, too.")] = False,
    overwrite: OverwriteOption = False,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Order candidates by the value of looking at them.

    Value = weighted mean of uncertainty (entropy of the probability), size (log of the area between the smallest and
    the largest) and novelty (half for overlapping nothing decided and nothing of the earlier edition, half for lying
    far from it: d / (d + 1 km)); each 0-1.
    """
    from talik_inference.review.candidates import ENDINGS, Weights, write_candidates
    from talik_inference.review.candidates import candidates as ordered
    from talik_stac.exports import check_target

    if out is not None:
        check_target(out, ENDINGS, overwrite=overwrite)
    weights = Weights(uncertainty=uncertainty, size=size, novelty=novelty)
    every = ordered(_open(store), edition, weights=weights, reviewer=reviewer, decided_too=all_)
    first = every.head(limit)
    if out is not None:
        write_candidates(first, out, overwrite=overwrite)
    if as_json:
        columns = ["id", "value", "uncertainty", "size", "novelty", "probability", "area_m2", "decided"]
        typer.echo(first[columns].to_json(orient="records", indent=1))
        return
    _print_candidates(first, len(every), edition)
    if out is not None:
        typer.echo(f"written: {out}")


@app.command()
def chips(  # noqa: PLR0913, PLR0917 - one parameter an option
    edition: EditionArgument,
    collection: Annotated[
        str | None, typer.Option("--collection", "-c", help="Imagery to show; the edition's own if left out.")
    ] = None,
    top: Annotated[int, typer.Option(min=1, help="How many objects, by value of inspection.")] = 50,
    out: Annotated[Path | None, typer.Option(help="Folder; ./EDITION-chips if left out.")] = None,
    dates: Annotated[int, typer.Option(min=2, help="The most dates in a strip; of more, one a year, evenly.")] = 8,
    reviewer: Annotated[str | None, typer.Option(help="Leave out only what this expert decided.")] = None,
    all_: Annotated[bool, typer.Option("--all", help="What is decided, too.")] = False,
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Go on without scenes that cannot be read.")] = False,
    store: StoreOption = None,
) -> None:
    """Write time-lapse strips: one image a date, outline, scale bar; folder/OBJECT.png and index.html."""
    from talik_inference.review.candidates import candidates as ordered
    from talik_inference.review.chips import write_strips

    opened = _open(store)
    shown = ordered(opened, edition, reviewer=reviewer, decided_too=all_).head(top)
    folder = out or Path(f"{edition}-chips")
    imagery, year = collection or _collection(opened, edition), load_edition(opened, edition).season_start.year
    done = write_strips(opened, shown, imagery, folder, most_dates=dates, year=year, skip_bad=skip_bad)
    typer.echo(f"{len(done.paths)} strips: {folder / 'index.html'}")
    if done.without:
        typer.echo(f"no imagery there: {', '.join(done.without)}")
    if done.left_out:
        typer.echo(f"left out, cannot be read: {', '.join(each.scene_id for each in done.left_out)}")


@app.command("export")
def export_(
    edition: EditionArgument,
    reviewer: ReviewerOption,
    out: Annotated[Path, typer.Option(help="GeoPackage to write.")] = Path("review.gpkg"),
    overwrite: OverwriteOption = False,
    store: StoreOption = None,
) -> None:
    """Write a GeoPackage that an expert fills in with QGIS."""
    from talik_inference.review.sheets import write_sheet

    rows = write_sheet(_open(store), edition, reviewer=_name(reviewer), path=out, overwrite=overwrite)
    typer.echo(f"{out}: {rows:,} objects for {reviewer}")


@app.command("import")
def import_(
    sheet: Annotated[Path, typer.Argument(help="What came back from the expert.")],
    reviewer: ReviewerOption,
    edition: Annotated[str | None, typer.Option(help="Needed only where no row names it.")] = None,
    store: StoreOption = None,
) -> None:
    """Append what changed to the log of decisions. Twice changes nothing."""
    from talik_inference.review.returned import import_sheet

    done = import_sheet(_open(store), sheet, reviewer=_name(reviewer), edition=edition)
    for line in _said(done):
        typer.echo(line)


@app.command()
def agreement(edition: EditionArgument, store: StoreOption = None, as_json: JsonOption = False) -> None:
    """Say how far every two experts agree, beyond chance, and where they differ."""
    from talik_inference.review.agreement import agreements
    from talik_stac.reviews import standing

    opened = _open(store)
    pairs = agreements(standing(opened, edition, read_geo(opened, load_edition(opened, edition))))
    if as_json:
        typer.echo(json.dumps([_described(pair) for pair in pairs], indent=1))
        return
    if not pairs:
        raise ReviewError(f"fewer than two experts decided about {edition}; agreement needs two")
    for pair in pairs:
        _print_agreement(pair)


@app.command()
def publish(
    edition: EditionArgument,
    reviewer: Annotated[str | None, typer.Option(help="Publish what this expert said.")] = None,
    rule: Annotated[
        Literal["both", "any"] | None,
        typer.Option(help="both: two or more decided, all of them alike; any: one accepts."),
    ] = None,
    keep_candidates: Annotated[
        bool, typer.Option("--keep-candidates", help="Keep what is not decided, as candidates.")
    ] = False,
    store: StoreOption = None,
) -> None:
    """Publish what was accepted as the next version of the edition. Twice changes nothing."""
    from talik_inference.review.confirmed import publish_confirmed

    done = publish_confirmed(_open(store), edition, reviewer=reviewer, rule=rule, keep_candidates=keep_candidates)
    said = ", ".join(f"{count:,} {name}" for name, count in done.counts.items() if count)
    typer.echo(f"{edition}: {said}")
    before = "published before" if done.published_before else "published"
    typer.echo(f"{before}: {done.edition.id} ({done.edition.count:,} objects, {done.edition.area_m2 / 1e6:,.3f} km2)")


def _open(store: str | None) -> Store:
    return open_store(store or Settings().store)


def _name(reviewer: str) -> str:
    name = reviewer.strip()
    if not name or len(name) > 80 or not name.isprintable():
        raise ReviewError(f"--reviewer {reviewer!r} is no name; expected 1 to 80 letters in one line")
    return name


def _collection(store: Store, edition: str) -> str:
    """The imagery that an edition was mapped from. Raises TalikError where the store does not hold it."""
    run = json.loads(store.get(f"{load_edition(store, edition).prefix}/run.json"))
    imagery = run.get("imagery") or {}
    found = imagery.get("collection") if isinstance(imagery, dict) else None
    if not found:
        raise TalikError(f"{edition} does not say what imagery it was mapped from; give --collection")
    return str(found)


def _print_candidates(first: geopandas.GeoDataFrame, count: int, edition: str) -> None:
    table = Table(title=f"{edition}: {len(first):,} of {count:,} candidates", title_justify="left")
    for column in ("rank", "object", "value", "uncertainty", "size", "novelty", "probability", "area m2"):
        table.add_column(column, justify="left" if column == "object" else "right", no_wrap=True)
    parts = ["value", "uncertainty", "size", "novelty", "probability"]
    for rank, row in enumerate(first[["id", *parts, "area_m2"]].to_dict("records"), start=1):
        table.add_row(str(rank), row["id"], *(f"{row[part]:.3f}" for part in parts), f"{row['area_m2']:,.0f}")
    _console().print(table)


def _console() -> Console:
    """As wide as the terminal; elsewhere wide enough for every id."""
    console = Console(soft_wrap=True)
    return console if console.is_terminal else Console(soft_wrap=True, width=160)


def _said(done: Imported) -> list[str]:
    """What came of a sheet, in lines."""
    added = sum(each.added for each in done.decisions)
    lines = [
        f"{done.edition}: {len(done.decisions):,} decisions of {done.reviewer} appended "
        f"({added:,} about objects drawn), {done.unchanged:,} stood already, {done.undecided:,} rows undecided"
    ]
    if done.changed:
        lines.append(
            f"{done.changed:,} of them say otherwise than {done.reviewer} did before; the earlier ones are kept"
        )
    if done.emptied:
        lines.append(f"status taken out, decisions stand (say unsure to take them back): {', '.join(done.emptied)}")
    if done.missing:
        named = ", ".join(done.missing[:5]) + (", ..." if len(done.missing) > 5 else "")
        lines.append(f"{len(done.missing):,} objects are not in the sheet; nothing is decided about them: {named}")
    return lines


def _described(pair: Agreement) -> dict[str, Any]:
    from talik_inference.review.agreement import CLASSES

    return {
        "first": pair.first,
        "second": pair.second,
        "both": pair.both,
        "only_first": pair.only_first,
        "only_second": pair.only_second,
        "percent": pair.percent,
        "kappa": pair.kappa,
        "kappa_error": pair.kappa_error,
        "classes": list(CLASSES),
        "counts": pair.counts.tolist(),
        "differences": [{"id": d.object_id, pair.first: d.first, pair.second: d.second} for d in pair.differences],
    }


def _print_agreement(pair: Agreement) -> None:
    from talik_inference.review.agreement import CLASSES

    out = _console()
    table = Table(title=f"{pair.first} (rows) and {pair.second} (columns)", title_justify="left")
    for column in ("", *CLASSES):
        table.add_column(column, justify="right", no_wrap=True)
    for name, row in zip(CLASSES, pair.counts.tolist(), strict=True):
        table.add_row(name, *(f"{count:,}" for count in row))
    out.print(table)
    alone = f"{pair.only_first:,} only by {pair.first}, {pair.only_second:,} only by {pair.second}"
    typer.echo(f"both decided {pair.both:,} objects; {alone}")
    if pair.percent is not None:
        kappa = "not defined (one class only)" if pair.kappa is None else f"{pair.kappa:.3f} +- {pair.kappa_error:.3f}"
        typer.echo(f"they agree on {pair.percent:.1f} %; Cohen's kappa {kappa}")
    for each in pair.differences:
        typer.echo(f"  {each.object_id}: {pair.first} {each.first}, {pair.second} {each.second}")
