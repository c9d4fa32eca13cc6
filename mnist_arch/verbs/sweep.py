"""Running a sweep, or looking at one, whoever asks for it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from mnist_arch.data.catalog import DatasetName
from mnist_arch.data.folders import check_named_folder
from mnist_arch.errors import BudgetExceeded, TrialsLost
from mnist_arch.files import check_folder, now, shown
from mnist_arch.machine.memory import room_under_limits
from mnist_arch.sweeps.estimate import pace_so_far, plain_seconds
from mnist_arch.sweeps.execution.executor import Task, TrialEvent
from mnist_arch.sweeps.execution.worker_count import WorkerCount, check_room, choose_workers
from mnist_arch.sweeps.extras import need_optuna, need_ray
from mnist_arch.sweeps.leaderboard import board_of, draw_board, write_board
from mnist_arch.sweeps.ledger import Asked, Failure, Ledger, log_path
from mnist_arch.sweeps.loading import Definition, load_sweep
from mnist_arch.sweeps.planning import Stage, SweepPlan, plan_sweep
from mnist_arch.sweeps.standings import Leaderboard
from mnist_arch.training.engine import Engine
from mnist_arch.verbs.datasets import dataset_now, noting_new_folder
from mnist_arch.verbs.display import BoardPutAside, Caller, Display, FewerWorkers, SweepDisplay

if TYPE_CHECKING:
    from mnist_arch.sweeps.execution.executor import Executor
    from mnist_arch.verbs.display import SweepEvent


Lost = tuple[Task, Failure]
"""A trial that could not be trained, by no fault of its own."""


@dataclass(frozen=True)
class SweepRequest:
    """A sweep's file, and what stands above it, however it was asked for."""

    file: Path
    parent: Path
    """Folder of the sweep's folder."""
    workers: int | None = None
    on_ray: bool = False
    ray_address: str | None = None
    dataset: str | None = None
    epochs: int | None = None
    origins: Mapping[str, str] = field(default_factory=dict)
    """Where these two were given, if it was not in Python."""
    data_dir: Path | None = None
    device: str = "auto"
    """`auto`, or one that is meant."""
    retry_failed: bool = False

    @cached_property
    def definition(self) -> Definition:
        """Raises SpecError with every problem of the file."""
        return load_sweep(
            self.file,
            dataset=self.dataset,
            epochs=self.epochs,
            origins=self.origins,
            runs=self.parent,
        )

    @cached_property
    def ledger(self) -> Ledger:
        return Ledger(self.parent / self.definition.sweep.name)

    @property
    def threads(self) -> int:
        """Of each trial."""
        return math.ceil(self.definition.sweep.resources.cpus)

    @property
    def device_wanted(self) -> str:
        """`auto`, or the one that was asked for, by who asks or by the file."""
        gpus = self.definition.sweep.resources.gpus
        return "cuda" if gpus and self.device == "auto" else self.device

    def workers_on(self, device: str, plan: SweepPlan) -> WorkerCount:
        """Trials at a time on a device of this machine."""
        if self.workers is not None:
            return WorkerCount(self.workers)
        return choose_workers(plan, device=device, threads=self.threads)

    def plan(self, *, auto: DatasetName) -> SweepPlan:
        """The plan, where `auto` is that dataset."""
        name = self.definition.sweep.dataset
        return plan_sweep(self.definition, dataset=auto if name == "auto" else name)

    def plan_now(self) -> SweepPlan:
        """The plan, where `auto` is what it means by what is on this machine.

        Raises SpecError where the data folder cannot be meant.
        """
        name = self.definition.sweep.dataset
        return self.plan(auto=dataset_now(name, self.data_dir))

    def plan_as_last_time(self) -> SweepPlan:
        """The plan, where `auto` is what it was last time, or else what it means now."""
        asked = self.ledger.asked()
        if asked is None or asked.auto is None:
            return self.plan_now()
        return self.plan(auto=asked.auto)


@dataclass(frozen=True)
class SweepAnswer:
    """What a sweep has answered so far, and the plan that it answers."""

    plan: SweepPlan
    board: Leaderboard


def refuse(request: SweepRequest, plan: SweepPlan) -> None:
    """Raises whatever is wrong before an image is read.

    A dry run and the run ask here, so that they refuse the same.
    """
    sweep = plan.definition.sweep
    if sweep.search is None and all(arm.rejected for arm in plan.arms):
        first = plan.arms[0]
        message = f"no arm of {sweep.name} is within the budget; {first.name}: {first.rejected}"
        raise BudgetExceeded(message, hint="show=True lists them all")
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


def look(request: SweepRequest, *, display: Display) -> SweepAnswer:
    """The leaderboard by what is in the ledger, also while another process works on it."""
    plan = request.plan_as_last_time()
    if plan.fell_back:
        way_out = "run the sweep again, where MNIST is"
        display.fell_back("MNIST was not available when the sweep was run", way_out=way_out)
    return SweepAnswer(plan, board_of(plan, request.ledger, running=request.ledger.is_running()))


