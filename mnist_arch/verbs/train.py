"""Training one experiment with one seed or several, whoever asks for it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from mnist_arch.counting import budget
from mnist_arch.counting.counted import CountedExperiment
from mnist_arch.data.catalog import INFO, SPLITS, DatasetName, DatasetSplit
from mnist_arch.data.folders import check_named_folder, reading_ahead
from mnist_arch.errors import RuleMissed, RunError, StorageError
from mnist_arch.files import check_folder, make_folder
from mnist_arch.machine.cpus import Watch
from mnist_arch.machine.memory import room_under_limits
from mnist_arch.runs.folder import Run, read_manifest
from mnist_arch.runs.resolve import find_run, find_spec, with_own_teacher
from mnist_arch.runs.result import Result
from mnist_arch.runs.score import Score
from mnist_arch.runs.teachers import PLACE, Teachers, check_named_apart, macs_in_step
from mnist_arch.runs.tensorboard import need_tensorboard, with_tensorboard
from mnist_arch.spec.experiment import Verdicts
from mnist_arch.spec.loading import Loaded, check_dataset
from mnist_arch.spec.overrides import Override
from mnist_arch.training.engine import Device, Engine, EngineName, StepKind
from mnist_arch.training.events import LogName
from mnist_arch.training.memory import check_memory, training_bytes
from mnist_arch.training.thread_choice import ThreadChoice
from mnist_arch.training.work import Work
from mnist_arch.verbs.datasets import noting_new_folder
from mnist_arch.verbs.display import Caller, FewerThreads, KeepsItsEngine, TrainDisplay

if TYPE_CHECKING:
    from mnist_arch.data.catalog import SplitName
    from mnist_arch.runs.events import RunEvent
    from mnist_arch.runs.images import RunImages
    from mnist_arch.training.engine_choice import Choice


@dataclass(frozen=True)
class TrainRequest:
    """What is to be trained, however it was asked for."""

    loaded: Loaded
    seeds: tuple[int, ...]
    device: str
    """`auto`, or one that is meant."""
    parent: Path
    """Folder of the run's folder."""
    wanted: EngineName = "auto"
    threads: int | None = None
    engine: Engine | None = None
    """Of a run that is resumed or is repeated; else it is chosen."""
    run: Run | None = None
    """The run that is resumed."""
    data_sha256: str | None = None
    """Of the images of a run that is repeated."""
    data_dir: Path | None = None
    again: bool = False
    require: bool = False
    log: LogName | None = None
    teachers: Teachers = field(default_factory=lambda: Teachers(Path()))
    """Where the teacher of a run that begins is found."""

    @classmethod
    def of(
        cls,
        spec: str | None,
        *,
        parent: Path,
        runs: Path,
        overrides: Sequence[Override] = (),
        seed: int | None = None,
        seeds: int | None = None,
        device: str = "auto",
        engine: EngineName = "auto",
        threads: int | None = None,
        resume: str | None = None,
        from_manifest: Path | None = None,
        **more: Any,
    ) -> Self:
        """A run to resume, a manifest to repeat, or else a spec, `s6` unless given.

        Raises SpecError, RunError and StorageError.
        """
        if resume is not None:
            request = cls.to_resume(find_run(resume, runs=runs))
        elif from_manifest is not None:
            request = cls.to_repeat(from_manifest, device=device, parent=parent)
        else:
            loaded = find_spec(spec or "s6", runs=runs, overrides=overrides)
            numbers = (seed or 0,) if seeds is None else tuple(range(seeds))
            request = cls(loaded, numbers, device, parent, engine, threads)
        if resume is None:
            check_named_apart(request.loaded)
            teachers = Teachers(runs)
            request = replace(request, loaded=teachers.known(request.loaded), teachers=teachers)
        return replace(request, **more)

    @classmethod
    def to_resume(cls, run: Run) -> Self:
        """Everything as the manifest of the run has it. Raises RunError and StorageError."""
        manifest = run.manifest()
        return cls(
            manifest.loaded,
            (manifest.seed,),
            manifest.engine.device,
            run.folder.parent,
            engine=manifest.engine,
            run=run,
        )

    @classmethod
    def to_repeat(cls, path: Path, *, device: str, parent: Path) -> Self:
        """The experiment, seed and engine of a manifest, in a folder of its own in `parent`.

        Raises RunError and StorageError.
        """
        manifest = read_manifest(path)
        return cls(
            with_own_teacher(manifest.loaded, path),
            (manifest.seed,),
            device,
            parent,
            engine=manifest.engine,
            data_sha256=manifest.data_sha256,
        )

    def runs(self, counted: CountedExperiment) -> list[Run]:
        """Of every seed, whose dataset is known."""
        if self.run is not None:
            return [self.run]
        return [Run(self.parent / counted.folder_name(seed)) for seed in self.seeds]

    def is_finished(self, run: Run) -> bool:
        """Whether there is nothing to train in its folder."""
        return not self.again and run.is_finished


