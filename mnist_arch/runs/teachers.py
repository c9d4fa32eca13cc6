"""The teachers of recipes: found before anything is trained. Nothing here imports torch."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Final

from mnist_arch.counting.plan import Plan, plan_network
from mnist_arch.data.catalog import INFO
from mnist_arch.data.folds import Folds, stated
from mnist_arch.errors import Problem, RunError, SpecError, WeightsError
from mnist_arch.files import is_there, read
from mnist_arch.runs.evidence import evidence_beside, sha256_of
from mnist_arch.runs.find import TrainedNetwork, find
from mnist_arch.runs.folder import TEACHER, Run, read_manifest
from mnist_arch.runs.manifest import Manifest, TeacherRecord
from mnist_arch.spec.experiment import Experiment
from mnist_arch.spec.loading import Loaded
from mnist_arch.spec.recipe import Recipe, Teacher
from mnist_arch.spec.sources import is_path
from mnist_arch.zoo.index import ZOO

PLACE: Final = "recipe.teacher"


@dataclass(frozen=True)
class FoundTeacher:
    """A teacher, as it was found."""

    trained: TrainedNetwork
    sha256: str
    """Of the file of its weights."""

    @property
    def place(self) -> str:
        """What names it whatever is trained later: `zoo/NAME`, the folder of a run, or a file."""
        path = self.trained.weights if self.trained.run is None else self.trained.run.folder
        if path.is_relative_to(ZOO):
            return f"zoo/{path.parent.name}"
        return str(path) if is_path(str(path)) else f"./{path}"

    @cached_property
    def plan(self) -> Plan:
        return plan_network(self.trained.experiment)

    @property
    def seconds(self) -> float | None:
        """Of its training, with that of its own teacher; None where nothing tells."""
        if (run := self.trained.run) is not None:
            result = self.trained.result
            return None if result is None else _together(result.seconds, run.manifest())
        weights = self.trained.weights
        if weights.name == TEACHER and is_there(beside := weights.with_name(Run.MANIFEST)):
            known = read_manifest(beside).teacher  # of a run that has a copy of it
            return known.seconds if known is not None and known.sha256 == self.sha256 else None
        if (evidence := evidence_beside(weights)) is None:
            return None
        return evidence.seeds[0].seconds + evidence.teacher_seconds

    @property
    def record(self) -> TeacherRecord:
        """What a manifest says of it."""
        return TeacherRecord(
            name=self.trained.experiment.name,
            sha256=self.sha256,
            parameters=self.plan.parameters,
            macs=self.plan.macs,
            seconds=self.seconds,
        )


def _together(seconds: float, manifest: Manifest) -> float:
    return seconds + (0 if manifest.teacher is None else manifest.teacher.seconds or 0)


@dataclass
class Teachers:
    """Finds teachers, each once; `runs` is the folder in which their runs are looked for."""

    runs: Path
    _found: dict[str, FoundTeacher] = field(default_factory=dict)

    def known(self, loaded: Loaded) -> Loaded:
        """The same with what its teacher is: where its weights are, and their hash.

        Raises SpecError where there is none such, or it has other weights than those named, and
        StorageError.
        """
        origin = loaded.near(PLACE)
        recipe = self.known_in(loaded.experiment.recipe, origin=origin)
        if recipe is loaded.experiment.recipe:
            return loaded
        origins = {f"{PLACE}.network": origin, f"{PLACE}.sha256": "its weights"}
        return loaded.with_values({"recipe": recipe}, {**origins, **loaded.origins})

    def known_in(self, recipe: Recipe, *, origin: str = "") -> Recipe:
        """The same of a recipe alone."""
        teacher = recipe.teacher
        if teacher is None:
            return recipe
        found = self._find(teacher, origin)
        known = {"network": found.place, "sha256": found.sha256}
        return recipe.model_copy(update={"teacher": teacher.model_copy(update=known)})

    def of(self, recipe: Recipe) -> FoundTeacher | None:
        """That of a recipe whose teacher is known."""
        return None if recipe.teacher is None else self._find(recipe.teacher, "")

    def check(self, experiment: Experiment, *, origin: str = "") -> None:
        """Refuses a teacher that does not fit the images, or has seen those that are held out.

        The dataset of the experiment is resolved. Raises SpecError and StorageError.
        """
        if (found := self.of(experiment.recipe)) is None:
            return
        if (trouble := _trouble(found, experiment)) is not None:
            message, hint = trouble
            raise SpecError((Problem(message, PLACE, origin, hint),))

    def _find(self, teacher: Teacher, origin: str) -> FoundTeacher:
        name = teacher.network
        if name not in self._found:
            try:
                trained = find(name, runs=self.runs)
                self._found[name] = FoundTeacher(trained, sha256_of(trained.weights))
            except (RunError, WeightsError, SpecError) as error:
                raise _not_found(error, origin) from None
        found = self._found[name]
        if teacher.sha256 not in (None, found.sha256):
            message = f"{name} has other weights than those that `sha256` names"
            hint = "name the file that has them, or leave `sha256` out, which is another experiment"
            raise SpecError((Problem(message, PLACE, origin, hint),))
        return found


def check_named_apart(loaded: Loaded) -> None:
    """Refuses a bare name that is the student's own: each run would be the teacher of the next.

    Raises SpecError.
    """
    teacher, name = loaded.experiment.recipe.teacher, loaded.experiment.name
    if teacher is not None and teacher.sha256 is None and teacher.network == name:
        message = f"{name} is also the name of what learns, so that each run would teach the next"
        hint = "name the folder of a run, or `zoo/` and a network that ships"
        raise SpecError((Problem(message, PLACE, loaded.near(PLACE), hint),))


def _not_found(error: RunError | WeightsError | SpecError, origin: str) -> SpecError:
    """The same of a teacher, at its place."""
    if isinstance(error, SpecError):
        first = error.problems[0]
        message, hint = str(first), first.hint
    else:
        message, hint = str(error), error.hint
    if "spec=" in hint:
        hint = "a teacher's file says which network it is, as those do that are trained here"
    return SpecError((Problem(message, PLACE, origin, hint),))


def _trouble(found: FoundTeacher, student: Experiment) -> tuple[str, str] | None:
    """Why a network cannot be the teacher of another one, and the way out; None where it can."""
    trained, dataset = found.trained, student.resolved_dataset
    name, classes = trained.experiment.name, trained.experiment.classes
    if classes != student.classes:
        message = f"the teacher {name} has {classes} outputs, and {student.name} has"
        return f"{message} {student.classes}", f"a teacher has {INFO[dataset].classes}, too"
    if trained.dataset != dataset:
        message = f"the teacher {name} was trained on {trained.dataset}, not on {dataset}"
        if (trained.dataset, dataset) == ("mnist", "mnist-5k"):
            message = f"{message}, whose images of all splits are among those it has learned from"
        return message, f"train one on {dataset}, or set `dataset: {trained.dataset}`"
    if not student.holdout or trained.holdout == student.holdout:
        return None
    if isinstance(student.holdout, Folds):
        message = "each fold would need a teacher of its own, which has not learned from its images"
        return message, "`holdout: N` images, with a teacher that is trained with the same hold-out"
    message = f"the teacher {name} has learned from images that are held out, and its answers"
    message = f"{message} would tell of them"
    value = re.sub(r'"', "", str(stated(student.holdout)).replace("'", ""))
    return message, f"train one with the same hold-out, `holdout: {value}`, and name its run"


def macs_in_step(macs: int, teacher: TeacherRecord | FoundTeacher | None) -> int:
    """What an image costs in a step, by that of a network: a teacher only goes forward."""
    if teacher is None:
        return macs
    return macs + (teacher.macs if isinstance(teacher, TeacherRecord) else teacher.plan.macs) // 3


def weights_of(teacher: Teacher, *, runs: Path = Path()) -> tuple[bytes, TeacherRecord]:
    """The file of a known teacher's weights, and what there is to say of it.

    Raises SpecError where it is not there any more, and StorageError.
    """
    found = Teachers(runs)._find(teacher, "")
    return read(found.trained.weights), found.record
