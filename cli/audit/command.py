"""`mnist-arch audit`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mnist_arch.errors import PathError
from mnist_arch.files import is_there, shown, to_json
from mnist_arch.runs.folder import runs_folder

from .. import caller, errors
from ..consoles import write_data, write_json
from ..options import (
    DataDir,
    DeviceChoice,
    DeviceOption,
    Json,
    Out,
    ProgressChoice,
    ProgressOption,
    Quiet,
    Threads,
    at_home,
    whole_number,
)
from ..train.display import make_display
from .json import audit_object, csv_text
from .tables import show_audits

if TYPE_CHECKING:
    from mnist_arch.claims.audit import Audit
    from mnist_arch.spec.experiment import Budget
    from mnist_arch.verbs.defend import Defence, Training

    from ..train.display import Display


Files = Annotated[list[str], typer.Argument(metavar="FILE", help="Notebooks or scripts of others.")]
BudgetFile = Annotated[
    Path | None,
    typer.Option(
        "--budget",
        metavar="FILE",
        callback=at_home,
        help="YAML with the rules; those of the exercise unless given.",
    ),
]
Seeds = Annotated[
    int | None,
    typer.Option(
        "--defend",
        metavar="N",
        help="Import each network with its recipe, and train it with the seeds 0 to N-1.",
        parser=whole_number(least=1, most=1_000),
    ),
]
Csv = Annotated[bool, typer.Option("--csv", help="Print a line for each file.")]


def audit(
    files: Files,
    budget: BudgetFile = None,
    defend: Seeds = None,
    data_dir: DataDir = None,
    device: DeviceOption = DeviceChoice.AUTO,
    threads: Threads = None,
    out: Out = None,
    progress: ProgressOption = ProgressChoice.AUTO,
    quiet: Quiet = False,
    as_csv: Csv = False,
    as_json: Json = False,
) -> None:
    """Say whether the claims of notebooks hold, by their code and outputs.

    No code of them is run. Parameters, epochs, best and final accuracy, and habits
    that make a claim void or shaky, each with its line. Ends with 1 if any fails.
    With --defend, also if the bound over the seeds does not reach the claim.

    Examples:

      mnist-arch audit notebook.ipynb

      mnist-arch audit handed-in/*.ipynb --csv

      mnist-arch audit notebook.ipynb --defend 5
    """
    if as_csv and as_json:
        raise typer.BadParameter("--csv and --json are two forms of one answer: choose one")
    for file in files:
        if not is_there(Path(file)):
            raise PathError(f"there is no {shown(file)}", hint="name notebooks or scripts")
    from mnist_arch.claims.audit import audit as audited
    from mnist_arch.claims.rules import read_budget
    from mnist_arch.spec.experiment import Budget

    rules = Budget() if budget is None else read_budget(budget)
    found = [audited(file, rules) for file in files]
    defences: list[Defence | None] = [None] * len(files)
    if defend is not None:
        from mnist_arch.verbs.defend import Training

        training = Training(tuple(range(defend)), runs_folder(out), data_dir, device.value, threads)
        display = make_display(quiet=quiet, progress=progress, as_json=as_json)
        defences = _defended(files, rules, training, display)
    _answer(list(zip(found, defences, strict=True)), as_csv=as_csv, as_json=as_json)
    if any(map(_fails, found, defences)):
        raise typer.Exit(errors.ANSWER_IS_NO)


def _defended(
    files: Sequence[str], budget: Budget, training: Training, display: Display
) -> list[Defence | None]:
    from mnist_arch.verbs.defend import defend

    return [defend(it, budget, training, display=display, caller=caller()) for it in files]


def _fails(audit: Audit, defence: Defence | None) -> bool:
    return audit.fails or (defence is not None and defence.outcome != "holds")


def _answer(found: Sequence[tuple[Audit, Defence | None]], *, as_csv: bool, as_json: bool) -> None:
    if as_json:
        write_json(to_json({"format": 1, "files": [audit_object(*it) for it in found]}))
    elif as_csv:
        write_data(csv_text(found))
    else:
        show_audits(found)
