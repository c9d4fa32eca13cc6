"""Files that are written whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, Final

from mnist_arch.errors import StorageError

_UNFINISHED: Final = ".unfinished"


@contextlib.contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turns an operating system's refusal to write at `path` into a StorageError."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        hint = "free some space, or choose another folder with --out"
        raise StorageError(f"cannot write {path}: {reason}", hint=hint) from error


def make_folder(path: Path) -> None:
    """Makes a folder and its parents. Raises StorageError."""
    with storage_errors(path):
        path.mkdir(parents=True, exist_ok=True)


def write_whole(path: Path, content: bytes | Callable[[BinaryIO], object]) -> None:
    """Writes a file beside `path`, syncs it, renames it. Raises StorageError, leaving nothing."""
    with storage_errors(path):
        descriptor, name = tempfile.mkstemp(
            prefix=f".{path.name}.", suffix=_UNFINISHED, dir=path.parent
        )
        try:
            with os.fdopen(descriptor, "wb") as file:
                if callable(content):
                    content(file)
                else:
                    file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(name, 0o644)  # mkstemp makes files that only their owner can read
            os.replace(name, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(name)
            raise


def remove_unfinished(folder: Path) -> None:
    """Removes what `write_whole` left behind where its process was killed. Raises StorageError."""
    for path in folder.glob(f".*{_UNFINISHED}"):
        with storage_errors(path):
            path.unlink(missing_ok=True)


def append_line(path: Path, line: str) -> None:
    """Appends one line and syncs it. Raises StorageError, leaving nothing of the line."""
    content = line.encode() + b"\n"
    with storage_errors(path), path.open("ab", buffering=0) as file:
        end = file.tell()
        try:
            if file.write(content) != len(content):  # a disk that is nearly full takes a part
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(file.fileno())
        except BaseException:
            file.truncate(end)
            raise


def to_json(value: Any) -> str:
    """JSON as this program writes it: sorted keys, indented, finite numbers, a final newline."""
    return json.dumps(value, indent=2, sort_keys=True, allow_nan=False, ensure_ascii=False) + "\n"
