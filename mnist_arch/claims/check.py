"""Is a run what it says? Its numbers are counted and judged again, under the checker's budget."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from mnist_arch.claims.handed_in import Place, unreadable
from mnist_arch.claims.stated import (
    Stated,
    disagreements,
    header_spec,
    of_normalization,
    of_rates,
    of_reading,
    read_stated,
    too_large,
    verdicts_under,
)
from mnist_arch.data.catalog import INFO, SPLITS, DatasetName, Normalization, SplitName
from mnist_arch.data.folders import find
from mnist_arch.data.folds import AnyHoldOut
from mnist_arch.errors import (
    DeviceUnavailable,
    NonFiniteLoss,
    RunError,
    SpecError,
    StorageError,
    WeightsError,
)
from mnist_arch.evaluation.comparison import ArmRun, compare_with_first
from mnist_arch.evaluation.judgement import Judgement
from mnist_arch.runs.agreement import Contradiction, compared, signed
from mnist_arch.runs.folder import TEACHER
from mnist_arch.runs.provenance import package_versions
from mnist_arch.spec.experiment import Budget, Experiment, Verdicts

if TYPE_CHECKING:
    from torch import Tensor

    from mnist_arch.network.build import Classifier
    from mnist_arch.runs.images import RunImages
    from mnist_arch.training.engine import Engine
    from mnist_arch.training.events import EpochRecord
    from mnist_arch.training.teacher import TeacherNetwork

MARGIN: Final = 0.01
"""Logits that are nearer to each other may change places by rounding on another machine."""
MOST_SHOWN: Final = 20
"""Most differences of a run that are said; the first ones say what is wrong."""
_LOSS_TOLERANCE: Final = 1e-3
"""Of a loss judged on another machine, in nats, and as a share of it."""
_SIGNIFICANT_BELOW: Final = 0.05

CheckStatus = Literal["as stated", "differs", "cannot be read"]
"""The result of a check."""


ReadImages = dict[tuple[DatasetName, AnyHoldOut], "RunImages"]
"""What was read, by dataset and hold-out."""


@dataclass(frozen=True)
class Repeat:
    """A training that was repeated."""

    correct: int
    same_bits: bool
    """Whether all weights are equal, bit by bit."""
    percent: float
    """The repeated accuracy minus that of the weights handed in, in percent points."""
    interval_percent: tuple[float, float]
    """McNemar's, two-sided, 95 %."""
    p_value: float
    why_not_bits: str
    """Why no equal bits are to be expected; empty where they are."""


@dataclass(frozen=True)
class CheckedRun:
    """What was handed in, and what it is."""

    name: str
    """As it was named."""
    state: CheckStatus
    network: str = ""
    seed: int | None = None
    digest: str = ""
    """Of the spec, computed here."""
    dataset: DatasetName | None = None
    split: SplitName | None = None
    parameters: int | None = None
    """Counted here."""
    epochs: int | None = None
    """Those in the metrics."""
    judgement: Judgement | None = None
    """Judged here, from the weights."""
    verdicts: Verdicts | None = None
    """Under the budget of the check, by what was counted and judged here."""
    contradictions: tuple[Contradiction, ...] = ()
    reason: str = ""
    """Why it cannot be read, or not be judged."""
    notes: tuple[str, ...] = ()
    repeat: Repeat | None = None
    marks: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    """Hashes of what no two runs have in common, by what they are of."""
    identity: str = field(default="", repr=False)
    """Digest and seed, by which two runs may have the same weights."""

    @property
    def differs(self) -> bool:
        """Whether it is not what it says, or cannot be read."""
        return self.state != "as stated"


@dataclass(frozen=True)
class Checker:
    """How hand-ins are checked."""

    budget: Budget
    """The rules: those of the checker, never those of the run."""
    data_dir: Path | None = None
    rerun: bool = False
    """Whether trainings are repeated."""

    def checks(self, places: Sequence[Place]) -> Iterator[CheckedRun]:
        """One after the other, in order; `with_copies` then compares them with each other.

        Raises DataUnavailable where the images of the budget are not there.
        """
        images: ReadImages = {}
        for place in places:
            yield self._check(place, images)

    def _check(self, place: Place, images: ReadImages) -> CheckedRun:
        try:
            stated = read_stated(place.read())
        except (RunError, SpecError, StorageError) as error:
            return CheckedRun(place.name, "cannot be read", reason=error.sentence)
        return _Check(self, stated, images).checked()


