"""Which engine a run is trained with: chosen when it starts, written in its manifest, and kept."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, assert_never

import torch

from mnist_arch.errors import DeviceUnavailable
from mnist_arch.machine.cpus import Watch, usable_cpus
from mnist_arch.machine.waiting import threads_spin
from mnist_arch.native.library import vectors_here
from mnist_arch.training.allocator import keep_freed
from mnist_arch.training.engine import Device, Engine, Precision, StepKind
from mnist_arch.training.native import native_library
from mnist_arch.training.thread_choice import ThreadChoice, choose_threads

EngineName = Literal["auto", "plain", "fast", "native"]
"""`plain` is in float32; `fast` is the fastest that the device has but for native steps, which have
to be asked for; `auto` is that, but is not compiled where that would not pay back."""

COMPILE_FROM_FLOPS: Final = 5.0e12
"""Operations of a training after its first epoch, for each thread, from which on a CPU it pays to
compile in float32, and in bfloat16 once the compiler's cache has the network; see
docs/performance.md for the measurement."""

GRAPH_CAPABILITY: Final = (7, 0)
"""Compute capability of the oldest GPU whose steps are captured: the first with tensor cores."""

BFLOAT16_CAPABILITY: Final = (8, 0)
"""Compute capability of the oldest GPU that has bfloat16."""

THREAD_VARIABLES: Final = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
"""Whoever sets one of these has said how many threads torch is to take."""

BFLOAT16_INSTRUCTIONS: Final = "amx_bf16"
"""What a CPU has to have, by `torch.cpu.get_capabilities`, for bfloat16 to be faster than float32:
products of tiles. Where it is converted or multiplied by vectors it was slower or not measured."""


@dataclass(frozen=True)
class Choice:
    """An engine, and why it is not the fast one where that was wanted."""

    engine: Engine
    note: str | None = None


def training_flops(*, macs: int, images: int, epochs: int) -> float:
    """Floating-point operations of a training: forward, and twice as much backward."""
    return 3 * 2.0 * macs * images * epochs


def threads_here(*, macs: int, batch: int, watch: Watch | None = None) -> ThreadChoice:
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
    )


def choose_engine(
    *, device: Device, threads: int, wanted: EngineName = "auto", flops: float = 0.0
) -> Choice:
    """The engine for a training of so many operations after its first epoch.

    `plain` is the reference: plain steps in float32. A compiled engine may still turn out to have
    plain steps: see `CompiledStep`. Raises DeviceUnavailable where native steps are wanted and
    cannot be had.
    """
    plain = Engine(device=device, threads=threads)
    if wanted == "plain":
        return Choice(plain)
    if wanted == "native":
        return Choice(_native(plain))
    match device:
        case "cuda":
            return _on_cuda(plain)
        case "mps":
            note = "there is no faster step than the plain one on mps"
            return Choice(plain, note if wanted == "fast" else None)
        case "cpu":
            is_compiled = wanted == "fast" or flops >= COMPILE_FROM_FLOPS * threads
            step: StepKind = "compiled" if is_compiled else "plain"
            return Choice(_fast(plain, step))
        case never:
            assert_never(never)


def prepare(engine: Engine) -> None:
    """Makes this process ready to train or judge with `engine`; holds until another is prepared.

    Raises DeviceUnavailable where this machine has no instructions for its precision.
    """
    if not runs_here(engine):
        message = f"steps are in bfloat16, which torch does not find on the {engine.device} here"
        hint = "go on where a machine has it, or start anew with --again"
        raise DeviceUnavailable(message, hint=hint)
    # Native steps have threads of their own, which those of torch would keep from the cores.
    torch.set_num_threads(1 if engine.step == "native" else engine.threads)
    if engine.device == "cpu":
        keep_freed()
    if engine.device == "cuda":
        with warnings.catch_warnings():  # torch 2.9 asks for a new name, which 2.8 has not
            warnings.simplefilter("ignore", UserWarning)
            torch.backends.cudnn.allow_tf32 = False  # by default its float32 has ten binary digits


def runs_here(engine: Engine) -> bool:
    """Whether this machine, which has the engine's device, has instructions for its precision.

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


def _on_cuda(plain: Engine) -> Choice:
    if torch.cuda.get_device_capability() < GRAPH_CAPABILITY:
        name = torch.cuda.get_device_name()
        return Choice(plain, f"steps are not captured on {name}, which is too old for it")
    return Choice(_fast(plain, "captured"))


def _native(plain: Engine) -> Engine:
    if plain.device != "cpu":
        message = f"there are no native steps on {plain.device}"
        raise DeviceUnavailable(message, hint="--device cpu")
    vectors = vectors_here()
    native_library(vectors)
    return plain.model_copy(update={"step": "native", "vectors": vectors})


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
    raise DeviceUnavailable(message, hint=f"--device {', '.join(found)}")
