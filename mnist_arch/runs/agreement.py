"""Whether the stored numbers of a run agree with each other. Nothing here imports torch."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from pydantic import TypeAdapter, ValidationError

from mnist_arch.counting.digest import digest
from mnist_arch.counting.plan import Plan, plan_network
from mnist_arch.data.folds import Folds
from mnist_arch.errors import FROM_SCRATCH, RunCorrupt
from mnist_arch.evaluation.judgement import Judgement
from mnist_arch.files import is_there, shown
from mnist_arch.runs.folder import Run
from mnist_arch.runs.manifest import Manifest
from mnist_arch.runs.result import Result
from mnist_arch.training.events import EpochRecord

_ROUNDING: Final = 1e-9
"""Largest difference of two sums of the same numbers, as a share of them."""
_SHOWN: Final = 3


@dataclass(frozen=True)
class Contradiction:
    """A stored value, and another that says otherwise."""

    place: str
    """File and field, such as `result.json: correct`."""
    said: str
    """The value there."""
    found: str
    """What it is."""
    by: str
    """What says so."""
    amount: float | None = None
    """How much more is said than found; None where these are no numbers."""

    def __str__(self) -> str:
        much = "" if self.amount is None else f" ({signed(self.amount)})"
        return f"{self.place} says {self.said}, and {self.by} {self.found}{much}"


def signed(amount: float) -> str:
    """A difference with its sign; whole numbers are written out."""
    if isinstance(amount, int) or (amount.is_integer() and abs(amount) >= 1):
        return f"{int(amount):+,}"
    return f"{amount:+.6g}"


def compared(place: str, said: object, found: object, *, by: str) -> Iterator[Contradiction]:
    """A contradiction unless two values are equal; numbers with a fraction to rounding."""
    if said == found:
        return
    amount: float | None = None
    if _is_number(said) and _is_number(found):
        amount = said - found  # type: ignore[operator]  # both are numbers
        if not (isinstance(said, int) and isinstance(found, int)) and math.isclose(
            said,  # type: ignore[arg-type]  # both are numbers
            found,  # type: ignore[arg-type]  # both are numbers
            rel_tol=_ROUNDING,
            abs_tol=_ROUNDING,
        ):
            return
    yield Contradiction(place, in_text(said), in_text(found), by, amount)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def in_text(value: object) -> str:
    """A stored value for a sentence."""
    match value:
        case int() if not isinstance(value, bool):
            return f"{value:,}"
        case float():
            return f"{value:.10g}"
        case tuple() | list():
            return "–".join(map(in_text, value))
        case _:
            return str(value)


def contradictions(
    manifest: Manifest, result: Result, records: Sequence[EpochRecord] | None, plan: Plan
) -> Iterator[Contradiction]:
    """Where a manifest, a result, the epochs before it, and the network contradict each other.

    `records` is None where there are no epochs to compare with. Budgets and their verdicts are not
    compared, since a budget may be changed without a new training.
    """
    yield from _of_manifest(manifest)
    yield from _of_result(result)
    experiment, holdout = manifest.experiment, manifest.experiment.holdout
    for field, said, found in (
        ("name", result.name, experiment.name),
        ("digest", result.digest, manifest.digest),
        ("seed", result.seed, manifest.seed),
        ("dataset", result.dataset, experiment.dataset),
        ("split", result.split, "validation" if experiment.holdout else "test"),
        ("folds", result.folds, holdout if isinstance(holdout, Folds) else None),
        ("epochs", result.epochs, experiment.recipe.epochs),
    ):
        yield from compared(f"result.json: {field}", said, found, by="manifest.json")
    for field, said, found in (
        ("parameters", result.parameters, plan.parameters),
        ("macs", result.macs, plan.macs),
        *(
            []
            if result.inference_bytes is None
            else [("inference_bytes", result.inference_bytes, plan.sizes.inference_bytes)]
        ),
    ):
        yield from compared(f"result.json: {field}", said, found, by="the network has")
    if records is not None:
        yield from _of_records(result, records)


def _of_manifest(manifest: Manifest) -> Iterator[Contradiction]:
    if manifest.experiment.dataset == "auto":
        yield Contradiction("manifest.json: dataset", "auto", "one is meant", "in a run")
        return
    taught, teacher = manifest.experiment.recipe.teacher, manifest.teacher
    if taught is not None and taught.sha256 is None:
        yield Contradiction("manifest.json: recipe.teacher.sha256", "none", "one", "in a run")
        return
    said, found = teacher and teacher.sha256, taught and taught.sha256
    yield from compared("manifest.json: teacher.sha256", said, found, by="its recipe has")
    holdout = manifest.experiment.holdout
    if isinstance(holdout, Folds):
        of_seed = holdout.of_seed(manifest.seed).fold
        place = "manifest.json: holdout.fold"
        yield from compared(place, holdout.fold, of_seed, by=f"seed {manifest.seed} is judged on")
    found = digest(manifest.experiment)
    yield from compared("manifest.json: digest", manifest.digest, found, by="its spec has")


def _of_result(result: Result) -> Iterator[Contradiction]:
    """The result against itself."""
    if not 0 <= result.correct <= result.images or not result.images:
        of = f"at most {result.images:,}"
        yield Contradiction("result.json: correct", f"{result.correct:,}", of, "its images are")
        return
    counts = f"{result.correct:,} correct of {result.images:,} are"
    judged = Judgement(result.correct, result.images, result.loss, result.split)
    accuracy = judged.accuracy_percent
    yield from compared(
        "result.json: accuracy_percent", result.accuracy_percent, accuracy, by=counts
    )
    for said, found in zip(result.interval_percent, judged.interval_percent, strict=True):
        yield from compared("result.json: interval_percent", said, found, by=f"by {counts}")
    if not (math.isfinite(result.loss) and result.loss >= 0):
        yield Contradiction("result.json: loss", in_text(result.loss), "0 or more", "a loss is")
    if result.mistakes is not None:
        wrong = result.images - result.correct
        said = len(set(result.mistakes))
        yield from compared("result.json: mistakes", said, wrong, by=f"by {counts} wrong:")
        if any(not 0 <= place < result.images for place in result.mistakes):
            most = f"0 to {result.images - 1:,}"
            yield Contradiction("result.json: mistakes", "other images", most, "there are")
    if result.best_accuracy_percent < accuracy - _ROUNDING:
        place, best = "result.json: best_accuracy_percent", result.best_accuracy_percent
        by = "the last epoch has"
        yield Contradiction(place, in_text(best), in_text(accuracy), by, best - accuracy)


def _of_records(result: Result, records: Sequence[EpochRecord]) -> Iterator[Contradiction]:
    """The result against its epochs."""
    said = [it.epoch for it in records]
    if said != list(range(1, result.epochs + 1)):
        yield Contradiction(
            "result.json: epochs",
            f"{result.epochs:,}",
            _numbers(said),
            "metrics.jsonl has",
            result.epochs - len(said),
        )
        return
    last = records[-1]
    for field in ("correct", "images", "loss"):
        values = getattr(result, field), getattr(last, field)
        by = f"epoch {last.epoch} of metrics.jsonl"
        yield from compared(f"result.json: {field}", *values, by=by)
    judged = {it.epoch: it.correct for it in records if it.correct is not None}
    if judged and result.images:
        best = max(judged, key=judged.__getitem__)
        by = "metrics.jsonl"
        yield from compared("result.json: best_epoch", result.best_epoch, best, by=by)
        percent = 100 * judged[best] / result.images
        place = "result.json: best_accuracy_percent"
        yield from compared(place, result.best_accuracy_percent, percent, by=by)
    if result.seconds < last.seconds * (1 - _ROUNDING):
        yield from compared(
            "result.json: seconds", result.seconds, last.seconds, by="the last epoch was after"
        )


def _numbers(epochs: Sequence[int]) -> str:
    """Numbers of epochs, in a few words."""
    if epochs == list(range(1, len(epochs) + 1)):
        return f"{len(epochs):,}"
    shown = ", ".join(map(str, epochs[:30]))
    return f"epochs {shown}{', …' if len(epochs) > 30 else ''}"


def agreed_result(run: Run, manifest: Manifest) -> Result | None:
    """The result of a run, which contradicts neither itself nor what is beside it.

    None for a run that is not finished. Raises RunCorrupt, EarlierFormat, LaterFormat or
    StorageError.
    """
    if (result := run.result()) is None:
        return None
    records = _records(run) if is_there(run.metrics_path) else None
    plan = plan_network(manifest.experiment)
    if found := list(contradictions(manifest, result, records, plan)):
        listed = "; ".join(map(str, found[:_SHOWN]))
        more = f"; and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        message = f"the result in {shown(run.folder)} contradicts itself: {listed}{more}"
        raise RunCorrupt(message, hint=FROM_SCRATCH)
    return result


def _records(run: Run) -> list[EpochRecord]:
    try:
        return TypeAdapter(list[EpochRecord]).validate_python(run.curve())
    except ValidationError as error:
        message = f"{shown(run.metrics_path)} is damaged: {error.errors()[0]['msg']}"
        raise RunCorrupt(message, hint=FROM_SCRATCH) from None
