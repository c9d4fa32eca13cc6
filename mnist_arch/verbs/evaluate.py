"""Judging a trained network on a split of images, whoever asks for it."""

from __future__ import annotations

import contextlib
import difflib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from mnist_arch.counting.plan import plan_network
from mnist_arch.data.catalog import INFO, DatasetName, SplitName, in_words
from mnist_arch.drawing import FORMATS, format_of
from mnist_arch.errors import NotAllowed, Problem, SpecError
from mnist_arch.files import is_folder, is_there, now, read, shown, write_whole
from mnist_arch.html import table
from mnist_arch.machine.cpus import Watch
from mnist_arch.runs.evidence import Evidence, evidence_beside
from mnist_arch.runs.find import TrainedNetwork, find
from mnist_arch.runs.result import Reading
from mnist_arch.spec.experiment import Verdict
from mnist_arch.verbs.datasets import noting_new_folder
from mnist_arch.verbs.display import Caller, EvaluateDisplay

if TYPE_CHECKING:
    from mnist_arch.data.split import Split
    from mnist_arch.evaluation.judgement import Judgement
    from mnist_arch.evaluation.metrics import Evaluation, ShiftedJudgement
    from mnist_arch.network.build import Classifier
    from mnist_arch.training.engine import Device


@dataclass(frozen=True)
class EvaluateRequest:
    """What is to be judged, however it was asked for."""

    trained: TrainedNetwork
    dataset: DatasetName
    split: SplitName
    data_dir: Path | None = None
    device: str = "auto"
    """`auto`, or one that is meant."""
    threads: int | None = None
    gallery: Path | None = None
    """File of the picture of the mistakes."""
    tta: bool = False

    @classmethod
    def of(
        cls,
        what: str | None,
        *,
        runs: Path,
        spec: str | None = None,
        dataset: str | None = None,
        split: SplitName | None = None,
        **more: Any,
    ) -> Self:
        """The network that `what` names, on the images that are meant.

        Raises SpecError where it cannot be judged on them, or not honestly; and what `find` does.
        """
        check_gallery(more.get("gallery"))
        named = None if dataset is None else dataset_named(dataset)
        trained = find(what, runs=runs, spec=spec)
        judged_on = named or trained.dataset
        split = split or trained.default_split(judged_on)
        trained.check(judged_on, split)
        return cls(trained, judged_on, split, **more)


@dataclass(frozen=True, repr=False)
class Report:
    """A network, the images it was judged on, and what came out."""

    trained: TrainedNetwork
    dataset: DatasetName
    split: SplitName
    evaluation: Evaluation
    shifted: ShiftedJudgement | None
    """With test-time augmentation: an extra."""
    verdict: Verdict
    """On the accuracy rule of the network's budget."""
    device: str
    threads: int
    """Torch threads on the CPU."""
    written: tuple[Path, ...] = ()

    def __repr__(self) -> str:
        return f"Report({title(self)}: {accuracy_text(self.evaluation)})"

    def _repr_html_(self) -> str:
        rows = [
            (name, it.images, _share(it.precision), _share(it.recall))
            for name, it in zip(self.class_names, self.evaluation.classes, strict=True)
        ]
        headings = ("class", "images", "precision", "recall")
        return table(f"{title(self)}: {accuracy_text(self.evaluation)}", headings, rows)

    @property
    def evidence(self) -> Evidence | None:
        """Of all seeds, where it ships with these weights. Raises RunCorrupt or StorageError."""
        return None if self.trained.run is not None else evidence_beside(self.trained.weights)

    @property
    def class_names(self) -> tuple[str, ...]:
        return INFO[self.dataset].class_names

    @property
    def is_new_reading(self) -> bool:
        """Whether this reads a test split that the training left alone."""
        return bool(self.trained.holdout) and self.split == "test"


def evaluate(
    request: EvaluateRequest, *, display: EvaluateDisplay, caller: Caller
) -> tuple[Report, Exception | None]:
    """Judges the network, and why there is no gallery: an error for later, when that is shown.

    A reading of the test split that the training left alone is noted in the run's folder first.
    Raises WeightsError, DataUnavailable, DeviceUnavailable and StorageError.
    """
    trained = request.trained
    watch = Watch()  # of what others do while much is imported
    with noting_new_folder(request.data_dir, display.note), display.loading():
        from mnist_arch.evaluation.metrics import BATCH
        from mnist_arch.network.weights import build_with, read_weights
        from mnist_arch.training.engine import Engine
        from mnist_arch.training.engine_choice import prepare, resolve_device, threads_here

        device, threads = resolve_device(request.device), request.threads
        if threads is None:
            # Without the way back, which is twice it.
            forward = plan_network(trained.experiment).macs // 3
            threads = threads_here(macs=forward, batch=BATCH, watch=watch).threads
        prepare(Engine(device=device, threads=threads))
        tensors, _ = read_weights(trained.weights)
        model = build_with(trained.experiment, tensors, trained.weights).to(device)
        images = _load(request, device)
    with display.judging(len(images)):
        report = _judge(model, images, request, device)
    written, trouble = _write(report, images, request.gallery, caller)
    report = replace(report, written=tuple(written))
    for note in _notes(report):
        display.note(note)
    return report, trouble


