"""Tables of what a network reaches on a split."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from mnist_arch.verbs.evaluate import Report, accuracy_text, title

from ..consoles import stdout
from ..formats import VERDICTS, teacher_text, threads_text
from ..prose import say
from ..tables import Column, Fitted, tables_of

if TYPE_CHECKING:
    from mnist_arch.evaluation.metrics import Evaluation
    from mnist_arch.runs.evidence import Evidence, SeedEvidence

_FEW_CLASSES: Final = 10
"""Up to this many, the confusion matrix is shown whole; else the pairs that are confused most."""

_LABEL: Final = 15
_BETWEEN: Final = 4
"""Columns of the terminal."""

_SHOWN: Final = 10
"""Mistakes, and pairs of classes, that are shown."""


def show(report: Report) -> None:
    """Prints the numbers, then by class, confusion, calibration and mistakes, then the files."""
    console, evaluation = stdout(), report.evaluation
    say(console, Text(title(report), style="bold"))
    console.print()
    for label, text in _lines(report):
        say(console, Text.from_markup(text), label=f"{label:<{_LABEL}}")
    console.print()
    _side_by_side(console, _by_class(report), _confusion(report))
    mistakes = [_mistakes(report)] if evaluation.mistakes else []
    _side_by_side(console, _calibration(evaluation), *mistakes)
    for path in report.written:
        say(console, str(path), label=f"{'wrote':<{_LABEL}}")
    if not report.written and evaluation.mistakes:
        text = "the same with --gallery mistakes.png draws the mistakes"
        say(console, text, label=f"{'next':<{_LABEL}}")


def _lines(report: Report) -> Iterator[tuple[str, str]]:
    """Label and markup of each number."""
    evaluation, shifted = report.evaluation, report.shifted
    accuracy = f"{accuracy_text(evaluation)}, {evaluation.correct:,} correct"
    yield "accuracy", f"[bold]{accuracy}[/]"
    if shifted is not None:
        text = f"{accuracy_text(shifted)}, {shifted.correct:,} correct"
        yield "shifted", f"{text} (an extra: mean of {len(shifted.shifts)} shifts)"
    yield "rule", _rule(report)
    yield "loss", f"{evaluation.loss:.4f} nats (cross-entropy)"
    error = 100 * evaluation.calibration_error
    yield "calibration", f"ECE {error:.2f} % ({len(evaluation.bins)} bins)"
    threads = f", {threads_text(report.threads)}" if report.device == "cpu" else ""
    yield "speed", f"{evaluation.images_per_second:,.0f} images/s ({report.device}{threads})"
    yield "weights", escape(str(report.trained.weights))
    if report.evidence is not None:
        yield "evidence", _evidence(report.evidence)
        yield "repeated", _repeated(report.evidence.seeds[0], report)
        if report.evidence.teacher is not None:
            yield "teacher", escape(teacher_text(report.evidence.teacher))


def _evidence(evidence: Evidence) -> str:
    """What the seeds that ship with the weights have reached."""
    score, crossed = evidence.accuracies, evidence.crossed_bound_percent
    first = evidence.seeds[0]
    if score.spread_percent is None or score.bound_percent is None or crossed is None:
        return f"{first.correct:,} correct (seed {first.seed})"
    return (
        f"{score.mean_percent:.3f} ± {score.spread_percent:.3f} % "
        f"({evidence.split}, {score.runs} seeds), at least {score.bound_percent:.3f} % over seeds "
        f"and {crossed:.3f} % over seeds and images (one-sided 95 %); "
        f"seed {first.seed}: {first.correct:,} correct"
    )


def _repeated(first: SeedEvidence, report: Report) -> str:
    """Whether what was measured is what the evidence says of the seed of these weights."""
    evidence = report.evidence
    if evidence is None or (evidence.dataset, evidence.split) != (report.dataset, report.split):
        return "these are other images than those of the evidence"
    wrong = {mistake.index for mistake in report.evaluation.mistakes}
    if wrong == set(first.mistakes):
        return f"[green]yes[/]: the same {len(wrong):,} images are wrong as when it was trained"
    other = len(wrong ^ set(first.mistakes))
    return f"[red]no[/]: {other:,} images are judged differently than when it was trained"


def _rule(report: Report) -> str:
    budget = report.trained.experiment.budget
    rule = f"≥ {budget.accuracy_percent:g} % on {budget.dataset} test: {VERDICTS[report.verdict]}"
    reason = f" (these are {report.dataset} {report.split} images)"
    return rule + (reason if report.verdict == "none" else "")


@dataclass(frozen=True)
class _Titled:
    """A table with what stands above it."""

    title: str
    columns: tuple[Column, ...]

    def print(self, console: Console, tables: list[Fitted]) -> None:
        for number, fitted in enumerate(tables):
            fitted.print(console, title="" if number else escape(self.title))
            console.print()


def _side_by_side(console: Console, *tables: _Titled) -> None:
    """Tables beside each other where the terminal is wide enough, else below each other."""
    fitted = [tables_of(it.columns, console) for it in tables]
    widths = [
        max(one.total, cell_len(it.title)) for it, (one, *_) in zip(tables, fitted, strict=True)
    ]
    are_whole = all(len(it) == 1 and it[0].as_table for it in fitted)
    if not are_whole or sum(widths) + _BETWEEN * (len(tables) - 1) > console.width:
        for it, parts in zip(tables, fitted, strict=True):
            it.print(console, parts)
        return
    beside = Table.grid(padding=(0, _BETWEEN), pad_edge=False)
    for width in widths:
        beside.add_column(width=width)
    beside.add_row(
        *(one.drawn(title=escape(it.title)) for it, (one,) in zip(tables, fitted, strict=True))
    )
    console.print(beside)
    console.print()


def _by_class(report: Report) -> _Titled:
    scores = report.evaluation.classes
    worst = min(score.recall for score in scores if score.recall is not None)
    recalls = [
        f"[yellow]{_percent(it.recall)}[/]" if it.recall == worst < 1 else _percent(it.recall)
        for it in scores
    ]
    return _Titled(
        "by class",
        (
            _names("class", report.class_names, is_key=True),
            Column("images", [f"{it.images:,}" for it in scores], goes=1),
            Column("recall", recalls),
            Column("precision", [_percent(it.precision) for it in scores], goes=2),
        ),
    )


def _names(heading: str, names: Iterable[str], *, is_key: bool = False, goes: int = 0) -> Column:
    """Names of classes."""
    return Column(heading, [*map(escape, names)], words=True, is_key=is_key, goes=goes)


def _confusion(report: Report) -> _Titled:
    """Counts: mistakes stand out, and what is right steps back."""
    if len(report.class_names) > _FEW_CLASSES:
        return _confused_pairs(report)
    names, rows = report.class_names, report.evaluation.confusion
    short = max(map(len, names)) <= 3
    heads = names if short else tuple(map(str, range(len(names))))
    labels = names if short else [f"{label} {name}" for label, name in enumerate(names)]
    columns = [
        Column(
            head,
            [_count(row[said], right=label == said) for label, row in enumerate(rows)],
            goes=len(heads) - said,
        )
        for said, head in enumerate(heads)
    ]
    heading = "confusion: truth down, said across"
    return _Titled(heading, (_names("", labels, is_key=True), *columns))


def _count(count: int, *, right: bool) -> str:
    if right:
        return f"[dim]{count}[/]"
    return f"[bold red]{count}[/]" if count else "[dim]·[/]"


def _confused_pairs(report: Report) -> _Titled:
    """The pairs of classes that are confused most, since a matrix of so many would not fit."""
    names = report.class_names
    pairs = [
        (count, -label, -said)
        for label, row in enumerate(report.evaluation.confusion)
        for said, count in enumerate(row)
        if count and said != label
    ]
    shown = sorted(pairs, reverse=True)[: 2 * _SHOWN]
    return _Titled(
        f"confused most, of {len(pairs):,} pairs",
        (
            _names("truth", (names[-label] for _, label, _ in shown), is_key=True),
            _names("said", (names[-said] for _, _, said in shown), is_key=True),
            Column("images", [f"{count:,}" for count, _, _ in shown]),
        ),
    )


def _calibration(evaluation: Evaluation) -> _Titled:
    bins = [it for it in evaluation.bins if it.images]
    ranges = [f"{100 * it.low:.0f}–{100 * it.high:.0f} %" for it in bins]
    return _Titled(
        "calibration",
        (
            Column("probability", ranges, words=True, is_whole=True, is_key=True),
            Column("images", [f"{it.images:,}" for it in bins], goes=1),
            Column("mean", [_percent(it.confidence) for it in bins]),
            Column("right", [_percent(it.accuracy) for it in bins], goes=2),
        ),
    )


def _mistakes(report: Report) -> _Titled:
    evaluation, names = report.evaluation, report.class_names
    count = evaluation.images - evaluation.correct
    shown = evaluation.mistakes[:_SHOWN]
    said = [f"[red]{escape(names[it.predicted])}[/]" for it in shown]
    return _Titled(
        f"most confident mistakes, {len(shown)} of {count:,}",
        (
            Column("image", [str(it.index) for it in shown], is_key=True),
            _names("truth", (names[it.label] for it in shown)),
            Column("said", said, words=True, goes=2),
            Column("probability", [_percent(it.probability) for it in shown], goes=1),
        ),
    )


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.2f} %"
