"""`mnist-arch sweep`."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from mnist_arch.runs.folder import runs_folder

from ..options import (
    DataDir,
    DeviceChoice,
    DeviceOption,
    Json,
    Out,
    ProgressChoice,
    ProgressOption,
    Quiet,
    at_home,
    complete_dataset,
    whole_number,
)


class ExecutorName(StrEnum):
    """What runs the trials."""

    LOCAL = "local"
    RAY = "ray"


File = Annotated[
    Path, typer.Argument(metavar="FILE", callback=at_home, help="YAML file of the sweep.")
]
Workers = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="Trials at a time; as many as CPUs and memory allow unless given, 1 on a GPU.",
        parser=whole_number(least=1),
    ),
]
ExecutorOption = Annotated[
    ExecutorName, typer.Option(help="Processes of this machine, or a Ray cluster.")
]
RayAddress = Annotated[
    str | None,
    typer.Option(metavar="ADDRESS", help="Cluster to join, such as auto; one here unless given."),
]
Dataset = Annotated[
    str | None,
    typer.Option(help="Dataset; the file's unless given.", autocompletion=complete_dataset),
]
Epochs = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="Epochs of every trial; the file's unless given.",
        parser=whole_number(least=1),
    ),
]
RetryFailed = Annotated[bool, typer.Option("--retry-failed", help="Resume trials that failed.")]
DryRun = Annotated[
    bool,
    typer.Option("--dry-run", help="Print every trial, counted, and how long it will take."),
]
Show = Annotated[bool, typer.Option("--show", help="Print the leaderboard again, without running.")]
Csv = Annotated[bool, typer.Option("--csv", help="Print the leaderboard as CSV.")]


def sweep(
    file: File,
    workers: Workers = None,
    executor: ExecutorOption = ExecutorName.LOCAL,
    ray_address: RayAddress = None,
    dataset: Dataset = None,
    epochs: Epochs = None,
    data_dir: DataDir = None,
    device: DeviceOption = DeviceChoice.AUTO,
    out: Out = None,
    retry_failed: RetryFailed = False,
    dry_run: DryRun = False,
    show: Show = False,
    csv: Csv = False,
    progress: ProgressOption = ProgressChoice.AUTO,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Train the experiments of a file, and rank them on a hold-out.

    Everything is counted and held against the budget before the first trial
    starts. The same command again resumes where it was interrupted; a trial that
    is done is never trained again. The best are trained once more, on all
    training images with other seeds, and read the test split once each.

    Examples:

      mnist-arch sweep experiments.yaml --dry-run

      mnist-arch sweep experiments.yaml

      mnist-arch sweep experiments.yaml --show --csv

      mnist-arch sweep experiments.yaml --executor ray --ray-address auto
    """
    given = {"--json": as_json, "--csv": csv, "--dry-run": dry_run, "--show": show}
    _exclude(given, ("--json", "--csv"), ("--dry-run", "--show"), ("--dry-run", "--csv"))
    on_ray = _is_on_ray(executor, ray_address, workers)
    # Imported here, since the other commands start without it.
    from .running import Shown, SweepRequest, run, show_again, show_plan

    request = SweepRequest(
        file=file,
        parent=runs_folder(out),
        workers=workers,
        on_ray=on_ray,
        ray_address=ray_address,
        dataset=dataset,
        epochs=epochs,
        origins={"dataset": "--dataset", "epochs": "--epochs"},
        data_dir=data_dir,
        device=device.value,
        retry_failed=retry_failed,
    )
    if dry_run:
        return show_plan(request, as_json=as_json)
    shown = Shown(as_json=as_json, as_csv=csv)
    if show:
        return show_again(request, shown)
    run(request, shown, quiet=quiet, progress=progress)


def _is_on_ray(executor: ExecutorName, ray_address: str | None, workers: int | None) -> bool:
    """Where the trials run; refuses what is not for there."""
    on_ray = executor is ExecutorName.RAY
    if ray_address is not None and not on_ray:
        raise typer.BadParameter("--ray-address needs --executor ray")
    if workers is not None and on_ray:
        raise typer.BadParameter("--workers is for this machine; a Ray cluster takes what fits")
    return on_ray


def _exclude(given: Mapping[str, bool], *pairs: tuple[str, str]) -> None:
    """Refuses two options that contradict each other."""
    for pair in pairs:
        if all(given[option] for option in pair):
            raise typer.BadParameter(" excludes ".join(pair))
