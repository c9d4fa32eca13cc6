"""Which engine is chosen where, and what is said where it is not the fast one."""

from __future__ import annotations

from ctypes import CDLL
from dataclasses import dataclass, field, replace
from typing import Any, cast

import pytest
import torch

from mnist_arch.counting.plan import plan_network
from mnist_arch.errors import DeviceUnavailable
from mnist_arch.native.compiling import NoCompiler, NoLibrary
from mnist_arch.native.library import NotBuilt
from mnist_arch.native.vectors import Vectors
from mnist_arch.spec.loading import loads
from mnist_arch.training import engine_choice as engines
from mnist_arch.training.engine import Engine
from mnist_arch.training.engine_choice import (
    BUILD_CPU_SECONDS,
    COMPILE_FROM_FLOPS,
    Choice,
    EngineName,
    choose_engine,
    choose_sweep_engine,
    cpu_has_bfloat16,
    fulfils,
    kept_here,
    pays_to_build,
    prepare,
)
from mnist_arch.training.native_library import Found
from mnist_arch.training.work import Work, mean_channels, training_flops


def work(share: float, *, channels: float = 16.0) -> Work:
    """Of a training that has this share of what it takes for three threads to compile, after its
    first epoch."""
    images = 3 * COMPILE_FROM_FLOPS * share / 6
    return Work(macs=1, batch=64, images=round(images), epochs=2, channels=channels)


LONG, SHORT = work(1.0), work(1 - 1e-9)
"""For three threads: just long enough for a compiler, and just not."""

NOT_BUILT = (
    "steps: native ones are faster, but would have to be built first, which takes longer than this "
    "training would gain; engine='native' builds them"
)


BUILT = "native steps were built first"


def gpu(monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], name: str) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: capability)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: name)


# --------------------------------------------------------------------------------------- on a CPU


@pytest.mark.parametrize(
    ("wanted", "length", "step"),
    [
        ("auto", SHORT, "plain"),
        ("auto", LONG, "compiled"),
        ("auto", None, "plain"),
        ("fast", SHORT, "compiled"),
        ("fast", LONG, "compiled"),
    ],
)
def test_without_native_steps_they_are_compiled_where_that_pays_back(
    wanted: EngineName, length: Work | None, step: Any
) -> None:
    choice = choose_engine(device="cpu", threads=3, wanted=wanted, work=length)
    engine = Engine(device="cpu", threads=3, step=step, precision="float32")
    assert choice == Choice(engine, f"{step} {NOT_BUILT}")


@pytest.mark.parametrize("length", [SHORT, LONG, None])
@pytest.mark.parametrize("wanted", ["plain", "compiled"])
def test_what_is_called_by_its_name_is_that(wanted: EngineName, length: Work | None) -> None:
    choice = choose_engine(device="cpu", threads=3, wanted=wanted, work=length)
    assert choice == Choice(Engine(device="cpu", threads=3, step=wanted))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("wanted", "length", "step", "precision"),
    [
        ("auto", SHORT, "plain", "bfloat16"),
        ("auto", LONG, "compiled", "bfloat16"),
        ("fast", SHORT, "compiled", "bfloat16"),
        ("compiled", SHORT, "compiled", "bfloat16"),
        ("plain", LONG, "plain", "float32"),
    ],
)
def test_steps_are_in_bfloat16_where_the_processor_is_faster_with_it(
    monkeypatch: pytest.MonkeyPatch, wanted: EngineName, length: Work, step: Any, precision: Any
) -> None:
    monkeypatch.setattr(engines, "cpu_has_bfloat16", lambda: True)
    choice = choose_engine(device="cpu", threads=3, wanted=wanted, work=length)
    assert choice.engine == Engine(device="cpu", threads=3, step=step, precision=precision)


# ----------------------------------------------------------------------------------- native steps


@dataclass
class Library:
    """A machine's native library, as far as a choice asks for it."""

    trouble: NoLibrary | None = None
    is_built: bool = True
    asked: list[bool] = field(default_factory=list)
    """Whether it was to be built, each time it was asked for."""

    def find(self, vectors: Vectors, *, builds: bool = True) -> Found:
        self.asked.append(builds)
        if self.trouble is not None:
            raise self.trouble
        if not (builds or self.is_built):
            raise NotBuilt("not built")
        note = None if self.is_built else BUILT
        self.is_built = True
        return Found(cast(CDLL, None), note)


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> Library:
    """Of a machine with AVX2."""
    found = Library()
    monkeypatch.setattr(engines, "find_library", found.find)
    monkeypatch.setattr(engines, "vectors_here", lambda: "avx2")
    return found


