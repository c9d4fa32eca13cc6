"""`mnist-arch eval`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mnist_arch.data.catalog import SplitName
from mnist_arch.files import to_json
from mnist_arch.runs.folder import runs_folder
from mnist_arch.verbs.evaluate import EvaluateRequest
from mnist_arch.verbs.evaluate import evaluate as judge

from .. import caller
from ..consoles import write_json
from ..options import (
    DataDir,
    DeviceChoice,
    DeviceOption,
    Json,
    ProgressChoice,
    ProgressOption,
    Quiet,
    Runs,
    Threads,
    WeightsSpec,
    at_home,
    complete_dataset,
    complete_spec,
)
from ..train.display import make_display
from .json import as_object
from .tables import show

What = Annotated[
    str | None,
    typer.Argument(
        metavar="WHAT",
        help="A run's folder, a .safetensors file, or the name of a network, which means its "
        "latest finished run, else the weights that ship; the latest finished run of all "
        "unless given.",
        autocompletion=complete_spec,
    ),
]
SplitOption = Annotated[
    SplitName | None,
    typer.Option(help="Images to judge on: validation for a run with a hold-out, else test."),
]
Dataset = Annotated[
    str | None,
    typer.Option(
        help="Dataset to judge on; the one it was trained on unless given.",
        autocompletion=complete_dataset,
    ),
]
Gallery = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        callback=at_home,
        help="Draw the mistakes and the confusion matrix: .png, .svg or .pdf.",
    ),
]
Tta = Annotated[
    bool,
    typer.Option("--tta", help="Add the mean over shifts by one pixel, as a marked extra."),
]


def evaluate(
    what: What = None,
    split: SplitOption = None,
    dataset: Dataset = None,
    data_dir: DataDir = None,
    spec: WeightsSpec = None,
    gallery: Gallery = None,
    tta: Tta = False,
    device: DeviceOption = DeviceChoice.AUTO,
    threads: Threads = None,
    runs: Runs = None,
    progress: ProgressOption = ProgressChoice.AUTO,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Judge a trained network, class by class and mistake by mistake.

    Accuracy, recall and precision, confusion, calibration, speed. Nothing in a
    weights file is executed. A run with a hold-out is judged on that, and its
    test split is left alone; --split test reads it, and notes the reading in the
    run's folder.

    Examples:

      mnist-arch eval

      mnist-arch eval s6 --gallery mistakes.png

      mnist-arch eval runs/s6-1a2b3c4d-s0 --split test

      mnist-arch eval weights.safetensors --spec mine.yaml --json
    """
    request = EvaluateRequest.of(
        what,
        runs=runs_folder(runs),
        spec=spec,
        dataset=dataset,
        split=split,
        data_dir=data_dir,
        device=device.value,
        threads=threads,
        gallery=gallery,
        tta=tta,
    )
    display = make_display(quiet=quiet, progress=progress, as_json=as_json)
    report, trouble = judge(request, display=display, caller=caller())
    if as_json:
        write_json(to_json(as_object(report)))
    else:
        show(report)
    if trouble is not None:
        raise trouble
