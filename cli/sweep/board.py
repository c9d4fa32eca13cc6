"""The leaderboard of a sweep at the terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import assert_never

from rich.markup import escape

from mnist_arch.data.catalog import in_words
from mnist_arch.evaluation.comparison import Difference
from mnist_arch.evaluation.effects import Effect
from mnist_arch.files import is_there
from mnist_arch.spec.experiment import Verdict
from mnist_arch.sweeps.ledger import TrialStatus
from mnist_arch.sweeps.naming import short_paths
from mnist_arch.sweeps.spec import UNITS
from mnist_arch.sweeps.standings import ArmScore, Leaderboard, Standing, csv_text, states_text

from ..consoles import stdout, write_data, write_json
from ..tables import Column, print_tables
from .tables import MOST_ROWS, differs_column, lines_below, name_column, print_some

_LEVEL = 16
"""Columns of the terminal."""
_COVERS = {
    "welch": "over seeds (Welch)",
    "mcnemar": "over images (McNemar)",
    "folds": "over folds (Nadeau and Bengio)",
}
"""What the interval of a difference covers."""


def show_board(
    board: Leaderboard,
    folder: Path,
    *,
    of_another: str,
    next_command: str,
    as_json: bool,
    as_csv: bool,
) -> None:
    """Prints the standings, the effects of a grid, and where the files are.

    `of_another` is the sweep's file that the files of the folder answer, where it is another.
    """
    console = stdout()
    if as_json:
        write_json(board.json_text())
        return
    if as_csv:
        write_data(csv_text(board))
        return
    title = f"{board.name} · {in_words(board.dataset)}, {board.held_out}"
    print_tables(_standings(board), console, title=escape(title))
    print_some(list(_reasons(board)))
    if board.effects:
        console.print()
        heading = "main effects on the hold-out accuracy, in percent points"
        print_tables(_effects(board.effects), console, title=heading)
    console.print()
    lines_below(*_legend(board), *_where(board, folder, of_another), ("next", next_command))


def _standings(board: Leaderboard) -> list[Column]:
    """What no arm has yet is no column."""
    arms = board.standings[:MOST_ROWS]
    columns = [
        Column("rank", [str(it.rank or "–") for it in arms], is_key=True),
        Column("", [_marks(it) for it in arms], words=True, is_key=True, is_whole=True),
        name_column([_names(it) for it in arms]),
        differs_column({it.name: it.differs for it in arms}, goes=6),
        Column("parameters", [_count(it.parameters) for it in arms], goes=5),
        Column("MACs", [_millions(it.macs) for it in arms], goes=2),
        Column("bytes", [_count(it.inference_bytes or 0) for it in arms], goes=2),
        Column("hold-out %", [_holdout(it) for it in arms]),
        Column("bound %", [_bound(it) for it in arms]),
        Column("to the first", [_difference(it) for it in arms], goes=3),
        Column("test %", [_test(it) for it in arms], goes=7),
        Column("seconds", [_count(round(it.seconds)) for it in arms], goes=1),
        Column("rules", [_rules(it) for it in arms], goes=4),
    ]
    without = {
        column.heading
        for column in columns
        if column.heading in ("differs", "to the first", "test %") and {*column.cells} == {"–"}
    }
    if board.asked_percent is None:
        without.add("bound %")
    if board.cost != "bytes" and board.budget.bytes_below is None:
        without.add("bytes")
    return [column for column in columns if column.heading not in without]


# ------------------------------------------------------------------------------------------- cells


def _names(it: Standing) -> str:
    return ", ".join([it.name, *it.also])


def _count(count: int) -> str:
    return f"{count:,}" if count else "–"


def _millions(count: int) -> str:
    return f"{count / 1e6:.2f} M" if count else "–"


def _marks(it: Standing) -> str:
    return ("*" if it.front else " ") + ("=" if it.tied else " ")


def _score(scored: ArmScore) -> str:
    """`98.933 ± 0.042 (3)`."""
    spread = "" if scored.spread_percent is None else f" ± {scored.spread_percent:.3f}"
    return f"{scored.mean_percent:.3f}{spread} ({len(scored.seeds)})"


def _holdout(it: Standing) -> str:
    if it.holdout is not None:
        return _score(it.holdout)
    return TrialStatus.REJECTED if it.rejected else states_text(it.states)


def _bound(it: Standing) -> str:
    """That of the mean over seeds; + where it is what is asked for."""
    bound = None if it.holdout is None else it.holdout.bound_percent
    if bound is None:
        return "–"
    return f"[green]{bound:.3f} +[/]" if it.reaches else f"{bound:.3f} -"


def _test(it: Standing) -> str:
    if it.test is not None:
        return _score(it.test)
    return states_text(Counter(trial.state for trial in it.final)) or "–"


def _difference(it: Standing) -> str:
    if it.against_first is None:
        return "–"
    low, high = it.against_first.interval_percent
    return escape(f"{it.against_first.percent:+.3f} ") + f"\\[{low:+.3f}, {high:+.3f}]"


def _rules(it: Standing) -> str:
    """A mark for each verdict: parameters, epochs, MACs and bytes where they count, accuracy."""
    return "".join(map(_mark, it.verdicts.asked().values()))


def _mark(verdict: Verdict) -> str:
    match verdict:
        case "kept":
            return "[green]+[/]"
        case "missed":
            return "[red]-[/]"
        case "none":
            return "[yellow].[/]"
        case never:
            assert_never(never)


# --------------------------------------------------------------------------------- below the table


def _reasons(board: Leaderboard) -> Iterator[tuple[str, str]]:
    """Why trials failed, which the exit code is about, and then why arms were rejected."""
    for it in board.standings:
        seeds: dict[str, list[str]] = {}
        for trial in it.failures:
            seeds.setdefault(trial.reason, []).append(str(trial.seed))
        for reason, of in seeds.items():
            which = "seed" if len(of) == 1 else "seeds"
            yield "FAILED", f"{it.name}, {which} {', '.join(of)}: {reason}"
    for it in board.standings:
        if it.rejected:
            yield "REJECTED", f"{it.name}: {it.rejected}"


def _effects(effects: list[Effect]) -> list[Column]:
    names = short_paths({it.axis for it in effects})
    return [
        Column("axis", [escape(names[it.axis]) for it in effects], words=True, is_key=True),
        _levels("level", [it.level for it in effects], is_key=True),
        _levels("against", [it.reference for it in effects], is_key=False),
        Column("effect", [f"{it.percent:+.3f}" for it in effects]),
        Column("95 %", [_interval(it) for it in effects], goes=2),
        Column("runs", [str(it.runs) for it in effects], goes=1),
    ]


def _levels(heading: str, texts: list[str], *, is_key: bool) -> Column:
    cells = [*map(escape, texts)]
    goes = 0 if is_key else 3
    return Column(heading, cells, words=True, is_key=is_key, wants=_LEVEL, goes=goes)


def _interval(it: Effect) -> str:
    if it.interval_percent is None:
        return "–"
    low, high = it.interval_percent
    return f"{low:+.3f} to {high:+.3f}"


def _legend(board: Leaderboard) -> Iterator[tuple[str, str]]:
    """What the table's signs mean; of what is not in it, nothing."""
    if any(it.rank for it in board.standings):
        yield "scores", "mean ± standard deviation over the seeds (how many)"
        yield (
            "marks",
            f"* Pareto front: accuracy, {UNITS[board.cost]} · "
            "= no significant difference from the first",
        )
    if differences := _differences(board):
        over = " and ".join(sorted({_COVERS[it.test] for it in differences}))
        yield (
            "intervals",
            f"95 % of that difference alone, {over}; the mark = is by Holm's correction",
        )
    if board.asked_percent is not None:
        asked = f"≥ {board.asked_percent:g} % is good enough (+), by all seeds"
        over = "seeds" if board.folds is None else "folds"
        yield "bound", f"one-sided 95 % of the mean over {over}: {asked}"
    counts = ", ".join(board.budget.limits())
    yield "rules", f"{counts}, accuracy: + kept, - missed, . no verdict"
    if len(board.standings) > MOST_ROWS:
        rows = f"the first {MOST_ROWS} of {len(board.standings):,}; --csv and --json have them all"
        yield "rows", rows


def _differences(board: Leaderboard) -> list[Difference]:
    return [it.against_first for it in board.standings if it.against_first is not None]


def _where(board: Leaderboard, folder: Path, of_another: str) -> Iterator[tuple[str, str]]:
    """How far it is, and what has been written."""
    yield "trials", states_text(Counter(board.states))
    if search := board.search:
        more = [f"{search.rejected:,} broke the budget"] if search.rejected else []
        more += [f"{search.repeated:,} came again"] if search.repeated else []
        if more:
            yield "proposals", f"{', '.join(more)}: neither trained nor counted"
        if search.shortfall:
            yield "search", search.shortfall
    if failed := [trial for it in board.standings for trial in it.failures]:
        yield "log", f"{folder / failed[0].folder / 'log'} of the first that failed"
    if not is_there(path := folder / "leaderboard.json"):
        return
    if of_another:
        yield "leaderboard", f"not written: {path} answers what {of_another} asked for last"
    else:
        picture = ", .png" if is_there(path.with_suffix(".png")) else ""
        yield "leaderboard", f"{path}, .csv{picture}"
