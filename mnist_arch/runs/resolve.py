"""What a word names, for every command and verb: a network, a run or a file. Nothing imports torch.

    NAME        the runs of that name in a folder, and the network of that name that ships
    zoo/NAME    the network that ships
    a path      whatever has a separator or a suffix

Where a name has both, it depends on what is asked for. Weights are those of the latest finished
run. A spec is the one that ships, so that what a command counts or trains does not depend on what
was trained before; a name that does not ship is the experiment of its latest finished run, or of
its latest one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final, assert_never

from mnist_arch.errors import RunError, SpecError
from mnist_arch.files import expanded, is_folder, is_there
from mnist_arch.runs.folder import TEACHER, Run, all_runs
from mnist_arch.spec.loading import Loaded, load, loads
from mnist_arch.spec.network import NAME_PATTERN
from mnist_arch.spec.overrides import Override
from mnist_arch.spec.sources import is_path, unknown_name
from mnist_arch.zoo.index import Shipped, name_in_zoo, zoo

LATEST: Final = "latest"
"""The run that was started last, for whoever resumes one."""


@dataclass(frozen=True)
class Named:
    """What has a bare name."""

    name: str
    runs: Path
    """Where runs are looked for."""

    @cached_property
    def shipped(self) -> Shipped | None:
        return zoo().get(self.name)

    @cached_property
    def runs_of(self) -> list[Run]:
        """Its runs, the latest first, finished or not. Raises StorageError.

        Trials of a sweep have the names `<sweep>/<arm>`.
        """
        if "/" not in self.name:
            return all_runs(self.runs, name=self.name)
        from mnist_arch.runs.listing import lines_of, named  # which few names need

        trials = [run for line in named(self.name, lines_of(self.runs)) for run in line.runs]
        trials.sort(key=lambda run: (run.started, run.folder), reverse=True)
        return [Run(run.folder) for run in trials]

    @property
    def finished(self) -> Run | None:
        """The latest of its runs that are finished."""
        return first_finished(self.runs_of)


def resolve(what: str, *, runs: Path) -> Named | Shipped | Run | Path:
    """What `what` names, where runs are looked for in the folder `runs`.

    A run's folder there is that run, and so is the name that a run is shown by. Raises SpecError
    for a `zoo/NAME` that does not ship, and StorageError.
    """
    if (name := name_in_zoo(what)) is not None:
        if (shipped := zoo().get(name)) is None:
            raise SpecError((unknown_name(what, Path()),))
        return shipped
    if re.fullmatch(NAME_PATTERN, what):
        if is_there((run := Run(runs / what)).manifest_path):
            return run
        named = Named(what, runs)
        if not is_path(what) or named.shipped or named.runs_of:
            return named
    path = expanded(what)
    if not is_there(path):  # a name that `runs` shows
        if is_there((run := Run(runs / what)).manifest_path):
            return run
        if (named := Named(what, runs)).runs_of:
            return named
    return path


def first_finished(runs: Sequence[Run]) -> Run | None:
    """The first that has weights."""
    return next((run for run in runs if is_there(run.weights_path)), None)


def find_spec(what: str, *, runs: Path, overrides: Sequence[Override] = ()) -> Loaded:
    """The experiment that `what` names: of the zoo, of a YAML file, or of a run.

    Raises SpecError with every problem found, RunError and StorageError.
    """
    match meaning := _meaning_of_spec(what, runs):
        case Run():
            return _of_run(meaning, overrides)
        case str():
            return load(meaning, overrides=overrides)
        case never:
            assert_never(never)


def find_run(what: str, *, runs: Path) -> Run:
    """The run to resume: its folder, `latest`, or the latest of a name. Raises RunError."""
    if what == LATEST:
        found: Sequence[Run] = all_runs(runs)
        nothing = f"there is no run in {runs}"
    else:
        match meaning := resolve(what, runs=runs):
            case Run():
                return meaning
            case Path():
                return Run(meaning)
            case Shipped():
                found, nothing = (), f"{what} is a network that ships, not a run"
            case Named():
                found, nothing = meaning.runs_of, f"there is no run of {what} in {runs}"
            case never:
                assert_never(never)
    if not found:
        raise RunError(nothing, hint="train() starts one")
    return found[0]


def _meaning_of_spec(what: str, runs: Path) -> Run | str:
    """The run whose experiment is meant, or else what `load` takes."""
    if what in zoo():
        return what
    match meaning := resolve(what, runs=runs):
        case Run():
            return meaning
        case Named(runs_of=[first, *_]):
            return meaning.finished or first
        case Path() if is_folder(meaning) and is_there((run := Run(meaning)).manifest_path):
            return run
        case _:
            return what


def _of_run(run: Run, overrides: Sequence[Override]) -> Loaded:
    """The experiment of a run, under overrides; each value has the origin that the run knows."""
    source, manifest = str(run.manifest_path), run.manifest()
    loaded = loads(manifest.experiment.model_dump_json(), source=source, overrides=overrides)
    given = {path: origin for path, origin in loaded.origins.items() if source not in origin}
    loaded = Loaded(loaded.experiment, {**manifest.origins, **given})
    return with_own_teacher(loaded, run.manifest_path)


def with_own_teacher(loaded: Loaded, manifest: Path) -> Loaded:
    """The experiment of a manifest, whose teacher is the copy beside it, if it is there still."""
    recipe, copy = loaded.experiment.recipe, manifest.parent / TEACHER
    if recipe.teacher is None or recipe.teacher.sha256 is None or not is_there(copy):
        return loaded
    teacher = recipe.teacher.model_copy(update={"network": str(copy)})
    return loaded.with_values({"recipe": recipe.model_copy(update={"teacher": teacher})}, {})
