"""Tables of counted networks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console, JustifyMethod
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from mnist_arch.counting.advice import advise
from mnist_arch.counting.budget import within
from mnist_arch.counting.counted import CountedExperiment
from mnist_arch.counting.plan import Plan

from .consoles import stdout

if TYPE_CHECKING:
    from mnist_arch.network.verify import Verification

_BAR_CELLS = 40
_BAR_TEXT = 50
"""Columns that a bar's label and numbers may need."""

_HEADINGS = ("parameters", "share", "MACs", "receptive field", "activation bytes")
_LEFT = ("layer", "block", "place")
_LEFT_OUT = ("activation bytes", "place", "share", "kernel", "receptive field")
"""Columns that a narrow terminal goes without, the first first; no number is ever cut."""


def show_one(counted: CountedExperiment, *, by_block: bool) -> None:
    """Table, totals, budget bar and advice of one network."""
    console = stdout()
    heading, rows = _blocks(counted.plan) if by_block else _layers(counted.plan)
    console.print(Text(counted.experiment.name, style="bold"))
    table, missing = _fitting(heading, rows, console)
    _print(table, console)
    if missing:
        console.print(f"left out at this width: {', '.join(missing)}", style="dim")
    console.print()
    for label, text in _totals(counted, bar_cells=min(_BAR_CELLS, console.width - _BAR_TEXT)):
        console.print(f"{label:<18}{text}", soft_wrap=True)
    advice = advise(counted.experiment, counted.plan)
    if advice:
        console.print("\nadvice", style="bold")
    for one in advice:
        remark = Text.assemble((one.place, "cyan"), f": {one.message}")
        console.print(Padding(remark, (0, 0, 0, 2), expand=False))
        console.print(Padding(Text(one.reason, style="dim"), (0, 0, 0, 6), expand=False))


def _fitting(
    heading: Sequence[str], rows: Sequence[Sequence[str]], console: Console
) -> tuple[Table, list[str]]:
    """A table that is no wider than the console, and the headings left out for that."""
    left_out = [name for name in _LEFT_OUT if name in heading]
    for count in range(len(left_out) + 1):
        missing = left_out[:count]
        shown = [index for index, name in enumerate(heading) if name not in missing]
        table = _table()
        for index in shown:
            name = heading[index]
            justify: JustifyMethod = "left" if name in _LEFT else "right"
            table.add_column(name.replace(" ", "\n"), justify=justify)
        for row in rows:
            table.add_row(*(row[index] for index in shown), style=_row_style(row))
        if _width(table, console) <= console.width:
            break
    return table, missing


def show_comparison(counted: Sequence[CountedExperiment]) -> None:
    """Several networks side by side, a column each; in several tables if they are too wide."""
    console = stdout()
    columns = [_column(one) for one in counted]
    together = len(counted)
    while together > 1 and any(
        _width(_side_by_side(counted[start : start + together], columns[start:]), console)
        > console.width
        for start in range(0, len(counted), together)
    ):
        together -= 1
    for start in range(0, len(counted), together):
        if start:
            console.print()
        shown = counted[start : start + together]
        _print(_side_by_side(shown, columns[start : start + together]), console)


def _side_by_side(
    counted: Sequence[CountedExperiment], columns: Sequence[Sequence[tuple[str, str]]]
) -> Table:
    table = _table()
    table.add_column("")
    for one in counted:
        table.add_column(escape(one.experiment.name), justify="right")
    for label, *values in zip(*columns[: len(counted)], strict=True):
        table.add_row(label[0], *(value for _, value in [label, *values]))
    return table


def _table(title: str | None = None) -> Table:
    return Table(
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        collapse_padding=True,
        title=title,
        title_justify="left",
        title_style="bold",
    )


def _row_style(row: Sequence[str]) -> str | None:
    """The line of totals stands out."""
    return "bold" if "total" in row else None


def _width(table: Table, console: Console) -> int:
    """Columns that a table needs in order to show everything."""
    return console.measure(table, options=console.options.update(max_width=10_000)).maximum


def _print(table: Table, console: Console) -> None:
    """Prints a table whole, if need be beyond the edge of the terminal."""
    table.width = _width(table, console)
    console.print(table, crop=False, no_wrap=True, overflow="ignore")


def show_markdown(counted: Sequence[CountedExperiment], *, by_block: bool) -> None:
    """Tables in Markdown."""
    console = stdout()
    for one in counted:
        heading, rows = _blocks(one.plan) if by_block else _layers(one.plan)
        counts = f"{one.plan.parameters:,} parameters, {one.plan.macs:,} MACs"
        marks = [":--" if name in _LEFT else "--:" for name in heading]
        lines = [f"**{one.experiment.name}**: {counts}", ""]
        lines += [f"| {' | '.join(heading)} |", f"|{'|'.join(marks)}|"]
        lines += [f"| {' | '.join(row)} |" for row in rows]
        console.out("\n".join([*lines, ""]), highlight=False)


