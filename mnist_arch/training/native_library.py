"""The native library of this machine: installed, or built in the user's cache; and tried."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

from mnist_arch.data import folders
from mnist_arch.errors import DeviceUnavailable
from mnist_arch.native.compiling import NoLibrary, find_compiler
from mnist_arch.native.library import (
    NotBuilt,
    build,
    installed_path,
    is_sealed,
    library_path,
    load,
    run_on,
    trouble_of_installed,
    vectors_here,
)
from mnist_arch.native.vectors import Vectors
from mnist_arch.training.native_check import check

PLAIN_INSTEAD: Final = "install g++ or clang++, or use engine='plain'"


@dataclass(frozen=True)
class Found:
    """A library that may be used."""

    library: ctypes.CDLL
    note: str | None = None
    """What the caller waited for, if it was built."""


def native_library(vectors: Vectors) -> ctypes.CDLL:
    """The library for these vectors, as `find_library` has it.

    Raises DeviceUnavailable where that cannot be, or the machine has no such vectors.
    """
    if not run_on(vectors, vectors_here()):
        message = f"this machine has no {vectors} vectors, with which the run was begun"
        raise DeviceUnavailable(message, hint="start from scratch with again=True")
    try:
        return find_library(vectors).library
    except NoLibrary as error:
        raise DeviceUnavailable(f"no native steps: {error}", hint=PLAIN_INSTEAD) from None


def find_library(vectors: Vectors, *, builds: bool = True) -> Found:
    """The library for vectors that this machine has: as it was installed, or else from the user's
    cache, where it is built the first time.

    Raises NoLibrary where it is not available, and NotBuilt where it could, but is not to be built.
    """
    path, cache, passed_over = installed_path(vectors), cache_folder(), ""
    if path.exists():
        try:
            return Found(_installed(path, cache))
        except NoLibrary as error:
            passed_over = f"; the library that was installed is not used: {error}"
    try:
        return _built(vectors, cache, builds=builds, passed_over=passed_over)
    except NoLibrary as error:
        raise type(error)(f"{error}{passed_over}") from None


def _installed(path: Path, cache: Path | None) -> ctypes.CDLL:
    """Raises NoLibrary where it is wrong, or does not load, be it after another machine, with which
    this one shares it, has found it right."""
    if trouble := _trouble_of_installed(path, cache):
        raise NoLibrary(trouble)
    return load(path)


@lru_cache  # where no seal can be written, it is tried once a process
def _trouble_of_installed(path: Path, cache: Path | None) -> str:
    return trouble_of_installed(path, cache=cache, check=check)


def _built(vectors: Vectors, cache: Path | None, *, builds: bool, passed_over: str) -> Found:
    compiler = find_compiler()
    if cache is None:
        raise NoLibrary("there is no folder to build it in; XDG_CACHE_HOME names one")
    path = library_path(compiler, vectors, cache=cache)
    if not (builds or is_sealed(path)):
        raise NotBuilt("they would have to be built first")
    built = build(compiler, vectors, cache=cache, check=check)
    if built.seconds is None:
        return Found(load(built.path))
    note = f"native steps were built first, once for this machine, which took {built.seconds:.0f} s"
    return Found(load(built.path), note + passed_over)


def native_on_node(vectors: Vectors, builds: bool) -> tuple[str, str]:
    """Why there are no native steps with these vectors here, in a line, or nothing where there are;
    and what was waited for, if anything."""
    try:
        return "", find_library(vectors, builds=builds).note or ""
    except NoLibrary as error:
        return str(error), ""


def cache_folder() -> Path | None:
    """Where libraries and seals are kept; None for a user without a home."""
    folder = folders.cache_folder()
    return None if folder is None else folder / "native"
