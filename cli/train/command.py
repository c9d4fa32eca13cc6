"""`mnist-arch train`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from mnist_arch.counting.counted import count
from mnist_arch.runs.folder import runs_folder
from mnist_arch.runs.manifest import MAX_SEED
from mnist_arch.spec.overrides import Override, override, parse_override
from mnist_arch.verbs.arguments import clash
from mnist_arch.verbs.train import TrainRequest, refuse
from mnist_arch.verbs.train import train as train_runs

from .. import caller, errors
from ..consoles import answering
from ..flags import as_flag
from ..options import (
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
    held_out,
    whole_number,
)
from .display import make_display
from .dry_run import show_dry_run
from .tables import show_results

Spec = Annotated[
    str | None,
    typer.Argument(
        metavar="SPEC",
        help="Name in the zoo or of a run, or path of a YAML file or a run; s6 unless given.",
        autocompletion=complete_spec,
    ),
]
Epochs = Annotated[
    int | None,
    typer.Option(metavar="N", help="Epochs; the spec's unless given.", parser=whole_number()),
]
Seed = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="Seed of the run; 0 unless given.",
        parser=whole_number(least=0, most=MAX_SEED),
    ),
]
Seeds = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="Train the seeds 0 to N-1, one after the other.",
        parser=whole_number(least=1),
    ),
]
Dataset = Annotated[
    str | None,
    typer.Option(
        help="Dataset; the spec's unless given. auto is MNIST where it is available.",
        autocompletion=complete_dataset,
    ),
]
Holdout = Annotated[
    Any,  # a number, or an object
    typer.Option(
        metavar="N",
        help="Hold out N training images and judge on them; test is not read. '{folds: K}': "
        "one of K folds of them, the next for each seed.",
        parser=held_out,
    ),
]
Resume = Annotated[
    str | None,
    typer.Option(metavar="RUN", help="Resume a run: its folder, its name, or latest."),
]
FromManifest = Annotated[
    Path | None,
    typer.Option(
        callback=at_home, help="Repeat the run of a manifest.json, in a folder of its own."
    ),
]
Again = Annotated[
    bool, typer.Option("--again", help="Start from scratch; the old folder is kept aside.")
]
DryRun = Annotated[
    bool,
    typer.Option("--dry-run", help="Print the resolved experiment with the origin of every value."),
]
Require = Annotated[
    bool,
    typer.Option("--require", help="Exit with 1 where a rule is missed or has no verdict."),
]


class LogChoice(StrEnum):
    """What curves are written for."""

    TENSORBOARD = "tensorboard"


Log = Annotated[
    LogChoice | None,
    typer.Option(help="Write the curves for TensorBoard, too, into the run's folder."),
]


def train(
    spec: Spec = None,
    epochs: Epochs = None,
    seed: Seed = None,
    seeds: Seeds = None,
    dataset: Dataset = None,
    data_dir: DataDir = None,
    holdout: Holdout = None,
    device: DeviceOption = DeviceChoice.AUTO,
    engine: EngineOption = EngineChoice.AUTO,
    threads: Threads = None,
    out: Out = None,
    runs: Runs = None,
    resume: Resume = None,
    from_manifest: FromManifest = None,
    again: Again = False,
    dry_run: DryRun = False,
    require: Require = False,
    log: Log = None,
    set_: Set = None,
    progress: ProgressOption = ProgressChoice.AUTO,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Train a network and judge its final epoch.

    The rules of the budget are enforced first. The same command again resumes
    an unfinished run, and shows the result of a finished one.

    Examples:

      mnist-arch train --epochs 19

      mnist-arch train mine.yaml --seeds 5 --require

      mnist-arch train --holdout 5000 --set recipe.schedule.peak=0.2

      mnist-arch train --resume latest
    """
    _refuse_clashes(locals())
    request = TrainRequest.of(
        spec,
        parent=runs_folder(out),
        runs=runs_folder(runs),
        overrides=_overrides(set_, epochs=epochs, dataset=dataset, holdout=holdout),
        seed=seed,
        seeds=seeds,
        device=device.value,
        engine=engine.value,
        threads=threads,
        resume=resume,
        from_manifest=from_manifest,
        data_dir=data_dir,
        again=again,
        require=require,
        log=log and log.value,
    )
    if dry_run:
        return _show_dry_run(request, as_json=as_json)
    _run(request, as_score=seeds is not None, quiet=quiet, progress=progress, as_json=as_json)


def _run(
    request: TrainRequest, *, as_score: bool, quiet: bool, progress: ProgressChoice, as_json: bool
) -> None:
    """Trains, and prints the result. Exits with 1 where a rule that is required is not kept."""
    display = make_display(quiet=quiet, progress=progress, as_json=as_json)
    trained = train_runs(request, count(request.loaded), display=display, caller=caller())
    first = trained[0].run.folder
    with answering(f"the result is kept in {first.parent if as_score else first}"):
        budget = request.loaded.experiment.budget
        kept = show_results(trained, budget, as_json=as_json, as_score=as_score, note=display.note)
    if request.require and not kept:
        raise typer.Exit(errors.ANSWER_IS_NO)


def _show_dry_run(request: TrainRequest, *, as_json: bool) -> None:
    """Prints what would be trained, and refuses what the run would."""
    counted = count(request.loaded)
    show = partial(
        show_dry_run,
        request.loaded,
        counted.plan,
        seeds=request.seeds,
        data_dir=request.data_dir,
        as_json=as_json,
    )
    if not as_json:  # for which stdout is empty where there is an error
        show()
    refuse(request, counted, auto="mnist")
    if as_json:
        show()


def _refuse_clashes(options: Mapping[str, object]) -> None:
    """Refuses options that say the same thing twice."""
    if (found := clash(options)) is not None:
        option, others = found
        words = ["a SPEC" if it == "spec" else as_flag(it) for it in others]
        raise typer.BadParameter(f"{as_flag(option)} excludes {', '.join(words)}")


def _overrides(set_: Sequence[str] | None, **flags: object) -> list[Override]:
    """What `--set` and options with a place in the spec say, each by its flag."""
    return [
        *map(parse_override, set_ or ()),
        *(
            override("recipe.epochs" if name == "epochs" else name, value, origin=f"--{name}")
            for name, value in flags.items()
            if value is not None
        ),
    ]
