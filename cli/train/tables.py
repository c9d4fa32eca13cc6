"""Tables of what a training reached, with its verdicts."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.markup import escape

from mnist_arch.data.catalog import in_words
from mnist_arch.errors import NotAllowed
from mnist_arch.runs.folder import Run
from mnist_arch.runs.result import Result
from mnist_arch.runs.score import Score
from mnist_arch.spec.experiment import Budget, Verdicts
from mnist_arch.verbs.train import TrainedRun, keep_score

from ..consoles import stdout, write_json
from ..formats import VERDICTS, teacher_text
from ..prose import say
from ..tables import Column, print_tables


def show_results(
    trained: Sequence[TrainedRun],
    budget: Budget,
    *,
    as_json: bool,
    as_score: bool,
    note: Callable[[str], None],
) -> bool:
    """Prints one result, or their score; returns whether every rule has the verdict `kept`.

    What is not kept where the runs may only be read is given to `note`.

    Raises StorageError, after that, for a score that cannot be written.
    """
    results, runs = [it.result for it in trained], [it.run for it in trained]
    if not as_score:
        (result,), (run,) = results, runs
        if as_json:
            write_json(result.json_text())
        else:
            _show_one(result, budget, run)
        return result.verdicts.overall == "kept"
    score = Score.of(results, budget)
    path, trouble = keep_score(score, runs[0].folder.parent)
    if as_json:
        write_json(score.json_text())
    else:
        show_score(score, budget, runs, path)
    if isinstance(trouble, NotAllowed):
        note(f"the score is not kept in a file: {trouble}")
    elif trouble is not None:
        raise trouble
    return score.verdicts.overall == "kept"


def percent_with_interval(result: Result) -> str:
    low, high = result.interval_percent
    return (
        f"{result.accuracy_percent:.2f} % ({result.split}, {result.images:,} images, "
        f"Wilson 95 % {low:.2f}–{high:.2f})"
    )


def _show_one(result: Result, budget: Budget, run: Run) -> None:
    folder = run.folder
    accuracy = f"{result.accuracy_percent:.2f} %"
    title = f"{result.name} · seed {result.seed} · {in_words(result.dataset)}"
    columns = _rules(result, budget, accuracy, result.verdicts)
    extra = f"{result.best_accuracy_percent:.2f} % in epoch {result.best_epoch}"
    print_tables(columns, stdout(), title=escape(title))
    stdout().print()
    _lines(
        ("final epoch", f"{percent_with_interval(result)}, {result.correct:,} correct"),
        ("best epoch", f"{extra} (an extra: chosen after the fact, decides nothing)"),
        ("run", f"{folder} · {result.seconds:,.0f} s"),
        *_teacher(run),
        *([("curves", str(run.curves_path))] if run.curves_path.exists() else []),
        ("next", f"mnist-arch eval {shlex.quote(str(folder))}"),
    )


def _teacher(run: Run) -> list[tuple[str, str]]:
    """Whom it has learned from, where there is one."""
    teacher = run.manifest().teacher
    return [] if teacher is None else [("teacher", teacher_text(teacher))]


def _lines(*lines: tuple[str, str]) -> None:
    """What follows a table: a label and a text."""
    for label, text in lines:
        say(stdout(), text, label=f"{label:<15}")


def show_score(score: Score, budget: Budget, runs: Sequence[Run], path: Path | None) -> None:
    """Prints what several seeds reach together."""
    console = stdout()
    print_tables(_seeds(score), console, title=f"{escape(score.name)} · {in_words(score.dataset)}")
    console.print()
    mean = str(score)
    _lines(("final epochs", mean))
    console.print()
    rules = _rules(score.results[0], budget, mean, score.verdicts)
    print_tables(rules, console, title="the rules, on the mean")
    console.print()
    if score.bound_percent is not None:
        over = "seeds" if score.folds is None else "folds"
        _lines(("bound of mean", f"≥ {score.bound_percent:.3f} % (one-sided 95 %, over {over})"))
    _lines(
        *_teacher(runs[-1]),
        *([] if path is None else [("result", str(path))]),
        ("next", f"mnist-arch eval {shlex.quote(str(runs[-1].folder))}"),
    )


def _seeds(score: Score) -> list[Column]:
    results = score.results
    intervals = [it.interval_percent for it in results]
    best = [f"{it.best_accuracy_percent:.2f} % ({it.best_epoch})" for it in results]
    return [
        Column("seed", [str(it.seed) for it in results], is_key=True),
        Column("accuracy", [f"{it.accuracy_percent:.2f} %" for it in results]),
        Column("correct", [f"{it.correct:,}" for it in results], goes=4),
        Column("Wilson 95 %", [f"{low:.2f}–{high:.2f}" for low, high in intervals], goes=3),
        Column("best epoch (extra)", best, goes=2),
        Column("seconds", [f"{it.seconds:,.0f}" for it in results], goes=1),
    ]


def _rules(result: Result, budget: Budget, accuracy: str, verdicts: Verdicts) -> list[Column]:
    """The rules with what was reached; `result` gives what is counted."""
    limits, found = budget.limits(), verdicts.asked()
    asked = [*(f"< {limit:,}" for limit in limits.values()), f"≥ {budget.accuracy_percent:g} %"]
    counts = [getattr(result.counts, what.lower()) for what in limits]
    reached = ["–" if count is None else f"{count:,}" for count in counts]
    reached.append(accuracy if verdicts.accuracy != "none" else "–")
    rules = [*limits, f"{budget.dataset} test accuracy"]
    return [
        Column("rule", rules, words=True, is_key=True),
        Column("asked", asked),
        Column("reached", reached, goes=1),
        Column("verdict", [VERDICTS[it] for it in found.values()], words=True),
    ]
