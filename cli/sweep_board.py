"""The leaderboard of a sweep at the terminal."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cli.consoles import stdout
from mnist_arch.budget import Verdict
from mnist_arch.effects import Effect
from mnist_arch.sweeps.ledger import State
from mnist_arch.sweeps.standings import Leaderboard, Scored, Standing, csv_text

MOST_ROWS: Final = 200
"""Rows of a table on a terminal; --json and --csv have them all."""

_HEADINGS: Final = (
    *("rank", "mark", "arm", "differs", "parameters", "MACs", "hold-out %", "to the first"),
    *("test %", "seconds", "rules"),
)
_LEFT_OUT: Final = ("seconds", "MACs", "to the first", "parameters", "rules")
"""Columns that a narrow terminal does without, in this order."""
_LEFT: Final = ("mark", "arm", "differs", "axis", "level", "against")
_LEAST_DIFFERS: Final = 30
_MOST_DIFFERS: Final = 46
"""Columns of what differs."""


def show_board(
    board: Leaderboard, folder: Path, file: Path, *, as_json: bool, as_csv: bool
) -> None:
    """Prints the standings, the effects of a grid, and where the files are."""
    if as_json:
        stdout().out(board.json_text(), end="")
        return
    if as_csv:
        stdout().out(csv_text(board), end="")
        return
    console = stdout()
    console.print(_standings(board, console))
    _print_reasons(board)
    if board.effects:
        console.print()
        console.print(_effects(board.effects))
    console.print()
    lines_below(
        ("marks", "* Pareto front of accuracy and parameters · = not told apart from the first"),
        ("intervals", "95 % of each difference to the first; the mark = by Holm's correction"),
        ("rules", "parameters, epochs, accuracy: + kept, - missed, . no verdict"),
        ("trials", states_text(Counter(board.states))),
    )
    if board.proposals_rejected:
        lines_below(
            ("proposals", f"{board.proposals_rejected:,} more broke the budget, unpaid for")
        )
    if (path := folder / "leaderboard.json").exists():
        lines_below(("leaderboard", f"{path}, .csv, .png"))
    lines_below(("next", _next(board, file)))


def _standings(board: Leaderboard, console: Console) -> Table:
    """As many columns as fit, and what differs in the room that is left."""
    standings = board.standings[:MOST_ROWS]
    for count in range(len(_LEFT_OUT) + 1):
        shown = [name for name in _HEADINGS if name not in _LEFT_OUT[:count]]
        bare = _filled(board, standings, shown, differs_width=0)
        if (room := console.width - _width(bare, console)) >= _LEAST_DIFFERS:
            return _filled(board, standings, shown, differs_width=min(room, _MOST_DIFFERS))
    return _filled(board, standings, shown, differs_width=_LEAST_DIFFERS)


def _filled(
    board: Leaderboard, standings: Sequence[Standing], shown: Sequence[str], *, differs_width: int
) -> Table:
    table = empty_table(f"{board.name} · {board.dataset}, {board.holdout_images:,} images held out")
    for name in shown:
        heading = "" if name == "mark" else name
        table.add_column(heading, justify="left" if name in _LEFT else "right", no_wrap=True)
    for it in standings:
        cells = {
            "rank": str(it.rank or "–"),
            "mark": ("*" if it.front else " ") + ("=" if it.tied else " "),
            "arm": escape(shortened(", ".join([it.name, *it.also]), 24)),
            "differs": escape(shortened(compact(it.differs), differs_width)),
            "parameters": f"{it.parameters:,}",
            "MACs": f"{it.macs / 1e6:.2f} M",
            "hold-out %": _score(it.holdout) if it.holdout else _state_of(it),
            "to the first": _difference(it),
            "test %": _score(it.test) if it.test else "–",
            "seconds": f"{it.seconds:,.0f}",
            "rules": _rules(it),
        }
        table.add_row(*(cells[name] for name in shown), style=None if it.rank else "dim")
    return table


def _width(table: Table, console: Console) -> int:
    """Columns that a table needs in order to show everything."""
    return console.measure(table, options=console.options.update(max_width=10_000)).maximum


def _score(scored: Scored) -> str:
    """`98.933 ± 0.042 (3)`."""
    spread = "" if scored.spread_percent is None else f" ± {scored.spread_percent:.3f}"
    return f"{scored.mean_percent:.3f}{spread} ({len(scored.seeds)})"


def _state_of(it: Standing) -> str:
    if it.rejected:
        return State.REJECTED
    return states_text(Counter(trial.state for trial in it.trials))


def _difference(it: Standing) -> str:
    if it.against_first is None:
        return "–"
    low, high = it.against_first.interval_percent
    return f"{it.against_first.percent:+.3f} [{low:+.3f}, {high:+.3f}]".replace("[", "\\[")


def _rules(it: Standing) -> str:
    """A mark for each of the three verdicts: parameters, epochs, accuracy."""
    return "".join(map(_mark, (it.verdicts.parameters, it.verdicts.epochs, it.verdicts.accuracy)))


def _mark(verdict: Verdict) -> str:
    return {"kept": "[green]+[/]", "missed": "[red]-[/]", "none": "[yellow].[/]"}[verdict]


def _print_reasons(board: Leaderboard) -> None:
    console = stdout()
    for it in board.standings:
        if it.rejected:
            console.print(f"REJECTED  {it.name}: {it.rejected}", markup=False, soft_wrap=True)
        for trial in it.trials:
            if trial.reason:
                text = f"FAILED    {it.name}, seed {trial.seed}: {trial.reason}"
                console.print(text, markup=False, soft_wrap=True)


def _effects(effects: list[Effect]) -> Table:
    table = empty_table("main effects on the hold-out accuracy, in percent points")
    for heading in ("axis", "level", "against", "effect", "95 %", "runs"):
        table.add_column(heading, justify="left" if heading in _LEFT else "right")
    for it in effects:
        interval = "–"
        if it.interval_percent is not None:
            low, high = it.interval_percent
            interval = f"{low:+.3f} to {high:+.3f}"
        table.add_row(
            escape(it.axis),
            escape(shortened(it.level, _MOST_DIFFERS)),
            escape(shortened(it.reference, _MOST_DIFFERS)),
            f"{it.percent:+.3f}",
            interval,
            str(it.runs),
        )
    return table


def _next(board: Leaderboard, file: Path) -> str:
    again = f"mnist-arch sweep {shlex.quote(str(file))}"
    if board.failed:
        return f"{again} --retry-failed"
    if board.states.get(State.WAITING, 0):
        return again
    return f"{again} --show --csv"


def states_text(states: Counter[State]) -> str:
    """`27 DONE, 3 WAITING`."""
    return ", ".join(f"{count:,} {state}" for state, count in sorted(states.items()))


def compact(differs: Mapping[str, str]) -> str:
    """`dropout=0.0; order=conv-norm-activation`: paths by their last part, blocks by channels."""
    texts = []
    for path, value in differs.items():
        for noise in ("channels: ", "pool: max", "{", "}"):
            value = value.replace(noise, "") if path.startswith("blocks") else value
        texts.append(f"{path.rpartition('.')[2]}={value}")
    return "; ".join(texts).replace(", ,", ",").replace(", ]", "]") or "–"


def shortened(text: str, width: int) -> str:
    """A text in so many columns; without any, nothing."""
    return text if len(text) <= width else text[: max(0, width - 1)] + "…" * (width > 0)


def empty_table(title: str) -> Table:
    """The look of all tables of a sweep."""
    return Table(
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        collapse_padding=True,
        title=escape(title),
        title_justify="left",
        title_style="bold",
    )


def lines_below(*lines: tuple[str, str]) -> None:
    """What follows a table: a label and a text that is never wrapped."""
    for label, text in lines:
        stdout().print(f"{label:<13}{text}", markup=False, soft_wrap=True)
