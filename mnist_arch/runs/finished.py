"""A run that is finished: its stored result, held against its own files, and its picture.

Nothing here imports torch, and no image is read.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator

from pydantic import TypeAdapter, ValidationError

from mnist_arch.counting.counted import CountedExperiment
from mnist_arch.data.catalog import in_words
from mnist_arch.errors import FROM_SCRATCH, RunCorrupt, RunError, RunLocked, StorageError
from mnist_arch.files import is_there, write_whole
from mnist_arch.runs.agreement import agreed_result
from mnist_arch.runs.curves import AccuracyRule, draw_curves
from mnist_arch.runs.events import NotDrawn, RunEvent, Started
from mnist_arch.runs.folder import Run
from mnist_arch.runs.manifest import Manifest
from mnist_arch.runs.result import Result
from mnist_arch.spec.experiment import Experiment
from mnist_arch.training.events import EpochRecord


def show_finished(
    counted: CountedExperiment, *, run: Run, seed: int
) -> Generator[RunEvent, None, None]:
    """What `run_experiment` yields of a run that is finished, for which no images are needed.

    Looking needs no lock, nor the right to write. Raises RunError and StorageError.
    """
    result = stored(run, run.manifest(), counted, seed=seed)
    assert result is not None, "the run is finished"
    yield Started(run, result.epochs)
    if not is_there(run.curves_path):
        yield from _draw_later(run, result, experiment=counted.experiment)
    yield result


def _draw_later(run: Run, result: Result, *, experiment: Experiment) -> Iterator[NotDrawn]:
    """Draws the curves of a run that was finished without them."""
    try:
        with run.lock():
            yield from draw(run, result, experiment=experiment)
    except (RunLocked, StorageError) as error:
        yield NotDrawn(run.curves_path, str(error))


def stored(run: Run, manifest: Manifest, counted: CountedExperiment, *, seed: int) -> Result | None:
    """The result of the run in a folder, under the budget of now; None where it is not finished.

    Raises RunError where the folder holds another run, and RunCorrupt where its files contradict
    each other.
    """
    _check_same_run(run, manifest, counted, seed=seed)
    result = agreed_result(run, manifest)
    return None if result is None else result.under(counted.experiment.budget)


def _check_same_run(run: Run, manifest: Manifest, counted: CountedExperiment, *, seed: int) -> None:
    """Raises RunError where the folder holds another experiment or another seed."""
    if manifest.digest != counted.digest:
        hint = (
            "start it from scratch with again=True, or finish it with the version that started it"
        )
        raise RunError(
            f"{run.folder} was started by a version with another meaning of its spec", hint=hint
        )
    if manifest.seed != seed:
        message = f"{run.folder} holds a run of seed {manifest.seed}, not of seed {seed}"
        raise RunError(message, hint=FROM_SCRATCH)


def draw(run: Run, result: Result, *, experiment: Experiment) -> Iterator[NotDrawn]:
    """Draws the curves of a run that is finished; whatever is wrong costs no more than that."""
    what = "training images held out" if experiment.holdout else "test images"
    of, asked = experiment.budget.dataset, None
    if result.dataset == of or (result.dataset, of) == ("mnist-5k", "mnist"):
        asked = AccuracyRule(experiment.budget.accuracy_percent, f"{of} test")
    try:
        picture = draw_curves(
            records(run, epochs=result.epochs),
            split=result.split,
            title=f"{result.name}, seed {result.seed}: "
            f"{result.accuracy_percent:.2f} % ({result.split})",
            facts=f"{in_words(result.dataset)}, judged on {result.images:,} {what}",
            asked=asked,
        )
        write_whole(run.curves_path, picture)
    except Exception as error:  # a picture never costs the result, whatever is wrong
        yield NotDrawn(run.curves_path, str(error) or type(error).__name__)


def records(run: Run, *, epochs: int) -> list[EpochRecord]:
    """The curve as it is stored. Raises RunCorrupt."""
    if not (found := run.metrics(epochs=epochs)):
        return []  # of a run that begins
    try:
        return TypeAdapter(list[EpochRecord]).validate_python(found)
    except ValidationError as error:
        message = f"{run.metrics_path} is damaged: {error.errors()[0]['msg']}"
        raise RunCorrupt(message, hint=FROM_SCRATCH) from None