@dataclass
class _Check:
    """The check of one run, whose records can be read."""

    checker: Checker
    stated: Stated
    images: ReadImages
    found: list[Contradiction] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def checked(self) -> CheckedRun:
        """The row of the run."""
        stated = self.stated
        header, tensors = None, None
        with _kept() as trouble:
            tensors, header = self._weights()
        reason = trouble.text
        self.found += disagreements(stated, header)
        if (teacher := stated.manifest.teacher) is not None:
            of = f"{teacher.name}, a network of {teacher.parameters:,} parameters"
            self.notes.append(f"it has learned from the answers of {of}")
        judged, repeat = None, None
        if tensors is not None and not (reason := too_large(stated.plan)):
            with _kept() as trouble:
                images = self._images()
                judged = self._judge(tensors, images)
                if self.checker.rerun:
                    repeat = self._repeat(tensors, images, judged)
            reason = trouble.text
        judgement = None if judged is None else judged.judgement
        verdicts = self._verdicts(judgement)
        state: CheckStatus = "differs" if self.found else "as stated"
        return CheckedRun(
            name=stated.name,
            state="cannot be read" if reason and not self.found else state,
            network=stated.experiment.name,
            seed=stated.manifest.seed,
            digest=_digest(stated),
            dataset=stated.result.dataset,
            split=stated.result.split,
            parameters=stated.plan.parameters,
            epochs=len(stated.records),
            judgement=judgement,
            verdicts=verdicts,
            contradictions=tuple(self.found),
            reason=reason,
            notes=tuple(self.notes),
            repeat=repeat,
            marks=_marks(stated, tensors),
            identity=f"{_digest(stated)} {stated.manifest.seed}",
        )

    def _weights(self) -> tuple[dict[str, Tensor], Any]:
        from mnist_arch.network.weights import weights_in

        path = Path(self.stated.name) / "weights.safetensors"
        tensors, metadata = weights_in(self.stated.weights, path)
        header = header_spec(metadata, self.stated.name)
        self.found += of_normalization(metadata, header)
        return tensors, header

    def _images(self) -> RunImages:
        """The images of the run, which are held against the checksum in its manifest."""
        experiment = self.stated.experiment
        if experiment.dataset == "auto":
            raise unreadable("its manifest does not say on which dataset it was trained")
        name = experiment.dataset
        if experiment.classes != INFO[name].classes:
            message = f"its network has {experiment.classes} outputs, which do not fit {name}"
            raise unreadable(message)
        images = self._read(experiment)
        self.found += compared(
            "manifest.json: data_sha256",
            self.stated.manifest.data_sha256,
            images.sha256,
            by=f"the images of {name} have",
        )
        return images

    def _read(self, experiment: Experiment) -> RunImages:
        from mnist_arch.runs.images import read_images

        name = experiment.resolved_dataset
        key = (name, experiment.holdout)
        if key not in self.images:
            self._look_for(name)
            self.images[key] = read_images(experiment, data_dir=self.checker.data_dir, device="cpu")
        return self.images[key]

    def _look_for(self, name: DatasetName) -> None:
        """Refuses a dataset that is neither here nor that of the budget: a run fetches nothing."""
        if name in (self.checker.budget.dataset, "mnist-5k"):
            return
        if any(find(name, split, self.checker.data_dir) is None for split in SPLITS):
            raise unreadable(f"the images of {name} are not here, and the budget is of another")

    def _judge(self, tensors: dict[str, Tensor], images: RunImages) -> _Judged:
        """Judges the weights, and holds the result against that."""
        from mnist_arch.network.weights import build_with

        stated, result = self.stated, self.stated.result
        path = Path(stated.name) / "weights.safetensors"
        model = build_with(stated.experiment, tensors, path)
        judged = _judged(model, images, stated.experiment.normalization)
        self.found += of_rates(stated, training_images=len(images.training))
        by = "the images have"
        self.found += compared("result.json: images", result.images, judged.judgement.images, by=by)
        self._compare_mistakes(judged)
        loss, tolerance = judged.judgement.loss, _LOSS_TOLERANCE * (1 + judged.judgement.loss)
        if abs(result.loss - loss) > tolerance:
            self.found += compared("result.json: loss", result.loss, loss, by=_BY_WEIGHTS)
        if stated.readings:
            self._compare_readings(model)
        return judged

    def _compare_readings(self, model: Classifier) -> None:
        """What was read on test later, by a run that was judged on a hold-out."""
        experiment = self.stated.experiment
        images = self._read(experiment.model_copy(update={"holdout": 0}))
        judged = _judged(model, images, experiment.normalization)
        correct, of = judged.judgement.correct, judged.judgement.images
        for number, it in enumerate(self.stated.readings, 1):
            place = f"readings.jsonl, line {number}:"
            self.found += of_reading(it, number)
            self.found += compared(
                f"{place} dataset", it.dataset, experiment.dataset, by="the run is of"
            )
            self.found += compared(f"{place} images", it.images, of, by="the images have")
            if abs(it.correct - correct) > len(judged.uncertain):
                self.found += compared(f"{place} correct", it.correct, correct, by=_BY_WEIGHTS)
        self.notes.append(f"on the test split: {correct:,} of {of:,} correct, judged here")

    def _compare_mistakes(self, judged: _Judged) -> None:
        """Which images the result has right, but for those that rounding decides."""
        result, correct = self.stated.result, judged.judgement.correct
        if result.mistakes is None:
            if abs(result.correct - correct) > len(judged.uncertain):
                self.found += compared(
                    "result.json: correct", result.correct, correct, by=_BY_WEIGHTS
                )
            elif result.correct != correct:
                more = signed(result.correct - correct)
                self.notes.append(
                    f"{more} correct of what the weights have, which rounding decides"
                )
            return
        others = set(result.mistakes) ^ judged.mistakes
        certain = others - judged.uncertain
        if not certain and abs(result.correct - correct) <= len(others):
            if others:
                are = "1 image is" if len(others) == 1 else f"{len(others):,} images are"
                self.notes.append(f"{are} decided by rounding")
            return
        self.found += compared("result.json: correct", result.correct, correct, by=_BY_WEIGHTS)
        if certain:
            mine = judged.mistakes - set(result.mistakes)
            self.found.append(
                Contradiction(
                    "result.json: mistakes",
                    f"{len(set(result.mistakes)):,} images wrong",
                    f"{len(judged.mistakes):,}, {len(mine):,} of them others",
                    _BY_WEIGHTS,
                )
            )

    def _verdicts(self, judgement: Judgement | None) -> Verdicts:
        """Those of the checker's budget; what the run says otherwise counts against it."""
        stated, budget, result = self.stated, self.checker.budget, self.stated.result
        if judgement is not None:
            result = result.model_copy(
                update={"correct": judgement.correct, "images": judgement.images}
            )
        found = verdicts_under(budget, result, stated.counts)
        if judgement is None:
            found = found.model_copy(update={"accuracy": "none"})
        said = stated.result.verdicts
        excess = budget.excess(stated.counts)
        too_few = budget.needed_correct(result.images) - result.correct if result.images else 0
        limits = {
            what.lower(): f"{getattr(excess, what.lower()):,} too many for fewer than {limit:,}"
            for what, limit in budget.limits().items()
        }
        limits["accuracy"] = f"{too_few:,} correct images too few for {budget.accuracy_percent:g} %"
        for rule, limit in limits.items():
            ours, theirs = getattr(found, rule), getattr(said, rule)
            unjudged = rule == "accuracy" and judgement is None
            if theirs != "kept" or ours == "kept" or unjudged:
                continue
            why = limit if ours == "missed" else f"judged on the test split of {budget.dataset}"
            self.found.append(
                Contradiction(
                    f"result.json: verdicts.{rule}",
                    theirs,
                    f"{ours}: {why}",
                    "by these rules it is",
                )
            )
        return found

    # ------------------------------------------------------------------------------- once again

    def _repeat(
        self, tensors: dict[str, Tensor], images: RunImages, judged: _Judged
    ) -> Repeat | None:
        """Trains again from the manifest, and compares."""
        from mnist_arch.training.engine_choice import prepare

        excess = self.checker.budget.excess(self.stated.counts)
        if any(excess):
            self.notes.append("not repeated, since it exceeds the budget of the check")
            return None
        if self.stated.experiment.recipe.teacher is not None and self.stated.teacher is None:
            self.notes.append(f"not repeated, since {TEACHER} is not there, or is another file")
            return None
        engine, why_not = _engine_here(self.stated.manifest.engine)
        differing = self._differing_versions()
        if not why_not and differing:
            why_not = f"of another version of {differing}"
        prepare(engine)
        try:
            model, records, mistakes = _trained(self.stated, images, engine)
        except NonFiniteLoss as error:
            self.found.append(
                Contradiction("result.json", "a result", str(error), "the training repeated says")
            )
            return None
        return self._compare_repeated(tensors, judged, model, records, mistakes, why_not=why_not)

    def _differing_versions(self) -> str:
        here, there = package_versions(), self.stated.manifest.versions
        return ", ".join(name for name in here if here[name] != there.get(name))

    def _compare_repeated(
        self,
        tensors: dict[str, Tensor],
        judged: _Judged,
        model: Classifier,
        records: Sequence[EpochRecord],
        mistakes: Sequence[int],
        *,
        why_not: str,
    ) -> Repeat:
        import torch

        from mnist_arch.network.weights import unique_tensors

        again = unique_tensors(model)
        same = all(torch.equal(tensor.cpu(), tensors[name]) for name, tensor in again.items())
        images = judged.judgement.images
        correct = images - len(mistakes)
        seed = self.stated.manifest.seed
        (difference,) = compare_with_first(
            [
                [ArmRun(seed, judged.judgement.correct, frozenset(judged.mistakes))],
                [ArmRun(seed, correct, frozenset(mistakes))],
            ],
            images=images,
        )
        assert difference is not None  # both have their mistakes
        repeat = Repeat(
            correct,
            same,
            difference.percent,
            difference.interval_percent,
            difference.p_value,
            "" if same else why_not,
        )
        by = "the training repeated here"
        if same:
            self.found += _other_epochs(self.stated.records, records, by=by)
        elif not why_not:
            largest = max(
                float((tensor.cpu().double() - tensors[name].double()).abs().max())
                for name, tensor in again.items()
                if tensor.numel()
            )
            self.found.append(
                Contradiction(
                    "weights.safetensors",
                    "its own values",
                    f"others, up to {largest:.4g} apart",
                    f"{by} gives",
                )
            )
        elif repeat.p_value < _SIGNIFICANT_BELOW:
            low, high = repeat.interval_percent
            self.found.append(
                Contradiction(
                    "weights.safetensors",
                    f"{judged.judgement.correct:,} correct",
                    f"{correct:,}: {repeat.percent:+.3f} points ({low:+.3f} to {high:+.3f})",
                    by,
                )
            )
        return repeat