@dataclass(frozen=True)
class TrainedRun:
    """A run that is finished."""

    run: Run
    result: Result


def refuse(request: TrainRequest, counted: CountedExperiment, *, auto: DatasetName) -> None:
    """Raises whatever is wrong before an image is read, where `auto` is that dataset.

    A dry run and the run ask here, so that they refuse the same.
    """
    if request.log is not None:
        need_tensorboard()
    if counted.experiment.dataset == "auto":
        counted = counted.with_dataset(auto)
    budget.check(counted.experiment, counted.plan)
    check_dataset(replace(request.loaded, experiment=counted.experiment))
    for seed in request.seeds:
        counted.for_seed(seed)
    check_named_folder(counted.experiment.resolved_dataset, request.data_dir)
    left = [run for run in request.runs(counted) if not request.is_finished(run)]
    if request.run is None and any(request.again or run.is_new for run in left):
        origin = request.loaded.near(PLACE)
        request.teachers.check(counted.experiment, origin=origin)
    if left and request.require:
        budget.check_verdict(counted.experiment)
    if left:
        _check_memory(request, counted)
    for run in left:
        check_folder(run.folder)


def _check_memory(request: TrainRequest, counted: CountedExperiment) -> None:
    """Raises OutOfMemory where a limit leaves less than a training needs."""
    batch_bytes = 0
    if request.device in ("auto", "cpu"):
        experiment = counted.experiment
        images = INFO[experiment.resolved_dataset].train_images
        batch = min(experiment.recipe.batch_size, images)
        batch_bytes = counted.plan.activation_bytes * batch
    check_memory(training_bytes(batch_bytes), room_under_limits(), what="a training")


def train(
    request: TrainRequest, counted: CountedExperiment, *, display: TrainDisplay, caller: Caller
) -> list[TrainedRun]:
    """Trains every seed, or resumes it, and returns the results; the images are read once.

    Where all runs are finished, no image is read. Raises what `refuse` does before anything else.
    """
    refuse(request, counted, auto="mnist")  # unless it is not available
    if (finished := _all_finished(request, counted)) is not None:
        _warn_of_earlier_sample(finished, display)
        return _show_finished(request, finished, display)
    watch = Watch()  # of what others do while much is imported
    splits: tuple[DatasetSplit, ...] = ("train",) if counted.experiment.holdout else SPLITS
    with (
        noting_new_folder(request.data_dir, display.note),
        display.loading(),
        reading_ahead(counted.experiment.dataset, splits, request.data_dir),
    ):
        from mnist_arch.data.load import resolve_dataset
        from mnist_arch.runs.images import read_images
        from mnist_arch.training.engine_choice import resolve_device

        kept = None if request.engine is None else request.engine.device
        device = resolve_device(request.device, rather=kept)
        resolved = resolve_dataset(counted.experiment.dataset, data_dir=request.data_dir)
        if resolved.reason:  # `auto` is not MNIST
            refuse(request, counted, auto=resolved.name)
        counted = counted.with_dataset(resolved.name)
        first = counted.for_seed(request.seeds[0])
        images = read_images(first.experiment, data_dir=request.data_dir, device=device)
    if resolved.reason:
        display.fell_back(resolved.reason)
    else:
        _warn_of_earlier_sample(counted, display)
    if request.data_sha256 not in (None, images.sha256):
        hint = "name the folder that has them with data_dir="
        raise RunError("the images found here are not those of the manifest", hint=hint)
    make_folder(request.parent)
    engine = _engine(request, counted, device, len(images.training), watch, display)
    return _train_all(request, counted, images, engine, display, caller)


