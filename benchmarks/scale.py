"""Planning a grid, and reading a ledger of finished trials, by their number.

    python benchmarks/scale.py --out benchmarks/results/scale.json

Planning is timed from the first line of a process on, imports and file included; reading, from the
plan on. The networks of the grid all differ; every trial's folder has a finished run.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

STARTED = time.perf_counter()

SIZES = (1_250, 2_500, 5_000, 10_000)
REPEATS = 3
SEEDS_OF_LEDGER = 4
"""Of an arm, so that arms are compared as in a real sweep."""


def sweep_text(arms: int, *, seeds: int) -> str:
    """A grid of so many different networks: 10 × 10 × 10 × n."""
    levels = {
        "blocks.0.channels.0": range(4, 14),
        "blocks.1.channels.0": range(8, 18),
        "blocks.2.channels.0": range(8, 18),
        "blocks.0.channels.1": range(4, 4 + -(-arms // 1000)),
    }
    if arms % 1000:  # fewer than whole thousands: take what is missing from another axis
        factor = {1_250: (5, 5, 5, 10), 2_500: (5, 5, 10, 10), 625: (5, 5, 5, 5)}[arms]
        levels = {
            path: range(values.start, values.start + count)
            for (path, values), count in zip(levels.items(), factor, strict=True)
        }
    grid = "".join(f"  {path}: {list(values)}\n" for path, values in levels.items())
    return f"base: s6\nseeds: {seeds}\ndataset: mnist\ngrid:\n{grid}"


def child(what: str, folder: Path) -> None:
    """Does one of the two, and prints seconds and memory."""
    from mnist_arch.sweeps.leaderboard import leaderboard
    from mnist_arch.sweeps.ledger import Ledger
    from mnist_arch.sweeps.loading import load_sweep
    from mnist_arch.sweeps.planning import plan_sweep

    plan = plan_sweep(load_sweep(folder / "grid.yaml"), dataset="mnist")
    done = len(plan.trials())
    if what == "read":
        start = time.perf_counter()
        board = leaderboard(plan, Ledger(folder / "ledger"))
        seconds = time.perf_counter() - start
        done = sum(board.states.values())
    else:
        seconds = time.perf_counter() - STARTED
    assert "torch" not in sys.modules
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"trials": done, "seconds": seconds, "peak_bytes": peak}))


def measure(what: str, folder: Path, other: Path | None = None) -> dict[str, float]:
    """Median of several processes, of this checkout or of another one."""
    from report import environment  # not in the time of a child

    program = [sys.executable, __file__]
    if other is not None:
        program = [str(other / ".venv/bin/python"), str(other / "benchmarks/scale.py")]
    command = [*program, "--child", what, "--folder", str(folder)]
    runs = [json.loads(subprocess.check_output(command, env=environment())) for _ in range(REPEATS)]
    return {name: statistics.median(run[name] for run in runs) for name in runs[0]}


def fill_ledger(folder: Path) -> None:
    """A finished run for every trial of the grid."""
    from mnist_arch.runs.result import Result
    from mnist_arch.spec.experiment import Verdicts
    from mnist_arch.sweeps.ledger import Ledger
    from mnist_arch.sweeps.loading import load_sweep
    from mnist_arch.sweeps.planning import plan_sweep

    plan = plan_sweep(load_sweep(folder / "grid.yaml"), dataset="mnist")
    ledger = Ledger(folder / "ledger")
    for number, trial in enumerate(plan.trials()):
        run = ledger.run(trial)
        run.folder.mkdir(parents=True)
        mistakes = [(number * 7919 + step * 97) % 5_000 for step in range(40 + number % 17)]
        correct = 5_000 - len(mistakes)
        result = Result(
            name=trial.arm.name,
            digest=trial.digest,
            seed=trial.seed,
            dataset="mnist",
            split="validation",
            correct=correct,
            images=5_000,
            accuracy_percent=correct / 50,
            interval_percent=(98.0, 99.5),
            loss=0.03,
            best_epoch=19,
            best_accuracy_percent=correct / 50,
            mistakes=sorted(mistakes),
            parameters=trial.arm.parameters,
            macs=trial.arm.macs,
            epochs=19,
            seconds=600.0,
            command_seconds=600.0,
            verdicts=Verdicts(parameters="kept", epochs="kept", accuracy="none"),
        )
        run.result_path.write_text(result.json_text())
        ledger.started(trial)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--out", type=Path)
    options.add_argument("--child", choices=("plan", "read"))
    options.add_argument("--folder", type=Path)
    options.add_argument(
        "--other", type=Path, help="another checkout, with a .venv, to plan beside"
    )
    arguments = options.parse_args()
    if arguments.child:
        child(arguments.child, arguments.folder)
        return
    from report import origin, publish, table  # not in the time of a child

    rows: dict[str, list[dict[str, float]]] = {"plan": [], "read": []}
    for size in SIZES:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            (folder / "grid.yaml").write_text(sweep_text(size, seeds=1))
            rows["plan"].append(measure("plan", folder))
            if arguments.other:
                rows.setdefault("plan, other", []).append(measure("plan", folder, arguments.other))
    for size in SIZES[1:]:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            arms = size // SEEDS_OF_LEDGER
            (folder / "grid.yaml").write_text(sweep_text(arms, seeds=SEEDS_OF_LEDGER))
            fill_ledger(folder)
            rows["read"].append(measure("read", folder))
    cells = [
        [f"{what}, {it['trials']:,.0f}", f"{it['seconds']:.2f}", f"{it['peak_bytes'] / 1e6:.0f}"]
        for what, found in rows.items()
        for it in found
    ]
    report = {**origin(), "repeats": REPEATS, **rows}
    publish(table(("trials", "seconds", "peak MB"), cells), report, arguments.out)


if __name__ == "__main__":
    main()
