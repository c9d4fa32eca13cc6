"""The plan of a sweep, before any of it is run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from rich.markup import escape

from mnist_arch.data.catalog import in_words
from mnist_arch.files import to_json
from mnist_arch.sweeps.estimate import Estimate, whole_sweep
from mnist_arch.sweeps.execution.worker_count import WorkerCount
from mnist_arch.sweeps.leaderboard import ranking_trials
from mnist_arch.sweeps.ledger import Ledger
from mnist_arch.sweeps.planning import Arm, SweepPlan
from mnist_arch.sweeps.spec import UNITS, Front, Smallest
from mnist_arch.sweeps.standings import states_text
from mnist_arch.verbs.datasets import auto_text

from ..consoles import stdout, write_json
from ..formats import VERDICTS, duration, workers_text
from ..tables import Column, print_tables
from .tables import MOST_ROWS, differs_column, lines_below, name_column, print_some


def print_plan(plan: SweepPlan, ledger: Ledger, *, workers: WorkerCount, as_json: bool) -> None:
    """Prints every arm with its cost, its verdict and the states of its trials."""
    estimate = whole_sweep(plan, ledger, workers=workers.workers)
    console = stdout()
    if as_json:
        write_json(to_json(_plan_values(plan, ledger, estimate, workers.workers)))
        return
    arms = plan.arms[:MOST_ROWS]
    columns = [
        name_column([arm.name for arm in arms]),
        differs_column({arm.name: _differs(arm) for arm in arms}, goes=5),
        Column("parameters", [_count(arm, arm.parameters) for arm in arms], goes=4),
        Column("MACs", [_count(arm, arm.macs) for arm in arms], goes=1),
        Column("epochs", [_count(arm, arm.epochs) for arm in arms], goes=2),
        Column(
            "trials", [_states(plan, ledger, arm) for arm in arms], words=True, goes=3, wants=20
        ),
        Column("verdict", [_verdict(arm) for arm in arms], words=True, wants=16),
    ]
    if arms:
        columns = [it for it in columns if it.heading != "differs" or {*it.cells} != {"–"}]
        title = f"{_title(plan)}, {plan.held_out}"
        print_tables(columns, console, title=escape(title))
        print_some([("REJECTED", f"{arm.name}: {arm.rejected}") for arm in arms if arm.rejected])
        console.print()
    lines = [*_lines(plan), ("time left", _time_left(plan, estimate, workers.workers))]
    if workers.reason:
        lines.append(("workers", workers_text(workers)))
    lines_below(*lines)


def _title(plan: SweepPlan) -> str:
    return f"{plan.definition.sweep.name} · {in_words(plan.dataset)}"


def _differs(arm: Arm) -> dict[str, str]:
    return {it.place: it.value for it in arm.differs}


def _count(arm: Arm, count: int) -> str:
    return f"{count:,}" if arm.digest else "–"


def _states(plan: SweepPlan, ledger: Ledger, arm: Arm) -> str:
    if arm.same_as:
        return "–"
    return states_text(Counter(map(ledger.status, ranking_trials(plan, arm)))) or "–"


def _verdict(arm: Arm) -> str:
    if arm.same_as:
        return f"[dim]same as {escape(arm.same_as)}[/]"
    return "[red]REJECTED[/]" if arm.rejected else VERDICTS["kept"]


def _lines(plan: SweepPlan) -> Iterator[tuple[str, str]]:
    """What the file asks for, in numbers."""
    sweep = plan.definition.sweep
    if not plan.arms:
        yield "sweep", f"{_title(plan)}, {plan.held_out}"
    if sweep.dataset == "auto":
        yield "dataset", auto_text(plan.dataset)
    if len(plan.arms) > MOST_ROWS:
        yield "arms", f"{len(plan.arms):,}, the first {MOST_ROWS} of them shown"
    elif plan.arms:
        yield "arms", f"{len(plan.arms):,}"
    if plan.arms:
        each = "1 seed" if sweep.seeds == 1 else f"{sweep.seeds} seeds"
        yield "trials", f"{len(plan.trials()):,} of the ranking ({each} an arm)"
    if sweep.search is not None:
        yield "search", f"{sweep.search.trials:,} more, by {sweep.search.sampler}{_goal(plan)}"
    if sweep.finalists is not None:
        top, seeds = sweep.finalists.top, sweep.finalists.seeds
        which = "the front" if sweep.finalists.front else f"the first {top}"
        yield "finalists", f"{which}, {seeds} other seeds each, on all images"


def _time_left(plan: SweepPlan, estimate: Estimate, workers: int) -> str:
    how = "by what was run here" if estimate.measured else "a guess: nothing was run here yet"
    if plan.definition.sweep.search is not None:
        how += "; proposals like those so far" if estimate.measured else "; proposals like the base"
    time = duration(estimate.seconds)
    if estimate.most_seconds > estimate.seconds:
        time = f"{time} to {duration(estimate.most_seconds)}"
    return f"{time}, {workers} at a time ({how})"


def _goal(plan: SweepPlan) -> str:
    """What a search looks for, in words, where it is not the most accurate."""
    search = plan.definition.sweep.search
    match search and search.objective:
        case Front(cost=cost):
            return f": the front of accuracy and {UNITS[cost]}"
        case Smallest() as it:
            most = f"up to {it.seeds} seeds each"
            return f": the fewest {UNITS[it.cost]} with ≥ {it.accuracy_percent:g} %, {most}"
        case _:
            return ""


def _plan_values(
    plan: SweepPlan, ledger: Ledger, estimate: Estimate, workers: int
) -> dict[str, object]:
    return {
        "format": 1,
        "name": plan.definition.sweep.name,
        "dataset": plan.dataset,
        "holdout_images": plan.holdout_images,
        "folds": plan.folds,
        "arms": [
            {
                "name": arm.name,
                "differs": _differs(arm),
                "parameters": arm.parameters if arm.digest else None,
                "macs": arm.macs if arm.digest else None,
                "epochs": arm.epochs if arm.digest else None,
                "rejected": arm.rejected,
                "same_as": arm.same_as,
                "trials": [
                    {
                        "seed": trial.seed,
                        "fold": plan.fold_of(trial),
                        "state": ledger.status(trial),
                    }
                    for trial in ranking_trials(plan, arm)
                ],
            }
            for arm in plan.arms
        ],
        "seconds_left": estimate.seconds,
        "seconds_left_at_most": estimate.most_seconds,
        "seconds_measured": estimate.measured,
        "workers": workers,
    }
