"""What becomes of runs on disk: another name, the bin, a file to hand in. Nothing imports torch."""

from __future__ import annotations

import hashlib
import io
import re
import shutil
import zipfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from mnist_arch.errors import Problem, RunError, SpecError
from mnist_arch.files import (
    is_folder,
    is_there,
    make_folder,
    names_in,
    now,
    read,
    storage_errors,
    to_json,
    write_whole,
)
from mnist_arch.runs.folder import Run
from mnist_arch.runs.listing import Line, chosen, lines_of
from mnist_arch.runs.score import Score
from mnist_arch.spec.network import NAME_PATTERN
from mnist_arch.values import FORMAT
from mnist_arch.zoo.index import zoo_names

BIN: Final = ".bin"
"""Folder of removed runs, in that of the runs."""
PACKED: Final = (
    "manifest.json",
    "metrics.jsonl",
    "result.json",
    "readings.jsonl",
    "weights.safetensors",
    "teacher.safetensors",
    "curves.png",
    "name.json",
)
"""Files of a run that are handed in, as far as they are there."""
_START: Final = (1980, 1, 1, 0, 0, 0)
"""The same runs are the same bytes."""


def rename(what: str, new: str, *, runs: Path) -> list[Path]:
    """Has all seeds of an experiment shown by another name; returns their folders.

    Raises SpecError for a name that is none or is taken, RunError for trials of a sweep, and where
    several experiments have the name.
    """
    lines = lines_of(runs)
    line = _only(what, chosen(what, runs=runs, lines=lines))
    if line.sweep:
        hint = "its name is that of the arm, in the file of the sweep"
        raise RunError(f"{line.name} is a trial of the sweep {line.sweep}", hint=hint)
    if not re.fullmatch(NAME_PATTERN, new):
        hint = "letters, digits, dots, dashes and underscores, at most 64, such as best-so-far"
        raise SpecError((Problem(f"{new!r} is no name", hint=hint),))
    same = [line, *(it for it in lines if _is_same(it, line))]
    taken = {it.name for it in lines if it is not line and not _is_same(it, line)}
    if new in taken or (new in zoo_names() and new != line.network):
        whose = "another run" if new in taken else "a network that ships"
        raise SpecError((Problem(f"{new!r} is the name of {whose}", hint="choose another"),))
    folders = list(dict.fromkeys(run.folder for it in same for run in it.runs))
    for folder in folders:
        Run(folder).rename(new)
    return folders


def remove(words: Sequence[str], *, runs: Path) -> list[tuple[Path, Path]]:
    """Moves runs, or whole sweeps, into the bin; returns where each was and is.

    Nothing is moved where one of them is in use. Raises RunError and RunLocked.
    """
    folders: dict[Path, None] = {}
    scores: dict[Path, str] = {}
    for word in words:
        sweep = runs / word
        if is_there(sweep / "sweep.json"):
            folders[sweep] = None
        else:
            line = _only(word, chosen(word, runs=runs))
            folders |= dict.fromkeys(run.folder for run in line.runs)
            scores |= {it.folder: f"{line.network}-{line.digest[:8]}" for it in line.runs}
    into = runs / BIN / re.sub(r"[:+]", "-", now())
    moved = []
    with ExitStack() as held:
        for folder in folders:
            held.enter_context(Run(folder).lock())
        for folder in folders:
            moved.append(_moved(folder, into, runs))
        for parent, name in {(folder.parent, name): None for folder, name in scores.items()}:
            seeds = [it for it in names_in(parent) if it.startswith(f"{name}-s")]
            if not any(is_folder(parent / it) for it in seeds):  # scores alone are left
                moved += [_moved(parent / it, into, runs) for it in seeds]
    return moved


def _moved(path: Path, into: Path, runs: Path) -> tuple[Path, Path]:
    """Moves a path below another folder; returns where it was and is. Raises StorageError."""
    target = into / (path.relative_to(runs) if path.is_relative_to(runs) else path.name)
    make_folder(target.parent)
    with storage_errors(target):
        shutil.move(path, target)
    return path, target


def empty_bin(runs: Path) -> int:
    """Deletes what is in the bin for good; returns how many removals that were."""
    names = names_in(runs / BIN)
    with storage_errors(runs / BIN):
        for name in names:
            shutil.rmtree(runs / BIN / name)
    return len(names)


def pack(what: str, out: Path, *, runs: Path) -> list[str]:
    """Writes all finished seeds of an experiment, or one run, as a ZIP file to hand in.

    `claim.json` says what is claimed, and the SHA-256 of each file. Returns the names inside. The
    same runs give the same bytes. Raises RunError for what is not finished, and StorageError.
    """
    line = _only(what, chosen(what, runs=runs))
    unfinished = [it for it in line.runs if it.state != "done"]
    if unfinished:
        first = unfinished[0]
        hint = "name a finished run by its folder, or finish this one with resume="
        raise RunError(f"{first.folder} is {first.state}", hint=hint)
    found = {
        f"{run.folder.name}/{name}": read(run.folder / name)
        for run in line.runs
        for name in PACKED
        if is_there(run.folder / name)
    }
    results = [result for it in line.runs if (result := Run(it.folder).result()) is not None]
    budget = Run(line.runs[0].folder).manifest().experiment.budget
    claim = {
        "format": FORMAT,
        "name": line.name,
        "digest": line.digest,
        "budget": budget.model_dump(mode="json"),
        "score": Score.of(results, budget).model_dump(mode="json", exclude={"results"}),
        "sha256": {name: hashlib.sha256(content).hexdigest() for name, content in found.items()},
    }
    content = {"claim.json": to_json(claim).encode(), **dict(sorted(found.items()))}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in content.items():
            info = zipfile.ZipInfo(name, _START)
            info.external_attr = 0o644 << 16
            archive.writestr(info, data, zipfile.ZIP_DEFLATED)
    write_whole(out, buffer.getvalue())
    return list(content)


def _is_same(line: Line, other: Line) -> bool:
    """Whether both are one experiment, some seeds of which may have a name of their own."""
    return (line.digest, line.network, line.sweep) == (other.digest, other.network, other.sweep)


def _only(what: str, lines: Sequence[Line]) -> Line:
    """The one experiment that is meant. Raises RunError where there are several."""
    if len(lines) > 1:
        names = [f"{it.name}-{it.digest[:8]}" for it in lines]
        if len(set(names)) < len(names):  # the same, in several folders
            names = [str(it.runs[0].folder) for it in lines]
        message = f"{what!r} is the name of {len(lines)} experiments"
        raise RunError(message, hint=f"name one: {', '.join(names[:4])}")
    return lines[0]