_BY_WEIGHTS: Final = "its weights, judged here, have"


@dataclass(frozen=True)
class _Judged:
    """Weights on images."""

    judgement: Judgement
    mistakes: frozenset[int]
    uncertain: frozenset[int]
    """Images that rounding may decide otherwise."""


class _kept:
    """Keeps the text of an error that is about one run alone."""

    text = ""

    def __enter__(self) -> _kept:
        return self

    def __exit__(self, kind: object, error: BaseException | None, _: object) -> bool:
        if isinstance(error, RunError | WeightsError | SpecError | DeviceUnavailable):
            self.text = error.sentence
            return True
        return False


def _digest(stated: Stated) -> str:
    from mnist_arch.counting.digest import digest

    teacher = stated.experiment.recipe.teacher
    if stated.experiment.dataset == "auto" or (teacher is not None and teacher.sha256 is None):
        return ""
    return digest(stated.experiment, layers=stated.plan.layers)


def _judged(model: Classifier, images: RunImages, by: Normalization) -> _Judged:
    """Raises WeightsError where an output is not finite."""
    import torch

    from mnist_arch.evaluation.metrics import count_correct, mean_loss, mistaken, predict

    split = images.judged_on
    logits_NK = predict(model, split.images, by)
    if not bool(torch.isfinite(logits_NK).all()):
        raise WeightsError("its weights give values that are not finite")
    own_N = logits_NK.gather(1, split.labels[:, None])[:, 0]
    others_NK = logits_NK.scatter(1, split.labels[:, None], -torch.inf)
    near_N = ((own_N - others_NK.amax(1)).abs() < MARGIN).nonzero()[:, 0]
    judgement = Judgement(
        count_correct(logits_NK, split.labels),
        len(split),
        mean_loss(logits_NK, split.labels),
        images.split,
    )
    mistakes = frozenset(mistaken(logits_NK, split.labels))
    return _Judged(judgement, mistakes, frozenset(near_N.tolist()))


