"""What a run that was handed in says of itself, and whether that agrees. Nothing imports torch."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from mnist_arch.claims.handed_in import HandedIn, unreadable
from mnist_arch.counting.budget import counts_of
from mnist_arch.counting.plan import Plan, plan_network
from mnist_arch.errors import ShapeError
from mnist_arch.runs.agreement import Contradiction, compared, contradictions
from mnist_arch.runs.folder import TEACHER
from mnist_arch.runs.manifest import Manifest
from mnist_arch.runs.result import Reading, Result
from mnist_arch.spec.experiment import Budget, Counts, Experiment, Verdicts
from mnist_arch.spec.recipe import Plateau
from mnist_arch.training.events import EpochRecord
from mnist_arch.training.plateau import PlateauState
from mnist_arch.training.schedule import learning_rate
from mnist_arch.values import FORMAT, Record

MOST_MACS: Final = 500_000_000
"""Largest network that is judged, in multiply-accumulates of one image."""
MOST_MEMORY: Final = 16 << 20
"""Largest network that is judged, in bytes of maps and weights of one image."""

MOST_READINGS: Final = 1_000
"""Most readings of the test split that are looked at."""
_AHEAD: Final = timedelta(days=1)
"""By how much the clock of a student's machine may be ahead."""

RecordT = TypeVar("RecordT", bound=Record)


