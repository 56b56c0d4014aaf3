"""`talik index`: imagery files into the store's index."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from talik_inference.described import Patterns
from talik_inference.indexing import Indexed, IndexOptions, Report, index_files
from talik_inference.sidecar import Said, load_sidecar
from talik_stac.conventions import QUALITY_KINDS, band_role, quality_kind
from talik_stac.errors import ImageryError
from talik_stac.store import open_store

app = typer.Typer(add_completion=False)


@app.command()
def index(  # noqa: PLR0913, PLR0917  (the options of a command)
    files: Annotated[list[Path], typer.Argument(help="GeoTIFFs, or folders of them.", metavar="FILES...")],
    collection: Annotated[str, typer.Option("--collection", "-c", help="Name of the collection, such as naip.")],
    store: Annotated[str, typer.Option(envvar="TALIK_STORE", help="A folder, or s3://bucket/prefix.")] = "./talik-data",
    bands: Annotated[
        list[str] | None,
        typer.Option(
            help="One role for each band of a file, such as R,G,B,NIR, vv,vh, grey or red,green,-,scl ('-': not "
            "used). Once for each date where a file stacks several."
        ),
    ] = None,
    moments: Annotated[
        list[str] | None,
        typer.Option("--datetime", help="2014-07-20 or 2014-07-20T17:05:00Z (UTC). Once for each date of a file."),
    ] = None,
    datetime_pattern: Annotated[
        str | None, typer.Option(help=r"Regular expression whose group is the date in a name: '(\d{4})'.")
    ] = None,
    id_pattern: Annotated[
        str | None, typer.Option(help=r"Regular expression whose group is the item id in a name: '^(.*)_B\d+$'.")
    ] = None,
    scale: Annotated[float | None, typer.Option(help="reflectance = number x SCALE + OFFSET.")] = None,
    offset: Annotated[float | None, typer.Option(help="See --scale.")] = None,
    nodata: Annotated[float | None, typer.Option(help="The number that means no data.")] = None,
    cloud_cover: Annotated[float | None, typer.Option(help="Percent, for --cloud limits of a search.")] = None,
    quality: Annotated[
        list[str] | None,
        typer.Option(help="KIND=PATTERN: files that hold a quality band (scl, udm2, fmask, qa_pixel, valid)."),
    ] = None,
    sidecar: Annotated[Path | None, typer.Option(help="A TOML side-car for all files.")] = None,
) -> None:
    """Index GeoTIFFs: STAC items over COGs, in the store. Twice changes nothing."""
    console = Console(highlight=False, soft_wrap=True)
    options = IndexOptions(
        collection=collection,
        said=_said(scale=scale, offset=offset, nodata=nodata, cloud_cover=cloud_cover),
        sidecar=load_sidecar(sidecar) if sidecar else None,
        datetimes=tuple(_moment(text) for text in moments or ()),
        bands=tuple(_roles(text) for text in bands or ()),
        quality=tuple(_quality(text) for text in quality or ()),
        patterns=Patterns(datetime=datetime_pattern, item_id=id_pattern),
    )
    opened = open_store(store)
    done = _with_progress(console, lambda report: index_files(opened, files, options, report))
    for note in done.notes:
        console.print(f"assumed: {note}", markup=False)
    if done.converted:
        console.print(f"converted to COG: {done.converted} of {len(files)} files")
    console.print(f"collection {collection} in {opened.root}: {done}", markup=False)


def _said(**values: float | None) -> Said:
    """What the options say of every file."""
    from pydantic import ValidationError

    try:
        return Said(**{name: value for name, value in values.items() if value is not None})  # type: ignore[arg-type]
    except ValidationError as error:
        fault = error.errors()[0]
        raise ImageryError(f"--{fault['loc'][0]}: {fault['msg']}".replace("_", "-")) from error


def _moment(text: str) -> datetime:
    try:
        when = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError as error:
        raise ImageryError(f"--datetime '{text}' is no date; expected 2014-07-20 or 2014-07-20T17:05:00Z") from error
    return when.replace(tzinfo=UTC) if when.tzinfo is None else when.astimezone(UTC)


def _roles(text: str) -> tuple[str, ...]:
    words = tuple(text.split(","))
    for word in words:
        band_role(word)
    return words


def _quality(text: str) -> tuple[str, str]:
    kind, equals, pattern = text.partition("=")
    if not equals or quality_kind(kind.strip().lower()) is None:
        raise ImageryError(
            f"--quality '{text}' is not KIND=PATTERN; expected one of {', '.join(QUALITY_KINDS)}, such as scl=*_SCL.tif"
        )
    return kind.strip().lower(), pattern


def _with_progress(console: Console, work: Callable[[Report], Indexed]) -> Indexed:
    """Show a bar with what is done, on a terminal only."""
    if not console.is_terminal:
        return work(lambda _what, _done, _of: None)
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("reading", total=None)
        return work(lambda what, done, of: progress.update(task, description=what, completed=done, total=of))
