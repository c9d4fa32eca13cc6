"""One run from start to end: claim the folder, resume from where it is, train, write the result."""

from __future__ import annotations

import dataclasses
import platform
from collections.abc import Callable, Generator
from typing import Any

from mnist_arch.counting.budget import counts_of
from mnist_arch.counting.counted import CountedExperiment
from mnist_arch.data.folds import Folds
from mnist_arch.errors import FROM_SCRATCH, RunCorrupt, RunError
from mnist_arch.files import is_there, make_folder, now, read, write_whole
from mnist_arch.network.weights import save_weights
from mnist_arch.runs.checkpoint import ResumePoint, read_checkpoint, save_checkpoint
from mnist_arch.runs.events import RunEvent, Started
from mnist_arch.runs.evidence import sha256_of
from mnist_arch.runs.finished import draw, records, show_finished, stored
from mnist_arch.runs.folder import Run
from mnist_arch.runs.images import RunImages
from mnist_arch.runs.manifest import Manifest, TeacherRecord
from mnist_arch.runs.provenance import git_state, package_versions
from mnist_arch.runs.result import Result
from mnist_arch.runs.teachers import macs_in_step, weights_of
from mnist_arch.training.allocator import give_back_freed
from mnist_arch.training.engine import Engine
from mnist_arch.training.events import (
    EpochRecord,
    JudgeAfter,
    NotCaptured,
    NotCompiled,
    Progress,
)
from mnist_arch.training.loop import train
from mnist_arch.training.pace import SpeedCheck
from mnist_arch.training.state import State
from mnist_arch.training.work import not_captured


def run_experiment(
    counted: CountedExperiment,
    images: RunImages,
    *,
    run: Run,
    seed: int,
    engine: Engine,
    command: list[str],
    command_seconds: Callable[[], float],
    again: bool = False,
    judge_after: JudgeAfter = "each-epoch",
) -> Generator[RunEvent, None, None]:
    """Trains one seed in the folder `run`, from wherever an earlier process left it.

    A finished run yields its stored result and trains nothing; `again` puts its folder aside first.
    The curves are drawn once the result is written, also of a run that is finished and lacks them.
    A run that is resumed keeps the engine of its manifest, but for the threads of native steps,
    which change no bit; and one whose steps turn out not to be compiled or captured has a plain one
    there from then on. Raises NonFiniteLoss, RunError, StorageError and DeviceUnavailable. Whatever
    is raised, and whenever the process is killed, the same call resumes from the last whole epoch.
    """
    make_folder(run.folder.parent)
    taught = None
    if again and is_there(run.folder):
        taught = _taught(counted)  # before the folder, which may have it, is another one
        with run.lock():
            run.put_aside()
    elif not run.is_new and run.is_finished:
        yield from show_finished(counted, run=run, seed=seed)
        return
    with run.lock():
        found = claim(
            counted, images, run=run, seed=seed, engine=engine, command=command, taught=taught
        )
        if isinstance(found, Result):
            yield Started(run, found.epochs)
            yield found
            return
        state = found.state()
        state.seconds += images.seconds
        yield Started(run, state.epoch, tuple(records(run, epochs=state.epoch)))
        splits, threads = (images.training, images.judged_on), engine.threads
        engine = found.manifest.engine
        if engine.step == "native":
            engine = engine.model_copy(update={"threads": threads})
        speed = SpeedCheck(
            macs=macs_in_step(counted.plan.macs, found.manifest.teacher),
            batch=counted.experiment.recipe.batch_size,
            engine=engine,
        )
        for record in train(state, *splits, judge_after=judge_after, engine=engine):
            if isinstance(record, EpochRecord):
                keep_epoch(run, record, found.checkpoint_of(state))
            elif isinstance(record, NotCompiled | NotCaptured):
                _keep_manifest(run, found.manifest.with_plain_steps())
            yield record
            if isinstance(record, Progress) and (slow := speed.notice(record)):
                yield slow
        result = _finish(run, state, images, found.manifest, command_seconds)
        give_back_freed()  # matplotlib needs a hundred megabytes of its own
        yield from draw(run, result, experiment=state.experiment)
        yield result


Taught = tuple[bytes, TeacherRecord]
"""The file of a teacher's weights, and what is said of it."""


def _taught(counted: CountedExperiment) -> Taught | None:
    """Of a run that begins. Raises SpecError where it is not there any more, and StorageError."""
    teacher = counted.experiment.recipe.teacher
    return None if teacher is None else weights_of(teacher)