def _engine_here(engine: Engine) -> tuple[Engine, str]:
    """The engine to repeat a training with, and why its bits will be others, if so."""
    from mnist_arch.native.library import vectors_here
    from mnist_arch.training.engine import Engine
    from mnist_arch.training.engine_choice import kept_here, resolve_device

    plain = Engine(device="cpu", threads=1)
    try:
        resolve_device(engine.device)
    except DeviceUnavailable:
        return plain, f"trained on {engine.device}"
    if kept_here(engine) is None:
        return plain, f"trained in {engine.precision}"
    if engine.step == "native" and engine.vectors != vectors_here():
        return plain, "trained with other vectors"
    return engine, "" if engine.device == "cpu" else f"trained on {engine.device}"


def _trained(
    stated: Stated, images: RunImages, engine: Engine
) -> tuple[Classifier, list[EpochRecord], list[int]]:
    """The network, the epochs and the mistakes of the training, repeated."""
    from mnist_arch.training.events import EpochRecord
    from mnist_arch.training.loop import train
    from mnist_arch.training.state import State

    device, content = engine.device, stated.teacher
    path = Path(stated.name) / TEACHER
    state = State.fresh(
        stated.experiment,
        seed=stated.manifest.seed,
        device=device,
        plan=stated.plan,
        teacher=None if content is None else _teacher(content, path, stated, device),
    )
    training, judged_on = images.training.to(device), images.judged_on.to(device)
    is_judged_once = any(it.correct is None for it in stated.records)
    events = train(
        state,
        training,
        judged_on,
        judge_after="last-epoch" if is_judged_once else "each-epoch",
        engine=engine,
    )
    records = [event for event in events if isinstance(event, EpochRecord)]
    return state.result, records, state.mistakes


