"""The shared library of the native engine: built once a machine, kept in the user's cache."""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

from mnist_arch.native.vectors import Vectors

SOURCE: Final = Path(__file__).parent / "source"

# What `vectors_of` is told of, and no instruction besides it.
_FLAGS: Final[dict[Vectors, tuple[str, ...]]] = {
    "avx512": (
        *("-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mfma"),
        "-mprefer-vector-width=512",
    ),
    "avx2": ("-mavx2", "-mfma"),
    "neon": (),
    "plain": (),
}
_COMMON_FLAGS: Final = ("-std=c++20", "-fPIC", "-ffp-contract=off", "-fno-math-errno")
"""Products and sums are fused where it is written, and nowhere else: see vector.h."""

PARTS: Final[tuple[tuple[str, str], ...]] = (
    ("-O3", "kernels winograd depthwise stencil map"),
    ("-O3", "elementwise pooling group_norm loss optimizer batch_norm convolution images random"),
    ("-O1", "assembly network memory team interface check"),
)
"""Sources that are compiled as one: the headers of C++ take longer than most of them.

The last part runs once a network or a step. It alone reads the headers of threads and owned memory.
"""

_RUN_ON: Final[dict[Vectors, tuple[Vectors, ...]]] = {
    "avx512": ("avx512",),
    "avx2": ("avx512", "avx2"),
    "neon": ("neon",),
    "plain": ("avx512", "avx2", "neon", "plain"),
}
"""Machines, by their widest vectors, that have those of a library."""

BUILD_SECONDS: Final = 120
"""After which a compiler is given up."""

LOCK_SECONDS: Final = 300
"""How long a process waits for another that builds."""

Check = Callable[[Path, Callable[[], object]], str]
"""Has a library made by the second argument, tries it, and says in a line what is wrong with it, or
nothing."""


class NoLibrary(Exception):
    """The library cannot be built or loaded here; the message says why, in a line."""


class NoCompiler(NoLibrary):
    """There is no compiler with which to build it."""


class NotBuilt(NoLibrary):
    """There is no library yet, and none was to be built."""


@dataclass(frozen=True)
class Compiler:
    """A C++ compiler of this machine."""

    path: str
    version: str
    """The first line of what it says of itself."""


def vectors_here() -> Vectors:
    """The widest vectors that this machine has."""
    import torch

    return vectors_of(platform.machine(), torch.backends.cpu.get_cpu_capability())


def vectors_of(processor: str, capability: str) -> Vectors:
    """The widest vectors of a processor, of which torch says what it has found at run time."""
    if processor.lower() in ("arm64", "aarch64"):
        return "neon"
    found: dict[str, Vectors] = {"AVX512": "avx512", "AVX2": "avx2"}
    return found.get(capability, "plain")


def find_compiler() -> Compiler:
    """The compiler that `CXX` names, else the first one there is. Raises NoLibrary."""
    if sys.platform not in ("linux", "darwin"):
        raise NoLibrary(f"the native engine is not made for {sys.platform}")
    return _compiler(os.environ.get("CXX"), os.environ.get("PATH"))


@lru_cache  # each trial of a sweep asks for it
def _compiler(named: str | None, search: str | None) -> Compiler:
    for name in [named] if named else ["c++", "g++", "clang++"]:
        path = shutil.which(name, path=search)
        if path is None:
            continue
        try:
            said = _run([path, "--version"], seconds=10)
        except NoLibrary:
            continue
        return Compiler(path, said.partition("\n")[0])
    if named:
        raise NoCompiler(f"CXX names {named}, which is no compiler that runs")
    raise NoCompiler("there is no C++ compiler; install g++ or clang++ for the native engine")


def library_path(
    compiler: Compiler, vectors: Vectors, *, cache: Path, flags: Sequence[str] = ()
) -> Path:
    """Where the library of these sources, by this compiler, for these vectors is kept."""
    digest = hashlib.blake2b(digest_size=10)
    texts = (compiler.version, platform.machine(), *_COMMON_FLAGS, *_FLAGS[vectors], *flags)
    for text in (*texts, *(text for part in PARTS for text in part)):
        digest.update(text.encode() + b"\0")
    for file in sorted(SOURCE.iterdir()):
        digest.update(file.name.encode() + b"\0" + file.read_bytes() + b"\0")
    return cache / f"native-{vectors}-{digest.hexdigest()}.so"


