"""`talik editions`: what is published, what changed, and copies to take away."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from talik_stac.changes import Changes, diff
from talik_stac.editions import Edition, list_editions, load_edition
from talik_stac.exports import CHANGE_ENDINGS, FORMATS, check_target, export, write_frame
from talik_stac.settings import Settings
from talik_stac.store import Store, open_store

app = typer.Typer(help="List, show, compare and export published editions.", no_args_is_help=True)

StoreOption = Annotated[str | None, typer.Option(help="Folder or s3://bucket/prefix; TALIK_STORE.")]
JsonOption = Annotated[bool, typer.Option("--json", help="For machines.")]


@app.command("list")
def list_(
    landform: Annotated[str | None, typer.Option(help="Only this landform.")] = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """List all published editions."""
    opened = _open(store)
    editions = list_editions(opened, landform)
    if as_json:
        typer.echo(json.dumps([_described(edition) for edition in editions], indent=1))
        return
    if not editions:
        typer.echo(f"no edition in {opened.root}; `talik map` publishes one")
        return
    table = Table()
    for column, justify in (("edition", "left"), ("season", "left"), ("objects", "right"), ("area km2", "right")):
        table.add_column(column, justify="right" if justify == "right" else "left", no_wrap=True)
    for edition in editions:
        season = f"{edition.season_start} to {edition.season_end}"
        table.add_row(edition.id, season, f"{edition.count:,}", f"{edition.area_m2 / 1e6:,.3f}")
    _console().print(table)


@app.command()
def show(edition: str, store: StoreOption = None, as_json: JsonOption = False) -> None:
    """Show one edition: what it holds, how it was made, its files."""
    opened = _open(store)
    found = load_edition(opened, edition)
    if as_json:
        typer.echo(json.dumps(found.item, indent=1))
        return
    run = json.loads(opened.get(f"{found.prefix}/run.json"))
    out = _console()
    out.print(found.id, style="bold", highlight=False)
    for name, value in _facts(found, run).items():
        out.print(f"  {name:10s} {value}", highlight=False, markup=False)
    for warning in run.get("warnings", []):
        out.print(f"  warning    {warning}", style="yellow", highlight=False, markup=False)
    for asset in found.item["assets"].values():
        size = asset["file:size"] / 1e6
        url = opened.url(f"{found.prefix}/{asset['href'].removeprefix('./')}")
        out.print(f"  {size:9.3f} MB  {url}", highlight=False, markup=False)


@app.command("diff")
def diff_(  # noqa: PLR0913, PLR0917 - one parameter an option
    a: Annotated[str, typer.Argument(help="The earlier edition.")],
    b: Annotated[str, typer.Argument(help="The later edition.")],
    out: Annotated[Path | None, typer.Option(help="Write each change: .gpkg .geojson .csv .fgb .parquet.")] = None,
    tolerance_percent: Annotated[
        float, typer.Option(min=0, max=100, help="Areas closer than this are unchanged.")
    ] = 5.0,
    any_area: Annotated[bool, typer.Option("--any-area", help="Compare editions of different areas.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file at --out.")] = False,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say what changed between two editions."""
    if out is not None:
        check_target(out, CHANGE_ENDINGS, overwrite=overwrite)
    changes = diff(_open(store), a, b, tolerance_percent=tolerance_percent, any_area=any_area)
    if out is not None:
        write_frame(changes.table, out, overwrite=overwrite)
    if as_json:
        classes = [asdict(summary) for summary in changes.summary()]
        typer.echo(json.dumps({"a": changes.a.id, "b": changes.b.id, "changes": classes}, indent=1))
        return
    _print_changes(changes)
    if out is not None:
        typer.echo(f"each change: {out}")


@app.command("export")
def export_(
    edition: str,
    form: Annotated[str, typer.Option("--format", help=f"One of {', '.join(FORMATS)}.")] = "gpkg",
    out: Annotated[Path | None, typer.Option(help="File to write; ./EDITION.ENDING if left out.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a file that is there.")] = False,
    store: StoreOption = None,
) -> None:
    """Write a copy of an edition in another format."""
    path = out or Path(f"{edition}{FORMATS.get(form, '')}")
    typer.echo(str(export(_open(store), edition, form, path, overwrite=overwrite)))


def _open(store: str | None) -> Store:
    return open_store(store or Settings().store)


def _console() -> Console:
    """As wide as the terminal; elsewhere wide enough for every id."""
    console = Console(soft_wrap=True)
    return console if console.is_terminal else Console(soft_wrap=True, width=160)


def _described(edition: Edition) -> dict[str, Any]:
    return {
        "id": edition.id,
        "landform": edition.landform,
        "area": edition.area,
        "season": [edition.season_start.isoformat(), edition.season_end.isoformat()],
        "count": edition.count,
        "area_m2": edition.area_m2,
        "configuration": edition.configuration,
    }


def _print_changes(changes: Changes) -> None:
    table = Table(title=f"{changes.a.id} -> {changes.b.id}", title_justify="left")
    table.add_column("change")
    for column in ("count", "before ha", "after ha", "difference ha"):
        table.add_column(column, justify="right")
    for row in changes.summary():
        before, after = row.area_a_m2 / 1e4, row.area_b_m2 / 1e4
        table.add_row(row.change, f"{row.groups:,}", f"{before:,.2f}", f"{after:,.2f}", f"{after - before:+,.2f}")
    table.add_section()
    total_a, total_b = changes.a.area_m2 / 1e4, changes.b.area_m2 / 1e4
    table.add_row("all", f"{len(changes.table):,}", f"{total_a:,.2f}", f"{total_b:,.2f}", f"{total_b - total_a:+,.2f}")
    _console().print(table)


def _facts(edition: Edition, run: dict[str, Any]) -> dict[str, str]:
    """What `show` says of an edition, from its item and the record of its run."""
    facts = {
        "season": f"{edition.season_start} to {edition.season_end}",
        "objects": f"{edition.count:,}, {edition.area_m2 / 1e6:,.3f} km2",
        "model": str(edition.item["properties"]["talik:model"]),
        "licence": str(edition.item["properties"]["license"]),
    }
    if pixels := run.get("pixels"):
        facts["seen"] = f"{pixels['observed']:,} of {pixels['inside']:,} pixels"
    if model := run.get("model"):
        facts["model"] += f", sha256 {model['sha256'][:12]}"
    for key, name in (("scenes", "scenes"), ("scenes_left_out", "left out")):
        facts[name] = ", ".join(scene["id"] for scene in run.get(key, [])) or "none"
    facts["before"] = run.get("previous_edition") or "none"
    facts["published"] = edition.item["properties"].get("created", "unknown")
    return facts
