"""`mnist-arch train`."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from mnist_arch.counting import budget
from mnist_arch.counting.counted import CountedExperiment, count
from mnist_arch.data.catalog import INFO, DatasetName
from mnist_arch.data.folders import check_named_folder
from mnist_arch.errors import RunError
from mnist_arch.files import check_folder, make_folder
from mnist_arch.machine.cpus import Watch
from mnist_arch.machine.memory import room_under_limits
from mnist_arch.runs.folder import Run, read_manifest, runs_folder
from mnist_arch.runs.resolve import find_run, find_spec
from mnist_arch.runs.result import Result
from mnist_arch.spec.loading import Loaded, check_dataset
from mnist_arch.spec.overrides import Override, override, parse_override
from mnist_arch.training import engine as records
from mnist_arch.training.engine import Engine
from mnist_arch.training.memory import check_memory, training_bytes
from mnist_arch.training.thread_choice import ThreadChoice
from mnist_arch.training.work import Work

from . import STARTED, command_line, errors, heavy_imports
from .consoles import answering
from .dataset_notes import noting_new_folder
from .dry_run import show_dry_run
from .options import (
    DataDir,
    DeviceChoice,
    DeviceOption,
    EngineChoice,
    EngineOption,
    Json,
    Out,
    ProgressChoice,
    ProgressOption,
    Quiet,
    Runs,
    Set,
    Threads,
    at_home,
    complete_dataset,
    complete_spec,
)
from .results import show_results
from .training_display import Display, make_display, threads_text, warn_of_sample

_CHOOSING = "choosing how steps run; native ones are built the first time, in half a minute"


@dataclass(frozen=True)
class TrainRequest:
    """What is to be trained, however it was asked for."""

    loaded: Loaded
    seeds: tuple[int, ...]
    device: DeviceChoice
    parent: Path
    """Folder of the run's folder."""
    wanted: EngineChoice = EngineChoice.AUTO
    threads: int | None = None
    engine: Engine | None = None
    """Of a run that goes on or is repeated; else it is chosen."""
    run: Run | None = None
    """The run that goes on."""
    data_sha256: str | None = None
    """Of the images of a run that is repeated."""
    data_dir: Path | None = None
    again: bool = False
    require: bool = False

    def runs(self, counted: CountedExperiment) -> list[Run]:
        """Of every seed, whose dataset is known."""
        if self.run is not None:
            return [self.run]
        return [Run(self.parent / counted.folder_name(seed)) for seed in self.seeds]