def dataset_named(text: str) -> DatasetName:
    """Raises SpecError where there is none, with the nearest name."""
    for name in INFO:
        if name == text:
            return name
    near = difflib.get_close_matches(text, INFO, n=1)
    hint = f"did you mean `{near[0]}`?" if near else f"datasets: {', '.join(INFO)}"
    message = f"no dataset is named {text!r}"
    raise SpecError((Problem(message, origin="dataset=", hint=hint),))


def check_gallery(path: Path | None) -> None:
    """Refuses before the work what could not be written after it."""
    if path is None:
        return
    if format_of(path) is None:
        names = ", ".join(f".{it}" for it in FORMATS)
        raise _no_gallery(f"{path.name!r} is to end in one of {names}")
    if not is_there(path) and not is_folder(path.parent):
        raise _no_gallery(f"there is no folder {str(path.parent)!r}")


def _no_gallery(message: str) -> SpecError:
    return SpecError((Problem(message, origin="gallery=", hint="such as mistakes.png"),))


def _load(request: EvaluateRequest, device: Device) -> Split:
    """The images to judge on, on the device. `train` is what is left after the hold-out."""
    from mnist_arch.data.load import load_split
    from mnist_arch.data.split import hold_out

    trained, dataset, data_dir = request.trained, request.dataset, request.data_dir
    if request.split == "test":
        images = load_split(dataset, "test", data_dir=data_dir)
    else:
        images = load_split(dataset, "train", data_dir=data_dir)
        if trained.holdout and dataset == trained.dataset:
            images = hold_out(images, trained.holdout)[request.split == "validation"]
    return images.to(device)


def _judge(model: Classifier, images: Split, request: EvaluateRequest, device: Device) -> Report:
    """All numbers; nothing is written yet."""
    import torch

    from mnist_arch.evaluation.metrics import evaluate, evaluate_shifted

    trained, dataset, split = request.trained, request.dataset, request.split
    by = trained.normalization
    evaluation = evaluate(model, images, by)
    return Report(
        trained=trained,
        dataset=dataset,
        split=split,
        evaluation=evaluation,
        shifted=evaluate_shifted(model, images, by) if request.tta else None,
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
    report: Report, images: Split, gallery: Path | None, caller: Caller
) -> tuple[list[Path], Exception | None]:
    """Writes what there is to keep; a reading of test is noted before anybody sees it.

    Returns the files, and why there is no gallery: an error for later, when the numbers are shown.
    """
    run, written = report.trained.run, []
    if run is not None and report.is_new_reading:
        with contextlib.suppress(NotAllowed):  # a note says so
            run.append_reading(_reading(report, caller))
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


def _reading(report: Report, caller: Caller) -> Reading:
    it = report.evaluation
    return Reading(
        time=now(),
        dataset=report.dataset,
        split=it.split,
        correct=it.correct,
        images=it.images,
        accuracy_percent=it.accuracy_percent,
        command=caller.command,
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
    name = trained.name
    if report.dataset != trained.dataset:
        yield f"{name} was trained on {trained.dataset}, and is judged on {report.dataset}"
    if report.split == "train":
        yield f"{name} was trained on these images: this is no estimate of its accuracy"
    if report.is_new_reading:
        yield f"{name} was trained without reading test; {_what_is_noted(report)}"
    stored, correct = trained.result, report.evaluation.correct
    same = stored is not None and (stored.dataset, stored.split) == (report.dataset, report.split)
    if stored is not None and same and stored.correct != correct:
        yield (
            f"the run's result says {stored.correct:,} correct, not {correct:,}: "
            "this is another machine, or its files were changed"
        )


def _share(value: float | None) -> str | None:
    return None if value is None else f"{100 * value:.2f} %"


def title(report: Report) -> str:
    """`s6 · seed 7 · mnist test`."""
    trained = report.trained
    seed = "" if trained.seed is None else f" · seed {trained.seed}"
    origin = "" if report.dataset == trained.dataset else f" (trained on {trained.dataset})"
    judged_on = f"{in_words(report.dataset)} {report.split}"
    return f"{trained.name}{seed} · {judged_on}{origin}"


def accuracy_text(it: Judgement) -> str:
    """`99.52 % (test, 10,000 images, Wilson 95 % 99.36–99.64)`."""
    decimals = 2 if it.images <= 10_000 else 3  # a mistake in 60,000 images is not 100.00 %
    low, high = it.interval_percent
    return (
        f"{it.accuracy_percent:.{decimals}f} % ({it.split}, {it.images:,} images, "
        f"Wilson 95 % {low:.{decimals}f}–{high:.{decimals}f})"
    )
