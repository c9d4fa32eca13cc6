"""Tables of what a training came to, with its verdicts."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from rich import box
from rich.markup import escape
from rich.table import Table

from mnist_arch.data.catalog import in_words
from mnist_arch.errors import NotAllowed, StorageError
from mnist_arch.runs.folder import Run
from mnist_arch.runs.result import Result
from mnist_arch.runs.score import Score
from mnist_arch.spec.experiment import Budget, Experiment, Verdict, Verdicts

from .consoles import stdout, write_json

VERDICTS = {"kept": "[green]kept[/]", "missed": "[red]missed[/]", "none": "[yellow]none[/]"}


def show_results(
    results: Sequence[Result],
    experiment: Experiment,
    folders: Sequence[Path],
    *,
    as_json: bool,
    as_score: bool,
) -> bool:
    """Prints one result, or their score; returns whether every rule has the verdict `kept`.

    Raises StorageError, after that, for a score that cannot be written.
    """
    if not as_score:
        (result,), (folder,) = results, folders
        if as_json:
            write_json(result.json_text())
        else:
            _show_one(result, experiment.budget, folder)
        return _all_kept(result.verdicts)
    score = Score.of(results, experiment.budget)
    path, trouble = _write_score(score, folders[0].parent)
    if as_json:
        write_json(score.json_text())
    else:
        _show_score(score, experiment.budget, folders, path)
    if trouble is not None:
        raise trouble
    return _all_kept(score.verdicts)


def _write_score(score: Score, parent: Path) -> tuple[Path | None, StorageError | None]:
    """The file, or why there is none: an error for later, when the numbers are shown.

    Where the runs may only be read there is no file, and nothing wrong.
    """
    try:
        return score.write(parent), None
    except NotAllowed:
        return None, None
    except StorageError as error:
        return None, error


def percent_with_interval(result: Result) -> str:
    low, high = result.interval_percent
    return (
        f"{result.accuracy_percent:.2f} % ({result.split}, {result.images:,} images, "
        f"Wilson 95 % {low:.2f}–{high:.2f})"
    )


def _all_kept(verdicts: Verdicts) -> bool:
    return verdicts.parameters == verdicts.epochs == verdicts.accuracy == "kept"


def _show_one(result: Result, budget: Budget, folder: Path) -> None:
    accuracy = f"{result.accuracy_percent:.2f} %"
    table = _rules(
        f"{result.name} · seed {result.seed} · {in_words(result.dataset)}",
        result,
        budget,
        accuracy,
        result.verdicts,
    )
    run = Run(folder)
    extra = f"{result.best_accuracy_percent:.2f} % in epoch {result.best_epoch}"
    console = stdout()
    console.print(table)
    _lines(
        ("final epoch", f"{percent_with_interval(result)}, {result.correct:,} correct"),
        ("best epoch", f"{extra} (an extra: chosen after the fact, decides nothing)"),
        ("run", f"{folder} · {result.seconds:,.0f} s"),
        *([("curves", str(run.curves_path))] if run.curves_path.exists() else []),
        ("next", f"mnist-arch eval {shlex.quote(str(folder))}"),
    )


def _lines(*lines: tuple[str, str]) -> None:
    """What follows a table: a label and a text that is never wrapped."""
    for label, text in lines:
        stdout().print(f"{label:<15}{text}", markup=False, soft_wrap=True)


def _show_score(score: Score, budget: Budget, folders: Sequence[Path], path: Path | None) -> None:
    console = stdout()
    seeds = Table(
        box=box.SIMPLE_HEAD,
        title=f"{escape(score.name)} · {in_words(score.dataset)}",
        title_justify="left",
    )
    for heading in ("seed", "accuracy", "correct", "Wilson 95 %", "best epoch (extra)", "seconds"):
        seeds.add_column(heading, justify="right")
    for result in score.results:
        low, high = result.interval_percent
        seeds.add_row(
            str(result.seed),
            f"{result.accuracy_percent:.2f} %",
            f"{result.correct:,}",
            f"{low:.2f}–{high:.2f}",
            f"{result.best_accuracy_percent:.2f} % ({result.best_epoch})",
            f"{result.seconds:,.0f}",
        )
    console.print(seeds)
    mean = score_text(score)
    _lines(("final epochs", mean))
    console.print(_rules("the rules, on the mean", score.results[0], budget, mean, score.verdicts))
    if score.bound_percent is not None:
        _lines(("bound of mean", f"≥ {score.bound_percent:.3f} % (one-sided 95 %, over seeds)"))
    _lines(
        *([] if path is None else [("result", str(path))]),
        ("next", f"mnist-arch eval {shlex.quote(str(folders[-1]))}"),
    )


def score_text(score: Score) -> str:
    """`99.523 ± 0.031 % (test, 5 seeds)`."""
    seeds = f"{len(score.seeds)} seed{'s' if len(score.seeds) != 1 else ''}"
    spread = "" if score.spread_percent is None else f" ± {score.spread_percent:.3f}"
    return f"{score.mean_percent:.3f}{spread} % ({score.split}, {seeds})"


def _rules(title: str, result: Result, budget: Budget, accuracy: str, verdicts: Verdicts) -> Table:
    """The three rules with what was reached; `result` gives parameters and epochs."""
    table = Table(box=box.SIMPLE_HEAD, title=escape(title), title_justify="left")
    table.add_column("rule")
    table.add_column("asked", justify="right")
    table.add_column("reached", justify="right")
    table.add_column("verdict")
    judged = verdicts.accuracy != "none"
    asked_accuracy = f"≥ {budget.accuracy_percent:g} %"
    rows: list[tuple[str, str, str, Verdict]] = [
        (
            "parameters",
            f"< {budget.parameters_below:,}",
            f"{result.parameters:,}",
            verdicts.parameters,
        ),
        ("epochs", f"< {budget.epochs_below:,}", f"{result.epochs:,}", verdicts.epochs),
        (
            f"{budget.dataset} test accuracy",
            asked_accuracy,
            accuracy if judged else "–",
            verdicts.accuracy,
        ),
    ]
    for rule, asked, reached, verdict in rows:
        table.add_row(rule, asked, reached, VERDICTS[verdict])
    return table
