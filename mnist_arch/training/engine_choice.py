"""Which engine a run is trained with: chosen when it starts, written in its manifest, and kept."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, assert_never

import torch

from mnist_arch.errors import DeviceUnavailable
from mnist_arch.machine.cpus import Watch, usable_cpus
from mnist_arch.machine.waiting import threads_spin
from mnist_arch.native.compiling import NoCompiler, NoLibrary
from mnist_arch.native.library import NotBuilt, run_on, vectors_here
from mnist_arch.native.vectors import Vectors
from mnist_arch.training.allocator import keep_freed
from mnist_arch.training.engine import Device, Engine, EngineName, Precision, StepKind
from mnist_arch.training.native_library import PLAIN_INSTEAD, find_library
from mnist_arch.training.thread_choice import (
    MACS_OF_A_NATIVE_THREAD,
    MACS_OF_A_THREAD,
    ThreadChoice,
    choose_threads,
)
from mnist_arch.training.work import Work

BUILD_CPU_SECONDS: Final = 10.0
"""Of building the native library where it was not installed, by as many processes at once as there
are CPUs."""

MEASURED_VECTORS: Final[tuple[Vectors, ...]] = ("avx512", "avx2")
"""With which native steps are known to be faster; others have to be asked for."""

NATIVE_GAIN: Final = 2.0
"""Times as fast as plain steps, at least; see docs/performance.md for the measurement."""

WIDE_CHANNELS: Final[dict[Precision, float]] = {"bfloat16": 48.0, "float32": 192.0}
"""Channels, as `mean_channels` has them, from which on torch's own steps in a precision are taken
to be faster than native ones; see docs/performance.md for what was measured, and what was not."""

COMPILE_FROM_FLOPS: Final = 5.0e12
"""Operations of a training after its first epoch, for each thread, from which on a CPU it pays to
compile in float32, and in bfloat16 once the compiler's cache has the network; see
docs/performance.md for the measurement."""

GRAPH_CAPABILITY: Final = (7, 0)
"""Compute capability of the oldest GPU whose steps are captured: the first with tensor cores."""

BFLOAT16_CAPABILITY: Final = (8, 0)
"""Compute capability of the oldest GPU that has bfloat16."""

ONLY_PLAIN: Final = "plain steps: no other kind rounds as `recipe.quantize` asks for"
"""The note of a training that rounds."""

THREAD_VARIABLES: Final = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
"""Whoever sets one of these has said how many threads torch is to take."""

BFLOAT16_INSTRUCTIONS: Final = "amx_bf16"
"""What a CPU has to have, by `torch.cpu.get_capabilities`, for bfloat16 to be faster than float32:
products of tiles. Where it is converted or multiplied by vectors it was slower or not measured."""


@dataclass(frozen=True)
class Choice:
    """An engine, and why it is not the fast one where that was wanted, or what was waited for."""

    engine: Engine
    note: str | None = None


def threads_here(
    *, macs: int, batch: int, watch: Watch | None = None, step: StepKind = "plain"
) -> ThreadChoice:
    """Threads for steps of `batch` images, each of `macs` multiply-accumulates forward.

    As many as the work is worth, and as others leave free, which `watch` has seen since it was
    made; without one, this waits a moment to see. At most what torch takes by itself, and just that
    where the environment says how many it is to take: so before `prepare`, which changes that.
    """
    threads = torch.get_num_threads()
    if any(os.environ.get(name) for name in THREAD_VARIABLES):
        return ThreadChoice(threads, threads)
    return choose_threads(
        macs=macs,
        batch=batch,
        most=min(threads, usable_cpus()),
        free_cpus=(watch or Watch()).free_cpus(),
        spin=threads_spin(),
        macs_of_a_thread=MACS_OF_A_NATIVE_THREAD if step == "native" else MACS_OF_A_THREAD,
    )


def choose_engine(
    *, device: Device, threads: int, wanted: EngineName = "auto", work: Work | None = None
) -> Choice:
    """The engine for a training, of which `work` says how long it is; without, it is a short one.

    On a CPU a native library that was not installed is built the first time, and a note says so,
    but for `auto` only where that pays back; where it is not available, steps are others, and a
    note says why. A compiled or captured engine
    may still turn out to have plain steps. Raises DeviceUnavailable where native or compiled steps
    are asked for by name, and is not available.
    """
    plain = Engine(device=device, threads=threads)
    if work is not None and work.quantized:
        return Choice(plain, None if wanted == "plain" else ONLY_PLAIN)
    match wanted, device:
        case "plain", _:
            return Choice(plain)
        case "native", _:
            return _native_by_name(plain)
        case "compiled", "cpu":
            return Choice(_fast(plain, "compiled"))
        case "compiled", _:
            message = f"there are no compiled steps on {device}"
            raise DeviceUnavailable(message, hint="device='cpu'")
        case _, "cuda" if work is not None and work.not_captured:
            return Choice(plain, f"plain steps: captured ones do not have {work.not_captured}")
        case _, "cuda":
            return _on_cuda(plain)
        case _, "mps":
            note = "there is no faster step than the plain one on mps"
            return Choice(plain, note if wanted == "fast" else None)
        case _:
            return _on_cpu(plain, work, at_any_cost=wanted == "fast")


def _on_cpu(plain: Engine, work: Work | None, *, at_any_cost: bool) -> Choice:
    """Native steps, or else compiled or plain ones."""
    flops = 0.0 if work is None else work.flops_after_first_epoch
    compiles = at_any_cost or flops >= COMPILE_FROM_FLOPS * plain.threads
    other = _fast(plain, "compiled" if compiles else "plain")
    is_wide = work is not None and work.channels >= WIDE_CHANNELS[other.precision]
    if is_wide or vectors_here() not in MEASURED_VECTORS:
        return Choice(other)
    seconds = 0.0 if work is None else work.plain_seconds(plain.threads)
    try:
        return native_engine(plain, builds=at_any_cost or pays_to_build(seconds))
    except NotBuilt:
        return Choice(
            other,
            f"{other.step} steps: native ones are faster, but would have to be built first, which "
            f"takes longer than this training would gain; engine='native' builds them",
        )
    except NoCompiler as error:  # which torch's compiler would need, too
        return Choice(_fast(plain, "plain"), f"plain steps: {error}")
    except NoLibrary as error:
        return Choice(other, f"{other.step} steps instead of native ones: {error}")


def native_engine(plain: Engine, *, builds: bool) -> Choice:
    """Native steps with the widest vectors of this machine. Raises NoLibrary."""
    vectors = vectors_here()
    found = find_library(vectors, builds=builds)
    return Choice(plain.model_copy(update={"step": "native", "vectors": vectors}), found.note)


def pays_to_build(plain_seconds: float) -> bool:
    """Whether native steps save more than building them takes here, of so much time."""
    saved = plain_seconds * (1 - 1 / NATIVE_GAIN)
    return saved > BUILD_CPU_SECONDS / max(usable_cpus(), 1.0)


def fulfils(engine: Engine, wanted: EngineName) -> bool:
    """Whether the engine of a run that is resumed is what is asked for now."""
    is_fast = engine.step == "native" or engine.precision == fast_precision(engine.device)
    match wanted:
        case "auto":
            return True
        case "plain":
            return (engine.step, engine.precision) == ("plain", "float32")
        case "compiled" | "native":
            return engine.step == wanted and is_fast
        case "fast":
            return engine.step != "plain" and is_fast
        case never:
            assert_never(never)


def prepare(engine: Engine) -> None:
    """Makes this process ready to train or judge with `engine`; holds until another is prepared.

    Raises DeviceUnavailable where this machine has no instructions for its precision.
    """
    if not _has_precision(engine):
        message = f"steps are in bfloat16, which torch does not find on the {engine.device} here"
        hint = "resume where a machine has it, or start from scratch with again=True"
        raise DeviceUnavailable(message, hint=hint)
    # Native steps have threads of their own, which those of torch would keep from the cores.
    torch.set_num_threads(1 if engine.step == "native" else engine.threads)
    if engine.device == "cpu":
        keep_freed()
    if engine.device == "cuda":
        with warnings.catch_warnings():  # torch 2.9 asks for a new name, which 2.8 has not
            warnings.simplefilter("ignore", UserWarning)
            torch.backends.cudnn.allow_tf32 = False  # by default its float32 has ten binary digits


def kept_here(engine: Engine) -> Choice | None:
    """An engine of before, where this machine, which has its device, has what else it needs.

    The native library is built for it where it is not there yet, and a note says so.
    """
    if engine.vectors is None:
        return Choice(engine) if _has_precision(engine) else None
    if not run_on(engine.vectors, vectors_here()):
        return None
    try:
        return Choice(engine, find_library(engine.vectors).note)
    except NoLibrary:
        return None


def _has_precision(engine: Engine) -> bool:
    """Whether there are instructions for the engine's precision.

    On a CPU without them steps in bfloat16 are several times as slow, and where torch 2.14 compiles
    them for its own convolutions instead of oneDNN's, they have been seen to crash.
    """
    return engine.precision == "float32" or fast_precision(engine.device) == engine.precision


def fast_precision(device: Device) -> Precision:
    """In which steps are fastest on this machine's `device`."""
    match device:
        case "cuda":
            has_bfloat16 = torch.cuda.get_device_capability() >= BFLOAT16_CAPABILITY
        case "cpu":
            has_bfloat16 = cpu_has_bfloat16()
        case "mps":
            has_bfloat16 = False  # not measured
        case never:
            assert_never(never)
    return "bfloat16" if has_bfloat16 else "float32"


