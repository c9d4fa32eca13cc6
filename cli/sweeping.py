"""What `mnist-arch sweep` does, once its command line is understood."""

from __future__ import annotations

import contextlib
import math
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from mnist_arch.data.catalog import DatasetName
from mnist_arch.data.folders import check_named_folder
from mnist_arch.errors import BudgetExceeded, TrialsLost
from mnist_arch.files import check_folder, now
from mnist_arch.machine.memory import room_under_limits
from mnist_arch.runs.folder import runs_folder
from mnist_arch.sweeps.estimate import pace_so_far, plain_seconds
from mnist_arch.sweeps.execution.executor import Task, TrialEvent
from mnist_arch.sweeps.execution.worker_count import WorkerCount, check_room, choose_workers
from mnist_arch.sweeps.extras import need_optuna, need_ray
from mnist_arch.sweeps.leaderboard import board_of, draw_board, write_board
from mnist_arch.sweeps.ledger import Asked, Failure, Ledger, TrialStatus, log_path
from mnist_arch.sweeps.loading import Definition, load_sweep
from mnist_arch.sweeps.planning import Stage, SweepPlan, plan_sweep
from mnist_arch.sweeps.standings import Leaderboard
from mnist_arch.training.engine import Engine

from . import command_line, errors
from .consoles import answering
from .dataset_notes import dataset_now, noting_new_folder
from .options import DeviceChoice, ProgressChoice
from .sweep_board import show_board
from .sweep_display import SweepDisplay, make_sweep_display
from .sweep_plan import print_plan, workers_text
from .training_display import warn_of_sample

if TYPE_CHECKING:
    from mnist_arch.sweeps.execution.executor import Executor
    from mnist_arch.sweeps.stages import SearchEnded, StageBegan


_RUN_AGAIN = "run the sweep again, where MNIST is"

Lost = tuple[Task, Failure]
"""A trial that could not be trained, by no fault of its own."""


@dataclass(frozen=True)
class SweepRequest:
    """What was asked for on the command line."""

    file: Path
    workers: int | None
    on_ray: bool
    ray_address: str | None
    dataset: str | None
    epochs: int | None
    data_dir: Path | None
    device: DeviceChoice
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
    def device_wanted(self) -> str:
        """`auto`, or the one that was asked for, by an option or by the file."""
        gpus = self.definition.sweep.resources.gpus
        return "cuda" if gpus and self.device is DeviceChoice.AUTO else self.device.value

    def workers_on(self, device: str, plan: SweepPlan) -> WorkerCount:
        """Trials at a time on a device of this machine."""
        if self.workers is not None:
            return WorkerCount(self.workers)
        return choose_workers(plan, device=device, threads=self.threads)

    def command(self, *more: str) -> str:
        """What is asked for next of the same sweep."""
        given = {
            "--dataset": self.dataset,
            "--epochs": self.epochs,
            "--out": None if self.out == runs_folder(None) else self.out,
        }
        if "--show" not in more:
            given |= {
                "--workers": self.workers,
                "--executor": "ray" if self.on_ray else None,
                "--ray-address": self.ray_address,
                "--data-dir": self.data_dir,
                "--device": None if self.device is DeviceChoice.AUTO else self.device.value,
            }
        options = [
            text
            for option, value in given.items()
            if value is not None
            for text in (option, str(value))
        ]
        return shlex.join(["mnist-arch", "sweep", str(self.file), *options, *more])


def show_plan(request: SweepRequest) -> None:
    """Prints every arm, and how long all of it will take."""
    request.ledger.check_format()
    plan = _planned_now(request)
    workers = request.workers_on(request.device_wanted, plan)
    show = partial(print_plan, plan, request.ledger, workers=workers, as_json=request.as_json)
    if not request.as_json:  # for which stdout is empty where there is an error
        show()
    _refuse(request, plan)
    if request.as_json:
        show()


def show_again(request: SweepRequest) -> None:
    """Prints the leaderboard by what is in the ledger."""
    plan = _planned_as_last_time(request)
    if plan.fell_back:
        warn_of_sample("MNIST could not be had when the sweep was run", way_out=_RUN_AGAIN)
    board = board_of(plan, request.ledger, running=request.ledger.is_running())
    _show(board, plan, request)