def keep_score(score: Score, parent: Path) -> tuple[Path | None, StorageError | None]:
    """Writes the result of several seeds beside their runs.

    Returns the file, or why there is none: a note or an error for later, when the numbers are
    shown.
    """
    try:
        return score.write(parent), None
    except StorageError as error:
        return None, error


def check_kept(verdicts: Verdicts) -> None:
    """Raises RuleMissed unless every rule is kept."""
    rules = verdicts.model_dump().items()
    missed = [f"{rule}: {verdict}" for rule, verdict in rules if verdict != "kept"]
    if missed:
        raise RuleMissed(f"not every rule is kept ({', '.join(missed)})")


def _warn_of_earlier_sample(counted: CountedExperiment, display: TrainDisplay) -> None:
    if counted.fell_back:
        way_out = "start another run, where MNIST is"
        display.fell_back("MNIST was not available where the run was started", way_out=way_out)


def _all_finished(request: TrainRequest, counted: CountedExperiment) -> CountedExperiment | None:
    """With its dataset, where every run is finished; `auto` is MNIST where its runs are."""
    if counted.experiment.dataset == "auto":
        counted = counted.with_dataset("mnist")
    for run in request.runs(counted):
        if not request.is_finished(run) or run.is_new:
            return None
        if request.data_sha256 not in (None, run.manifest().data_sha256):
            return None
    return counted


def _show_finished(
    request: TrainRequest, counted: CountedExperiment, display: TrainDisplay
) -> list[TrainedRun]:
    from mnist_arch.runs.finished import show_finished

    runs, found = request.runs(counted), []
    for number, (seed, run) in enumerate(zip(request.seeds, runs, strict=True), start=1):
        _note_what_is_kept(request, run, display)
        split: SplitName = "validation" if counted.experiment.holdout else "test"
        result = display.follow(
            _logged(request, show_finished(counted, run=run, seed=seed), split),
            counted.experiment,
            seed=seed,
            split=split,
            turn=(number, len(runs)),
        )
        found.append(TrainedRun(run, result))
    return found


def _train_all(
    request: TrainRequest,
    counted: CountedExperiment,
    images: RunImages,
    engine: Engine,
    display: TrainDisplay,
    caller: Caller,
) -> list[TrainedRun]:
    """Trains what is left of every seed, what is new by `engine`."""
    from mnist_arch.runs.execute import run_experiment
    from mnist_arch.runs.images import read_images

    runs, found = request.runs(counted), []
    read = counted.for_seed(request.seeds[0]).experiment
    for number, (seed, run) in enumerate(zip(request.seeds, runs, strict=True), start=1):
        is_new, is_finished = request.again or run.is_new, request.is_finished(run)
        of_seed = counted.for_seed(seed)
        if of_seed.experiment.holdout != read.holdout and not is_finished:  # another fold
            read = of_seed.experiment
            images = read_images(read, data_dir=request.data_dir, device=engine.device)
        if not is_new:
            _note_what_is_kept(request, run, display)
        events = run_experiment(
            of_seed,
            images,
            run=run,
            seed=seed,
            engine=engine,
            command=caller.command,
            command_seconds=caller.seconds,
            again=request.again,
        )
        result = display.follow(
            _logged(request, events, images.split),
            counted.experiment,
            seed=seed,
            split=images.split,
            turn=(number, len(runs)),
        )
        found.append(TrainedRun(run, result))
        if not is_finished:  # the first that trains has the time of reading alone
            images = replace(images, seconds=0.0)
        if is_new:  # its steps may have turned out not to be compiled, nor are those of the others
            engine = run.manifest().engine
    return found


