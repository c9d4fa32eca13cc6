"""Networks side by side, by their runs on the same images, wherever these came from.

Nothing here imports torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

from mnist_arch.errors import RunError
from mnist_arch.evaluation.comparison import ArmRun, Difference, compare_with_first
from mnist_arch.runs.folder import Run
from mnist_arch.runs.listing import Line, chosen, lines_of, names_apart
from mnist_arch.runs.result import Result
from mnist_arch.runs.score import Score
from mnist_arch.spec.experiment import Budget

Images = tuple[str, str, int, str]
"""Dataset, split, number and hash of the images that runs were judged on; of a cross-validation
all folds, which have a hash each: see `_Judged`.
"""


@dataclass(frozen=True)
class _Judged:
    """Runs of an experiment that were judged on the same images, or on folds of them."""

    line: Line
    results: list[Result]
    sha256: dict[int, str]
    """Of the images of each seed."""


@dataclass(frozen=True)
class Compared:
    """One of several networks."""

    line: Line
    name: str
    """What it is shown by: with its digest where others have its name."""
    score: Score
    against_first: Difference | None
    """This one minus the first; None for the first, and where there is nothing to test by."""


def compare(words: Sequence[str], *, runs: Path) -> list[Compared]:
    """What each word names, with its difference to the first, as a sweep compares its arms.

    Of a name with several experiments it is the latest that has been judged on the images of the
    others. Raises RunError where there are no such images, and for what is not finished.
    """
    lines = lines_of(runs)
    candidates = [_by_images(word, chosen(word, runs=runs, lines=lines)) for word in words]
    common = [it for it in candidates[0] if all(it in other for other in candidates[1:])]
    if not common:
        said = "; ".join(
            f"{word}: {' or '.join(map(_text, found))}"
            for word, found in zip(words, candidates, strict=True)
        )
        hint = "runs are compared on the same images: train them with the same data and hold-out"
        raise RunError(f"these were not judged on the same images: {said}", hint=hint)
    found = [candidate[common[0]] for candidate in candidates]
    for it in found[1:]:
        if any(found[0].sha256.get(seed, sha256) != sha256 for seed, sha256 in it.sha256.items()):
            raise RunError(f"the folds of {words[0]} and {it.line.name} are of other images")
    _check_apart(words, found)
    arms = [[arm_run(result) for result in it.results] for it in found]
    differences = compare_with_first(arms, images=common[0][2])
    return [
        Compared(it.line, _name(it.line, lines), Score.of(it.results, _budget(it.line)), difference)
        for it, difference in zip(found, [None, *differences], strict=True)
    ]


def _check_apart(words: Sequence[str], found: Sequence[_Judged]) -> None:
    """Raises RunError where a run would be compared with itself."""
    for (word, it), (other, one) in combinations(zip(words, found, strict=True), 2):
        if {run.folder.resolve() for run in it.line.runs} & {
            run.folder.resolve() for run in one.line.runs
        }:
            message = f"{word} is named twice" if word == other else f"{other} is of {word}"
            raise RunError(message, hint="networks are compared with others: name each once")


def _name(line: Line, lines: Sequence[Line]) -> str:
    return names_apart([line, *(it for it in lines if it.digest != line.digest)])[0]


def _budget(line: Line) -> Budget:
    return Run(line.runs[0].folder).manifest().experiment.budget


def _by_images(word: str, lines: Sequence[Line]) -> dict[Images, _Judged]:
    """The experiments of a name by the images they were judged on, the latest of each."""
    found: dict[Images, _Judged] = {}
    for line in lines:
        for listed in line.finished:
            run = Run(listed.folder)
            if (result := run.result()) is None:
                continue
            sha256 = run.manifest().data_sha256
            key = (result.dataset, *_judged_on(result, sha256))
            it = found.setdefault(key, _Judged(line, [], {}))
            if it.line is line and result.seed not in it.sha256:
                it.results.append(result)
                it.sha256[result.seed] = sha256
    if not found:
        raise RunError(f"no run of {word} is finished", hint="mnist-arch runs says how far each is")
    return found


def _judged_on(result: Result, sha256: str) -> tuple[str, int, str]:
    if result.on is None:
        return result.split, result.images, sha256
    return f"{result.split} in {result.on.folds} folds", result.on.folds, ""


def _text(images: Images) -> str:
    dataset, split, count, sha256 = images
    if not sha256:
        return f"{dataset} {split}"
    return f"{count:,} {dataset} {split} images ({sha256[:8]})"


def arm_run(result: Result) -> ArmRun:
    """A result, as arms are compared by it."""
    wrong = None if result.mistakes is None else frozenset(result.mistakes)
    return ArmRun(result.seed, result.correct, wrong, result.on)
