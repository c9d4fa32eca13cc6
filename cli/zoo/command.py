"""`mnist-arch zoo`: the networks that ship, and what they have reached."""

from __future__ import annotations

from typing import Annotated

import typer

from mnist_arch.files import to_json
from mnist_arch.runs.entries import entries, entry_named

from ..consoles import stdout, write_data, write_json
from ..help import Command, Group
from ..options import Json, complete_spec
from ..streams import plainer
from .json import listing_object, shown_object
from .tables import show_entries

app = typer.Typer(
    cls=Group,
    add_completion=False,
    help="List the networks that ship and what they have reached, or show one.",
    no_args_is_help=False,
)

Name = Annotated[
    str,
    typer.Argument(metavar="NAME", help="Of a network that ships.", autocompletion=complete_spec),
]


@app.callback(invoke_without_command=True)
def zoo(ctx: typer.Context, as_json: Json = False) -> None:
    """List the networks that ship, with the evidence of each.

    Accuracy is the mean of the final epochs of all seeds, with its standard
    deviation. No image is read: `mnist-arch eval zoo/NAME` judges the weights
    again.

    Examples:

      mnist-arch zoo

      mnist-arch zoo show s6
    """
    if ctx.invoked_subcommand is not None:
        return
    found = entries()
    if as_json:
        write_json(to_json(listing_object(found)))
    else:
        show_entries(found)


@app.command(cls=Command)
def show(name: Name, as_json: Json = False) -> None:
    """Print the YAML of a network that ships.

    With --json also its evidence: every seed with its mistakes, its time, its
    command and its commit.

    Examples:

      mnist-arch zoo show s6 > mine.yaml

      mnist-arch zoo show s6 --json
    """
    entry = entry_named(name)
    if as_json:
        write_json(to_json(shown_object(entry)))
    else:
        write_data(plainer(entry.yaml, stdout().encoding))
