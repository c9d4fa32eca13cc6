"""The files of a run that somebody hands in: a folder, or a zip archive, read within bounds.

Nothing is unpacked, no link is followed, and nothing of it is executed. Nothing imports torch.
"""

from __future__ import annotations

import contextlib
import io
import os
import stat
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mnist_arch.errors import MnistArchError, PathError, RunCorrupt, StorageError
from mnist_arch.files import is_file, is_folder, is_there, names_in, shown, storage_errors

LIMITS: Final = {
    "manifest.json": 1 << 20,
    "metrics.jsonl": 8 << 20,
    "result.json": 8 << 20,
    "readings.jsonl": 1 << 20,
    "weights.safetensors": 64 << 20,
    "teacher.safetensors": 64 << 20,
}
"""What is read of a run, and the most bytes of each."""
MOST_ARCHIVE: Final = 128 << 20
"""Longest zip archive that is read."""
MOST_ENTRIES: Final = 10_000
"""Most files of a zip archive."""
MOST_RUNS: Final = 50
"""Most runs of a zip archive."""
_ENTRY: Final = b"PK\x01\x02"
"""What each entry of an archive's table begins with."""
_READ: Final = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""Ways to compress that are undone piece by piece, within bounds."""
_MAC: Final = "__MACOSX"
_CLAIM: Final = "claim.json"
"""What `runs pack` writes beside the folders of runs."""
_MOST_CLAIM: Final = 1 << 20
_OTHER_ARCHIVES: Final = {".7z", ".bz2", ".gz", ".rar", ".tar", ".tgz", ".xz", ".zst"}
"""Handed in, too, and not to be passed over."""
_LINK: Final = "is a link, which is not followed"


@dataclass(frozen=True)
class HandedIn:
    """The files of one run, by the names that `LIMITS` has."""

    name: str
    """What was handed in, as it was named."""
    files: dict[str, bytes]
    folder: str = ""
    """The name of its folder."""
    claim: bytes | None = None
    """The claim that was packed with it, and with the runs beside it."""
    beside: frozenset[str] = frozenset()
    """Names of the folders that are where the claim is."""


@dataclass(frozen=True)
class Place:
    """Where a run is that was handed in."""

    path: Path
    """Its folder, or an archive."""
    inside: str | None = None
    """Its folder in the archive; None where there is one alone."""

    @property
    def name(self) -> str:
        """As it was named; one of several in an archive with its folder there."""
        return f"{shown(self.path)}/{self.inside}" if self.inside else shown(self.path)

    def read(self) -> HandedIn:
        """Reads the run.

        Raises RunCorrupt for what is no run, is too large, or has links, and StorageError.
        """
        claim: bytes | None = None
        if self.path.is_symlink():
            raise RunCorrupt(f"{self.name} {_LINK}", hint="name what it leads to")
        if is_folder(self.path):
            files = {name: _file(self.path / name, limit) for name, limit in LIMITS.items()}
            found = {name: content for name, content in files.items() if content is not None}
            parent, folder = self.path.absolute().parent, self.path.absolute().name
            if is_file(parent / _CLAIM):
                claim = _file(parent / _CLAIM, _MOST_CLAIM)
            beside = frozenset(names_in(parent)) if claim is not None else frozenset()
        else:
            with _archive(self.path) as archive:
                runs = _entries(archive, shown(self.path))
                inside = next(iter(runs), "") if self.inside is None else self.inside
                found = {
                    file: _member(archive, entry, LIMITS[file], shown(self.path))
                    for file, entry in runs.get(inside, {}).items()
                }
                above, slash, folder = inside.rpartition("/")
                beside = frozenset(
                    it.rpartition("/")[2] for it in runs if it.rpartition("/")[0] == above
                )
                for entry in archive.infolist():
                    if entry.filename == f"{above}{slash}{_CLAIM}" and folder:
                        claim = _member(archive, entry, _MOST_CLAIM, shown(self.path))
        if not found:
            raise unreadable(f"{self.name} is no run: it has none of {', '.join(LIMITS)}")
        return HandedIn(self.name, found, folder, claim, beside)


def handed_in(path: Path) -> list[Place]:
    """The runs at a path: a run's folder, an archive of one or more, or a folder of these.

    What cannot be read is a place, too, which says so when it is read. Raises PathError where there
    is nothing, and StorageError.
    """
    if not is_there(path):
        raise PathError(f"there is no {shown(path)}", hint="name the folder of a run, or a zip")
    if path.is_symlink():
        return [Place(path)]
    if not is_folder(path):
        return _in_archive(path)
    if any(is_there(path / name) for name in LIMITS):
        return [Place(path)]
    found: list[Place] = []
    for inside, why in _inside(path):
        if why:
            continue
        if is_folder(inside):
            found.append(Place(inside))  # also what is no run: nobody's is to be passed over
        else:
            found += _in_archive(inside)
    has_runs = any(not is_folder(it.path) or is_there(it.path / "manifest.json") for it in found)
    return found if has_runs else [Place(path)]


def passed_over(path: Path) -> list[str]:
    """What is in a folder of hand-ins and is not read, with the reason, a sentence each."""
    if path.is_symlink() or not is_folder(path) or any(is_there(path / name) for name in LIMITS):
        return []
    return [f"{shown(inside)} {why}" for inside, why in _inside(path) if why]


def _inside(path: Path) -> Iterator[tuple[Path, str]]:
    """What is in a folder of hand-ins, and why it is passed over; empty where it is not."""
    for name in names_in(path):
        inside = path / name
        if name.startswith(".") or name in (_MAC, _CLAIM):
            continue
        if inside.is_symlink():
            yield inside, _LINK
        elif is_folder(inside):
            yield inside, ""
        elif inside.suffix.lower() in {".zip", *_OTHER_ARCHIVES} and is_file(inside):
            yield inside, ""
        else:
            yield inside, "is neither a folder nor an archive"


def _in_archive(path: Path) -> list[Place]:
    try:
        with _archive(path) as archive:
            folders = sorted(_entries(archive, shown(path)))
    except (RunCorrupt, StorageError):
        return [Place(path)]
    return [Place(path, folder) for folder in folders] if len(folders) > 1 else [Place(path)]


def unreadable(message: str) -> RunCorrupt:
    """The error for what cannot be read as a run."""
    return RunCorrupt(message, hint="ask for the folder of the run, or a zip of it")


def _file(path: Path, limit: int) -> bytes | None:
    """A file, if it is there; never what a link leads to, nor a pipe that would wait."""
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    if not is_there(path):
        return None
    with storage_errors(path, doing="read"):
        if not stat.S_ISREG(os.lstat(path).st_mode):
            raise unreadable(f"{shown(path)} is a link, or no file")
        descriptor = os.open(path, flags | getattr(os, "O_BINARY", 0))
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise unreadable(f"{shown(path)} is no file")
            return _bounded(file.read, limit, shown(path))


def _bounded(read: Callable[[int], bytes], limit: int, name: str) -> bytes:
    content = read(limit + 1)
    if len(content) > limit:
        raise unreadable(f"{name} is longer than {limit:,} bytes")
    return content


@contextlib.contextmanager
def _archive(path: Path) -> Iterator[zipfile.ZipFile]:
    """An archive, read as a whole. Raises RunCorrupt, also for what its reader trips over."""
    name = shown(path)
    with storage_errors(path, doing="read"):
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise unreadable(f"{name} is neither a folder nor a file")
        with path.open("rb") as file:
            content = _bounded(file.read, MOST_ARCHIVE, name)
    if content.count(_ENTRY) > MOST_ENTRIES:
        raise unreadable(f"{name} has more than {MOST_ENTRIES:,} files")
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            yield archive
    except MnistArchError:
        raise
    except (
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        NotImplementedError,
        OSError,
        OverflowError,
        RuntimeError,
        ValueError,
    ) as error:
        reason = str(error) or type(error).__name__
        raise unreadable(f"{name} cannot be read as a zip archive: {reason}") from None


def _entries(archive: zipfile.ZipFile, name: str) -> dict[str, dict[str, zipfile.ZipInfo]]:
    """The entries of the runs' files, by the folder of each in the archive."""
    found: dict[str, dict[str, zipfile.ZipInfo]] = {}
    for entry in archive.infolist():
        folder, _, file = entry.filename.rpartition("/")
        if file not in LIMITS or entry.filename.startswith(f"{_MAC}/"):
            continue
        if stat.S_ISLNK(entry.external_attr >> 16):
            raise unreadable(f"{entry.filename!r} in {name} is a link")
        if file in found.setdefault(folder, {}):
            raise unreadable(f"{name} has {entry.filename!r} twice")
        found[folder][file] = entry
    if len(found) > MOST_RUNS:
        raise unreadable(f"{name} has {len(found):,} runs, and at most {MOST_RUNS} are read")
    return found


def _member(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, limit: int, name: str) -> bytes:
    within = f"{entry.filename!r} in {name}"
    if entry.flag_bits & 1:
        raise unreadable(f"{within} is encrypted")
    if entry.compress_type not in _READ:
        raise unreadable(f"{within} is compressed in another way than zip files usually are")
    if entry.file_size > limit:
        raise unreadable(f"{within} is longer than {limit:,} bytes")
    with archive.open(entry) as file:
        return _bounded(file.read, limit, within)