NATIVE = Engine(device="cpu", threads=3, step="native", vectors="avx2")
MINUTE = Work(macs=6_000_000, batch=64, images=60_000, epochs=2, channels=16.0)
MOMENT = Work(macs=100_000, batch=64, images=4_000, epochs=2, channels=16.0)


@pytest.mark.parametrize("length", [None, MOMENT, MINUTE])
@pytest.mark.parametrize("wanted", ["auto", "fast", "native"])
def test_a_library_that_is_there_is_used(
    library: Library, wanted: EngineName, length: Work | None
) -> None:
    choice = choose_engine(device="cpu", threads=3, wanted=wanted, work=length)
    assert choice == Choice(NATIVE)


@pytest.mark.parametrize(
    ("wanted", "length", "step"),
    [
        ("auto", None, "plain"),
        ("auto", MOMENT, "plain"),
        ("auto", MINUTE, "native"),
        ("auto", replace(MOMENT, runs=1_000), "native"),
        ("fast", MOMENT, "native"),
        ("native", None, "native"),
    ],
)
def test_it_is_built_where_that_pays_back_or_is_asked_for(
    library: Library, wanted: EngineName, length: Work | None, step: str
) -> None:
    library.is_built = False
    choice = choose_engine(device="cpu", threads=3, wanted=wanted, work=length)
    assert choice.engine.step == step
    assert library.is_built == (step == "native")
    assert choice.note == (BUILT if step == "native" else f"plain {NOT_BUILT}")


def test_building_pays_back_where_half_of_the_time_is_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "usable_cpus", lambda: 2.0)
    assert not pays_to_build(BUILD_CPU_SECONDS)
    assert pays_to_build(BUILD_CPU_SECONDS + 0.1)


def test_without_a_compiler_steps_are_plain_and_a_line_says_what_to_install(
    library: Library,
) -> None:
    library.trouble = NoCompiler("there is no C++ compiler; install g++")
    choice = choose_engine(device="cpu", threads=3, work=LONG)
    note = "plain steps: there is no C++ compiler; install g++"
    assert choice == Choice(Engine(device="cpu", threads=3), note)
    with pytest.raises(DeviceUnavailable, match="no native steps: there is no C\\+\\+ compiler"):
        choose_engine(device="cpu", threads=3, wanted="native")


def test_a_library_that_cannot_be_had_is_no_error_and_the_next_engine_is_taken(
    library: Library,
) -> None:
    library.trouble = NoLibrary("the library differs by 3")
    choice = choose_engine(device="cpu", threads=3, work=LONG)
    note = "compiled steps instead of native ones: the library differs by 3"
    assert choice == Choice(Engine(device="cpu", threads=3, step="compiled"), note)


@pytest.mark.parametrize(("channels", "step"), [(47.9, "native"), (48.0, "compiled")])
def test_tiles_of_bfloat16_are_for_wide_networks(
    library: Library, monkeypatch: pytest.MonkeyPatch, channels: float, step: str
) -> None:
    long = work(1.0, channels=channels)
    assert choose_engine(device="cpu", threads=3, work=long).engine.step == "native"
    monkeypatch.setattr(engines, "cpu_has_bfloat16", lambda: True)
    assert choose_engine(device="cpu", threads=3, work=long).engine.step == step
    assert choose_engine(device="cpu", threads=3, work=long, wanted="fast").engine.step == step


def test_very_wide_networks_are_torchs(library: Library) -> None:
    for channels, step in ((191.9, "native"), (192.0, "compiled")):
        long = work(1.0, channels=channels)
        assert choose_engine(device="cpu", threads=3, work=long).engine.step == step
        assert choose_engine(device="cpu", threads=3, work=long, wanted="native").engine == NATIVE


@pytest.mark.parametrize("vectors", ["neon", "plain"])
def test_vectors_that_were_not_measured_are_for_those_who_ask(
    library: Library, monkeypatch: pytest.MonkeyPatch, vectors: Vectors
) -> None:
    monkeypatch.setattr(engines, "vectors_here", lambda: vectors)
    assert choose_engine(device="cpu", threads=3, work=MINUTE).engine.step == "plain"
    assert choose_engine(device="cpu", threads=3, wanted="native").engine.vectors == vectors