def run_on(vectors: Vectors, here: Vectors) -> bool:
    """Whether a machine whose widest vectors are those `here` runs a library of others."""
    return here in _RUN_ON[vectors]


def untried(_: Path, make: Callable[[], object]) -> str:
    """A check that makes a library, and finds nothing wrong with it."""
    make()
    return ""


def build(
    compiler: Compiler,
    vectors: Vectors,
    *,
    cache: Path,
    flags: Sequence[str] = (),
    check: Check = untried,
) -> Path:
    """The library, built unless it is there already: one process builds, the others wait.

    It is tried by `check` before it is put in its place, beside a seal that holds its hash. One
    that differs from its seal, or has none, is built again; of one that was found wrong the seal
    alone is kept. Raises NoLibrary.
    """
    path = library_path(compiler, vectors, cache=cache, flags=flags)
    if is_sealed(path):
        return path
    try:
        with _building(cache):
            if not is_sealed(path):
                with tempfile.TemporaryDirectory(dir=cache, prefix=_UNFINISHED) as folder:
                    made = Path(folder) / "library.so"
                    trouble = check(made, lambda: _compile(compiler, vectors, made, flags=flags))
                    seal = Path(folder) / "seal"
                    seal.write_text(json.dumps({"library": _hash(made), "trouble": trouble}))
                    seal.replace(_seal(path))
                    if not trouble:
                        made.replace(path)
    except OSError as error:
        raise NoLibrary(f"cannot write {cache}: {error.strerror or error}") from None
    if not is_sealed(path):
        raise NoLibrary(f"{path} was changed by another program")
    return path


def is_sealed(path: Path) -> bool:
    """Whether a library is there, whole, and was tried. Raises NoLibrary for one found wrong."""
    try:
        seal = json.loads(_seal(path).read_bytes())
        trouble, library = str(seal["trouble"]), str(seal["library"])
        if not trouble:
            return _hash(path) == library
    except (OSError, ValueError, KeyError, TypeError):
        return False
    raise NoLibrary(f"{trouble}; it is built again where {_seal(path)} is removed")


_UNFINISHED: Final = ".native-"


def _seal(path: Path) -> Path:
    return path.with_suffix(".json")


def _hash(path: Path) -> str:
    return hashlib.blake2b(path.read_bytes(), digest_size=20).hexdigest()


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


def _compile(compiler: Compiler, vectors: Vectors, made: Path, *, flags: Sequence[str]) -> None:
    """The parts at once, beside what is made of them."""
    from concurrent.futures import ThreadPoolExecutor

    def compiled(number: int) -> str:
        level, names = PARTS[number]
        part = made.with_name(f"part{number}.cpp")
        part.write_text("".join(f'#include "{name}.cpp"\n' for name in names.split()))
        target = str(part.with_suffix(".o"))
        call = [compiler.path, *_COMMON_FLAGS, level, *_FLAGS[vectors], *flags, "-I", str(SOURCE)]
        _run([*call, "-c", str(part), "-o", target], seconds=BUILD_SECONDS)
        return target

    with ThreadPoolExecutor(len(PARTS)) as pool:
        objects = [*pool.map(compiled, range(len(PARTS)))]
    call = [compiler.path, "-shared", "-pthread", *flags, *objects, "-o", str(made)]
    _run(call, seconds=BUILD_SECONDS)


def _run(call: list[str], *, seconds: float) -> str:
    """What a command prints. Raises NoLibrary where it fails."""
    name = Path(call[0]).name
    try:
        done = subprocess.run(
            call,
            capture_output=True,
            text=True,
            timeout=seconds,
            stdin=subprocess.DEVNULL,
            check=False,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise NoLibrary(f"{name} does not run: {type(error).__name__}") from None
    if done.returncode != 0:
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        first = next((line for line in lines if "error:" in line), (lines or ["no message"])[0])
        raise NoLibrary(f"{name} fails: {first}")
    return done.stdout


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
