"""The `talik` command: one Typer app whose sub-commands are entry points, each imported when it is called."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import EntryPoint, PackageNotFoundError, entry_points, version
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from talik_stac.errors import TalikError

GROUP = "talik.commands"
"""The group of entry points; each resolves to a Typer app with one command (`talik map`) or several."""

_HELP = {
    "demo": "Map a simulated permafrost landscape over three years and measure the answer against the truth.",
    "index": "Turn images into COGs with STAC items that `talik map` finds.",
    "map": "Map a landform in an area and a season, and publish the inventory as an edition.",
    "editions": "List, show, compare and export the published editions.",
    "review": "Judge candidates: order, pictures, sheets for QGIS, decisions, confirmed editions.",
    "train": "Train a model by a recipe; export it with its card.",
    "models": "List the models and show their cards.",
    "loop": "Train, map, review and add, round by round, until nothing new is found.",
    "evaluate": "Measure models on labelled images, beside the index that each must beat.",
    "serve": "Serve the editions and the imagery over HTTP: OGC API, STAC API, downloads, jobs.",
    "key": "Make a key for those who may submit jobs to the service.",
    "work": "Run one job of the service; `talik serve` starts it.",
}
"""What `talik --help` says of each command: read from here, so that it need not import them all."""

_EXTRAS = {"dask": "dask", "distributed": "dask", "matplotlib": "demo"}
"""Which extra brings a module, where it is not the one of the command's package."""
_PACKAGE_EXTRAS = {"training": "train"}
"""The extra of a package, where it is not its name."""

_CALLED = "talik_stac.cli.called"


class LazyGroup(TyperGroup):
    """A group that lists its commands by name and imports the one that is called."""

    def __init__(self, **attrs: Any) -> None:
        """Put a stand-in with the help text in the place of each command."""
        super().__init__(**attrs)
        self._entries = {entry.name: entry for entry in entry_points(group=GROUP)}
        for name, entry in sorted(self._entries.items(), key=lambda item: _place(item[0])):
            text = _HELP.get(name, f"From {entry.value.partition(':')[0]}.")
            self.add_command(TyperCommand(name, help=text), name)

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """Put the command itself in the place of its stand-in."""
        name, command, rest = super().resolve_command(ctx, args)
        if name in self._entries:
            ctx.meta[_CALLED] = name
            command = _load(self._entries[name])
        return name, command, rest

    def invoke(self, ctx: Any) -> Any:
        """Run the command; Ctrl-C ends it in one line, since a run of blocks resumes."""
        try:
            with _missing_packages(ctx, self._entries):
                return super().invoke(ctx)
        except KeyboardInterrupt:
            typer.echo("talik: stopped; the same command resumes", err=True)
            raise typer.Exit(130) from None


app = typer.Typer(
    cls=LazyGroup, name="talik", add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False
)


def _show_version(wanted: bool) -> None:
    if wanted:
        try:
            typer.echo(f"talik {version('talik')}")
        except PackageNotFoundError:
            typer.echo("talik (not installed)")
        raise typer.Exit


@app.callback()
def talik(
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Say what is done.")] = False,
    _version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Name an area and a year, get an inventory of periglacial landforms that a scientist can cite."""
    configure_logging(verbose=verbose)


def configure_logging(*, verbose: bool = False) -> None:
    """Send warnings, or everything from INFO on, to standard error."""
    import logging

    from rich.console import Console
    from rich.logging import RichHandler

    handler = RichHandler(console=Console(stderr=True), show_path=False, show_time=verbose)
    logging.basicConfig(
        level=logging.INFO if verbose else logging.WARNING, format="%(message)s", handlers=[handler], force=True
    )


def main() -> None:
    """Run `talik`. Exits 0, 1 after a fault of ours, 2 after one of the user's or the data's, 130 after Ctrl-C."""
    try:
        typer.main.get_command(app).main(prog_name="talik")
    except TalikError as error:
        _one_line(f"error: {error}")
        sys.exit(2)
    except Exception as error:
        if os.environ.get("TALIK_DEBUG", "").lower() in ("1", "true", "yes"):
            raise
        _one_line(
            f"internal error: {type(error).__name__}: {error}; please report it with what you ran "
            "(TALIK_DEBUG=1 shows where it happened)"
        )
        sys.exit(1)


def _one_line(message: str) -> None:
    typer.echo(f"talik: {' '.join(message.split())}", err=True)


def _place(name: str) -> tuple[int, str]:
    """Commands in the order of `_HELP`, which is the order of use; those of other packages after them."""
    return (list(_HELP).index(name) if name in _HELP else len(_HELP), name)


def _load(entry: EntryPoint) -> TyperCommand | TyperGroup:
    """Import a command; an app with one command is that command."""
    command: Any = typer.main.get_command(entry.load())
    # A sub-command has no completion of its own to install.
    command.params = [each for each in command.params if each.name not in ("install_completion", "show_completion")]
    command.name = entry.name
    loaded: TyperCommand | TyperGroup = command
    return loaded


@contextmanager
def _missing_packages(ctx: Any, entries: dict[str, EntryPoint]) -> Iterator[None]:
    """Say which extra brings the package that a command lacks; a missing module of ours is a bug and stays one."""
    try:
        yield
    except ModuleNotFoundError as error:
        module = (error.name or "talik").partition(".")[0]
        called = ctx.meta.get(_CALLED)
        if module.startswith("talik") or called is None:
            raise
        home = entries[called].value.partition(".")[0].removeprefix("talik_")
        home = _PACKAGE_EXTRAS.get(home, home)
        extra = _EXTRAS.get(module, home if home != "stac" else None)
        package = f"'talik[{extra}]'" if extra else module
        raise TalikError(f"talik {called} needs {module}, which is not installed: pip install {package}") from error


if __name__ == "__main__":
    main()