def show_verification(name: str, verification: Verification) -> None:
    """Three counts side by side."""
    table = _table(f"{escape(name)}: parameters, counted three times")
    table.add_column("#", justify="right")
    table.add_column("layer")
    for heading in ("plan", "torch", "torchinfo"):
        table.add_column(heading, justify="right")
    for line in verification.lines:
        style = "bold red" if line.plan != line.torch else None
        table.add_row(
            str(line.index),
            line.layer,
            *(f"{n:,}" for n in (line.plan, line.torch, line.torchinfo)),
            style=style,
        )
    totals = (verification.plan, verification.torch, verification.torchinfo)
    table.add_row("", "total", *(f"{total:,}" for total in totals), style="bold")
    console = stdout()
    console.print()
    _print(table, console)
    console.print()
    if verification.shares_tensors:
        console.print("torchinfo counts shared tensors again, and decides nothing here")
    agrees = "agree" if verification.agrees else "[bold red]DIFFER: this is a bug of mnist-arch[/]"
    console.print(f"plan and torch {agrees}")


def shape_text(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape))


def _layers(planned: Plan) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Headings and rows by layer, in the numbering of the reference, with a total."""
    rows = [
        (
            str(row.index),
            row.layer,
            row.place,
            shape_text(row.output_shape),
            "" if row.kernel is None else f"{row.kernel}×{row.kernel}",
            "shared" if row.shared else f"{row.parameters:,}",
            _share(row.parameters, planned),
            f"{row.macs:,}",
            str(row.receptive_field),
            f"{row.activation_bytes:,}",
        )
        for row in planned.rows
    ]
    total = ("", "total", "", "", "", *_sums(planned))
    return ("#", "layer", "place", "output", "kernel", *_HEADINGS), [*rows, total]


def _blocks(planned: Plan) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Headings and rows by block and head, with a total."""
    rows = []
    for place, part in planned.parts().items():
        parameters = sum(row.parameters for row in part)
        rows.append(
            (
                place,
                str(len(part)),
                shape_text(part[-1].output_shape),
                f"{parameters:,}",
                _share(parameters, planned),
                f"{sum(row.macs for row in part):,}",
                str(part[-1].receptive_field),
                f"{sum(row.activation_bytes for row in part):,}",
            )
        )
    total = ("total", str(len(planned.rows)), "", *_sums(planned))
    return ("block", "layers", "output", *_HEADINGS), [*rows, total]


def _sums(planned: Plan) -> tuple[str, ...]:
    return (
        f"{planned.parameters:,}",
        "100.0 %",
        f"{planned.macs:,}",
        str(planned.receptive_field),
        f"{planned.activation_bytes:,}",
    )


def _share(parameters: int, planned: Plan) -> str:
    return f"{100 * parameters / planned.parameters:.1f} %" if parameters else ""


def _totals(counted: CountedExperiment, *, bar_cells: int) -> Iterator[tuple[str, str]]:
    planned, size = counted.plan, counted.plan.size
    yield "budget", _bar(counted, cells=max(0, bar_cells))
    yield (
        "parameters",
        f"{planned.parameters:,}, all trainable; {planned.buffers:,} values in buffers",
    )
    yield "MACs", f"{planned.macs:,} for one image"
    yield "input", f"{size.input:.2f} MB"
    yield "forward/backward", f"{size.forward_backward:.2f} MB"
    yield "parameter size", f"{size.parameters:.2f} MB"
    yield "total", f"{size.total:.2f} MB"
    epochs, limit = counted.experiment.recipe.epochs, counted.experiment.budget.epochs_below
    if epochs >= limit:
        yield (
            "epochs",
            f"[bold red]{epochs:,}, but fewer than {limit:,} are allowed: train would refuse[/]",
        )


def _bar(counted: CountedExperiment, *, cells: int) -> str:
    """How much of the parameters allowed is used, and what is left of them."""
    count, allowed = counted.plan.parameters, counted.experiment.budget.parameters_below - 1
    filled = min(cells, cells * count // max(1, allowed))
    over = count > allowed
    rest = f"[bold red]{count - allowed:,} too many[/]" if over else f"{allowed - count:,} left"
    colour = "red" if over else "green"
    bar = f"[{colour}]{'█' * filled}[/][dim]{'░' * (cells - filled)}[/]"
    return f"{bar} {count:,} of {allowed:,} · {rest}"


def _column(counted: CountedExperiment) -> list[tuple[str, str]]:
    planned, experiment = counted.plan, counted.experiment
    headroom = experiment.budget.parameters_below - 1 - planned.parameters
    return [
        ("parameters", f"{planned.parameters:,}"),
        ("allowed", f"{experiment.budget.parameters_below - 1:,}"),
        ("headroom", f"{headroom:,}" if headroom >= 0 else f"[red]{headroom:,}[/]"),
        ("within budget", "yes" if within(experiment, planned) else "[red]no[/]"),
        ("layers", str(len(planned.rows))),
        ("largest layer", escape(planned.largest.place)),
        ("its parameters", f"{planned.largest.parameters:,}"),
        ("buffers", f"{planned.buffers:,}"),
        ("MACs", f"{planned.macs:,}"),
        ("receptive field", str(planned.receptive_field)),
        ("total size", f"{planned.size.total:.2f} MB"),
        ("advice", str(len(advise(experiment, planned)))),
    ]
