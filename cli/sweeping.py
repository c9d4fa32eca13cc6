"""What `mnist-arch sweep` does, once its command line is understood."""

from __future__ import annotations

import contextlib
import math
import shlex
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from cli import errors
from cli.options import Device
from cli.sweep_board import show_board
from cli.sweep_display import SweepDisplay, make_sweep_display
from cli.sweep_plan import print_plan
from cli.training_display import warn_of_sample
from mnist_arch.errors import BudgetExceeded
from mnist_arch.sweeps.definition import Definition, load_sweep
from mnist_arch.sweeps.executors import default_workers
from mnist_arch.sweeps.leaderboard import board_of, write_board
from mnist_arch.sweeps.ledger import Asked, Ledger, now
from mnist_arch.sweeps.planning import Planned, plan_sweep

if TYPE_CHECKING:
    from mnist_arch.sweeps.executors import Executor


@dataclass(frozen=True)
class Request:
    """What was asked for on the command line."""

    file: Path
    workers: int | None
    on_ray: bool
    ray_address: str | None
    dataset: str | None
    epochs: int | None
    data_dir: Path | None
    device: Device
    out: Path
    retry_failed: bool
    as_json: bool
    as_csv: bool

    @cached_property
    def definition(self) -> Definition:
        return load_sweep(self.file, dataset=self.dataset, epochs=self.epochs)

    @cached_property
    def ledger(self) -> Ledger:
        return Ledger(self.out / self.definition.sweep.name)

    @property
    def threads(self) -> int:
        """Of each trial."""
        return math.ceil(self.definition.sweep.resources.cpus)

    @property
    def workers_here(self) -> int:
        """Trials at a time on this machine."""
        return self.workers or max(1, default_workers(self.device.value) // self.threads)


def show_plan(request: Request) -> None:
    """Prints every arm, and how long all of it will take."""
    planned = _planned_without_data(request)
    print_plan(planned, request.ledger, workers=request.workers_here, as_json=request.as_json)


def show_again(request: Request) -> None:
    """Prints the leaderboard by what is in the ledger."""
    planned = _planned_without_data(request)
    board = board_of(planned, request.ledger, running=request.ledger.is_running())
    show_board(
        board, request.ledger.folder, request.file, as_json=request.as_json, as_csv=request.as_csv
    )


def run(request: Request, *, quiet: bool) -> None:
    """Runs what is left of the sweep and prints its leaderboard. Exits with 1 if a trial failed."""
    silent = request.as_json or request.as_csv
    display = make_sweep_display(quiet=quiet, as_json=silent)
    ledger = request.ledger
    with _interruptible(), ledger.lock():
        planned = _run(request, display)
        board = board_of(planned, ledger)
        write_board(board, ledger.folder)
    show_board(board, ledger.folder, request.file, as_json=request.as_json, as_csv=request.as_csv)
    if board.failed:
        raise typer.Exit(errors.ANSWER_IS_NO)


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """On Ctrl-C says how to go on: what is not finished is not lost."""
    try:
        yield
    except KeyboardInterrupt:
        command = shlex.join(_command())
        raise errors.Interrupted(hint=f"go on with the same command: {command}") from None


def _command() -> list[str]:
    return ["mnist-arch", *sys.argv[1:]]


def _planned_without_data(request: Request) -> Planned:
    """The plan without torch: `auto` is what it came to last time, or MNIST."""
    name = request.definition.sweep.dataset
    if name == "auto":
        asked = request.ledger.asked()
        name = "mnist" if asked is None else asked.dataset
    return plan_sweep(request.definition, dataset=name)


def _run(request: Request, display: SweepDisplay) -> Planned:
    """Runs what is left of the sweep; the lock of its folder is held."""
    definition, ledger = request.definition, request.ledger
    with display.waiting_for("loading torch and the images"):
        from mnist_arch.data import resolve_dataset
        from mnist_arch.sweeps.stages import run_sweep

        resolved = resolve_dataset(definition.sweep.dataset, data_dir=request.data_dir)
        planned = plan_sweep(definition, dataset=resolved.name)
        _refuse_if_nothing_fits(planned)
        executor = _executor(request, planned)
    if resolved.reason:
        warn_of_sample(resolved.reason)
    ledger.ask(
        Asked(source=definition.source, dataset=resolved.name, command=_command(), started=now())
    )
    with executor:
        events = run_sweep(planned, ledger, executor, retry_failed=request.retry_failed)
        display.follow(events, planned, workers=request.workers_here)
    return planned


def _refuse_if_nothing_fits(planned: Planned) -> None:
    sweep = planned.definition.sweep
    if sweep.search is None and all(arm.rejected for arm in planned.arms):
        first = planned.arms[0]
        message = f"no arm of {sweep.name} is within the budget; {first.name}: {first.rejected}"
        raise BudgetExceeded(message, hint="--dry-run lists them all")


def _executor(request: Request, planned: Planned) -> Executor:
    """What trains the trials. Raises DataUnavailable before any of them is begun."""
    from mnist_arch.records import Engine
    from mnist_arch.running import read_material, resolve_device
    from mnist_arch.sweeps.local import LocalExecutor
    from mnist_arch.sweeps.worker import Setting

    gpus, device = request.definition.sweep.resources.gpus, request.device.value
    engine = Engine(
        device=resolve_device("cuda" if gpus and device == "auto" else device),
        threads=request.threads,
    )
    base = planned.loaded(planned.arm_of("base", ()), "ranking").experiment
    read_material(base, data_dir=request.data_dir, device="cpu")
    setting = Setting(engine, request.data_dir, _command())
    return LocalExecutor(workers=request.workers_here, setting=setting)
