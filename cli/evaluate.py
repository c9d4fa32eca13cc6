"""`mnist-arch eval`."""

from __future__ import annotations

import contextlib
import difflib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mnist_arch.counting.plan import plan_network
from mnist_arch.data.catalog import INFO, DatasetName, SplitName
from mnist_arch.drawing import FORMATS, format_of
from mnist_arch.errors import NotAllowed, Problem, SpecError
from mnist_arch.files import is_folder, is_there, now, read, shown, to_json, write_whole
from mnist_arch.machine.cpus import Watch
from mnist_arch.runs.find import TrainedNetwork, find
from mnist_arch.runs.folder import runs_folder
from mnist_arch.runs.result import Reading

from . import command_line, heavy_imports
from .consoles import write_json
from .dataset_notes import noting_new_folder
from .evaluation_json import as_object
from .evaluation_tables import Report, accuracy_text, show, title
from .options import (
    DataDir,
    DeviceChoice,
    DeviceOption,
    Json,
    ProgressChoice,
    ProgressOption,
    Quiet,
    Runs,
    Threads,
    at_home,
    complete_dataset,
    complete_spec,
)
from .training_display import make_display

if TYPE_CHECKING:
    from mnist_arch.data.split import Split
    from mnist_arch.network.build import Classifier


def evaluate(
    what: Annotated[
        str | None,
        typer.Argument(
            metavar="WHAT",
            help="A run's folder, a .safetensors file, or the name of a network, which means its "
            "latest finished run, else the weights that ship; the latest finished run of all "
            "unless given.",
            autocompletion=complete_spec,
        ),
    ] = None,
    split: Annotated[
        SplitName | None,
        typer.Option(help="Images to judge on: validation for a run with a hold-out, else test."),
    ] = None,
    dataset: Annotated[
        str | None,
        typer.Option(
            help="Dataset to judge on; the one it was trained on unless given.",
            autocompletion=complete_dataset,
        ),
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
        typer.Option(
            metavar="FILE",
            callback=at_home,
            help="Draw the mistakes and the confusion matrix: .png, .svg or .pdf.",
        ),
    ] = None,
    tta: Annotated[
        bool,
        typer.Option("--tta", help="Add the mean over shifts by one pixel, as a marked extra."),
    ] = False,
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
    _check_gallery(gallery)
    named = None if dataset is None else dataset_named(dataset)
    trained = find(what, runs=runs_folder(runs), spec=spec)
    judged_on = named or trained.dataset
    split = split or trained.default_split(judged_on)
    trained.check(judged_on, split)
    display = make_display(quiet=quiet, progress=progress, as_json=as_json)
    watch = Watch()  # of what others do while much is imported
    with (
        noting_new_folder(data_dir, display.note),
        display.waiting("loading torch and the images"),
        heavy_imports(),
    ):
        from mnist_arch.evaluation.metrics import BATCH
        from mnist_arch.network.weights import build_with, read_weights
        from mnist_arch.training.engine import Engine
        from mnist_arch.training.engine_choice import prepare, resolve_device, threads_here

        where = resolve_device(device)
        if threads is None:
            forward = plan_network(trained.experiment).macs // 3  # the way back is twice it
            threads = threads_here(macs=forward, batch=BATCH, watch=watch).threads
        prepare(Engine(device=where, threads=threads))
        tensors, _ = read_weights(trained.weights)
        model = build_with(trained.experiment, tensors, trained.weights).to(where)
        images = _load(trained, judged_on, split, data_dir=data_dir, device=where)
    with display.waiting(f"judging {len(images):,} images"):
        report = _judge(model, images, trained, judged_on, split, device=where, tta=tta)
    written, trouble = _write(report, images, gallery)
    report = replace(report, written=tuple(written))
    for note in _notes(report):
        display.note(note)
    if as_json:
        write_json(to_json(as_object(report)))
    else:
        show(report)
    if trouble is not None:
        raise trouble


def dataset_named(text: str) -> DatasetName:
    """Raises SpecError where there is none, with the nearest name."""
    for name in INFO:
        if name == text:
            return name
    near = difflib.get_close_matches(text, INFO, n=1)
    hint = f"did you mean `{near[0]}`?" if near else f"datasets: {', '.join(INFO)}"
    message = f"no dataset is named {text!r}"
    raise SpecError((Problem(message, origin="--dataset", hint=hint),))


def _check_gallery(path: Path | None) -> None:
    """Refuses before the work what could not be written after it."""
    if path is None:
        return
    if format_of(path) is None:
        names = ", ".join(f".{it}" for it in FORMATS)
        raise typer.BadParameter(f"--gallery: {path.name!r} is to end in one of {names}")
    if not is_there(path) and not is_folder(path.parent):
        raise typer.BadParameter(f"--gallery: there is no folder {str(path.parent)!r}")


def _load(
    trained: TrainedNetwork,
    dataset: DatasetName,
    split: SplitName,
    *,
    data_dir: Path | None,
    device: str,
) -> Split:
    """The images to judge on, on the device. `train` is what is left after the hold-out."""
    from mnist_arch.data.load import load_split
    from mnist_arch.data.split import hold_out

    if split == "test":
        images = load_split(dataset, "test", data_dir=data_dir)
    else:
        images = load_split(dataset, "train", data_dir=data_dir)
        if trained.holdout and dataset == trained.dataset:
            images = hold_out(images, trained.holdout)[split == "validation"]
    return images.to(device)


def _judge(
    model: Classifier,
    images: Split,
    trained: TrainedNetwork,
    dataset: DatasetName,
    split: SplitName,
    *,
    device: str,
    tta: bool,
) -> Report:
    """All numbers; nothing is written yet."""
    import torch

    from mnist_arch.evaluation.metrics import evaluate, evaluate_shifted

    info = INFO[trained.dataset]  # the normalisation that the network was trained with
    evaluation = evaluate(model, images, info)
    return Report(
        trained=trained,
        dataset=dataset,
        split=split,
        evaluation=evaluation,
        shifted=evaluate_shifted(model, images, info) if tta else None,
        verdict=trained.experiment.budget.accuracy_verdict(
            correct=evaluation.correct,
            images=evaluation.images,
            dataset=dataset,
            split=split,
        ),
        device=device,
        threads=torch.get_num_threads(),
    )


def _write(
    report: Report, images: Split, gallery: Path | None
) -> tuple[list[Path], Exception | None]:
    """Writes what there is to keep; a reading of test is noted before anybody sees it.

    Returns the files, and why there is no gallery: an error for later, when the numbers are shown.
    """
    run, written = report.trained.run, []
    if run is not None and report.reads_test_anew:
        with contextlib.suppress(NotAllowed):  # a note says so
            run.append_reading(_reading(report))
            written.append(run.readings_path)
    if gallery is not None:
        try:
            _draw_gallery(report, images, gallery)
        except Exception as error:  # raised by the caller, once the numbers are shown
            return written, error
        written.append(gallery)
    return written, None


def _draw_gallery(report: Report, images: Split, path: Path) -> None:
    """Raises PictureError and StorageError."""
    from mnist_arch.evaluation.gallery import draw_gallery

    picture = draw_gallery(
        report.evaluation,
        images.images,
        class_names=report.class_names,
        title=f"{title(report)}: {accuracy_text(report.evaluation)}",
        kind=format_of(path) or "png",
    )
    write_whole(path, picture)


def _reading(report: Report) -> Reading:
    it = report.evaluation
    return Reading(
        time=now(),
        dataset=report.dataset,
        split=it.split,
        correct=it.correct,
        images=it.images,
        accuracy_percent=it.accuracy_percent,
        command=command_line(),
    )


def _what_is_noted(report: Report) -> str:
    run = report.trained.run
    if run is None:
        return "there is no run to note this reading in"
    if run.readings_path not in report.written:
        return f"this reading is not noted, since {shown(run.folder)} may only be read"
    return f"this is reading {len(read(run.readings_path).splitlines())} of it since"


def _notes(report: Report) -> Iterator[str]:
    """Where a number means something else than it seems to."""
    trained = report.trained
    name = trained.experiment.name
    if report.dataset != trained.dataset:
        yield f"{name} was trained on {trained.dataset}, and is judged on {report.dataset}"
    if report.split == "train":
        yield f"{name} was trained on these images: this is no estimate of its accuracy"
    if report.reads_test_anew:
        yield f"{name} was trained without reading test; {_what_is_noted(report)}"
    stored, correct = trained.result, report.evaluation.correct
    same = stored is not None and (stored.dataset, stored.split) == (report.dataset, report.split)
    if stored is not None and same and stored.correct != correct:
        yield (
            f"the run's result says {stored.correct:,} correct, not {correct:,}: "
            "this is another machine, or its files were changed"
        )