@pytest.mark.parametrize(
    ("engine", "right"),
    [
        (Engine(device="cpu", threads=1), {"plain"}),
        (Engine(device="cpu", threads=1, step="compiled"), {"compiled", "fast"}),
        (NATIVE, {"native", "fast"}),
        (Engine(device="cpu", threads=1, precision="bfloat16"), set()),
    ],
)
def test_a_run_that_goes_on_is_what_was_asked_for_or_not(engine: Engine, right: set[str]) -> None:
    names: tuple[EngineName, ...] = ("plain", "compiled", "native", "fast")
    assert {name for name in names if fulfils(engine, name)} == right
    assert fulfils(engine, "auto")


def test_an_engine_of_another_machine_runs_here_where_its_vectors_do(library: Library) -> None:
    assert kept_here(NATIVE) == Choice(NATIVE)
    library.is_built = False
    assert kept_here(NATIVE) == Choice(NATIVE, BUILT)
    assert kept_here(NATIVE.model_copy(update={"vectors": "avx512"})) is None
    library.trouble = NoCompiler("none")
    assert kept_here(NATIVE) is None


# --------------------------------------------------------------------------------------- of a sweep


def of_a_sweep(seconds: float, kept: Engine | None = None) -> Choice:
    return choose_sweep_engine(device="cpu", threads=3, plain_seconds=seconds, kept=kept)


def test_a_sweep_has_native_steps_where_they_are_there_or_pay_back(library: Library) -> None:
    assert of_a_sweep(1.0) == Choice(NATIVE)
    library.is_built = False
    short = "plain steps: so short a sweep is not worth building native ones"
    assert of_a_sweep(1.0) == Choice(Engine(device="cpu", threads=3), short)
    assert of_a_sweep(1_000.0) == Choice(NATIVE, BUILT)
    assert library.is_built


def test_a_sweep_that_goes_on_keeps_its_engine(library: Library) -> None:
    plain = Engine(device="cpu", threads=1)
    assert of_a_sweep(1_000.0, plain) == Choice(plain.model_copy(update={"threads": 3}))
    assert library.asked == []
    library.is_built = False
    assert of_a_sweep(1.0, NATIVE.model_copy(update={"threads": 1})) == Choice(NATIVE, BUILT)


def test_a_sweep_that_cannot_keep_its_engine_says_so(library: Library) -> None:
    choice = of_a_sweep(1_000.0, NATIVE.model_copy(update={"vectors": "avx512"}))
    assert choice.engine == Engine(device="cpu", threads=3)
    assert choice.note == (
        "the trials so far have native steps in float32 with avx512 vectors, which this machine "
        "has not: the others have plain steps in float32"
    )


def test_trials_on_a_cpu_are_never_compiled_nor_in_bfloat16(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "cpu_has_bfloat16", lambda: True)
    library.trouble = NoLibrary("the disk is full")
    note = "plain steps instead of native ones: the disk is full"
    assert of_a_sweep(1e9) == Choice(Engine(device="cpu", threads=3), note)


# ---------------------------------------------------------------------------------- the processor


@pytest.mark.parametrize(
    ("instructions", "has"),
    [
        ({"amx_bf16": True, "avx512_bf16": True}, True),
        ({"amx_bf16": False, "avx512_bf16": True}, False),
        ({"architecture": "aarch64", "bf16": True}, False),
    ],
)
def test_a_processor_is_faster_with_bfloat16_where_it_multiplies_tiles(
    monkeypatch: pytest.MonkeyPatch, instructions: dict[str, Any], has: bool
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: instructions, raising=False)
    assert cpu_has_bfloat16() == has


def test_a_torch_that_cannot_tell_trains_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert not cpu_has_bfloat16()


@pytest.mark.parametrize("device", ["cpu", "cuda"])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("has", [True, False])
def test_a_device_needs_instructions_for_the_precision_of_an_engine(
    monkeypatch: pytest.MonkeyPatch, device: Any, precision: Any, has: bool
) -> None:
    monkeypatch.setattr(engines, "cpu_has_bfloat16", lambda: has)
    gpu(monkeypatch, (8, 0) if has else (7, 5), "a GPU")
    engine = Engine(device=device, threads=1, precision=precision)
    kept = Choice(engine) if has or precision == "float32" else None
    assert kept_here(engine) == kept


def test_what_does_not_run_here_is_not_prepared() -> None:
    with pytest.raises(DeviceUnavailable, match="torch does not find on the cpu here") as caught:
        prepare(Engine(device="cpu", threads=1, precision="bfloat16"))
    assert (
        caught.value.hint == "resume where a machine has it, or start from scratch with again=True"
    )


