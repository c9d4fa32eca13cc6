"""The shared library of the native engine: built once a machine, kept in the user's cache."""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final, Literal

SOURCE: Final = Path(__file__).parent / "source"

Vectors = Literal["avx512", "avx2", "neon", "plain"]
"""Which vectors the arithmetic is made of: 16, 8, 4 and 4 floats."""

# What `vectors_of` is told of, and no instruction beside it.
_FLAGS: Final[dict[Vectors, tuple[str, ...]]] = {
    "avx512": (
        *("-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mfma"),
        "-mprefer-vector-width=512",
    ),
    "avx2": ("-mavx2", "-mfma"),
    "neon": (),
    "plain": (),
}
_COMMON_FLAGS: Final = ("-std=c++20", "-O3", "-fPIC", "-ffp-contract=off", "-fno-math-errno")
"""Products and sums are fused where it is written, and nowhere else: see vector.h."""

PARTS: Final = (
    "kernels winograd depthwise stencil map elementwise pooling group_norm loss optimizer".split(),
    "batch_norm convolution images assembly network memory team interface check".split(),
)
"""Sources that are compiled as one: the headers of C++ take longer than most of them.

Only the second part reads those of threads and owned memory. A compiler takes as long for either.
"""

BUILD_SECONDS: Final = 120
"""After which a compiler is given up."""


class NoLibrary(Exception):
    """The library cannot be built or loaded here; the message says why, in a line."""


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
    named = os.environ.get("CXX")
    for name in [named] if named else ["c++", "g++", "clang++"]:
        path = shutil.which(name)
        if path is None:
            continue
        try:
            said = _run([path, "--version"], seconds=10)
        except NoLibrary:
            continue
        return Compiler(path, said.partition("\n")[0])
    raise NoLibrary("there is no C++ compiler; install g++ or clang++ for the native engine")


def library_path(
    compiler: Compiler, vectors: Vectors, *, cache: Path, flags: Sequence[str] = ()
) -> Path:
    """Where the library of these sources, by this compiler, for these vectors is kept."""
    digest = hashlib.blake2b(digest_size=10)
    for text in (compiler.version, platform.machine(), *_COMMON_FLAGS, *_FLAGS[vectors], *flags):
        digest.update(text.encode() + b"\0")
    for file in sorted(SOURCE.iterdir()):
        digest.update(file.name.encode() + b"\0" + file.read_bytes() + b"\0")
    return cache / f"native-{vectors}-{digest.hexdigest()}.so"


def build(compiler: Compiler, vectors: Vectors, *, cache: Path, flags: Sequence[str] = ()) -> Path:
    """The library, built unless it is there already: one process builds, the others wait.

    Raises NoLibrary.
    """
    from filelock import FileLock

    path = library_path(compiler, vectors, cache=cache, flags=flags)
    if path.exists():
        return path
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with FileLock(cache / ".native.lock"):
            if not path.exists():
                with tempfile.TemporaryDirectory(dir=cache, prefix=".native-") as folder:
                    made = _compile(compiler, vectors, folder=Path(folder), flags=flags)
                    made.replace(path)
    except OSError as error:
        raise NoLibrary(f"cannot write {cache}: {error.strerror or error}") from None
    return path


def _compile(compiler: Compiler, vectors: Vectors, *, folder: Path, flags: Sequence[str]) -> Path:
    """The parts at once."""
    from concurrent.futures import ThreadPoolExecutor

    def compiled(number: int) -> str:
        part, target = folder / f"part{number}.cpp", folder / f"part{number}.o"
        part.write_text("".join(f'#include "{name}.cpp"\n' for name in PARTS[number]))
        call = [compiler.path, *_COMMON_FLAGS, *_FLAGS[vectors], *flags, "-I", str(SOURCE)]
        _run([*call, "-c", str(part), "-o", str(target)], seconds=BUILD_SECONDS)
        return str(target)

    with ThreadPoolExecutor(len(PARTS)) as pool:
        objects = [*pool.map(compiled, range(len(PARTS)))]
    made = folder / "library.so"
    call = [compiler.path, "-shared", "-pthread", *flags, *objects, "-o", str(made)]
    _run(call, seconds=BUILD_SECONDS)
    return made


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
    library.native_gradients.argtypes = [pointer, pointer]
    library.native_gradients.restype = None
    return library
