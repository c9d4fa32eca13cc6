"""The plan of a sweep, before any of it is run."""

from __future__ import annotations

from collections import Counter

from rich.markup import escape

from cli.consoles import stdout
from cli.results import VERDICTS
from cli.sweep_board import MOST_ROWS, compact, empty_table, lines_below, shortened, states_text
from cli.training_display import duration
from mnist_arch.storage import to_json
from mnist_arch.sweeps.estimate import Estimate, whole_sweep
from mnist_arch.sweeps.leaderboard import ranking_trials
from mnist_arch.sweeps.ledger import Ledger
from mnist_arch.sweeps.planning import Arm, Planned


def print_plan(planned: Planned, ledger: Ledger, *, workers: int, as_json: bool) -> None:
    """Prints every arm with its cost, its verdict and the states of its trials."""
    estimate = whole_sweep(planned, ledger, workers=workers)
    if as_json:
        stdout().out(to_json(_plan_values(planned, ledger, estimate, workers)), end="")
        return
    sweep = planned.definition.sweep
    table = empty_table(f"{sweep.name} · {planned.dataset}, {planned.holdout:,} images held out")
    for heading in ("arm", "differs", "parameters", "MACs", "epochs", "trials", "verdict"):
        table.add_column(
            heading,
            justify="left" if heading in ("arm", "differs", "trials", "verdict") else "right",
        )
    for arm in planned.arms[:MOST_ROWS]:
        trials = ranking_trials(planned, arm)
        states = Counter(ledger.state(trial) for trial in trials)
        table.add_row(
            escape(arm.name),
            escape(shortened(compact({it.path: it.value for it in arm.differs}), 46)),
            f"{arm.parameters:,}" if arm.digest else "–",
            f"{arm.macs:,}" if arm.digest else "–",
            f"{arm.epochs}" if arm.digest else "–",
            states_text(states),
            _plan_verdict(arm),
        )
    console = stdout()
    console.print(table)
    for arm in planned.arms:
        if arm.rejected:
            console.print(f"{arm.name}: {arm.rejected}", markup=False, soft_wrap=True)
    count = len(planned.trials())
    more = f", the first {MOST_ROWS} of them shown" if len(planned.arms) > MOST_ROWS else ""
    lines = [
        ("arms", f"{len(planned.arms):,}{more}"),
        ("trials", f"{count:,} of the ranking ({sweep.seeds} seeds an arm)"),
    ]
    if sweep.search is not None:
        lines.append(("search", f"{sweep.search.trials:,} more, by {sweep.search.sampler}"))
    if sweep.finalists is not None:
        top, seeds = sweep.finalists.top, sweep.finalists.seeds
        lines.append(("finalists", f"the first {top}, {seeds} other seeds each, on all images"))
    how = "by what was run here" if estimate.measured else "a guess: nothing was run here yet"
    at_once = f"{workers} at a time"
    without = ", without the search" if sweep.search is not None else ""
    lines.append(("time left", f"{duration(estimate.seconds)}, {at_once} ({how}{without})"))
    lines_below(*lines)


def _plan_verdict(arm: Arm) -> str:
    if arm.same_as:
        return f"[dim]same as {escape(arm.same_as)}[/]"
    return "[red]REJECTED[/]" if arm.rejected else VERDICTS["kept"]


def _plan_values(
    planned: Planned, ledger: Ledger, estimate: Estimate, workers: int
) -> dict[str, object]:
    return {
        "format": 1,
        "name": planned.definition.sweep.name,
        "dataset": planned.dataset,
        "holdout_images": planned.holdout,
        "arms": [
            {
                "name": arm.name,
                "differs": {it.path: it.value for it in arm.differs},
                "parameters": arm.parameters if arm.digest else None,
                "macs": arm.macs if arm.digest else None,
                "epochs": arm.epochs if arm.digest else None,
                "rejected": arm.rejected,
                "same_as": arm.same_as,
                "trials": [
                    {"seed": trial.seed, "state": ledger.state(trial)}
                    for trial in ranking_trials(planned, arm)
                ],
            }
            for arm in planned.arms
        ],
        "seconds_left": estimate.seconds,
        "seconds_measured": estimate.measured,
        "workers": workers,
    }
