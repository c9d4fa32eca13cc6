"""All runs below a folder at a glance: read from their files, without validating them.

A line is an experiment: its runs differ in their seed alone. Nothing here imports torch.
"""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Literal

from mnist_arch.counting.plan import plan_network
from mnist_arch.errors import MnistArchError, Problem, RunError, SpecError, StorageError
from mnist_arch.evaluation.judgement import Fold, Interval, SeedAccuracies, wilson_interval_percent
from mnist_arch.files import expanded, is_held, is_there
from mnist_arch.runs.folder import LABEL, SWEEP, Run, run_folders
from mnist_arch.runs.stored import (
    named_by,
    network_name,
    shown_name,
    stored_manifest,
    stored_object,
    stored_value,
)
from mnist_arch.values import FORMAT

RunStatus = Literal["done", "running", "unfinished", "failed", "pruned", "damaged", "other format"]

_FLAG: Final = re.compile(r"--set (.*)|--|set\[|\w+=", re.DOTALL)
"""Where a value came from that a flag, or an argument of a verb, has set."""
_SHOWN_ELSEWHERE: Final = ("name", "dataset", "holdout")


@dataclass(frozen=True)
class ListedRun:
    """One run, as its files say."""

    folder: Path
    seed: int
    state: RunStatus
    started: str
    """UTC, ISO 8601; empty where it is not known."""
    bytes: int
    """Size of its files."""
    epochs_done: int
    correct: int | None
    """Correct images of the final epoch; None for a run that is not finished."""
    images: int | None
    seconds: float | None
    on: Fold | None = None
    """The fold that it was judged on, where the hold-out is one."""

    @property
    def accuracy_percent(self) -> float | None:
        """100 · correct / images."""
        return None if not self.images or self.correct is None else 100 * self.correct / self.images


@dataclass(frozen=True)
class Line:
    """An experiment with its runs, the seeds in order."""

    name: str
    """What it is shown and found by; of a trial `<sweep>/<arm>`."""
    network: str
    """The name in its spec."""
    sweep: str
    """Folder of its sweep below that of the runs; empty where it is of none."""
    digest: str
    differs: dict[str, str]
    """From its base, the network that its file extends or that of its sweep: place and value."""
    parameters: int | None
    """None where the network cannot be counted."""
    macs: int | None
    dataset: str
    split: str
    epochs: int | None
    runs: tuple[ListedRun, ...]

    @cached_property
    def finished(self) -> tuple[ListedRun, ...]:
        return tuple(run for run in self.runs if run.state == "done")

    @cached_property
    def scores(self) -> SeedAccuracies | None:
        """The accuracies of the finished runs; None without any."""
        counts = [it.correct for it in self.finished if it.correct is not None]
        on = [it.on for it in self.finished if it.on is not None]
        if on:
            whole = len(counts) == len(on) and len({it.folds for it in on}) == 1
            return SeedAccuracies.over_folds(counts, on) if whole else None
        images = {it.images for it in self.finished}
        if len(images) != 1 or not (count := images.pop()):
            return None
        return SeedAccuracies.of(counts, count)

    @property
    def accuracy_percent(self) -> float | None:
        """Mean over the finished runs."""
        return None if self.scores is None else self.scores.mean_percent

    @property
    def interval_percent(self) -> Interval | None:
        """Wilson's 95 % interval over the images, of a single run."""
        if self.scores is None or self.scores.runs != 1:
            return None
        return wilson_interval_percent(self.scores.correct[0], self.scores.images)

    @property
    def states(self) -> Counter[RunStatus]:
        return Counter(run.state for run in self.runs)

    @property
    def started(self) -> str:
        """When the latest of its runs was started."""
        return max(run.started for run in self.runs)

    @property
    def bytes(self) -> int:
        return sum(run.bytes for run in self.runs)

    def value(self, field: str) -> Any:
        """What `where` and `sort` know by a name, or a place of the spec. Raises KeyError."""
        if field in FIELDS:
            return FIELDS[field](self)
        if not re.match(r"(recipe|defaults|blocks|head|budget|holdout)\b", field):
            raise KeyError(field)
        text = stored_value(stored_manifest(self.runs[0].folder / Run.MANIFEST), field)
        if text == "?":
            return None
        try:
            return json.loads(text)
        except ValueError:
            return text


FIELDS: Final[dict[str, Callable[[Line], Any]]] = {
    "name": lambda it: it.name,
    "network": lambda it: it.network,
    "sweep": lambda it: it.sweep,
    "differs": lambda it: ", ".join(f"{place}={value}" for place, value in it.differs.items()),
    "parameters": lambda it: it.parameters,
    "macs": lambda it: it.macs,
    "dataset": lambda it: it.dataset,
    "split": lambda it: it.split,
    "epochs": lambda it: it.epochs,
    "seeds": lambda it: len(it.runs),
    "accuracy": lambda it: it.accuracy_percent,
    "state": lambda it: it.runs[0].state if len(it.states) == 1 else "mixed",
    "started": lambda it: it.started,
    "size": lambda it: it.bytes,
}
"""What a line is filtered and sorted by."""