def cpu_has_bfloat16() -> bool:
    """Whether bfloat16 is faster than float32 on this processor, as far as torch can tell."""
    ask: Callable[[], Mapping[str, Any]] = getattr(torch.cpu, "get_capabilities", dict)
    return bool(ask().get(BFLOAT16_INSTRUCTIONS, False))


def choose_sweep_engine(
    *, device: Device, threads: int, plain_seconds: float, kept: Engine | None = None
) -> Choice:
    """One engine for all trials of a sweep, which would take so long with plain steps.

    `kept` is that of the trials so far, which is kept where this machine has it. On a CPU trials
    are never compiled, each network by itself, and are in float32, so that they are alike on any
    machine.
    """
    plain = Engine(device=device, threads=threads)
    if kept is not None and kept.device == device:
        kept = kept.model_copy(update={"threads": threads})
        if choice := kept_here(kept):
            return choice
        had = f"{kept.step} steps in {kept.precision}"
        vectors = "" if kept.vectors is None else f" with {kept.vectors} vectors"
        return Choice(
            plain,
            f"the trials so far have {had}{vectors}, which this machine has not: "
            "the others have plain steps in float32",
        )
    if device != "cpu":
        return choose_engine(device=device, threads=threads)
    if vectors_here() not in MEASURED_VECTORS:
        return Choice(plain)
    try:
        return native_engine(plain, builds=pays_to_build(plain_seconds))
    except NotBuilt:
        return Choice(plain, "plain steps: so short a sweep is not worth building native ones")
    except NoLibrary as error:
        return Choice(plain, f"plain steps instead of native ones: {error}")