def run(request: SweepRequest, *, quiet: bool, progress: ProgressChoice) -> None:
    """Runs what is left of the sweep and prints its leaderboard.

    Exits with 1 if a trial failed, with 70 if that is a bug. Raises TrialsLost where something else
    has kept trials from being trained, which says nothing about them.
    """
    silent = request.as_json or request.as_csv
    display = make_sweep_display(quiet=quiet, progress=progress, as_json=silent)
    ledger = request.ledger
    ledger.check_format()
    plan = _planned(request, "mnist")  # unless it cannot be had
    _refuse(request, plan)
    with _interruptible(), ledger.lock():
        plan, lost = _run(request, plan, display)
        board = board_of(plan, ledger)
        write_board(board, ledger.folder)
        _draw(board, ledger.folder, display)
    if lost:
        raise _trials_lost(lost)
    with answering(f"the leaderboard is kept in {ledger.folder}"):
        _show(board, plan, request)
    if board.exit_code is not None:
        raise typer.Exit(board.exit_code)


def _draw(board: Leaderboard, folder: Path, display: SweepDisplay) -> None:
    """The picture of a leaderboard, which is written: whatever is wrong costs no more than that."""
    try:
        draw_board(board, folder)
    except Exception as error:  # nor does this one cost the leaderboard
        display.note(f"there is no leaderboard.png: {error}; the same command tries again")


def _show(board: Leaderboard, plan: SweepPlan, request: SweepRequest) -> None:
    show_board(
        board,
        request.ledger.folder,
        of_another=_of_another(plan, request),
        next_command=_next(board, request),
        as_json=request.as_json,
        as_csv=request.as_csv,
    )


def _of_another(plan: SweepPlan, request: SweepRequest) -> str:
    """The file whose leaderboard is in the folder, where it is not the answer to this one."""
    asked = request.ledger.last_asked()
    return asked.source if asked is not None and asked.question != plan.question else ""


def _next(board: Leaderboard, request: SweepRequest) -> str:
    """The command that one is likely to want after a leaderboard."""
    if board.states.get(TrialStatus.RUNNING, 0):
        return request.command("--show")
    if board.states.get(TrialStatus.WAITING, 0):
        return request.command()
    if board.failed:
        return request.command("--retry-failed")
    if board.standings and (first := board.standings[0]).rank:
        folder = request.ledger.folder / (first.final or first.trials)[0].folder
        return shlex.join(["mnist-arch", "eval", str(folder)])
    return request.command("--show", "--csv")


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """On Ctrl-C says how to go on: what is not finished is not lost."""
    try:
        yield
    except KeyboardInterrupt:
        command = shlex.join(command_line())
        raise errors.Interrupted(hint=f"go on with the same command: {command}") from None


def _planned(request: SweepRequest, auto: DatasetName) -> SweepPlan:
    """The plan, where `auto` is that dataset."""
    name = request.definition.sweep.dataset
    return plan_sweep(request.definition, dataset=auto if name == "auto" else name)


def _planned_now(request: SweepRequest) -> SweepPlan:
    """The plan, where `auto` is what it comes to by what is on this machine.

    Raises SpecError where the data folder cannot be meant.
    """
    name = request.definition.sweep.dataset
    return _planned(request, dataset_now(name, request.data_dir))


def _planned_as_last_time(request: SweepRequest) -> SweepPlan:
    """The plan, where `auto` is what it came to last time, or else what it comes to now."""
    asked = request.ledger.asked()
    if asked is None or asked.auto is None:
        return _planned_now(request)
    return _planned(request, asked.auto)


def _run(
    request: SweepRequest, plan: SweepPlan, display: SweepDisplay
) -> tuple[SweepPlan, list[Lost]]:
    """Runs what is left of the sweep, whose lock is held; returns what the ledger has not kept."""
    definition, ledger = request.definition, request.ledger
    with (
        noting_new_folder(request.data_dir, display.note),
        display.waiting_for("loading torch and the images; native steps are built the first time"),
    ):
        from mnist_arch.data.load import resolve_dataset
        from mnist_arch.sweeps.stages import run_sweep

        resolved = resolve_dataset(definition.sweep.dataset, data_dir=request.data_dir)
        if resolved.name != plan.dataset:
            plan = _planned(request, resolved.name)
        executor = _executor(request, plan, display)
    if resolved.reason:
        warn_of_sample(resolved.reason)
    with executor:
        if executor.note is not None:
            display.note(executor.note)
        _ask(request, plan, executor.engine, display)
        pace = pace_so_far(plan, ledger, workers=max(1, executor.free))
        events = run_sweep(plan, ledger, executor, retry_failed=request.retry_failed)
        lost: list[Lost] = []
        display.follow(_noting(events, lost), pace)
    return plan, lost


