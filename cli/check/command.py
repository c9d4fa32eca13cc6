"""`mnist-arch check`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mnist_arch.errors import PathError
from mnist_arch.files import expanded, is_there, shown, to_json

from .. import errors
from ..consoles import stderr, write_data, write_json
from ..options import DataDir, Json, Quiet, at_home
from ..prose import say
from ..quoting import printable

if TYPE_CHECKING:
    from mnist_arch.claims.check import CheckedRun

Folders = Annotated[
    list[Path],
    typer.Argument(
        metavar="FOLDER", help="Folders of runs, zip archives of them, folders of these."
    ),
]
BudgetFile = Annotated[
    Path | None,
    typer.Option(
        "--budget",
        metavar="FILE",
        callback=at_home,
        help="YAML with the rules, such as `parameters_below: 20000`; those of the exercise unless "
        "given. The budget of a run is never used.",
    ),
]


def check(
    folders: Folders,
    budget: BudgetFile = None,
    rerun: Annotated[
        bool,
        typer.Option("--rerun", help="Train each run again, and compare bits or accuracies."),
    ] = False,
    data_dir: DataDir = None,
    as_csv: Annotated[
        bool, typer.Option("--csv", help="Print a line for each run, for a grade book.")
    ] = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Check whether runs are what they say.

    Digest, parameters, epochs, the accuracy of the weights judged again, and the
    agreement of all stored numbers with each other and with the images. Nothing
    of a run is executed, and no archive is unpacked. Ends with 1 where anything
    differs, or cannot be read.

    Examples:

      mnist-arch check runs/s6-1a2b3c4d-s0

      mnist-arch check handed-in/*.zip --budget rules.yaml --csv

      mnist-arch check handed-in/* --rerun
    """
    if as_csv and as_json:
        raise typer.BadParameter("--csv and --json are two forms of one answer: choose one")
    from mnist_arch.claims.handed_in import handed_in, passed_over

    paths = _all_there(folders)
    places = [it for path in paths for it in handed_in(path)]
    left = [it for path in paths for it in passed_over(path)]
    for line in left:
        say(stderr(), printable(f"passed over: {line}"), style="dim")
    from mnist_arch.claims.check import Checker, with_copies
    from mnist_arch.claims.rules import read_budget
    from mnist_arch.spec.experiment import Budget

    from .tables import as_object, csv_text, show

    rules = Budget() if budget is None else read_budget(budget)
    checks = Checker(rules, data_dir, rerun).checks(places)
    runs = with_copies([*(checks if quiet else _said(checks, of=len(places)))])
    if as_json:
        write_json(to_json(as_object(runs, rules, passed_over=left)))
    elif as_csv:
        write_data(csv_text(runs))
    else:
        show(runs, rules)
    if any(run.differs for run in runs):
        raise typer.Exit(errors.ANSWER_IS_NO)


def _all_there(folders: list[Path]) -> list[Path]:
    """Raises PathError before any work."""
    paths = [expanded(path) for path in folders]
    for path in paths:
        if not is_there(path):
            raise PathError(f"there is no {shown(path)}", hint="name folders of runs, or zips")
    return paths


def _said(checks: Iterable[CheckedRun], *, of: int) -> Iterator[CheckedRun]:
    """Says each of several runs as it is checked."""
    for number, run in enumerate(checks, start=1):
        if of > 1:
            text = printable(f"{number} of {of}: {run.name}: {run.state}")
            say(stderr(), text, style="dim")
        yield run
