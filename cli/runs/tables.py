"""Tables of runs. Ten thousand of them are printed at once, so that cells are text, not markup."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape
from rich.text import Text

from mnist_arch.runs.listing import Line, names_apart
from mnist_arch.runs.stored import short_number

from ..consoles import stdout, write_data
from ..formats import size_text
from ..prose import say
from ..streams import plainer
from ..tables import GAP, Column, Fitted, fit, folded, print_tables

if TYPE_CHECKING:
    from mnist_arch.runs.comparing import Compared
    from mnist_arch.runs.score import Score

_MANY = 200
"""From so many rows on a table is laid out by its longest cells."""


def show_lines(lines: Sequence[Line], folder: Path, *, is_all: bool) -> None:
    """Prints a line for each experiment, and what the last one says of all of them."""
    console = stdout()
    if not lines:
        nothing = f"there is no run in {folder}" if is_all else f"no run in {folder} is like that"
        say(console, nothing)
        return
    _print(_columns(lines), console)
    runs = sum(len(line.runs) for line in lines)
    size = size_text(sum(line.bytes for line in lines))
    what = "experiment" if len(lines) == 1 else "experiments"
    of_them = "1 run" if runs == 1 else f"{runs:,} runs"
    console.print()
    say(console, f"{len(lines):,} {what}, {of_them}, {size}, in {folder}")


def _columns(lines: Sequence[Line]) -> list[Column]:
    now = datetime.datetime.now(datetime.UTC)
    differs = [
        ", ".join(f"{k}={short_number(v)}" for k, v in it.differs.items()) or "–" for it in lines
    ]
    return [
        Column("name", names_apart(lines), words=True, is_key=True),
        Column("differs", differs, words=True, goes=3),
        Column("parameters", [_number(it.parameters) for it in lines]),
        Column("dataset", [it.dataset for it in lines], words=True, goes=4),
        Column("split", [it.split for it in lines], words=True, goes=5),
        Column("epochs", [_epochs(it) for it in lines], goes=6),
        Column("accuracy %", [_accuracy(it) for it in lines]),
        Column("state", [_state(it) for it in lines], words=True, is_whole=True),
        Column("age", [_age(it.started, now) for it in lines], goes=2),
        Column("size", [size_text(it.bytes) for it in lines], goes=1),
    ]


def _number(value: int | None) -> str:
    return "–" if value is None else f"{value:,}"


def _epochs(line: Line) -> str:
    done, wanted = min(run.epochs_done for run in line.runs), line.epochs
    return f"{done}" if wanted in (None, done) else f"{done} of {wanted}"


def _accuracy(line: Line) -> str:
    """`99.590 ± 0.014 (5)` of several seeds, `99.57 [99.42, 99.68]` of one."""
    if (scores := line.scores) is None:
        return "–"
    if (interval := line.interval_percent) is not None:
        return f"{scores.mean_percent:.2f} [{interval[0]:.2f}, {interval[1]:.2f}]"
    return f"{scores.mean_percent:.3f} ± {scores.spread_percent:.3f} ({scores.runs})"


def _state(line: Line) -> str:
    if len(line.states) == 1:
        return line.runs[0].state
    return ", ".join(f"{count} {state}" for state, count in sorted(line.states.items()))


def _age(started: str, now: datetime.datetime) -> str:
    try:
        seconds = (now - datetime.datetime.fromisoformat(started)).total_seconds()
    except (ValueError, TypeError):
        return "–"
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= size:
            return f"{seconds // size:,.0f} {unit}"
    return f"{max(0, seconds):.0f} s"


def _print(columns: Sequence[Column], console: Console) -> None:
    """Prints a table of text; a long one is laid out by the longest cells of each column."""
    samples = [_sampled(column) for column in columns]
    fitted = fit(samples, console)
    if not fitted.as_table:
        print_tables(
            [replace(it, cells=[escape(cell) for cell in it.cells]) for it in columns], console
        )
        return
    cells = {column.name: column.cells for column in columns}
    kept = [cells[column.name] for column in fitted.columns]
    heads = [column.heading for column in fitted.columns]
    lines = [_row(heads, fitted), "─" * fitted.total]
    lines += [_row(row, fitted) for row in zip(*kept, strict=True)]
    write_data(plainer("".join(f"{line}\n" for line in lines), console.encoding))
    if fitted.missing:
        say(console, f"not shown in so narrow a terminal: {', '.join(fitted.missing)}")


def _sampled(column: Column) -> Column:
    """The column with those of its cells alone that its width depends on."""
    longest = sorted(set(column.cells), key=len, reverse=True)[:_MANY]
    return replace(column, cells=[escape(cell) for cell in longest])


def _row(row: Sequence[str], fitted: Fitted) -> str:
    parts = []
    for cell, column, width in zip(row, fitted.columns, fitted.widths, strict=True):
        is_short = len(cell) <= width and (cell.isascii() or cell_len(cell) <= width)
        lines = [cell] if is_short else [it.plain for it in folded(Text(cell), width)]
        parts.append([_padded(line, width, column.words) for line in lines])
    height = max(map(len, parts))
    if height == 1:
        return (" " * GAP).join(part[0] for part in parts).rstrip()
    filled = [
        part + [" " * width] * (height - len(part))
        for part, width in zip(parts, fitted.widths, strict=True)
    ]
    return "\n".join((" " * GAP).join(line).rstrip() for line in zip(*filled, strict=True))


def _padded(text: str, width: int, words: bool) -> str:
    room = " " * (width - (len(text) if text.isascii() else cell_len(text)))
    return text + room if words else room + text


def _score(score: Score) -> str:
    """`99.523 ± 0.031 (5)`; of one seed there is no spread."""
    spread = "" if score.spread_percent is None else f" ± {score.spread_percent:.3f}"
    return f"{score.mean_percent:.3f}{spread} ({len(score.seeds)})"


def show_comparison(compared: Sequence[Compared]) -> None:
    """Prints networks side by side, and what the differences rest on."""
    console, first = stdout(), compared[0]
    differences = [it.against_first for it in compared]
    print_tables(
        [
            Column("name", [escape(it.name) for it in compared], words=True, is_key=True),
            Column("parameters", [_number(it.line.parameters) for it in compared]),
            Column("MACs", [_number(it.line.macs) for it in compared], goes=2),
            Column("epochs", [_number(it.line.epochs) for it in compared], goes=3),
            Column("accuracy %", [_score(it.score) for it in compared]),
            Column(
                "to the first",
                [
                    "–"
                    if it is None
                    else f"{it.percent:+.3f} [{it.interval_percent[0]:+.3f}, "
                    f"{it.interval_percent[1]:+.3f}]".replace("[", "\\[")
                    for it in differences
                ],
            ),
            Column(
                "p", ["–" if it is None else f"{it.adjusted_p_value:.3f}" for it in differences]
            ),
            Column(
                "significant",
                ["–" if it is None else "yes" if it.significant else "no" for it in differences],
                words=True,
            ),
            Column(
                "test", ["–" if it is None else it.test for it in differences], words=True, goes=1
            ),
        ],
        console,
    )
    score = first.score
    console.print()
    say(console, f"{score.images:,} {score.dataset} {score.split} images, the same for all")
    say(
        console,
        "difference to the first in percent points, its 95 % interval alone, and p by Holm; "
        "Welch covers the choice of seeds, McNemar that of images",
    )