def _ask(request: SweepRequest, plan: SweepPlan, engine: Engine, display: SweepDisplay) -> None:
    """Takes note of what is asked for, and says where the leaderboard of something else is now."""
    ledger, definition = request.ledger, request.definition
    before = ledger.last_asked()
    auto = plan.dataset if definition.sweep.dataset == "auto" else before and before.auto
    aside = ledger.ask(
        Asked(
            source=definition.source,
            dataset=plan.dataset,
            auto=auto,
            engine=engine,
            question=plan.question,
            command=command_line(),
            started=now(),
        )
    )
    if aside is None:
        return
    kept = f"the leaderboard of then is kept as {aside}"
    if before is not None and before.source == definition.source:
        display.note(f"{definition.source} asks for something else than last time; {kept}")
        return
    whose = "another file" if before is None else before.source
    display.note(
        f"the folder {ledger.folder} was last used by {whose}, which asks for something else; "
        f"{kept}; another `name:` in the file, or --out, gives each a folder of its own"
    )


def _noting(
    events: Iterator[StageBegan | TrialEvent | SearchEnded], lost: list[Lost]
) -> Iterator[StageBegan | TrialEvent | SearchEnded]:
    """Takes note of failures that the ledger does not keep, being none of the trial's."""
    for event in events:
        match event:
            case TrialEvent(what=Failure() as failure) if not failure.kind.is_of_the_trial:
                lost.append((event.task, failure))
        yield event


def _trials_lost(lost: Sequence[Lost]) -> TrialsLost:
    """What has kept trials from being trained, by the first of them."""
    (task, failure), count = lost[0], len(lost)
    trial = task.trial
    which = f"{trial.arm.name}, seed {trial.seed}"
    trials = f"1 trial could not be trained ({which})"
    if count > 1:
        trials = f"{count:,} trials could not be trained (the first: {which})"
    log = f"its log is {log_path(task.run)}"
    hint = "; ".join(filter(None, (failure.hint, log, "the same command tries again")))
    return TrialsLost(f"{trials}: {failure.reason}", kind=failure.kind, hint=hint)


def _refuse(request: SweepRequest, plan: SweepPlan) -> None:
    """Raises whatever is wrong before an image is read.

    The dry run and the run ask here, so that they refuse the same.
    """
    sweep = plan.definition.sweep
    if sweep.search is None and all(arm.rejected for arm in plan.arms):
        first = plan.arms[0]
        message = f"no arm of {sweep.name} is within the budget; {first.name}: {first.rejected}"
        raise BudgetExceeded(message, hint="--dry-run lists them all")
    if sweep.search is not None:
        need_optuna()
    if request.on_ray:
        need_ray()
    check_room(
        plan,
        room_under_limits(),
        device=request.device_wanted,
        programs=2 if request.on_ray else 1,
        trials=0 if request.ray_address else 1,
    )
    check_named_folder(plan.dataset, request.data_dir)
    check_folder(request.ledger.folder)


def _executor(request: SweepRequest, plan: SweepPlan, display: SweepDisplay) -> Executor:
    """What trains the trials. Raises DataUnavailable before any of them is begun."""
    from mnist_arch.runs.images import read_images
    from mnist_arch.sweeps.execution.local import LocalExecutor
    from mnist_arch.sweeps.execution.worker import Setting
    from mnist_arch.training.engine_choice import choose_sweep_engine, resolve_device

    kept = _engine_so_far(request.ledger)
    base = plan.arm_of("base", ())
    stages: tuple[Stage, ...] = ("ranking", "final")
    for stage in stages if plan.definition.sweep.finalists else stages[:1]:
        experiment = plan.loaded(base, stage).experiment
        read_images(experiment, data_dir=request.data_dir, device="cpu")
    if request.on_ray:
        from mnist_arch.sweeps.execution.ray_driver import Cluster, RayDriver

        cluster = Cluster(
            request.ray_address,
            request.definition.sweep.resources,
            request.data_dir,
            command_line(),
            kept=kept,
            plain_seconds=plain_seconds(plan, request.ledger, workers=1),
        )
        return RayDriver(cluster)
    device = resolve_device(request.device_wanted)
    count = request.workers_on(device, plan)
    if count.reason:
        display.note(f"{workers_text(count)}; --workers says otherwise")
    choice = choose_sweep_engine(
        device=device,
        threads=request.threads,
        plain_seconds=plain_seconds(plan, request.ledger, workers=count.workers),
        kept=kept,
    )
    setting = Setting(choice.engine, request.data_dir, command_line())
    return LocalExecutor(workers=count.workers, setting=setting, note=choice.note)


def _engine_so_far(ledger: Ledger) -> Engine | None:
    """Of the trials that were begun; plain, where that was not written down yet."""
    asked = ledger.last_asked()
    if asked is None:
        return None
    return asked.engine or Engine(device="cpu", threads=1)
