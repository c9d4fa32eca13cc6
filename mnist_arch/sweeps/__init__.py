"""Sweeps: many experiments, compared so that the comparison holds up.

    from pathlib import Path
    from mnist_arch.sweeps import Ledger, board_of, load_sweep, plan_sweep

    plan = plan_sweep(load_sweep(Path("experiments.yaml")), dataset="mnist")
    print(len(plan.trials()))
    print(board_of(plan, Ledger(Path("runs/experiments"))).standings[0])

Nothing here needs torch but what trains: `LocalExecutor` in `local`, `RayExecutor` in `cluster`.
"""

from mnist_arch.sweeps.leaderboard import board_of, leaderboard
from mnist_arch.sweeps.ledger import Ledger, TrialStatus
from mnist_arch.sweeps.loading import load_sweep
from mnist_arch.sweeps.planning import plan_sweep
from mnist_arch.sweeps.stages import run_sweep

__all__ = [
    "Ledger",
    "TrialStatus",
    "board_of",
    "leaderboard",
    "load_sweep",
    "plan_sweep",
    "run_sweep",
]