# ----------------------------------------------------------------------------------------- reading


def lines_of(runs: Path) -> list[Line]:
    """Every run below a folder, an experiment a line, the latest first. Raises StorageError."""
    refused: list[StorageError] = []
    sweeps: dict[str, _Sweep] = {}
    found: dict[tuple[str, str, str], list[ListedRun]] = {}
    about: dict[tuple[str, str, str], tuple[bool, Line]] = {}
    for path, entries in run_folders(runs, refused=refused, into_sweeps=True):
        parent = os.path.dirname(path)
        if parent not in sweeps:
            sweeps[parent] = _Sweep.of(parent, runs)
        one = _read(path, entries, sweeps[parent])
        key = (parent, one.digest or path, one.name)
        found.setdefault(key, []).append(one.run)
        if key not in about or (one.result and not about[key][0]):
            about[key] = bool(one.result), _line(one)  # and what was read can go
    if refused and not found:
        raise refused[0]
    lines = [_with_runs(about[key][1], them) for key, them in found.items()]
    return sorted(lines, key=lambda line: (line.started, line.name), reverse=True)


@dataclass(frozen=True)
class _Sweep:
    """What a sweep's leaderboard says of its trials' folders: arm, and how it differs."""

    name: str
    arms: dict[str, tuple[str, dict[str, str]]]

    @staticmethod
    def of(folder: str, runs: Path) -> _Sweep:
        if not os.path.exists(os.path.join(folder, SWEEP)):
            return _Sweep("", {})
        arms: dict[str, tuple[str, dict[str, str]]] = {}
        board = stored_object(os.path.join(folder, "leaderboard.json"))
        try:
            for standing in board.get("standings", ()):
                for trial in (*standing["trials"], *standing["final"]):
                    arms[trial["folder"]] = standing["name"], dict(standing["differs"])
        except (KeyError, TypeError, ValueError):
            arms = {}  # of another version, or damaged: the runs say less then
        return _Sweep(os.path.relpath(folder, runs).replace(os.sep, "/"), arms)


@dataclass(frozen=True)
class _Read:
    """One run, with what its line takes from it."""

    run: ListedRun
    name: str
    sweep: str
    digest: str
    manifest: Mapping[str, Any]
    result: dict[str, Any]
    differs: dict[str, str] | None
    """What the leaderboard of its sweep says; None where it says nothing."""


def _read(path: str, entries: dict[str, os.DirEntry[str]], sweep: _Sweep) -> _Read:
    manifest, result, label = _manifest(path), {}, {}
    if "result.json" in entries:
        result = _object(path, "result.json")
    if LABEL in entries:
        label = _object(path, LABEL)
    folder = os.path.basename(path)
    name, differs = shown_name(manifest, label, folder), None
    if sweep.name:
        arm, differs = sweep.arms.get(folder, (network_name(manifest, folder), None))
        name = f"{sweep.name}/{arm}"
    seed, started = manifest.get("seed"), manifest.get("started")
    state = _state(path, entries, manifest, result)
    is_judged = state in ("done", "pruned")
    run = ListedRun(
        folder=Path(path),
        seed=seed if isinstance(seed, int) else 0,
        state=state,
        started=started if isinstance(started, str) else "",
        bytes=sum(_size(entry) for entry in entries.values()),
        epochs_done=result["epochs"] if state == "done" else _epochs_done(path, entries),
        correct=result.get("correct") if is_judged else None,
        images=result.get("images") if is_judged else None,
        seconds=result.get("seconds") if is_judged else None,
        on=_fold(result) if is_judged else None,
    )
    digest = manifest.get("digest")
    digest = digest if isinstance(digest, str) else ""
    return _Read(run, name, sweep.name, digest, manifest, result, differs)


def _manifest(path: str) -> Mapping[str, Any]:
    try:
        return stored_manifest(f"{path}{os.sep}{Run.MANIFEST}")
    except StorageError:
        return {}


def _fold(result: dict[str, Any]) -> Fold | None:
    match result:
        case {"folds": {"folds": int(folds), "fold": int(fold)}, "images": int(images)} if (
            folds > 1 and images > 0
        ):
            return Fold(folds, fold, images)
    return None


def _object(path: str, name: str) -> dict[str, Any]:
    try:
        return stored_object(f"{path}{os.sep}{name}")
    except StorageError:
        return {}


def _size(entry: os.DirEntry[str]) -> int:
    try:
        return entry.stat(follow_symlinks=False).st_size
    except OSError:
        return 0


