"""`mnist-arch sweep`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from .options import (
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
)


class ExecutorName(StrEnum):
    """What runs the trials."""

    LOCAL = "local"
    RAY = "ray"


def sweep(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", callback=at_home, help="YAML file of the sweep.")
    ],
    workers: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Trials at a time; as many as CPUs and memory allow unless given, 1 on a GPU.",
            min=1,
        ),
    ] = None,
    executor: Annotated[
        ExecutorName, typer.Option(help="Processes of this machine, or a Ray cluster.")
    ] = ExecutorName.LOCAL,
    ray_address: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS", help="Cluster to join, such as auto; one here unless given."
        ),
    ] = None,
    dataset: Annotated[
        str | None,
        typer.Option(help="Dataset; the file's unless given.", autocompletion=complete_dataset),
    ] = None,
    epochs: Annotated[
        int | None, typer.Option(help="Epochs of every trial; the file's unless given.", min=1)
    ] = None,
    data_dir: DataDir = None,
    device: DeviceOption = DeviceChoice.AUTO,
    out: Out = None,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Go on with trials that failed.")
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Print every trial, counted, and how long it will take."),
    ] = False,
    show: Annotated[
        bool, typer.Option("--show", help="Print the leaderboard again, without running.")
    ] = False,
    csv: Annotated[bool, typer.Option("--csv", help="Print the leaderboard as CSV.")] = False,
    progress: ProgressOption = ProgressChoice.AUTO,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Train the experiments of a file, and rank them on a hold-out.

    Everything is counted and held against the budget before the first trial
    starts. The same command again goes on where it was interrupted; a trial that
    is done is never trained again. The best are trained once more, on all
    training images with other seeds, and read the test split once each.

    Examples:

      mnist-arch sweep experiments.yaml --dry-run

      mnist-arch sweep experiments.yaml

      mnist-arch sweep experiments.yaml --show --csv

      mnist-arch sweep experiments.yaml --executor ray --ray-address auto
    """
    _exclude({"--json": as_json, "--csv": csv})
    _exclude({"--dry-run": dry_run, "--show": show})
    _exclude({"--dry-run": dry_run, "--csv": csv})
    if ray_address is not None and executor is not ExecutorName.RAY:
        raise typer.BadParameter("--ray-address needs --executor ray")
    if workers is not None and executor is ExecutorName.RAY:
        raise typer.BadParameter("--workers is for this machine; a Ray cluster takes what fits")
    # Imported here, since the other commands start without it.
    from mnist_arch.runs.folder import runs_folder

    from .sweeping import SweepRequest, run, show_again, show_plan

    request = SweepRequest(
        file=file,
        workers=workers,
        on_ray=executor is ExecutorName.RAY,
        ray_address=ray_address,
        dataset=dataset,
        epochs=epochs,
        data_dir=data_dir,
        device=device,
        out=runs_folder(out),
        retry_failed=retry_failed,
        as_json=as_json,
        as_csv=csv,
    )
    if dry_run:
        show_plan(request)
    elif show:
        show_again(request)
    else:
        run(request, quiet=quiet, progress=progress)


def _exclude(options: dict[str, bool]) -> None:
    """Refuses two options that contradict each other."""
    if all(options.values()):
        raise typer.BadParameter(" excludes ".join(options))
