"""The library of the native engine: installed, or built once and kept in the user's cache."""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import json
import os
import platform
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

from mnist_arch.native.compiling import (
    Compiler,
    NoLibrary,
    compile_library,
    library_name,
    vectors_of,
)
from mnist_arch.native.vectors import Vectors

_RUN_ON: Final[dict[Vectors, tuple[Vectors, ...]]] = {
    "avx512": ("avx512",),
    "avx2": ("avx512", "avx2"),
    "neon": ("neon",),
    "plain": ("avx512", "avx2", "neon", "plain"),
}
"""Machines, by their widest vectors, that have those of a library."""

LOCK_SECONDS: Final = 300
"""How long a process waits for another that builds."""

Check = Callable[[Path], str]
"""Tries a library, and says in a line what is wrong with it, or nothing."""


class NotBuilt(NoLibrary):
    """There is no library yet, and none was to be built."""


@dataclass(frozen=True)
class Built:
    """A library in the cache."""

    path: Path
    seconds: float | None
    """What building and trying it took; None where it was there already."""


def vectors_here() -> Vectors:
    """The widest vectors that this machine has."""
    import torch

    return vectors_of(platform.machine(), torch.backends.cpu.get_cpu_capability())


def installed_path(vectors: Vectors) -> Path:
    """Where the library of just these sources is, if it was built when they were installed."""
    return Path(__file__).with_name(library_name(vectors))


def library_path(
    compiler: Compiler, vectors: Vectors, *, cache: Path, flags: Sequence[str] = ()
) -> Path:
    """Where the library of these sources, by this compiler, for these vectors is kept."""
    return cache / library_name(vectors, compiler.version, *compiler.arguments, *flags)


def run_on(vectors: Vectors, here: Vectors) -> bool:
    """Whether a machine whose widest vectors are those `here` runs a library of others."""
    return here in _RUN_ON[vectors]


def untried(_: Path) -> str:
    """A check that finds nothing wrong."""
    return ""


def build(
    compiler: Compiler,
    vectors: Vectors,
    *,
    cache: Path,
    flags: Sequence[str] = (),
    check: Check = untried,
) -> Built:
    """The library, built unless it is there already: one process builds, the others wait.

    It is tried by `check` before it is put in its place, beside a seal that holds its hash. One
    that differs from its seal, or has none, is built again; of one that was found wrong the seal
    alone is kept. Raises NoLibrary.
    """
    path = library_path(compiler, vectors, cache=cache, flags=flags)
    if is_sealed(path):
        return Built(path, None)
    seconds = None
    try:
        with _building(cache):
            if not is_sealed(path):
                start = time.perf_counter()
                with tempfile.TemporaryDirectory(dir=cache, prefix=_UNFINISHED) as folder:
                    made = Path(folder) / "library.so"
                    compile_library(compiler, vectors, made, flags=flags)
                    trouble = check(made)
                    _write_seal(_seal(path), made, trouble)
                    if not trouble:
                        made.replace(path)
                seconds = time.perf_counter() - start
    except OSError as error:
        raise NoLibrary(f"cannot write {cache}: {error.strerror or error}") from None
    if not is_sealed(path):
        raise NoLibrary(f"{path} was changed by another program")
    return Built(path, seconds)


def trouble_of_installed(path: Path, *, cache: Path | None, check: Check) -> str:
    """What is wrong with an installed library, in a line, or nothing.

    It is tried by `check`, unless a seal in the cache says that this file in this place was. Where
    there is no cache, or no seal can be written, it is tried each time.
    """
    name = f"{path.stem}-{_digest(os.fsencode(path.resolve()))}.json"
    seal = None if cache is None else cache / name
    try:
        if seal is not None and is_sealed(path, seal):
            return ""
        trouble = check(path)
    except NoLibrary as error:
        return str(error)
    if cache is None or seal is None:
        return trouble
    with contextlib.suppress(OSError):
        cache.mkdir(parents=True, exist_ok=True)
        _write_seal(seal, path, trouble)
    return trouble


def is_sealed(path: Path, seal: Path | None = None) -> bool:
    """Whether a library is there, whole, and was tried. Raises NoLibrary for one found wrong."""
    seal = seal or _seal(path)
    try:
        said = json.loads(seal.read_bytes())
        trouble, library = str(said["trouble"]), str(said["library"])
        there = _hash(path) if path.exists() else None
    except (OSError, ValueError, KeyError, TypeError):
        return False
    if trouble and there in (None, library):
        raise NoLibrary(f"{trouble}; it is tried again where {seal} is removed")
    return there == library


_UNFINISHED: Final = ".native-"


def _seal(path: Path) -> Path:
    return path.with_suffix(".json")


def _write_seal(seal: Path, library: Path, trouble: str) -> None:
    with tempfile.TemporaryDirectory(dir=seal.parent, prefix=_UNFINISHED) as folder:
        written = Path(folder) / "seal"
        written.write_text(json.dumps({"library": _hash(library), "trouble": trouble}))
        written.replace(seal)


def _hash(path: Path) -> str:
    return _digest(path.read_bytes())


def _digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=20).hexdigest()


@contextlib.contextmanager
def _building(cache: Path) -> Iterator[None]:
    """Holds the folder, which is made where it is not there, and clears what was not finished.

    Raises NoLibrary where nothing in it can be loaded, or another process keeps it, and OSError.
    """
    from filelock import FileLock, Timeout

    cache.mkdir(parents=True, exist_ok=True)
    if os.statvfs(cache).f_flag & getattr(os, "ST_NOEXEC", 0):
        raise NoLibrary(f"{cache} is on a file system from which nothing may be run (noexec)")
    lock = FileLock(cache / ".native.lock", timeout=LOCK_SECONDS)
    try:
        lock.acquire()
    except Timeout:
        message = f"another process has been building it for {LOCK_SECONDS} seconds"
        raise NoLibrary(message) from None
    except NotImplementedError:
        raise NoLibrary(f"{cache} is on a file system without locks") from None
    try:
        for left in cache.glob(f"{_UNFINISHED}*"):  # of a process that was killed
            shutil.rmtree(left, ignore_errors=True)
        yield
    finally:
        lock.release()


@lru_cache
def load(path: Path) -> ctypes.CDLL:
    """The library in this process, with the types of its functions. Raises NoLibrary."""
    try:
        library = ctypes.CDLL(str(path))
    except OSError as error:
        raise NoLibrary(f"the library does not load: {error}") from None
    pointer, number, text = ctypes.c_void_p, ctypes.c_int32, ctypes.c_char_p
    library.native_lanes.argtypes = []
    library.native_open.argtypes = [pointer, pointer, number, number, text]
    library.native_open.restype = pointer
    library.native_close.argtypes = [pointer]
    library.native_close.restype = None
    library.native_bind.argtypes = [pointer, pointer, text]
    library.native_learn.argtypes = [pointer, pointer, pointer, text]
    library.native_predict.argtypes = [pointer, pointer, number, pointer, text]
    library.native_draw.argtypes = [pointer, ctypes.c_double, ctypes.c_int64, pointer, text]
    library.native_gradients.argtypes = [pointer, pointer]
    library.native_gradients.restype = None
    return library