def _epochs_done(path: str, entries: dict[str, os.DirEntry[str]]) -> int:
    if "metrics.jsonl" not in entries:
        return 0
    try:
        return len(Run(Path(path)).curve())
    except MnistArchError:
        return 0


def _state(
    path: str,
    entries: dict[str, os.DirEntry[str]],
    manifest: Mapping[str, Any],
    result: dict[str, Any],
) -> RunStatus:
    if any(key not in manifest for key in ("experiment", "digest", "seed", "started")):
        return "damaged"
    if manifest.get("format") != FORMAT or (result and result.get("format") != FORMAT):
        return "other format"
    if "pruned.json" in entries:
        return "pruned"
    if "result.json" in entries:
        known = {"correct", "images", "split", "dataset", "epochs"} <= result.keys()
        return "done" if known else "damaged"
    if "failure.json" in entries:
        return "failed"
    return "running" if ".lock" in entries and is_held(Path(path)) else "unfinished"


def _differs(manifest: Mapping[str, Any]) -> dict[str, str]:
    """What differs from the network of the zoo that a spec extends, else what flags have set."""
    origins = manifest.get("origins")
    if not isinstance(origins, Mapping):
        return {}
    extends = any(str(origin).startswith("zoo/") for origin in origins.values())
    found: dict[str, str] = {}
    for where, origin in origins.items():
        text = str(origin)
        if text.startswith("zoo/") or not ((flag := _FLAG.match(text)) or extends):
            continue
        top = where.partition(".")[0].partition("[")[0]
        if top in _SHOWN_ELSEWHERE:
            continue
        if flag and flag[1]:
            place, _, value = flag[1].partition("=")
            found[place] = value
        elif top == "blocks":
            found["blocks"] = "others"
        else:
            found[where] = stored_value(manifest, where)
    return found


def _with_runs(line: Line, runs: Sequence[ListedRun]) -> Line:
    return replace(line, runs=tuple(sorted(runs, key=lambda it: (it.seed, it.folder))))


def _line(first: _Read) -> Line:
    """The line of a run, alone."""
    experiment = first.manifest.get("experiment")
    experiment = experiment if isinstance(experiment, Mapping) else {}
    counted = first.result.get("parameters"), first.result.get("macs")
    if counted[0] is None:
        counted = _counted(first.run.folder)
    epochs: int | None = first.run.epochs_done
    if first.run.state != "done":
        recipe = experiment.get("recipe")
        epochs = recipe.get("epochs") if isinstance(recipe, dict) else None
    return Line(
        name=first.name,
        network=network_name(first.manifest, first.run.folder.name),
        sweep=first.sweep,
        digest=first.digest,
        differs=_differs(first.manifest) if first.differs is None else first.differs,
        parameters=counted[0],
        macs=counted[1],
        dataset=str(experiment.get("dataset", "")),
        split="validation" if experiment.get("holdout") else "test",
        epochs=epochs,
        runs=(first.run,),
    )


def _counted(folder: Path) -> tuple[int | None, int | None]:
    """Parameters and MACs of a run that has no result to say them."""
    try:
        plan = plan_network(Run(folder).manifest().experiment)
    except MnistArchError:
        return None, None
    return plan.parameters, plan.macs


# ---------------------------------------------------------------------------------------- choosing


@dataclass(frozen=True)
class Condition:
    """A field, a comparison and a value: `parameters<8000`."""

    field: str
    sign: str
    value: str

    @staticmethod
    def of(text: str) -> Condition:
        """Raises SpecError for what is none."""
        match = re.fullmatch(r"\s*([\w.\[\]-]+?)\s*(<=|>=|!=|==|<|>|=)\s*(.*?)\s*", text)
        if match is None:
            message = f"{text!r} is no condition"
            hint = "a field, one of < <= > >= = != and a value, such as 'parameters<8000'"
            raise SpecError((Problem(message, origin="where=", hint=hint),))
        return Condition(match[1], match[2], match[3])

    def holds(self, line: Line) -> bool:
        """Raises SpecError for a field that there is not, or a value that is no number."""
        found = value_of(line, self.field, origin="where=")
        if isinstance(found, int | float) and not isinstance(found, bool):
            return _compared(found, self.sign, self._number())
        if found is None:
            return self.sign == "!="
        return _compared(_text(found), self.sign, self.value)

    def _number(self) -> float:
        try:
            return float(self.value.replace(",", "").replace("_", ""))
        except ValueError:
            message = f"{self.field} is a number, and {self.value!r} is none"
            hint = f"such as '{self.field}{self.sign}{_EXAMPLES.get(self.field, 8000)}'"
            raise SpecError((Problem(message, origin="where=", hint=hint),)) from None


