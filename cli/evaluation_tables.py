"""Tables of what a network comes to on a split."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rich import box
from rich.columns import Columns
from rich.console import Console, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from mnist_arch.data.catalog import INFO, DatasetName, SplitName, in_words
from mnist_arch.runs.find import TrainedNetwork
from mnist_arch.spec.experiment import Verdict

from .consoles import stdout
from .results import VERDICTS
from .training_display import threads_text

if TYPE_CHECKING:
    from mnist_arch.evaluation.judgement import Judgement
    from mnist_arch.evaluation.metrics import Evaluation, Mistake, ShiftedJudgement

_FEW_CLASSES: Final = 10
"""Up to this many, the confusion matrix is shown whole; else the pairs that are confused most."""

_SHOWN: Final = 10
"""Mistakes, and pairs of classes, that are shown."""


@dataclass(frozen=True)
class Report:
    """A network, the images it was judged on, and what came out."""

    trained: TrainedNetwork
    dataset: DatasetName
    split: SplitName
    evaluation: Evaluation
    shifted: ShiftedJudgement | None
    """With test-time augmentation: an extra."""
    verdict: Verdict
    """On the accuracy rule of the network's budget."""
    device: str
    threads: int
    """Torch threads on the CPU."""
    written: tuple[Path, ...] = ()

    @property
    def class_names(self) -> tuple[str, ...]:
        return INFO[self.dataset].class_names

    @property
    def reads_test_anew(self) -> bool:
        """Whether this reads a test split that the training left alone."""
        return self.trained.holdout > 0 and self.split == "test"


def title(report: Report) -> str:
    """`s6 · seed 7 · mnist test`."""
    trained = report.trained
    seed = "" if trained.seed is None else f" · seed {trained.seed}"
    origin = "" if report.dataset == trained.dataset else f" (trained on {trained.dataset})"
    judged_on = f"{in_words(report.dataset)} {report.split}"
    return f"{trained.experiment.name}{seed} · {judged_on}{origin}"


def accuracy_text(it: Judgement) -> str:
    """`99.52 % (test, 10,000 images, Wilson 95 % 99.36–99.64)`."""
    decimals = 2 if it.images <= 10_000 else 3  # a mistake in 60,000 images is not 100.00 %
    low, high = it.interval_percent
    return (
        f"{it.accuracy_percent:.{decimals}f} % ({it.split}, {it.images:,} images, "
        f"Wilson 95 % {low:.{decimals}f}–{high:.{decimals}f})"
    )


def show(report: Report) -> None:
    """Prints the numbers, then by class, confusion, calibration and mistakes, then the files."""
    console, evaluation = stdout(), report.evaluation
    console.print(Text(title(report), style="bold"))
    console.print()
    for label, text in _lines(report):
        console.print(Text(f"{label:<15}"), Text.from_markup(text), sep="", soft_wrap=True)
    console.print()
    _side_by_side(console, _by_class(report), _confusion(report))
    mistakes = [_mistakes(report)] if evaluation.mistakes else []
    _side_by_side(console, _calibration(evaluation), *mistakes)
    for path in report.written:
        console.print(f"wrote          {path}", markup=False, soft_wrap=True)
    if not report.written and evaluation.mistakes:
        console.print("next           the same with --gallery mistakes.png draws the mistakes")


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


def _rule(report: Report) -> str:
    budget = report.trained.experiment.budget
    rule = f"≥ {budget.accuracy_percent:g} % on {budget.dataset} test: {VERDICTS[report.verdict]}"
    reason = f" (these are {report.dataset} {report.split} images)"
    return rule + (reason if report.verdict == "none" else "")


def _side_by_side(console: Console, *tables: RenderableType) -> None:
    """Tables beside each other where the terminal is wide enough, else below each other."""
    console.print(Columns(tables, padding=(0, 4)))


def _by_class(report: Report) -> Table:
    table = _table("by class", "class", "images", "recall", "precision")
    worst = min(score.recall for score in report.evaluation.classes if score.recall is not None)
    for name, score in zip(report.class_names, report.evaluation.classes, strict=True):
        recall = _percent(score.recall)
        is_worst = score.recall == worst < 1
        table.add_row(
            escape(name),
            f"{score.images:,}",
            f"[yellow]{recall}[/]" if is_worst else recall,
            _percent(score.precision),
        )
    return table


def _confusion(report: Report) -> Table:
    """Counts: mistakes stand out, and what is right steps back."""
    if len(report.class_names) > _FEW_CLASSES:
        return _confused_pairs(report)
    names = report.class_names
    short = max(map(len, names)) <= 3
    heads = names if short else tuple(map(str, range(len(names))))
    table = _table("confusion: truth down, said across", "", *heads, padding=(0, 1))
    for label, row in enumerate(report.evaluation.confusion):
        name = heads[label] if short else f"{label} {names[label]}"
        cells = (_count(count, right=label == said) for said, count in enumerate(row))
        table.add_row(escape(name), *cells)
    return table


def _count(count: int, *, right: bool) -> str:
    if right:
        return f"[dim]{count}[/]"
    return f"[bold red]{count}[/]" if count else "[dim]·[/]"


def _confused_pairs(report: Report) -> Table:
    """The pairs of classes that are confused most, since a matrix of so many would not fit."""
    names = report.class_names
    pairs = [
        (count, -label, -said)
        for label, row in enumerate(report.evaluation.confusion)
        for said, count in enumerate(row)
        if count and said != label
    ]
    table = _table(f"confused most, of {len(pairs):,} pairs", "truth", "said", "images")
    for count, label, said in sorted(pairs, reverse=True)[: 2 * _SHOWN]:
        table.add_row(escape(names[-label]), escape(names[-said]), f"{count:,}")
    return table


def _calibration(evaluation: Evaluation) -> Table:
    table = _table("calibration", "probability", "images", "mean", "right")
    for place in evaluation.bins:
        if place.images:
            table.add_row(
                f"{100 * place.low:.0f}–{100 * place.high:.0f} %",
                f"{place.images:,}",
                _percent(place.confidence),
                _percent(place.accuracy),
            )
    return table


def _mistakes(report: Report) -> Table:
    evaluation = report.evaluation
    count = evaluation.images - evaluation.correct
    shown = evaluation.mistakes[:_SHOWN]
    heading = f"most confident mistakes, {len(shown)} of {count:,}"
    table = _table(heading, "image", "truth", "said", "probability")
    for mistake in shown:
        table.add_row(*_mistake(mistake, report.class_names))
    return table


def _mistake(mistake: Mistake, names: tuple[str, ...]) -> tuple[str, ...]:
    return (
        str(mistake.index),
        escape(names[mistake.label]),
        f"[red]{escape(names[mistake.predicted])}[/]",
        _percent(mistake.probability),
    )


def _table(heading: str, *columns: str, padding: tuple[int, int] = (0, 1)) -> Table:
    """A table whose first column is on the left and whose numbers are on the right."""
    table = Table(
        box=box.SIMPLE_HEAD,
        title=heading,
        title_justify="left",
        title_style="",
        padding=padding,
        min_width=len(heading) + 1,  # Rich would wrap the title
    )
    for index, column in enumerate(columns):
        table.add_column(escape(column), justify="right" if index else "left")
    return table


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.2f} %"