class _EpochLine(BaseModel):
    """A line of metrics.jsonl has no other fields."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)
    format: int
    epoch: int
    train_loss: float
    loss: float | None
    correct: int | None
    images: int
    rate: float
    images_per_second: float
    seconds: float


@dataclass(frozen=True)
class Stated:
    """What the files of a run say."""

    name: str
    """What was handed in."""
    manifest: Manifest
    result: Result
    records: tuple[EpochRecord, ...]
    plan: Plan
    """Of the network in the manifest."""
    weights: bytes
    readings: tuple[Reading, ...]
    """Later readings of the test split, by a run with a hold-out."""
    handed_in: HandedIn

    @property
    def experiment(self) -> Experiment:
        """The spec of the run."""
        return self.manifest.experiment

    @property
    def counts(self) -> Counts:
        """What a budget limits: of the network, and of the training that the manifest describes."""
        counts = counts_of(self.experiment, self.plan)
        return counts._replace(epochs=max(counts.epochs, len(self.records)))

    @property
    def teacher(self) -> bytes | None:
        """The weights that it has learned from; None without a teacher, and for other ones."""
        known, content = self.manifest.teacher, self.handed_in.files.get(TEACHER)
        if known is None or content is None:
            return None
        return content if hashlib.sha256(content).hexdigest() == known.sha256 else None


def read_stated(handed_in: HandedIn) -> Stated:
    """What a run says of itself. Raises RunCorrupt for files that cannot be read, or are missing.

    No weights are read yet.
    """
    if missing := [name for name in _NEEDED if name not in handed_in.files]:
        finished = "" if "result.json" not in missing else ": it is not finished"
        raise unreadable(f"{handed_in.name} lacks {' and '.join(missing)}{finished}")
    manifest = _record(handed_in, "manifest.json", Manifest)
    result = _record(handed_in, "result.json", Result)
    try:
        plan = plan_network(manifest.experiment)
    except ShapeError as error:
        raise unreadable(f"the network of {handed_in.name} cannot be built: {error}") from None
    records = tuple(_records(handed_in))
    return Stated(
        handed_in.name,
        manifest,
        result,
        records,
        plan,
        handed_in.files["weights.safetensors"],
        tuple(_readings(handed_in)),
        handed_in,
    )


_NEEDED: Final = ("manifest.json", "metrics.jsonl", "result.json", "weights.safetensors")


def _record(handed_in: HandedIn, file: str, kind: type[RecordT]) -> RecordT:
    place = f"{file} in {handed_in.name}"
    try:
        record = kind.model_validate_json(handed_in.files[file])
    except ValidationError as error:
        first = error.errors()[0]
        where = "".join(f"{part}: " for part in first["loc"])
        message = first["msg"].removeprefix("Value error, ")
        raise unreadable(f"{place} is damaged: {where}{message}") from None
    _check_format(getattr(record, "format", None), place)
    return record


def _check_format(found: object, place: str) -> None:
    if found != FORMAT:
        raise unreadable(f"{place} has format {found}, and this program checks {FORMAT}")


def _records(handed_in: HandedIn) -> Iterator[EpochRecord]:
    """The epochs line by line."""
    place = f"metrics.jsonl in {handed_in.name}"
    text = handed_in.files["metrics.jsonl"].decode("utf-8", "replace")
    for number, line in enumerate(text.splitlines(), 1):
        try:
            values = TypeAdapter(_EpochLine).validate_json(line).model_dump()
        except ValidationError as error:
            reason = error.errors()[0]["msg"]
            raise unreadable(f"line {number} of {place} is damaged: {reason}") from None
        _check_format(values.pop("format"), f"line {number} of {place}")
        yield EpochRecord(**values)


def _readings(handed_in: HandedIn) -> Iterator[Reading]:
    text = handed_in.files.get("readings.jsonl", b"").decode("utf-8", "replace")
    for number, line in enumerate(text.splitlines(), 1):
        place = f"line {number} of readings.jsonl in {handed_in.name}"
        if number > MOST_READINGS:
            raise unreadable(f"readings.jsonl in {handed_in.name} has more than {MOST_READINGS:,}")
        try:
            reading = Reading.model_validate_json(line)
        except ValidationError as error:
            raise unreadable(f"{place} is damaged: {error.errors()[0]['msg']}") from None
        _check_format(reading.format, place)
        yield reading


def too_large(plan: Plan) -> str:
    """Why a network is not judged, in a sentence; empty where it is."""
    if plan.macs > MOST_MACS:
        return f"the network has {plan.macs:,} MACs an image; at most {MOST_MACS:,} are judged"
    if (needed := plan.sizes.inference_bytes) > MOST_MEMORY:
        return f"the network needs {needed:,} bytes an image; at most {MOST_MEMORY:,} are judged"
    return ""


def disagreements(stated: Stated, header: Experiment | None) -> Iterator[Contradiction]:
    """Where the files of a run contradict each other.

    `header` is the spec in the weights file; None where it cannot be known.
    """
    yield from contradictions(stated.manifest, stated.result, stated.records, stated.plan)
    yield from _of_epochs(stated)
    yield from _of_clocks(stated)
    yield from _of_claim(stated.handed_in)
    budgets = [stated.experiment.budget]
    if header is not None:
        yield from _of_header(stated.experiment, header)
        budgets.append(header.budget)
    found = [verdicts_under(budget, stated.result) for budget in budgets]
    if stated.result.verdicts not in found:
        yield from of_verdicts(stated.result.verdicts, found[0], by="its own numbers and budget")


def _of_epochs(stated: Stated) -> Iterator[Contradiction]:
    """The epochs against each other: clocks move forward, and counts are of the same images."""
    before = 0.0
    for record in stated.records:
        place = f"metrics.jsonl, epoch {record.epoch}:"
        yield from compared(
            f"{place} images", record.images, stated.result.images, by="result.json"
        )
        if record.correct is not None and not 0 <= record.correct <= record.images:
            of = f"at most {record.images:,}"
            yield Contradiction(f"{place} correct", f"{record.correct:,}", of, "its images are")
        if record.seconds < before:
            by = "the epoch before ends after"
            yield from compared(f"{place} seconds", record.seconds, before, by=by)
        before = record.seconds


def _of_clocks(stated: Stated) -> Iterator[Contradiction]:
    """Times that no clock shows."""
    for name in ("seconds", "command_seconds"):
        value = getattr(stated.result, name)
        if not (math.isfinite(value) and value >= 0):
            yield Contradiction(f"result.json: {name}", str(value), "0 or more", "a clock shows")
    place, said = "manifest.json: started", stated.manifest.started
    try:
        started = datetime.fromisoformat(said)
    except ValueError:
        yield Contradiction(place, said, "2026-01-31T12:00:00+00:00", "a time is written as")
        return
    now = datetime.now(UTC)
    if (started if started.tzinfo else started.replace(tzinfo=UTC)) > now + _AHEAD:
        here = now.isoformat(timespec="seconds")
        yield Contradiction(place, said, here, "the clock of this machine")


def _of_claim(handed_in: HandedIn) -> Iterator[Contradiction]:
    """The runs and their files against the claim that they were packed with."""
    if handed_in.claim is None:
        return
    try:
        packed = _Claim.model_validate_json(handed_in.claim).sha256
    except ValidationError as error:
        reason = error.errors()[0]["msg"]
        yield Contradiction("claim.json", "no claim", reason, "reading it")
        return
    runs = {name.rpartition("/")[0] for name in packed}
    for name in sorted(runs - handed_in.beside):
        yield Contradiction("claim.json", f"{name} was packed", "not", "it is here")
    if handed_in.folder not in runs:
        others = ", ".join(sorted(runs)) or "nothing"
        yield Contradiction("claim.json", f"{others} was packed", handed_in.folder, "this run is")
        return
    for file, content in sorted(handed_in.files.items()):
        said = packed.get(f"{handed_in.folder}/{file}", "nothing")
        found = hashlib.sha256(content).hexdigest()
        yield from compared(f"claim.json: sha256 of {file}", said, found, by="the file has")


class _Claim(BaseModel):
    """What is read of a claim that runs were packed with."""

    sha256: dict[str, str]


def of_normalization(metadata: Mapping[str, str], header: Experiment) -> Iterator[Contradiction]:
    """The normalisation in the header of weights, which other programs read, against the spec."""
    if "normalization" in metadata:
        found = json.dumps(asdict(header.normalization))
        place = "weights.safetensors: normalization"
        yield from compared(place, metadata["normalization"], found, by="its spec has")


def of_reading(reading: Reading, number: int) -> Iterator[Contradiction]:
    """A reading of the test split against itself."""
    place = f"readings.jsonl, line {number}:"
    yield from compared(f"{place} split", reading.split, "test", by="a reading is of")
    if reading.images <= 0:
        yield Contradiction(f"{place} images", f"{reading.images:,}", "1 or more", "there are")
        return
    percent = 100 * reading.correct / reading.images
    by = f"{reading.correct:,} correct of {reading.images:,} are"
    yield from compared(f"{place} accuracy_percent", reading.accuracy_percent, percent, by=by)


def of_rates(stated: Stated, *, training_images: int) -> Iterator[Contradiction]:
    """The learning rates of the epochs against those of the recipe."""
    recipe = stated.experiment.recipe
    steps = len(recipe.batches(training_images))
    total = steps * recipe.epochs
    schedule = recipe.schedule
    plateau = PlateauState.fresh(schedule) if isinstance(schedule, Plateau) else None
    for record in stated.records[: recipe.epochs]:
        rate = learning_rate(
            schedule,
            record.epoch * steps - 1,  # the last step of the epoch
            steps=total,
            steps_per_epoch=steps,
            lowered=None if plateau is None else plateau.rate,
        )
        place = f"metrics.jsonl, epoch {record.epoch}: rate"
        yield from compared(place, record.rate, rate, by="the recipe")
        if plateau is not None and isinstance(schedule, Plateau):
            watched = record.train_loss if schedule.watch == "training" else record.loss
            if watched is not None:
                plateau.after(watched, schedule)


def _of_header(experiment: Experiment, header: Experiment) -> Iterator[Contradiction]:
    """The manifest's spec against that in the weights; the names first."""
    ours, theirs = _leaves(experiment.model_dump()), _leaves(header.model_dump())
    for place in sorted(ours.keys() | theirs.keys(), key=lambda it: (it != "name", it)):
        said, found = ours.get(place, "nothing"), theirs.get(place, "nothing")
        yield from compared(
            f"manifest.json: {place}", said, found, by="the spec in weights.safetensors"
        )


