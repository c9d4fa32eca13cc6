"""`mnist-arch runs`: the view over what was done."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mnist_arch.errors import RunError
from mnist_arch.files import is_there, to_json
from mnist_arch.runs.folder import runs_folder
from mnist_arch.runs.listing import Condition, in_order, lines_of, matching

from .. import heavy_imports
from ..consoles import stdout, write_data, write_json
from ..help import Command, Group
from ..options import Json, Runs, at_home
from ..prose import say
from .json import comparison_object, csv_text, listing_object
from .tables import show_comparison, show_lines

app = typer.Typer(
    cls=Group,
    add_completion=False,
    help="List runs and compare them, rename, remove and pack them; alone it lists them.",
    no_args_is_help=False,
)

Pattern = Annotated[
    str | None,
    typer.Argument(
        metavar="PATTERN",
        help="A part of a name or of a folder, or one with * and ?, such as 's6*'.",
    ),
]
Where = Annotated[
    list[str] | None,
    typer.Option(
        "--where",
        metavar="CONDITION",
        help="Only those for which it holds, such as 'parameters<8000' or 'recipe.ema>0.99'.",
    ),
]
Sort = Annotated[
    str,
    typer.Option(metavar="FIELD", help="In this order; with - before it, the largest first."),
]
Csv = Annotated[bool, typer.Option("--csv", help="Print CSV, a line a run, unrounded.")]
What = Annotated[
    str, typer.Argument(metavar="RUN", help="A name that `runs` shows, or a run's folder.")
]


@app.callback(invoke_without_command=True)
def runs(
    ctx: typer.Context,
    where: Where = None,
    sort: Sort = "-started",
    runs: Runs = None,
    csv: Csv = False,
    as_json: Json = False,
) -> None:
    """List the runs below a folder; see `runs list`.

    Examples:

      mnist-arch runs

      mnist-arch runs compare s6 mine
    """
    if ctx.invoked_subcommand is None:
        list_(None, where, sort, runs, csv, as_json)


@app.command("list", cls=Command)
def list_(
    pattern: Pattern = None,
    where: Where = None,
    sort: Sort = "-started",
    runs: Runs = None,
    csv: Csv = False,
    as_json: Json = False,
) -> None:
    """List runs, an experiment a line, those of sweeps and of moved folders, too.

    A name is what every command finds the run by. Fields: name, network, sweep,
    differs, parameters, macs, dataset, split, epochs, seeds, accuracy, state,
    started, size, and places of the spec, such as recipe.ema.

    Examples:

      mnist-arch runs list 's6*' --sort -accuracy

      mnist-arch runs list --where 'parameters<8000' --where state=done --csv
    """
    if csv and as_json:
        raise typer.BadParameter("--csv excludes --json")
    conditions = [Condition.of(text) for text in where or ()]
    folder = runs_folder(runs)
    if runs is not None and not is_there(folder):
        hint = "runs are in the folder that they were trained with, by --out or MNIST_ARCH_RUNS"
        raise RunError(f"there is no folder {folder}", hint=hint)
    with heavy_imports():  # which no garbage is collected in: there are many values to read
        found = in_order(matching(lines_of(folder), pattern, conditions), sort)
        if as_json:
            write_json(to_json(listing_object(found, folder)))
        elif csv:
            write_data(csv_text(found))
        else:
            show_lines(found, folder, is_all=pattern is None and not conditions)


@app.command(cls=Command)
def compare(
    what: Annotated[
        list[str],
        typer.Argument(metavar="RUN", help="Names that `runs` shows, or runs' folders."),
    ],
    runs: Runs = None,
    as_json: Json = False,
) -> None:
    """Compare networks with the first one, by the statistics of a sweep.

    All finished seeds of a name, or one run by its folder. Welch's test where each
    has three runs, else McNemar's, adjusted by Holm. They are compared on the same
    images only.

    Examples:

      mnist-arch runs compare s6 mine sweep/no-ema
    """
    from mnist_arch.runs.comparing import compare as compared

    found = compared(what, runs=runs_folder(runs))
    if as_json:
        write_json(to_json(comparison_object(found)))
    else:
        show_comparison(found)


@app.command(cls=Command)
def rename(
    what: What,
    new: Annotated[str, typer.Argument(metavar="NAME", help="The new name.")],
    runs: Runs = None,
) -> None:
    """Give an experiment another name to be shown and found by.

    All of its seeds get it. Folders and files stay as they are. A trial has the
    name of its arm, in the file of its sweep.

    Examples:

      mnist-arch runs rename s6+defaults.dropout=0.1 less-dropout
    """
    from mnist_arch.runs.keeping import rename as renamed

    folders = renamed(what, new, runs=runs_folder(runs))
    for folder in folders:
        say(stdout(), str(folder), label=f"{new:<11}  ")
    say(stdout(), f"mnist-arch runs list {new}", label="next         ")


@app.command(cls=Command)
def remove(
    what: Annotated[
        list[str] | None,
        typer.Argument(metavar="[RUN...]", help="Names that `runs` shows, folders, or sweeps."),
    ] = None,
    empty_bin: Annotated[
        bool, typer.Option("--empty-bin", help="Delete for good what was removed before.")
    ] = False,
    runs: Runs = None,
) -> None:
    """Move runs into a bin, or empty that bin.

    A run that some process works on is left alone. From the bin a folder can be
    moved back by hand.

    Examples:

      mnist-arch runs remove mine

      mnist-arch runs remove --empty-bin
    """
    from mnist_arch.runs.keeping import empty_bin as emptied
    from mnist_arch.runs.keeping import remove as removed

    if bool(what) == empty_bin:
        raise typer.BadParameter("name runs, or give --empty-bin")
    if empty_bin:
        count = emptied(runs_folder(runs))
        say(stdout(), "nothing was in it" if not count else f"{count:,} removals, for good")
        return
    for was, now in removed(what or (), runs=runs_folder(runs)):
        say(stdout(), f"{was} → {now}", label="moved        ")
    say(stdout(), "mnist-arch runs remove --empty-bin", label="for good     ")


@app.command(cls=Command)
def pack(
    what: What,
    out: Annotated[
        Path,
        typer.Option("--out", metavar="FILE", callback=at_home, help="The file to be written."),
    ],
    runs: Runs = None,
) -> None:
    """Write a ZIP file of a finished experiment, to hand in.

    Manifests, curves, results, weights, and claim.json, which says what is claimed
    and has the SHA-256 of each file. A run's folder is that seed alone.

    Examples:

      mnist-arch runs pack s6 --out claim.zip
    """
    from mnist_arch.runs.keeping import pack as packed

    names = packed(what, out, runs=runs_folder(runs))
    say(stdout(), f"{out}, {len(names)} files", label="wrote        ")