def _teacher(content: bytes, path: Path, stated: Stated, device: str) -> TeacherNetwork:
    """Raises WeightsError, and RunCorrupt for one that does not fit or is too large."""
    from mnist_arch.runs.checkpoint import teacher_in

    found = teacher_in(content, path, device=device)
    if trouble := too_large(found.plan):
        raise unreadable(f"{path}: {trouble}")
    if found.experiment.classes != stated.experiment.classes:
        raise unreadable(f"{path} has {found.experiment.classes} outputs, and the network has not")
    return found


def _other_epochs(
    said: Sequence[EpochRecord], found: Sequence[EpochRecord], *, by: str
) -> Iterator[Contradiction]:
    """Epochs of the same bits that are not the same."""
    for one, other in zip(said, found, strict=False):
        for name in ("train_loss", "loss", "correct"):
            place = f"metrics.jsonl, epoch {one.epoch}: {name}"
            yield from compared(place, getattr(one, name), getattr(other, name), by=by)


# -------------------------------------------------------------------------------- of each other


def _marks(stated: Stated, tensors: dict[str, Tensor] | None) -> tuple[tuple[str, str], ...]:
    """Hashes of what no two runs share: their clocks, and, of other seeds or specs, weights."""
    clocks = [(it.seconds, it.images_per_second) for it in stated.records]
    marks = []
    if clocks:
        marks.append(("metrics.jsonl", hashlib.sha256(repr(clocks).encode()).hexdigest()))
    if tensors is not None:
        found = hashlib.sha256()
        for name, tensor in sorted(tensors.items()):
            found.update(name.encode())
            with suppress(TypeError):  # of kinds that numpy does not have
                found.update(tensor.numpy().tobytes())
        marks.append(("weights.safetensors", found.hexdigest()))
    return tuple(marks)


def with_copies(runs: Sequence[CheckedRun]) -> list[CheckedRun]:
    """The same runs; those that share what no two trainings have in common say so.

    Clocks of two trainings never agree. Weights agree where spec and seed do, and nowhere else.
    """
    holders: dict[tuple[str, str], list[CheckedRun]] = {}
    for run in runs:
        for mark in run.marks:
            holders.setdefault(mark, []).append(run)
    checked = []
    for run in runs:
        found = list(run.contradictions)
        for mark in run.marks:
            others = [
                it
                for it in holders[mark]
                if it is not run and (mark[0] == "metrics.jsonl" or it.identity != run.identity)
            ]
            if others:
                names = ", ".join(it.name for it in others[:4])
                names += f" and {len(others) - 4:,} more" if len(others) > 4 else ""
                have = "has" if len(others) == 1 else "have"
                same = "the same: one is a copy, and this does not show which"
                found.append(Contradiction(mark[0], "its own", same, f"{names} {have}"))
        if len(found) > len(run.contradictions):
            run = replace(run, contradictions=tuple(found), state="differs")
        checked.append(run)
    return checked


def reasons(run: CheckedRun) -> list[str]:
    """What differs, and what is to be known, a sentence each."""
    found = [str(it) for it in run.contradictions[:MOST_SHOWN]]
    if (left := len(run.contradictions) - MOST_SHOWN) > 0:
        found.append(f"and {left:,} more that differ")
    if run.reason:
        found.append(run.reason)
    if (repeat := run.repeat) is not None:
        if repeat.same_bits:
            found.append("repeated: the same bits")
        else:
            low, high = repeat.interval_percent
            why = (
                f"; no equal bits to be expected: {repeat.why_not_bits}"
                if repeat.why_not_bits
                else "; an honest run on another kind of processor has other bits, too"
            )
            found.append(
                f"repeated: {repeat.correct:,} correct, {signed(round(repeat.percent, 3))} points "
                f"({low:+.3f} to {high:+.3f}, McNemar){why}"
            )
    return [*found, *run.notes]