# ---------------------------------------------------------------------------- on other devices


@pytest.mark.parametrize("length", [None, LONG])
@pytest.mark.parametrize("wanted", ["auto", "fast"])
@pytest.mark.parametrize(
    ("capability", "precision"),
    [
        ((7, 0), "float32"),
        ((7, 5), "float32"),
        ((8, 0), "bfloat16"),
        ((8, 9), "bfloat16"),
        ((9, 0), "bfloat16"),
        ((12, 0), "bfloat16"),
    ],
)
def test_on_a_gpu_steps_are_captured(
    monkeypatch: pytest.MonkeyPatch,
    capability: tuple[int, int],
    precision: Any,
    wanted: EngineName,
    length: Work | None,
) -> None:
    gpu(monkeypatch, capability, "a GPU")
    choice = choose_engine(device="cuda", threads=3, wanted=wanted, work=length)
    expected = Engine(device="cuda", threads=3, step="captured", precision=precision)
    assert choice == Choice(expected)


@pytest.mark.parametrize("wanted", ["auto", "fast"])
def test_on_an_old_gpu_steps_are_plain_and_it_is_said(
    monkeypatch: pytest.MonkeyPatch, wanted: EngineName
) -> None:
    gpu(monkeypatch, (6, 1), "GeForce GTX 1080")
    choice = choose_engine(device="cuda", threads=3, wanted=wanted, work=LONG)
    note = "steps are not captured on GeForce GTX 1080, which is too old for it"
    assert choice == Choice(Engine(device="cuda", threads=3), note)


def test_plain_is_plain_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu(monkeypatch, (9, 0), "a GPU")
    choice = choose_engine(device="cuda", threads=3, wanted="plain", work=LONG)
    assert choice == Choice(Engine(device="cuda", threads=3))


@pytest.mark.parametrize("wanted", ["auto", "plain", "fast"])
def test_on_mps_steps_are_plain(wanted: EngineName) -> None:
    choice = choose_engine(device="mps", threads=3, wanted=wanted, work=LONG)
    note = "there is no faster step than the plain one on mps"
    assert choice == Choice(Engine(device="mps", threads=3), note if wanted == "fast" else None)


# ------------------------------------------------------------------------------- the length of it


def test_the_operations_of_a_training_by_hand() -> None:
    text = (
        "{name: tiny, blocks: [{channels: [2], pool: {kind: max, size: 28}}], head: {linear: true}}"
    )
    macs = plan_network(loads(text, source="tiny.yaml").experiment).macs
    assert macs == 28 * 28 * 9 * 2 + 2 * 10
    # A multiplication and an addition, forward, and twice that backward.
    assert training_flops(macs=macs, images=100, epochs=3) == 6 * (28 * 28 * 18 + 20) * 300


def test_the_channels_that_a_product_has_beside_it_by_hand() -> None:
    text = (
        "{name: tiny, defaults: {norm: none}, blocks: [{channels: [4, 4]}], "
        "head: {pool: global-average, linear: true}}"
    )
    planned = plan_network(loads(text, source="tiny.yaml").experiment)
    first, second, linear = 28 * 28 * 9 * 4, 28 * 28 * 9 * 16, 40
    assert planned.macs == first + second + linear
    mean = (first * 2 + second * 4 + linear * 40**0.5) / planned.macs
    assert mean_channels(planned) == pytest.approx(mean)


def test_the_seconds_of_plain_steps_are_of_all_runs() -> None:
    one = MINUTE.plain_seconds(2)
    assert 20 < one < 200
    assert replace(MINUTE, runs=3).plain_seconds(2) == pytest.approx(3 * one)
    assert MINUTE.plain_seconds(1) > one


# ---------------------------------------------------------------------------------- getting ready


def test_threads_are_the_engines() -> None:
    prepare(Engine(device="cpu", threads=2))
    assert torch.get_num_threads() == 2
    prepare(Engine(device="cpu", threads=1))
    assert torch.get_num_threads() == 1


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_freed_memory_is_kept_for_a_cpu_alone(monkeypatch: pytest.MonkeyPatch, device: Any) -> None:
    asked: list[bool] = []
    monkeypatch.setattr(engines, "keep_freed", lambda: asked.append(True))
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    prepare(Engine(device=device, threads=1))
    assert asked == ([True] if device == "cpu" else [])


def test_float32_is_float32_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    prepare(Engine(device="cuda", threads=1))
    assert not torch.backends.cudnn.allow_tf32