def _logged(
    request: TrainRequest, events: Iterator[RunEvent], split: SplitName
) -> Iterator[RunEvent]:
    """The events of a run, which are written as they come for what was asked for."""
    return events if request.log is None else with_tensorboard(events, split=split)


def _engine(
    request: TrainRequest,
    counted: CountedExperiment,
    device: Device,
    images: int,
    watch: Watch,
    display: TrainDisplay,
) -> Engine:
    """Of the runs that begin. A resumed run has its own, of which only threads may change."""
    from mnist_arch.training.engine_choice import kept_here

    runs = request.runs(counted)
    new = [run for run in runs if request.again or run.is_new]
    if new:  # now, since a run that is resumed sets its own threads
        work = Work.of(counted.plan, counted.experiment.recipe, images=images, runs=len(new))
        return _new_engine(request, counted, device, work, watch, display)
    begun = [run.manifest().engine for run in runs if not run.is_finished]
    native = [engine for engine in begun if engine.step == "native"]
    for engine in native:
        with display.choosing():
            choice = kept_here(engine)
        if choice is not None:  # else the run says why it cannot go on
            _note(choice, display)
    if request.threads is None and native:
        threads = _free_threads(request, "native", counted, watch, display)
        return Engine(device=device, threads=threads)
    return Engine(device=device, threads=request.threads or 1)


def _new_engine(
    request: TrainRequest,
    counted: CountedExperiment,
    device: Device,
    work: Work,
    watch: Watch,
    display: TrainDisplay,
) -> Engine:
    """For a run that begins: that of a manifest to repeat on its device, or else a chosen one."""
    from mnist_arch.training.engine_choice import choose_engine, kept_here

    kept = request.engine
    if kept is not None and kept.device == device:
        with display.choosing():
            repeated = kept_here(kept)
        if repeated is not None:
            _note(repeated, display)
            return repeated.engine
    threads = kept.threads if kept is not None and request.threads is None else request.threads
    guess = threads or _threads_for(request, "plain", counted, watch).threads
    with display.choosing():
        choice = choose_engine(device=device, threads=guess, wanted=request.wanted, work=work)
    _note(choice, display)
    if threads is None:
        threads = _free_threads(request, choice.engine.step, counted, watch, display)
    return choice.engine.model_copy(update={"threads": threads})


def _note(choice: Choice, display: TrainDisplay) -> None:
    if choice.note is not None:
        display.note(choice.note)


def _free_threads(
    request: TrainRequest,
    step: StepKind,
    counted: CountedExperiment,
    watch: Watch,
    display: TrainDisplay,
) -> int:
    """What the work is worth and others leave free; says where that is less than all."""
    choice = _threads_for(request, step, counted, watch)
    if choice.threads < choice.alone:
        display.note(FewerThreads(choice.threads, choice.alone))
    return choice.threads


def _threads_for(
    request: TrainRequest, step: StepKind, counted: CountedExperiment, watch: Watch
) -> ThreadChoice:
    from mnist_arch.training.engine_choice import threads_here

    recipe = counted.experiment.recipe
    teacher = None if request.run is not None else request.teachers.of(recipe)
    macs = macs_in_step(counted.plan.macs, teacher)
    return threads_here(macs=macs, batch=recipe.batch_size, watch=watch, step=step)


def _note_what_is_kept(request: TrainRequest, run: Run, display: TrainDisplay) -> None:
    """A run that is resumed keeps its engine, whatever is asked for now."""
    from mnist_arch.training.engine_choice import fulfils

    engine = run.manifest().engine
    if not fulfils(engine, request.wanted):
        steps = f"{engine.step} steps in {engine.precision}"
        display.note(KeepsItsEngine(run.folder, steps=steps))
    if engine.step != "native" and request.threads not in (None, engine.threads):
        display.note(KeepsItsEngine(run.folder, threads=engine.threads))