def claim(
    counted: CountedExperiment,
    images: RunImages,
    *,
    run: Run,
    seed: int,
    engine: Engine,
    command: list[str],
    taught: Taught | None = None,
) -> ResumePoint | Result:
    """What there is to train in the folder, whose lock is held; or its result, if it is finished.

    Writes the manifest of a new run, with a copy of its teacher's weights, and drops what was
    written after the last checkpoint. Raises RunError where the folder holds another run,
    SpecError where the teacher is gone, and StorageError.
    """
    if run.is_new:
        manifest = _manifest(counted, images, seed=seed, engine=engine, command=command)
        if (taught := taught or _taught(counted)) is not None:
            weights, record = taught
            write_whole(run.teacher_path, weights)
            manifest = manifest.model_copy(update={"teacher": record})
        _keep_manifest(run, manifest)
        return _resume_point(run, counted, manifest)
    manifest = run.manifest()
    if (result := stored(run, manifest, counted, seed=seed)) is not None:  # written a moment ago
        return result
    if manifest.engine.device != engine.device:
        message = f"{run.folder} was started on {manifest.engine.device}, not {engine.device}"
        raise RunError(message, hint="use resume=, which keeps the device, or again=True")
    if manifest.data_sha256 != images.sha256:
        hint = "restore the data, or start from scratch with again=True"
        raise RunError(f"{run.folder} was started on other images than those found now", hint=hint)
    return _resume_point(run, counted, manifest)


def _resume_point(run: Run, counted: CountedExperiment, manifest: Manifest) -> ResumePoint:
    """Where the last checkpoint is, without what was written after it."""
    saved = read_checkpoint(run.checkpoint_path) if is_there(run.checkpoint_path) else None
    teacher = _teacher_of(run, manifest)
    resume_point = ResumePoint(counted, manifest, saved, run.checkpoint_path, teacher)
    run.keep_metrics(epochs=resume_point.epochs_done)
    return resume_point


def _teacher_of(run: Run, manifest: Manifest) -> bytes | None:
    """The weights that the run learns from, of its own copy. Raises RunCorrupt, StorageError."""
    if manifest.teacher is None:
        return None
    path = run.teacher_path
    if not is_there(path) or sha256_of(path) != manifest.teacher.sha256:
        message = f"{path} is missing, or is not the teacher that the run was started with"
        raise RunCorrupt(message, hint=FROM_SCRATCH)
    return read(path)


def keep_epoch(run: Run, record: EpochRecord, checkpoint: dict[str, Any] | bytes) -> None:
    """Writes an epoch in the folder, whose lock is held. Raises StorageError.

    The checkpoint comes last: it alone says how far the run is.
    """
    run.append_metrics(dataclasses.asdict(record))
    save_checkpoint(run.checkpoint_path, checkpoint)


def _finish(
    run: Run,
    state: State,
    images: RunImages,
    manifest: Manifest,
    command_seconds: Callable[[], float],
) -> Result:
    """Weights and, last, the result."""
    experiment = state.experiment
    curve = records(run, epochs=state.epoch)
    judged = {it.epoch: one for it in curve if (one := it.judgement(images.split)) is not None}
    final = judged[state.epoch]  # the last epoch is always judged
    best_epoch = max(judged, key=lambda epoch: judged[epoch].correct)
    save_weights(run.weights_path, state.result, experiment)
    result = Result(
        name=experiment.name,
        digest=manifest.digest,
        seed=manifest.seed,
        dataset=experiment.resolved_dataset,
        **final.values(),
        folds=experiment.holdout if isinstance(experiment.holdout, Folds) else None,
        best_epoch=best_epoch,
        best_accuracy_percent=judged[best_epoch].accuracy_percent,
        mistakes=state.mistakes,
        parameters=state.plan.parameters,
        macs=state.plan.macs,
        inference_bytes=state.plan.sizes.inference_bytes,
        epochs=state.epoch,
        seconds=state.seconds,
        command_seconds=command_seconds(),
        verdicts=experiment.budget.verdicts(
            counts_of(experiment, state.plan)._replace(epochs=state.epoch),
            accuracy=experiment.budget.accuracy_verdict(
                correct=final.correct,
                images=final.images,
                dataset=experiment.resolved_dataset,
                split=final.split,
            ),
        ),
    )
    write_whole(run.result_path, result.json_text().encode())
    return result


def _keep_manifest(run: Run, manifest: Manifest) -> None:
    write_whole(run.manifest_path, manifest.json_text().encode())


def _manifest(
    counted: CountedExperiment,
    images: RunImages,
    *,
    seed: int,
    engine: Engine,
    command: list[str],
) -> Manifest:
    recipe = counted.experiment.recipe
    if recipe.quantize is not None or (
        engine.step == "captured" and not_captured(recipe)
    ):  # as one of a sweep, which has one engine
        engine = Engine(device=engine.device, threads=engine.threads)
    return Manifest(
        experiment=counted.experiment,
        origins=dict(counted.origins),
        digest=counted.digest,
        seed=seed,
        engine=engine,
        versions={"python": platform.python_version(), **package_versions()},
        data_sha256=images.sha256,
        git=git_state(),
        command=command,
        started=now(),
    )
