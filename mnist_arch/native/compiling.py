"""The sources of the native engine compiled to a library, also while the package is installed.

That is before its dependencies are there: nothing is imported here but Python's own modules.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
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

BUILD_SECONDS: Final = 120
"""After which a compiler is given up."""


class NoLibrary(Exception):
    """The library cannot be built or loaded here; the message says why, in a line."""


class NoCompiler(NoLibrary):
    """There is no compiler with which to build it."""


@dataclass(frozen=True)
class Compiler:
    """A C++ compiler of this machine."""

    path: str
    version: str
    """The first line of what it says of itself."""
    arguments: tuple[str, ...] = ()
    """With which it is always called, as with `g++` where `CXX` is `ccache g++`."""

    @property
    def call(self) -> list[str]:
        return [self.path, *self.arguments]


def vectors_of(processor: str, capability: str) -> Vectors:
    """The widest vectors of a processor, of which torch says what it has found at run time."""
    if is_arm(processor):
        return "neon"
    found: dict[str, Vectors] = {"AVX512": "avx512", "AVX2": "avx2"}
    return found.get(capability, "plain")


def vectors_for(processor: str) -> tuple[Vectors, ...]:
    """Those that machines with such a processor may have and are fast with."""
    if is_arm(processor):
        return ("neon",)
    return ("avx512", "avx2") if processor.lower() in ("x86_64", "amd64") else ("plain",)


def is_arm(processor: str) -> bool:
    """Whether a processor is one of ARM's with 64 bits."""
    return processor.lower() in ("arm64", "aarch64")


def find_compiler() -> Compiler:
    """The compiler that `CXX` names, with its arguments, if any; else the first one there is.

    Raises NoLibrary.
    """
    if sys.platform not in ("linux", "darwin"):
        raise NoLibrary(f"the native engine is not made for {sys.platform}")
    return _compiler(os.environ.get("CXX"), os.environ.get("PATH"))


@lru_cache  # each trial of a sweep asks for it
def _compiler(named: str | None, search: str | None) -> Compiler:
    for name, *arguments in [_words(named, search)] if named else [["c++"], ["g++"], ["clang++"]]:
        path = shutil.which(name, path=search)
        if path is None:
            continue
        try:
            said = _run([path, *arguments, "--version"], seconds=10)
        except NoLibrary:
            continue
        return Compiler(path, said.partition("\n")[0], tuple(arguments))
    if named:
        raise NoCompiler(f"CXX names {named}, which is no compiler that runs")
    raise NoCompiler("there is no C++ compiler; install g++ or clang++ for the native engine")


def _words(named: str, search: str | None) -> list[str]:
    """A program and its arguments. Without quotes a path with spaces is one, if it is there."""
    if shutil.which(named, path=search) is not None:
        return [named]
    try:
        return shlex.split(named) or [named]
    except ValueError:  # a quote that is not closed
        return [named]


def library_name(vectors: Vectors, *made_with: str) -> str:
    """The name of the file of a library, with a digest of its sources, of all flags, of the kind of
    machine, and of what else it is made with."""
    digest = hashlib.blake2b(digest_size=10)
    texts = (sys.platform, platform.machine(), *_COMMON_FLAGS, *_FLAGS[vectors], *made_with)
    for text in (*texts, *(text for part in PARTS for text in part)):
        digest.update(text.encode() + b"\0")
    for file in sorted(it for it in SOURCE.iterdir() if it.suffix in (".cpp", ".h")):
        digest.update(file.name.encode() + b"\0" + file.read_bytes() + b"\0")
    return f"native-{vectors}-{digest.hexdigest()}.so"


def compile_library(
    compiler: Compiler, vectors: Vectors, made: Path, *, flags: Sequence[str] = ()
) -> None:
    """Makes a library, in a folder where its parts may be left. Raises NoLibrary.

    All parts are compiled at once.
    """

    def compiled(number: int) -> str:
        level, names = PARTS[number]
        part = made.with_name(f"{made.stem}-{number}.cpp")
        part.write_text("".join(f'#include "{name}.cpp"\n' for name in names.split()))
        target = str(part.with_suffix(".o"))
        call = [*compiler.call, *_COMMON_FLAGS, level, *_FLAGS[vectors], *flags, "-I", str(SOURCE)]
        _run([*call, "-c", str(part), "-o", target], seconds=BUILD_SECONDS)
        return target

    with ThreadPoolExecutor(len(PARTS)) as pool:
        objects = [*pool.map(compiled, range(len(PARTS)))]
    call = [*compiler.call, "-shared", "-pthread", *flags, *objects, "-o", str(made)]
    _run(call, seconds=BUILD_SECONDS)
    if not made.is_file():
        raise NoLibrary(f"{Path(compiler.call[0]).name} says nothing, and writes no library")


def _run(call: list[str], *, seconds: float) -> str:
    """What a command prints. Raises NoLibrary where it fails."""
    name = Path(call[0]).name
    try:
        done = subprocess.run(
            call,
            env={**os.environ, "LC_ALL": "C"},  # in which an error is an "error:"
            capture_output=True,
            text=True,
            errors="replace",
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
