"""Tables of counted networks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.text import Text

from mnist_arch.counting.advice import advise
from mnist_arch.counting.budget import counts_of, within
from mnist_arch.counting.counted import CountedExperiment
from mnist_arch.counting.plan import Plan, Row

from ..consoles import stdout
from ..formats import size_text
from ..prose import say
from ..tables import Column, Fitted, fit, folded

if TYPE_CHECKING:
    from mnist_arch.network.verify import Verification
    from mnist_arch.spec.recipe import Teacher

_BAR_CELLS = 40
_LABEL = 18
"""Columns of the labels of totals."""
_NAME = 24
"""Columns in which the name of a network is folded that stands beside others."""


def show_one(counted: CountedExperiment, *, by_block: bool) -> None:
    """Table, totals, budget bar and advice of one network."""
    console = stdout()
    _show_table(counted, console, by_block=by_block)
    console.print()
    for label, text in _totals(counted, width=console.width):
        say(console, Text.from_markup(text), label=f"{label:<{_LABEL}}")
    advice = advise(counted.experiment, counted.plan)
    if advice:
        console.print("\nadvice", style="bold")
    for one in advice:
        say(console, Text.assemble((one.place, "cyan"), f": {one.message}"), label="  ")
        say(console, one.reason, label="      ", style="dim")


def _show_table(counted: CountedExperiment, console: Console, *, by_block: bool) -> None:
    """By block, or by layer; where there is no room beside the layers, places stand above them."""
    plan = counted.plan
    if by_block:
        fitted, styles = fit(_blocks(plan), console), _styles(len(plan.parts()))
    else:
        fitted, styles = fit(_layers(plan), console), _styles(len(plan.rows))
        for are_whole in (True, False):
            if not (fitted.as_table and _NEEDED <= fitted.shown):
                columns, styles = _below_places(plan, are_whole=are_whole)
                fitted = fit(columns, console)
    fitted.print(console, title=escape(counted.experiment.name), styles=styles)
    if fitted.missing:
        say(console, f"left out at this width: {', '.join(fitted.missing)}", style="dim")


def _styles(rows: int) -> list[str]:
    """The line of totals stands out."""
    return [""] * rows + ["bold"]


def show_comparison(counted: Sequence[CountedExperiment]) -> None:
    """Several networks side by side, a column each; in several tables if they are too wide."""
    console = stdout()
    has_teacher = any(one.experiment.recipe.teacher for one in counted)
    columns = [_column(one, has_teacher=has_teacher) for one in counted]
    together = len(counted)
    while together > 1 and not all(
        _side_by_side(counted[start : start + together], columns[start:], console).as_table
        for start in range(0, len(counted), together)
    ):
        together -= 1
    for start in range(0, len(counted), together):
        if start:
            console.print()
        shown = counted[start : start + together]
        _side_by_side(shown, columns[start : start + together], console).print(console)


def _side_by_side(
    counted: Sequence[CountedExperiment],
    columns: Sequence[Sequence[tuple[str, str]]],
    console: Console,
) -> Fitted:
    labels = Column("", [label for label, _ in columns[0]], words=True)
    networks = [
        Column(
            "\n".join(line.plain for line in folded(Text(one.experiment.name), _NAME)),
            [value for _, value in column],
        )
        for one, column in zip(counted, columns, strict=False)
    ]
    return fit([labels, *networks], console)


def show_markdown(counted: Sequence[CountedExperiment], *, by_block: bool) -> None:
    """Tables in Markdown."""
    for one in counted:
        columns = _blocks(one.plan) if by_block else _layers(one.plan)
        counts = f"{one.plan.parameters:,} parameters, {one.plan.macs:,} MACs"
        lines = [f"**{one.experiment.name}**: {counts}", ""]
        lines += [f"| {' | '.join(it.name for it in columns)} |"]
        lines += [f"|{'|'.join(':--' if it.words else '--:' for it in columns)}|"]
        rows = zip(*([text.plain for text in it.texts] for it in columns), strict=True)
        lines += [f"| {' | '.join(row)} |" for row in rows]
        stdout().out("\n".join([*lines, ""]), highlight=False)


def show_verification(name: str, verification: Verification) -> None:
    """Three counts side by side."""
    lines = verification.lines
    totals = (verification.plan, verification.torch, verification.torchinfo)
    counts = [[it.plan for it in lines], [it.torch for it in lines], [it.torchinfo for it in lines]]
    columns = [
        Column("#", [*(str(it.index) for it in lines), ""]),
        Column("layer", [*(it.layer for it in lines), "total"], words=True),
    ]
    for heading, own, total in zip(("plan", "torch", "torchinfo"), counts, totals, strict=True):
        columns.append(Column(heading, [f"{count:,}" for count in (*own, total)]))
    styles = ["bold red" if it.plan != it.torch else "" for it in lines]
    console = stdout()
    console.print()
    title = f"{escape(name)}: parameters, counted three times"
    fit(columns, console).print(console, title=title, styles=[*styles, "bold"])
    console.print()
    if verification.shares_tensors:
        say(console, "torchinfo counts shared tensors again, and decides nothing here")
    agrees = "agree" if verification.agrees else "[bold red]DIFFER: this is a bug of mnist-arch[/]"
    say(console, Text.from_markup(f"plan and torch {agrees}"))


def shape_text(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape))


_NEEDED = {"output", "parameters", "MACs"}
"""Headings without which a place beside each layer is not worth its room."""


def _layers(plan: Plan) -> list[Column]:
    """By layer, in the numbering of the reference, with a total."""
    rows = plan.rows
    cells = [*(escape(row.place) for row in rows), ""]
    return _columns(plan, rows, Column("place", cells, words=True, is_whole=True))


def _below_places(plan: Plan, *, are_whole: bool) -> tuple[list[Column], list[str]]:
    """By layer, with a line for each place above its layers; and the styles of the rows.

    Names of layers are folded unless they `are_whole`.
    """
    rows: list[Row | str] = []
    for row in plan.rows:
        before = rows[-1] if rows else None
        if not isinstance(before, Row) or before.place != row.place:
            rows.append(row.place)
        rows.append(row)
    styles = ["cyan" if isinstance(row, str) else "" for row in rows]
    return _columns(plan, rows, are_whole=are_whole), [*styles, "bold"]


def _columns(
    plan: Plan, rows: Sequence[Row | str], *more: Column, are_whole: bool = True
) -> list[Column]:
    """The columns of layers and places, and `more` of them after their names."""

    def cells(of: Callable[[Row], str], total: str = "") -> list[str]:
        return [*("" if isinstance(row, str) else of(row) for row in rows), total]

    names = [escape(row) if isinstance(row, str) else layer_text(row) for row in rows]
    return [
        Column("#", cells(lambda row: str(row.index))),
        Column("layer", [*names, "total"], words=True, is_whole=are_whole),
        *more,
        Column("output", cells(lambda row: shape_text(row.output_shape)), goes=4),
        Column("parameters", cells(_parameters, f"{plan.parameters:,}")),
        Column("share", cells(lambda row: _share(row.parameters, plan), "100.0 %"), goes=2),
        Column("MACs", cells(lambda row: f"{row.macs:,}", f"{plan.macs:,}"), goes=5),
        Column(
            "receptive\nfield",
            cells(lambda row: str(row.receptive_field), str(plan.receptive_field)),
            goes=3,
        ),
        Column(
            "activation\nbytes",
            cells(lambda row: f"{row.activation_bytes:,}", f"{plan.activation_bytes:,}"),
            goes=1,
        ),
    ]


def _parameters(row: Row) -> str:
    return "shared" if row.shared else f"{row.parameters:,}"


def layer_text(row: Row) -> str:
    """`Conv2d 3×3 depthwise stride 2`: the module, its window, its kind, and an unusual step."""
    words = [row.layer]
    if row.window is not None:
        words.append("×".join(map(str, row.window)))
    if row.kind not in (None, "ordinary"):
        words.append(row.kind)
    usual = 1 if row.kind is not None else row.kernel
    if row.stride != usual:
        words.append(f"stride {row.stride}")
    return " ".join(words)


def _blocks(plan: Plan) -> list[Column]:
    """By block and head, with a total."""
    parts = plan.parts()
    parameters = [sum(row.parameters for row in rows) for rows in parts.values()]
    macs = [sum(row.macs for row in rows) for rows in parts.values()]
    maps = [sum(row.activation_bytes for row in rows) for rows in parts.values()]
    last = [rows[-1] for rows in parts.values()]
    return [
        Column("block", [*map(escape, parts), "total"], words=True),
        Column("layers", [str(len(rows)) for rows in (*parts.values(), plan.rows)]),
        Column("output", [*(shape_text(row.output_shape) for row in last), ""], goes=4),
        Column("parameters", [f"{count:,}" for count in (*parameters, plan.parameters)]),
        Column("share", [*(_share(count, plan) for count in parameters), "100.0 %"], goes=2),
        Column("MACs", [f"{count:,}" for count in (*macs, plan.macs)], goes=5),
        Column(
            "receptive\nfield",
            [str(it) for it in (*(row.receptive_field for row in last), plan.receptive_field)],
            goes=3,
        ),
        Column(
            "activation\nbytes",
            [f"{count:,}" for count in (*maps, plan.activation_bytes)],
            goes=1,
        ),
    ]


def _share(parameters: int, plan: Plan) -> str:
    return f"{100 * parameters / plan.parameters:.1f} %" if parameters else ""


def _totals(counted: CountedExperiment, *, width: int) -> Iterator[tuple[str, str]]:
    """Labels, and numbers with markup, of the whole network; `width` is that of the terminal."""
    plan, sizes = counted.plan, counted.plan.sizes
    yield "budget", _bar(counted, width=width - _LABEL)
    yield (
        "parameters",
        f"{plan.parameters:,}, all trainable; {plan.buffers:,} values in buffers",
    )
    left = counted.experiment.budget.headroom(counts_of(counted.experiment, plan))
    yield "MACs", f"{plan.macs:,} for one image{_left(left.macs)}"
    yield "parameter size", f"{size_text(sizes.parameter_bytes)} in float32"
    peak = size_text(sizes.inference_peak_bytes)
    yield "inference peak", f"{peak} of maps for one image, without the parameters"
    if left.bytes is not None:
        yield "both together", f"{sizes.inference_bytes:,} bytes{_left(left.bytes)}"
    yield "input", size_text(sizes.input_bytes)
    yield "forward/backward", f"{size_text(sizes.forward_backward_bytes)} for one image"
    yield "total", f"{size_text(sizes.training_bytes)} in training, for one image"
    if (teacher := counted.experiment.recipe.teacher) is not None:
        yield "teacher", escape(_taught_by(teacher))
    budget = counted.experiment.budget
    counts = counts_of(counted.experiment, plan)
    if budget.excess(counts).epochs:
        limit = f"fewer than {budget.epochs_below:,} are allowed"
        yield "epochs", f"[bold red]{counts.epochs:,}, but {limit}: train would refuse[/]"


def _taught_by(teacher: Teacher) -> str:
    """`zoo/s6, weight 0.5, temperature 2`."""
    return f"{teacher.network}, weight {teacher.weight:g}, temperature {teacher.temperature:g}"


def _left(count: int | None) -> str:
    """What a limit leaves, where there is one."""
    if count is None:
        return ""
    return f" · [bold red]{-count:,} too many[/]" if count < 0 else f" · {count:,} left"


def _bar(counted: CountedExperiment, *, width: int) -> str:
    """How much of the parameters allowed is used, and what is left of them."""
    count, allowed = counted.plan.parameters, counted.experiment.budget.parameters_below - 1
    over = count > allowed
    rest = f"[bold red]{count - allowed:,} too many[/]" if over else f"{allowed - count:,} left"
    text = f"{count:,} of {allowed:,} · {rest}"
    cells = max(0, min(_BAR_CELLS, width - 1 - Text.from_markup(text).cell_len))
    filled = min(cells, cells * count // max(1, allowed))
    bar = f"[{'red' if over else 'green'}]{'█' * filled}[/][dim]{'░' * (cells - filled)}[/]"
    return f"{bar} {text}" if cells else text


def _column(counted: CountedExperiment, *, has_teacher: bool) -> list[tuple[str, str]]:
    teacher = counted.experiment.recipe.teacher
    plan, experiment = counted.plan, counted.experiment
    left = experiment.budget.headroom(counts_of(experiment, plan))
    headroom = left.parameters
    return [
        ("parameters", f"{plan.parameters:,}"),
        ("allowed", f"{experiment.budget.parameters_below - 1:,}"),
        ("headroom", f"{headroom:,}" if headroom >= 0 else f"[red]{headroom:,}[/]"),
        ("within budget", "yes" if within(experiment, plan) else "[red]no[/]"),
        ("layers", str(len(plan.rows))),
        ("largest layer", escape(plan.largest.place)),
        ("its parameters", f"{plan.largest.parameters:,}"),
        ("buffers", f"{plan.buffers:,}"),
        ("MACs", f"{plan.macs:,}{_left(left.macs)}"),
        ("receptive field", str(plan.receptive_field)),
        ("parameter size", size_text(plan.sizes.parameter_bytes)),
        ("inference peak", size_text(plan.sizes.inference_peak_bytes)),
        *([("teacher", escape(teacher.network) if teacher else "–")] if has_teacher else []),
        ("advice", str(len(advise(experiment, plan)))),
    ]