def _leaves(value: Any, place: str = "") -> dict[str, Any]:
    """Every value of a tree that is not None, by its place."""
    match value:
        case Mapping():
            inside = [(f"{place}.{key}".strip("."), item) for key, item in value.items()]
        case list() | tuple():
            inside = [(f"{place}[{index}]", item) for index, item in enumerate(value)]
        case None:
            return {}
        case _:
            return {place: value}
    return {key: leaf for name, item in inside for key, leaf in _leaves(item, name).items()}


def verdicts_under(budget: Budget, result: Result, counts: Counts | None = None) -> Verdicts:
    """The verdicts of a budget on a result, whose own counts stand unless others are known."""
    accuracy = budget.accuracy_verdict(
        correct=result.correct, images=result.images, dataset=result.dataset, split=result.split
    )
    return budget.verdicts(counts or result.counts, accuracy=accuracy)


def of_verdicts(said: Verdicts, found: Verdicts, *, by: str) -> Iterator[Contradiction]:
    """Verdicts that are not what they are to be."""
    for rule in Verdicts.model_fields:
        values = getattr(said, rule), getattr(found, rule)
        yield from compared(f"result.json: verdicts.{rule}", *values, by=by)


def header_spec(metadata: Mapping[str, str], name: str) -> Experiment:
    """The spec in the header of weights. Raises RunCorrupt."""
    try:
        return Experiment.model_validate_json(metadata.get("spec", ""))
    except ValidationError as error:
        reason = error.errors()[0]["msg"]
        raise unreadable(f"weights.safetensors in {name} has no spec: {reason}") from None