def sweep(request: SweepRequest, *, display: SweepDisplay, caller: Caller) -> SweepAnswer:
    """Runs what is left of the sweep, and writes its leaderboard.

    Raises TrialsLost, once that is written, where something else than a trial has kept trials from
    being trained, which says nothing about them.
    """
    ledger = request.ledger
    ledger.check_format()
    plan = request.plan(auto="mnist")  # unless it is not available
    refuse(request, plan)
    with ledger.lock():
        plan, lost = _run(request, plan, display, caller)
        board = board_of(plan, ledger)
        write_board(board, ledger.folder)
        _draw(board, ledger.folder, display)
    if lost:
        raise _trials_lost(lost)
    return SweepAnswer(plan, board)


def source_of_another(request: SweepRequest, plan: SweepPlan) -> str:
    """The file whose leaderboard is in the folder, where it is not the answer to this one."""
    asked = request.ledger.last_asked()
    return asked.source if asked is not None and asked.question != plan.question else ""


def _draw(board: Leaderboard, folder: Path, display: SweepDisplay) -> None:
    """The picture of a leaderboard, which is written: whatever is wrong costs no more than that."""
    try:
        draw_board(board, folder)
    except Exception as error:  # nor does this one cost the leaderboard
        display.note(f"there is no leaderboard.png: {error}; the same command tries again")


def _run(
    request: SweepRequest, plan: SweepPlan, display: SweepDisplay, caller: Caller
) -> tuple[SweepPlan, list[Lost]]:
    """Runs what is left of the sweep, whose lock is held; returns what the ledger has not kept."""
    definition, ledger = request.definition, request.ledger
    with noting_new_folder(request.data_dir, display.note), display.loading():
        from mnist_arch.data.load import resolve_dataset
        from mnist_arch.sweeps.stages import run_sweep

        resolved = resolve_dataset(definition.sweep.dataset, data_dir=request.data_dir)
        if resolved.name != plan.dataset:
            plan = request.plan(auto=resolved.name)
        executor = _executor(request, plan, display, caller)
    if resolved.reason:
        display.fell_back(resolved.reason)
    with executor:
        if executor.note is not None:
            display.note(executor.note)
        _ask(request, plan, executor.engine, display, caller)
        pace = pace_so_far(plan, ledger, workers=max(1, executor.free))
        events = run_sweep(plan, ledger, executor, retry_failed=request.retry_failed)
        lost: list[Lost] = []
        display.follow(_noting(events, lost), pace)
        if taken := ledger.taken:
            trials = "1 trial was" if len(taken) == 1 else f"{len(taken):,} trials were"
            display.note(f"{trials} not trained: the run was there already, as {shown(taken[0])}")
    return plan, lost


def _ask(
    request: SweepRequest,
    plan: SweepPlan,
    engine: Engine,
    display: SweepDisplay,
    caller: Caller,
) -> None:
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
            command=caller.command,
            started=now(),
        )
    )
    if aside is not None:
        source = "" if before is None else before.source
        display.note(BoardPutAside(ledger.folder, aside, definition.source, source))


def _noting(events: Iterator[SweepEvent], lost: list[Lost]) -> Iterator[SweepEvent]:
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


def _executor(
    request: SweepRequest, plan: SweepPlan, display: SweepDisplay, caller: Caller
) -> Executor:
    """What trains the trials. Raises DataUnavailable before any of them is begun."""
    from mnist_arch.runs.images import read_images
    from mnist_arch.sweeps.execution.local import LocalExecutor
    from mnist_arch.sweeps.execution.worker import Setting
    from mnist_arch.training.engine_choice import choose_sweep_engine, resolve_device

    kept = _engine_so_far(request.ledger)
    stages: tuple[Stage, ...] = ("ranking", "final")
    for stage in stages if plan.definition.sweep.finalists else stages[:1]:
        read_images(plan.base_at(stage), data_dir=request.data_dir, device="cpu")
    if request.on_ray:
        from mnist_arch.sweeps.execution.ray_driver import Cluster, RayDriver

        cluster = Cluster(
            request.ray_address,
            request.definition.sweep.resources,
            request.data_dir,
            caller.command,
            kept=kept,
            plain_seconds=plain_seconds(plan, request.ledger, workers=1),
        )
        return RayDriver(cluster)
    device = resolve_device(request.device_wanted)
    count = request.workers_on(device, plan)
    if count.reason:
        display.note(FewerWorkers(count))
    choice = choose_sweep_engine(
        device=device,
        threads=request.threads,
        plain_seconds=plain_seconds(plan, request.ledger, workers=count.workers),
        kept=kept,
    )
    setting = Setting(choice.engine, request.data_dir, caller.command)
    return LocalExecutor(workers=count.workers, setting=setting, note=choice.note)


def _engine_so_far(ledger: Ledger) -> Engine | None:
    """Of the trials that were begun; plain, where that was not written down yet."""
    asked = ledger.last_asked()
    if asked is None:
        return None
    return asked.engine or Engine(device="cpu", threads=1)