def train(
    spec: Annotated[
        str | None,
        typer.Argument(
            metavar="SPEC",
            help="Name in the zoo or of a run, or path of a YAML file or a run; s6 unless given.",
            autocompletion=complete_spec,
        ),
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Epochs; the spec's unless given.")] = None,
    seed: Annotated[
        int | None, typer.Option(help="Seed of the run; 0 unless given.", min=0, max=2**32 - 1)
    ] = None,
    seeds: Annotated[
        int | None,
        typer.Option(metavar="N", help="Train the seeds 0 to N-1, one after the other.", min=1),
    ] = None,
    dataset: Annotated[
        str | None,
        typer.Option(
            help="Dataset; the spec's unless given. auto is MNIST where it can be had.",
            autocompletion=complete_dataset,
        ),
    ] = None,
    data_dir: DataDir = None,
    holdout: Annotated[
        int | None,
        typer.Option(
            metavar="N", help="Hold out N training images and judge on them; test is not read."
        ),
    ] = None,
    device: DeviceOption = DeviceChoice.AUTO,
    engine: EngineOption = EngineChoice.AUTO,
    threads: Threads = None,
    out: Out = None,
    runs: Runs = None,
    resume: Annotated[
        str | None,
        typer.Option(metavar="RUN", help="Go on with a run: its folder, its name, or latest."),
    ] = None,
    from_manifest: Annotated[
        Path | None,
        typer.Option(
            callback=at_home, help="Repeat the run of a manifest.json, in a folder of its own."
        ),
    ] = None,
    again: Annotated[
        bool, typer.Option("--again", help="Start anew; the old folder is kept aside.")
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Print the resolved experiment with the origin of every value."
        ),
    ] = False,
    require: Annotated[
        bool,
        typer.Option("--require", help="Exit with 1 where a rule is missed or has no verdict."),
    ] = False,
    set_: Set = None,
    progress: ProgressOption = ProgressChoice.AUTO,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Train a network and judge its final epoch.

    The rules of the budget are enforced first. The same command again goes on
    with an unfinished run, and shows the result of a finished one.

    Examples:

      mnist-arch train --epochs 19

      mnist-arch train mine.yaml --seeds 5 --require

      mnist-arch train --holdout 5000 --set recipe.schedule.peak=0.2

      mnist-arch train --resume latest
    """
    flags = {"--epochs": epochs, "--dataset": dataset, "--holdout": holdout}
    given = {"a SPEC": spec, **flags, "--seed": seed, "--seeds": seeds, "--set": set_ or None}
    settled = {
        **given,
        "--from-manifest": from_manifest,
        "--again": again or None,
        "--device": None if device is DeviceChoice.AUTO else device,
    }
    chosen = {"--engine": None if engine is EngineChoice.AUTO else engine, "--threads": threads}
    _exclude("--resume", resume, {**settled, **chosen, "--out": out})
    _exclude("--from-manifest", from_manifest, {**given, **chosen})
    _exclude("--seeds", seeds, {"--seed": seed})
    found_in, parent = runs_folder(runs), runs_folder(out)
    if resume is not None:
        request = _resumed(find_run(resume, runs=found_in))
    elif from_manifest is not None:
        request = _repeated(from_manifest, device, parent)
    else:
        overrides = [*map(parse_override, set_ or ()), *_from_flags(flags)]
        loaded = find_spec("s6" if spec is None else spec, runs=found_in, overrides=overrides)
        numbers = (seed or 0,) if seeds is None else tuple(range(seeds))
        request = TrainRequest(loaded, numbers, device, parent, engine, threads)
    request = replace(request, data_dir=data_dir, again=again, require=require)
    counted = count(request.loaded)
    show = partial(
        show_dry_run,
        request.loaded,
        counted.plan,
        seeds=request.seeds,
        data_dir=data_dir,
        as_json=as_json,
    )
    if dry_run and not as_json:  # for which stdout is empty where there is an error
        show()
    _refuse(request, counted, "mnist")
    if dry_run:
        if as_json:
            show()
        return
    display = make_display(quiet=quiet, progress=progress, as_json=as_json)
    results, folders = _train_all(request, counted, display=display)
    where = f"the result is kept in {folders[0] if seeds is None else folders[0].parent}"
    with answering(where):
        kept = show_results(
            results,
            request.loaded.experiment,
            folders,
            as_json=as_json,
            as_score=seeds is not None,
            note=display.note,
        )
    if require and not kept:
        raise typer.Exit(errors.ANSWER_IS_NO)


def _refuse(request: TrainRequest, counted: CountedExperiment, auto: DatasetName) -> None:
    """Raises whatever is wrong before an image is read, where `auto` is that dataset.

    The dry run and the run ask here, so that they refuse the same.
    """
    if counted.experiment.dataset == "auto":
        counted = counted.with_dataset(auto)
    budget.check(counted.experiment, counted.plan)
    check_dataset(replace(request.loaded, experiment=counted.experiment))
    check_named_folder(counted.experiment.resolved_dataset, request.data_dir)
    runs = request.runs(counted)
    left = runs if request.again else [run for run in runs if not run.is_finished]
    if left and request.require:
        budget.check_verdict(counted.experiment)
    if left:
        _check_memory(request, counted)
    for run in left:
        check_folder(run.folder)


def _check_memory(request: TrainRequest, counted: CountedExperiment) -> None:
    """Raises OutOfMemory where a limit leaves less than a training needs."""
    batch_bytes = 0
    if request.device in (DeviceChoice.AUTO, DeviceChoice.CPU):
        experiment = counted.experiment
        images = INFO[experiment.resolved_dataset].train_images
        batch = min(experiment.recipe.batch_size, images)
        batch_bytes = counted.plan.activation_bytes * batch
    check_memory(training_bytes(batch_bytes), room_under_limits(), what="a training")


def _exclude(option: str, value: object, others: Mapping[str, object]) -> None:
    """Refuses options that say the same thing twice."""
    clashing = [name for name, other in others.items() if other is not None]
    if value is not None and clashing:
        raise typer.BadParameter(f"{option} excludes {', '.join(clashing)}")


def _from_flags(flags: Mapping[str, object]) -> list[Override]:
    paths = {"--epochs": "recipe.epochs", "--dataset": "dataset", "--holdout": "holdout"}
    return [
        override(paths[flag], value, origin=flag)
        for flag, value in flags.items()
        if value is not None
    ]


def _resumed(run: Run) -> TrainRequest:
    """Everything as the manifest of the run has it."""
    manifest = run.manifest()
    engine = manifest.engine
    return TrainRequest(
        manifest.loaded,
        (manifest.seed,),
        DeviceChoice(engine.device),
        run.folder.parent,
        engine=engine,
        run=run,
    )


def _repeated(path: Path, device: DeviceChoice, parent: Path) -> TrainRequest:
    """The experiment, seed and engine of a manifest, in a folder of its own."""
    manifest = read_manifest(path)
    return TrainRequest(
        manifest.loaded,
        (manifest.seed,),
        device,
        parent,
        engine=manifest.engine,
        data_sha256=manifest.data_sha256,
    )


def _train_all(
    request: TrainRequest,
    counted: CountedExperiment,
    *,
    display: Display,
) -> tuple[list[Result], list[Path]]:
    """Trains every seed, and returns the results with their folders; the images are read once."""
    watch = Watch()  # of what others do while much is imported
    with (
        noting_new_folder(request.data_dir, display.note),
        display.waiting("loading torch and the images"),
        heavy_imports(),
    ):
        from mnist_arch.data.load import resolve_dataset
        from mnist_arch.runs.execute import run_experiment
        from mnist_arch.runs.images import read_images
        from mnist_arch.training.engine_choice import resolve_device

        kept = None if request.engine is None else request.engine.device
        device = resolve_device(request.device, rather=kept)
        resolved = resolve_dataset(counted.experiment.dataset, data_dir=request.data_dir)
        _refuse(request, counted, resolved.name)
        counted = counted.with_dataset(resolved.name)
        images = read_images(counted.experiment, data_dir=request.data_dir, device=device)
    if resolved.reason:
        warn_of_sample(resolved.reason)
    elif counted.fell_back:
        way_out = "start another run, where MNIST is"
        warn_of_sample("MNIST could not be had where the run was started", way_out=way_out)
    if request.data_sha256 not in (None, images.sha256):
        hint = "name the folder that has them with --data-dir"
        raise RunError("the images found here are not those of the manifest", hint=hint)
    make_folder(request.parent)
    runs, again = request.runs(counted), request.again
    begun = [run.manifest().engine for run in runs if not (again or run.is_new or run.is_finished)]
    count = sum(again or run.is_new for run in runs)
    new = Engine(device=device, threads=request.threads or 1)
    if count:  # now, since a run that goes on sets its own threads
        work = Work.of(
            counted.plan,
            counted.experiment.recipe,
            images=len(images.training),
            runs=count,
        )
        new = _new_engine(request, counted, device, work, watch=watch, display=display)
    elif request.threads is None and any(engine.step == "native" for engine in begun):
        new = Engine(device=device, threads=_free_threads("native", counted, watch, display))
    results = []
    for number, (seed, run) in enumerate(zip(request.seeds, runs, strict=True), start=1):
        is_new = again or run.is_new
        is_finished = not again and run.is_finished
        if not is_new:
            _say_what_is_kept(request, run, display)
        events = run_experiment(
            counted,
            images,
            run=run,
            seed=seed,
            engine=new,
            command=command_line(),
            command_seconds=lambda: time.perf_counter() - STARTED,
            again=again,
        )
        turn = number, len(request.seeds)
        result = display.follow(
            events, counted.experiment, seed=seed, split=images.split, turn=turn
        )
        results.append(result)
        if not is_finished:  # the first that trains has the time of reading alone
            images = replace(images, seconds=0.0)
        if is_new:  # its steps may have turned out not to be compiled, nor are those of the others
            new = run.manifest().engine
    return results, [run.folder for run in runs]


def _new_engine(
    request: TrainRequest,
    counted: CountedExperiment,
    device: records.Device,
    work: Work,
    *,
    watch: Watch,
    display: Display,
) -> Engine:
    """For a run that begins: that of a manifest to repeat on its device, or else a chosen one."""
    from mnist_arch.training.engine_choice import choose_engine, runs_here

    kept = request.engine
    with display.waiting(_CHOOSING):
        if kept is not None and kept.device == device and runs_here(kept):
            return kept
    threads = kept.threads if kept is not None and request.threads is None else request.threads
    guess = threads or _threads_for("plain", counted, watch).threads
    with display.waiting(_CHOOSING):
        choice = choose_engine(device=device, threads=guess, wanted=request.wanted.value, work=work)
    if choice.note is not None:
        display.note(choice.note)
    if threads is None:
        threads = _free_threads(choice.engine.step, counted, watch, display)
    return choice.engine.model_copy(update={"threads": threads})


def _free_threads(
    step: records.StepKind, counted: CountedExperiment, watch: Watch, display: Display
) -> int:
    """What the work is worth and others leave free; says where that is less than all."""
    choice = _threads_for(step, counted, watch)
    if choice.threads < choice.alone:
        display.note(
            f"{threads_text(choice.threads)} instead of {choice.alone}, since other programs are "
            f"at work; --threads {choice.alone} says otherwise"
        )
    return choice.threads


def _threads_for(step: records.StepKind, counted: CountedExperiment, watch: Watch) -> ThreadChoice:
    from mnist_arch.training.engine_choice import threads_here

    batch = counted.experiment.recipe.batch_size
    return threads_here(macs=counted.plan.macs, batch=batch, watch=watch, step=step)


def _say_what_is_kept(request: TrainRequest, run: Run, display: Display) -> None:
    """A run that goes on keeps its engine, whatever is asked for now."""
    from mnist_arch.training.engine_choice import fulfils

    engine = run.manifest().engine
    if not fulfils(engine, request.wanted.value):
        steps = f"{engine.step} steps in {engine.precision}"
        display.note(f"{run.folder} keeps its {steps}; --again would start it anew")
    if engine.step != "native" and request.threads not in (None, engine.threads):
        kept = threads_text(engine.threads)
        display.note(f"{run.folder} keeps its {kept}; --again would start it anew")
