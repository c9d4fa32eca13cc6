"""The native library of this machine: found in the user's cache, built, and tried."""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Final

from mnist_arch.errors import DeviceUnavailable
from mnist_arch.native.library import (
    NoLibrary,
    NotBuilt,
    build,
    find_compiler,
    is_sealed,
    library_path,
    load,
    run_on,
    vectors_here,
)
from mnist_arch.native.vectors import Vectors
from mnist_arch.training.native_check import check

PLAIN_INSTEAD: Final = "install g++ or clang++, or use engine='plain'"


def native_library(vectors: Vectors) -> ctypes.CDLL:
    """The library for these vectors, from the user's cache, where it is built the first time.

    Raises DeviceUnavailable where that cannot be, or the machine has no such vectors.
    """
    if not run_on(vectors, vectors_here()):
        message = f"this machine has no {vectors} vectors, with which the run was begun"
        raise DeviceUnavailable(message, hint="start from scratch with again=True")
    try:
        return find_library(vectors)
    except NoLibrary as error:
        raise DeviceUnavailable(f"no native steps: {error}", hint=PLAIN_INSTEAD) from None


def find_library(vectors: Vectors, *, builds: bool = True) -> ctypes.CDLL:
    """The library for vectors that this machine has, from the user's cache.

    Raises NoLibrary where it is not available, and NotBuilt where it could, but is not to be built.
    """
    compiler, cache = find_compiler(), cache_folder()
    path = library_path(compiler, vectors, cache=cache)
    if not (builds or is_sealed(path)):
        raise NotBuilt("they would have to be built first")
    return load(build(compiler, vectors, cache=cache, check=check))


def native_trouble(vectors: Vectors, builds: bool) -> str:
    """Why there are no native steps with these vectors here, in a line; nothing where there are."""
    try:
        find_library(vectors, builds=builds)
    except NoLibrary as error:
        return str(error)
    return ""


def cache_folder() -> Path:
    """Where libraries are kept."""
    import platformdirs

    return Path(platformdirs.user_cache_dir("mnist-arch")) / "native"