def _on_cuda(plain: Engine) -> Choice:
    if torch.cuda.get_device_capability() < GRAPH_CAPABILITY:
        name = torch.cuda.get_device_name()
        return Choice(plain, f"steps are not captured on {name}, which is too old for it")
    return Choice(_fast(plain, "captured"))


def _native_by_name(plain: Engine) -> Choice:
    if plain.device != "cpu":
        message = f"there are no native steps on {plain.device}"
        raise DeviceUnavailable(message, hint="device='cpu'")
    try:
        return native_engine(plain, builds=True)
    except NoLibrary as error:
        raise DeviceUnavailable(f"no native steps: {error}", hint=PLAIN_INSTEAD) from None


def _fast(plain: Engine, step: StepKind) -> Engine:
    """The engine with this kind of step, in the precision that is fast with it."""
    return plain.model_copy(update={"step": step, "precision": fast_precision(plain.device)})


def resolve_device(wanted: str, *, rather: Device | None = None) -> Device:
    """`auto` → `rather` where it is there, else the first there is of cuda, mps and cpu.

    Raises DeviceUnavailable.
    """
    there: dict[Device, bool] = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    found = [device for device, is_there in there.items() if is_there]
    if wanted == "auto":
        return rather if rather in found else found[0]
    for device in found:
        if device == wanted:
            return device
    message = f"there is no {wanted} device on this machine"
    raise DeviceUnavailable(message, hint=" or ".join(f"device={it!r}" for it in found))