_EXAMPLES: Final = {"accuracy": 99.4, "epochs": 20, "seeds": 3, "size": 1_000_000}
"""Numbers that fields may have."""


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _compared(found: Any, sign: str, value: Any) -> bool:
    match sign:
        case "<":
            return bool(found < value)
        case "<=":
            return bool(found <= value)
        case ">":
            return bool(found > value)
        case ">=":
            return bool(found >= value)
        case "!=":
            return bool(found != value)
        case _:
            return bool(found == value)


def value_of(line: Line, field: str, *, origin: str) -> Any:
    """A field of a line. Raises SpecError, which names the flag, where there is no such field."""
    try:
        return line.value(field)
    except KeyError:
        hint = f"fields: {', '.join(FIELDS)}, or a place of the spec, such as recipe.ema"
        message = f"runs have no field {field!r}"
        raise SpecError((Problem(message, origin=origin, hint=hint),)) from None


def matching(
    lines: Sequence[Line], pattern: str | None = None, where: Sequence[Condition] = ()
) -> list[Line]:
    """The lines whose name, or a folder of whose runs, is like the pattern, under conditions.

    A pattern without `*`, `?` and `[` may be a part of a name. Raises SpecError.
    """
    if pattern is not None:
        in_name = pattern if re.search(r"[*?\[]", pattern) else f"*{pattern}*"
        lines = [
            it
            for it in lines
            if fnmatchcase(it.name, in_name)
            or any(fnmatchcase(run.folder.name, pattern) for run in it.runs)
        ]
    for condition in where:
        _check_place(condition.field, lines)
    return [it for it in lines if all(condition.holds(it) for condition in where)]


def _check_place(field: str, lines: Sequence[Line]) -> None:
    """Raises SpecError for a place that no spec has."""
    if field in FIELDS or not lines:
        return
    value_of(lines[0], field, origin="where=")  # whether it may be a place at all
    found = (stored_value(stored_manifest(it.runs[0].folder / Run.MANIFEST), field) for it in lines)
    if all(text == "?" for text in found):
        message = f"no spec of these runs has {field}"
        raise SpecError(
            (Problem(message, origin="where=", hint="see mnist-arch summary --schema"),)
        )


def in_order(lines: Sequence[Line], field: str) -> list[Line]:
    """Sorted by a field, of which `-` before it asks for the largest first. Raises SpecError."""
    name = field.removeprefix("-")
    keyed = [(value_of(it, name, origin="sort="), it) for it in lines]
    known = [it for it in keyed if it[0] is not None]
    is_number = all(isinstance(value, int | float) for value, _ in known)
    known.sort(key=lambda it: it[0] if is_number else _text(it[0]), reverse=field.startswith("-"))
    return [it for _, it in known] + [it for value, it in keyed if value is None]


def chosen(what: str, *, runs: Path, lines: Sequence[Line] | None = None) -> list[Line]:
    """The lines that a word names: a run's folder, which is that run alone, or a name.

    What a name is says `named_by`. The latest comes first. Raises RunError with the nearest names
    where there is none.
    """
    for folder in (runs / what, expanded(what)):
        if is_there(folder / Run.MANIFEST):
            return [_alone(folder, runs)]
    lines = lines_of(runs) if lines is None else lines
    if not (found := named(what, lines)):
        import difflib

        names = list(dict.fromkeys(it.name for it in lines))
        near = difflib.get_close_matches(what, names, n=3)
        hint = f"did you mean {' or '.join(near)}?" if near else "mnist-arch runs lists all names"
        if arms := [name for name in names if name.startswith(f"{what}/")]:
            message = f"{what!r} is a sweep, and one of its networks is meant"
            raise RunError(message, hint=f"such as {arms[0]}")
        raise RunError(f"no run in {runs} is named {what!r}", hint=hint)
    return found


def names_apart(lines: Sequence[Line]) -> list[str]:
    """Their names; those that have the same are named by their digest."""
    count = Counter(line.name for line in lines)
    return [
        f"{it.name}-{it.digest[:8]}" if count[it.name] > 1 and it.digest else it.name
        for it in lines
    ]


def named(what: str, lines: Sequence[Line]) -> list[Line]:
    """The lines that a name is nearest to; none where it names none."""
    near: dict[int, list[Line]] = {}
    for line in lines:
        rank = named_by(what, shown=line.name, network=line.network, digest=line.digest)
        if rank is not None:
            near.setdefault(rank, []).append(line)
    return near[min(near)] if near else []


def _alone(folder: Path, runs: Path) -> Line:
    """A run without the other seeds, under the name that it has among them."""
    sweep = _Sweep.of(str(folder.parent), runs)
    entries = {entry.name: entry for entry in os.scandir(folder)}
    return _line(_read(str(folder), entries, sweep))
