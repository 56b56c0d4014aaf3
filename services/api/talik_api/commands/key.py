"""`talik key`: API keys of the service."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from talik_api.access import check_name, hash_key, new_key

app = typer.Typer(help="Make API keys of the service.", no_args_is_help=True, add_completion=False)


@app.callback()
def key() -> None:
    """Make API keys of the service."""


@app.command()
def new(name: Annotated[str, typer.Argument(help="Who will use it, such as field-lab.", metavar="NAME")]) -> None:
    """Make a key: shown once and stored nowhere; the service is given only its hash."""
    made = new_key()
    entry = {check_name(name): hash_key(made)}
    typer.echo(f"key, for {name} alone; it is not shown again:\n  {made}")
    typer.echo("for the service (where others are set, add this entry to theirs):")
    typer.echo(f"  TALIK_API_KEYS='{json.dumps(entry)}'")
