"""`mnist-arch eval`."""

from __future__ import annotations

import datetime
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.consoles import stdout
from cli.evaluation_json import as_object
from cli.evaluation_tables import Report, accuracy_text, show, title
from cli.options import DataDir, Device, DeviceOption, Json, Out, Quiet, complete_spec
from cli.training_display import Display, make_display
from mnist_arch.budget import accuracy_verdict
from mnist_arch.datasets import INFO, DatasetName
from mnist_arch.runs import Reading, Run, SplitName
from mnist_arch.storage import to_json, write_whole
from mnist_arch.trained import Trained, find

if TYPE_CHECKING:
    from mnist_arch.data import Split
    from mnist_arch.evaluation import Evaluation


def evaluate(
    what: Annotated[
        str | None,
        typer.Argument(
            help="A run's folder, a .safetensors file, or the name of a network, which means its "
            "latest finished run; the latest finished run of all unless given.",
            autocompletion=complete_spec,
        ),
    ] = None,
    split: Annotated[
        SplitName | None,
        typer.Option(help="Images to judge on: validation for a run with a hold-out, else test."),
    ] = None,
    dataset: Annotated[
        DatasetName | None, typer.Option(help="Dataset to judge on; the run's own unless given.")
    ] = None,
    data_dir: DataDir = None,
    spec: Annotated[
        str | None,
        typer.Option(
            metavar="NAME_OR_PATH",
            help="Network of a weights file that does not name its own.",
            autocompletion=complete_spec,
        ),
    ] = None,
    gallery: Annotated[
        Path | None,
        typer.Option(metavar="FILE.png", help="Draw the mistakes and the confusion matrix."),
    ] = None,
    tta: Annotated[
        bool,
        typer.Option("--tta", help="Add the mean over shifts by one pixel, as a marked extra."),
    ] = False,
    device: DeviceOption = Device.AUTO,
    out: Out = Path("runs"),
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Judge a trained network: accuracy, classes, confusion, calibration, mistakes.

    Nothing in a weights file is executed. A run with a hold-out is judged on that, and its test
    split is left alone; --split test reads it, and notes the reading in the run's folder.

    Examples:

      mnist-arch eval

      mnist-arch eval s6 --gallery mistakes.png

      mnist-arch eval runs/s6-1a2b3c4d-s0 --split test

      mnist-arch eval weights.safetensors --spec mine.yaml --json
    """
    _check_gallery(gallery)
    trained = find(what, parent=out, spec=spec)
    dataset = dataset or trained.dataset
    split = split or trained.default_split(dataset)
    trained.check(dataset, split)
    display = make_display(quiet=quiet)
    with display.waiting("loading torch and the images"):
        import torch

        from mnist_arch.evaluation import evaluate, evaluate_shifted
        from mnist_arch.running import resolve_device
        from mnist_arch.weights import build_with, read_weights

        where = resolve_device(device)
        tensors, _ = read_weights(trained.weights)
        model = build_with(trained.experiment, tensors, trained.weights).to(where)
        images = _load(trained, dataset, split, data_dir=data_dir, device=where)
    with display.waiting(f"judging {len(images):,} images"):
        info = INFO[trained.dataset]  # the normalisation that the network was trained with
        evaluation = evaluate(model, images, info)
        shifted = evaluate_shifted(model, images, info) if tta else None
    verdict = accuracy_verdict(
        trained.experiment.budget,
        correct=evaluation.correct,
        images=evaluation.images,
        dataset=dataset,
        split=split,
    )
    written = []
    if trained.run is not None and trained.holdout and split == "test":
        written.append(_note_reading(trained.run, dataset, evaluation, display))
    if gallery is not None:
        written.append(gallery)
    threads = torch.get_num_threads()
    report = Report(
        trained, dataset, split, evaluation, shifted, verdict, where, threads, tuple(written)
    )
    if gallery is not None:
        _draw(report, images, gallery)
    _warn(report, display)
    if as_json:
        stdout().out(to_json(as_object(report)), end="")
    else:
        show(report)


def _check_gallery(path: Path | None) -> None:
    """Refuses before the work what could not be written after it."""
    if path is None:
        return
    if path.suffix.lower() != ".png":
        raise typer.BadParameter(f"--gallery writes PNG files, not {path.name!r}")
    if not path.parent.is_dir():
        raise typer.BadParameter(f"--gallery: there is no folder {str(path.parent)!r}")


def _load(
    trained: Trained, dataset: DatasetName, split: SplitName, *, data_dir: Path | None, device: str
) -> Split:
    """The images to judge on, on the device. `train` is what is left after the hold-out."""
    from mnist_arch.data import Split, hold_out, load_split

    if split == "test":
        images = load_split(dataset, "test", data_dir=data_dir)
    else:
        images = load_split(dataset, "train", data_dir=data_dir)
        if trained.holdout and dataset == trained.dataset:
            images = hold_out(images, trained.holdout)[split == "validation"]
    return Split(images.images.to(device), images.labels.to(device), source=images.source)


def _note_reading(run: Run, dataset: DatasetName, evaluation: Evaluation, display: Display) -> Path:
    """Appends this reading of test to the run's folder, before anybody sees it."""
    reading = Reading(
        time=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        dataset=dataset,
        split="test",
        correct=evaluation.correct,
        images=evaluation.images,
        accuracy_percent=evaluation.accuracy_percent,
        command=["mnist-arch", *sys.argv[1:]],
    )
    count = run.append_reading(reading)
    display.note(f"this run had not read test while it trained; reading {count} is noted")
    return run.readings_path


def _draw(report: Report, images: Split, path: Path) -> None:
    from mnist_arch.pictures import draw_gallery

    heading = f"{title(report)}: {accuracy_text(report.evaluation, report.split)}"
    picture = draw_gallery(
        report.evaluation, images.images, class_names=report.class_names, title=heading
    )
    write_whole(path, picture)


def _warn(report: Report, display: Display) -> None:
    """Says where a number means something else than it seems to."""
    trained = report.trained
    name = trained.experiment.name
    if report.dataset != trained.dataset:
        display.note(f"{name} was trained on {trained.dataset}, and is judged on {report.dataset}")
    if report.split == "train":
        display.note(f"these are images that {name} was trained on: no estimate of its accuracy")
