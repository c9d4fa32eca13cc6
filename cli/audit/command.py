"""`mnist-arch audit`."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from mnist_arch.errors import PathError
from mnist_arch.files import is_there, shown, to_json

from .. import errors
from ..consoles import stdout, write_data, write_json
from ..options import Json, at_home
from ..prose import say
from ..quoting import printable
from ..tables import Column, print_tables

if TYPE_CHECKING:
    from mnist_arch.claims.audit import Audit


def audit(
    files: Annotated[
        list[str], typer.Argument(metavar="FILE...", help="Notebooks or scripts of others.")
    ],
    budget: Annotated[
        Path | None,
        typer.Option(
            "--budget",
            metavar="FILE",
            callback=at_home,
            help="YAML with the rules; those of the exercise unless given.",
        ),
    ] = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print a line for each file.")] = False,
    as_json: Json = False,
) -> None:
    """Say whether the claims of notebooks hold, by their code and outputs.

    Nothing is run. Parameters, epochs, best and final accuracy, and habits that
    make a claim void or shaky, each with its line. Ends with 1 if any fails.

    Examples:

      mnist-arch audit notebook.ipynb

      mnist-arch audit handed-in/*.ipynb --csv
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
    if as_json:
        write_json(to_json({"format": 1, "files": [_as_object(it) for it in found]}))
    elif as_csv:
        write_data(_csv(found))
    else:
        _show(found)
    if any(it.fails for it in found):
        raise typer.Exit(errors.ANSWER_IS_NO)


def _as_object(it: Audit) -> dict[str, Any]:
    return {
        "file": it.name,
        "verdict": it.verdict,
        "parameters": it.parameters,
        "printed_parameters": it.printed_parameters,
        "epochs": it.epochs,
        "best_percent": it.best_percent,
        "final_percent": it.final_percent,
        "seeds": 1,
        "reason": it.reason,
        "findings": [
            {"habit": one.habit, "where": one.line, "reason": one.reason} for one in it.findings
        ],
    }


def _csv(found: list[Audit]) -> str:
    text = io.StringIO()
    rows = [_as_object(it) for it in found]
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    for row in rows:
        listed = "; ".join(f"{it['where']}: {it['reason']}" for it in row["findings"])
        writer.writerow({**row, "findings": listed})
    return text.getvalue()


def _show(found: list[Audit]) -> None:
    def cells(values: list[object]) -> list[str]:
        return ["–" if it is None else f"{it:,}" if isinstance(it, int) else str(it)
                for it in values]  # fmt: skip

    columns = [
        Column("file", [escape(printable(it.name)) for it in found], words=True, is_key=True),
        Column("verdict", [it.verdict for it in found], words=True),
        Column("parameters", cells([it.parameters for it in found]), goes=3),
        Column("epochs", cells([it.epochs for it in found]), goes=4),
        Column("best %", cells([it.best_percent for it in found]), goes=2),
        Column("final %", cells([it.final_percent for it in found]), goes=1),
    ]
    print_tables(columns, stdout(), title="one seed each")
    for it in found:
        for one in it.findings:
            say(stdout(), printable(f"{one.line}: {one.reason}"))
        if it.reason:
            say(stdout(), printable(f"{it.name}: {it.reason}"))
