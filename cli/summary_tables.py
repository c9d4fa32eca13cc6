"""Tables of counted networks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich import box
from rich.console import JustifyMethod
from rich.markup import escape
from rich.table import Table

from cli.consoles import stdout
from mnist_arch.advice import advise
from mnist_arch.budget import within
from mnist_arch.plan import Plan, Row
from mnist_arch.specs import Experiment

if TYPE_CHECKING:
    from mnist_arch.verification import Verification

_BAR_CELLS = 40
_HEADINGS = ("parameters", "share", "MACs", "receptive field", "activation bytes")
_LEFT = ("layer", "block", "place")
_WIDTH_WITH_PLACES = 120


@dataclass(frozen=True)
class Counted:
    """A network and its plan."""

    experiment: Experiment
    plan: Plan


def show_one(counted: Counted, *, by_block: bool) -> None:
    """Table, totals, budget bar and advice of one network."""
    console = stdout()
    heading, rows = _blocks(counted.plan) if by_block else _layers(counted.plan)
    table = Table(box=box.SIMPLE_HEAD, title=escape(counted.experiment.name), title_justify="left")
    narrow = console.width < _WIDTH_WITH_PLACES
    shown = [index for index, name in enumerate(heading) if not (narrow and name == "place")]
    for index in shown:
        name = heading[index]
        justify: JustifyMethod = "left" if name in _LEFT else "right"
        table.add_column(name.replace(" ", "\n"), justify=justify, no_wrap=True)
    for row in rows:
        cells = [escape(row[index]) for index in shown]
        table.add_row(*cells, style="bold" if row[0] == "" else None)
    console.print(table)
    for label, text in _totals(counted):
        console.print(f"{label:<18}{text}", soft_wrap=True)
    advice = advise(counted.experiment, counted.plan)
    if advice:
        console.print("\nadvice", style="bold")
    for one in advice:
        console.print(f"  [cyan]{escape(one.place)}[/]: {escape(one.message)}", soft_wrap=True)
        console.print(f"      {escape(one.reason)}", style="dim", soft_wrap=True)


def show_comparison(counted: Sequence[Counted]) -> None:
    """Several networks side by side, a column each."""
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("")
    for one in counted:
        table.add_column(escape(one.experiment.name), justify="right")
    for label, *values in zip(*map(_column, counted), strict=True):
        table.add_row(label[0], *(value for _, value in [label, *values]))
    stdout().print(table)


def show_markdown(counted: Sequence[Counted], *, by_block: bool) -> None:
    """Tables in Markdown."""
    console = stdout()
    for one in counted:
        heading, rows = _blocks(one.plan) if by_block else _layers(one.plan)
        lines = [
            f"**{one.experiment.name}**: {one.plan.parameters:,} parameters, {one.plan.macs:,} MACs",
            "",
        ]
        lines.append(f"| {' | '.join(heading)} |")
        lines.append(
            f"|{'|'.join(':--' if name in ('layer', 'block', 'place') else '--:' for name in heading)}|"
        )
        lines += [f"| {' | '.join(row)} |" for row in rows]
        console.out("\n".join([*lines, ""]), highlight=False)


def show_verification(name: str, verification: Verification) -> None:
    """Three counts side by side."""
    table = Table(
        box=box.SIMPLE_HEAD,
        title=f"{escape(name)}: parameters, counted three times",
        title_justify="left",
    )
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
    console.print(table)
    if verification.shares_tensors:
        console.print("torchinfo counts shared tensors again")
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
    return ("block", "layers", "output", *_HEADINGS), [*rows, ("", "", "total", *_sums(planned))]


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


def _totals(counted: Counted) -> Iterator[tuple[str, str]]:
    planned, size = counted.plan, counted.plan.size
    yield "budget", _bar(counted)
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


def _bar(counted: Counted) -> str:
    """How much of the parameters allowed is used, and what is left of them."""
    count, allowed = counted.plan.parameters, counted.experiment.budget.parameters_below - 1
    filled = min(_BAR_CELLS, _BAR_CELLS * count // max(1, allowed))
    over = count > allowed
    rest = f"[bold red]{count - allowed:,} too many[/]" if over else f"{allowed - count:,} left"
    colour = "red" if over else "green"
    bar = f"[{colour}]{'█' * filled}[/][dim]{'░' * (_BAR_CELLS - filled)}[/]"
    return f"{bar} {count:,} of {allowed:,} · {rest}"


def _column(counted: Counted) -> list[tuple[str, str]]:
    planned, experiment = counted.plan, counted.experiment
    headroom = experiment.budget.parameters_below - 1 - planned.parameters
    return [
        ("parameters", f"{planned.parameters:,}"),
        ("allowed", f"{experiment.budget.parameters_below - 1:,}"),
        ("headroom", f"{headroom:,}" if headroom >= 0 else f"[red]{headroom:,}[/]"),
        ("within budget", "yes" if within(experiment, planned) else "[red]no[/]"),
        ("layers", str(len(planned.rows))),
        ("largest layer", _largest(planned)),
        ("buffers", f"{planned.buffers:,}"),
        ("MACs", f"{planned.macs:,}"),
        ("receptive field", str(planned.receptive_field)),
        ("total size", f"{planned.size.total:.2f} MB"),
        ("advice", str(len(advise(experiment, planned)))),
    ]


def _largest(planned: Plan) -> str:
    row: Row = planned.largest
    return f"{escape(row.place)} ({row.parameters:,})"
