"""Which engine is chosen where, and what is said where it is not the fast one."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from mnist_arch.counting.plan import plan_network
from mnist_arch.errors import DeviceUnavailable
from mnist_arch.spec.loading import loads
from mnist_arch.training import engine_choice as engines
from mnist_arch.training.engine import Engine
from mnist_arch.training.engine_choice import (
    COMPILE_FROM_FLOPS,
    Choice,
    EngineName,
    choose_engine,
    cpu_has_bfloat16,
    prepare,
    runs_here,
    training_flops,
)

LONG, SHORT = 3 * COMPILE_FROM_FLOPS, 3 * COMPILE_FROM_FLOPS * (1 - 1e-9)
"""For three threads: just long enough for a compiler, and just not."""


def gpu(monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], name: str) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: capability)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: name)


# --------------------------------------------------------------------------------------- on a CPU


@pytest.mark.parametrize(
    ("wanted", "flops", "step"),
    [
        ("auto", SHORT, "plain"),
        ("auto", LONG, "compiled"),
        ("auto", 0.0, "plain"),
        ("fast", SHORT, "compiled"),
        ("fast", LONG, "compiled"),
        ("plain", SHORT, "plain"),
        ("plain", LONG, "plain"),
    ],
)
def test_on_a_cpu_steps_are_compiled_where_that_pays_back(
    wanted: EngineName, flops: float, step: Any
) -> None:
    choice = choose_engine(device="cpu", threads=3, wanted=wanted, flops=flops)
    assert choice == Choice(Engine(device="cpu", threads=3, step=step, precision="float32"))


@pytest.mark.parametrize(
    ("wanted", "flops", "step", "precision"),
    [
        ("auto", SHORT, "plain", "bfloat16"),
        ("auto", LONG, "compiled", "bfloat16"),
        ("fast", SHORT, "compiled", "bfloat16"),
        ("plain", LONG, "plain", "float32"),
    ],
)
def test_steps_are_in_bfloat16_where_the_processor_is_faster_with_it(
    monkeypatch: pytest.MonkeyPatch, wanted: EngineName, flops: float, step: Any, precision: Any
) -> None:
    monkeypatch.setattr(engines, "cpu_has_bfloat16", lambda: True)
    choice = choose_engine(device="cpu", threads=3, wanted=wanted, flops=flops)
    assert choice == Choice(Engine(device="cpu", threads=3, step=step, precision=precision))


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
    assert runs_here(engine) == (has or precision == "float32")


def test_what_does_not_run_here_is_not_prepared() -> None:
    with pytest.raises(DeviceUnavailable, match="torch does not find on the cpu here") as caught:
        prepare(Engine(device="cpu", threads=1, precision="bfloat16"))
    assert caught.value.hint == "go on where a machine has it, or start anew with --again"


# ---------------------------------------------------------------------------- on other devices


@pytest.mark.parametrize("flops", [0.0, LONG])
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
    flops: float,
) -> None:
    gpu(monkeypatch, capability, "a GPU")
    choice = choose_engine(device="cuda", threads=3, wanted=wanted, flops=flops)
    expected = Engine(device="cuda", threads=3, step="captured", precision=precision)
    assert choice == Choice(expected)


@pytest.mark.parametrize("wanted", ["auto", "fast"])
def test_on_an_old_gpu_steps_are_plain_and_it_is_said(
    monkeypatch: pytest.MonkeyPatch, wanted: EngineName
) -> None:
    gpu(monkeypatch, (6, 1), "GeForce GTX 1080")
    choice = choose_engine(device="cuda", threads=3, wanted=wanted, flops=LONG)
    note = "steps are not captured on GeForce GTX 1080, which is too old for it"
    assert choice == Choice(Engine(device="cuda", threads=3), note)


def test_plain_is_plain_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu(monkeypatch, (9, 0), "a GPU")
    choice = choose_engine(device="cuda", threads=3, wanted="plain", flops=LONG)
    assert choice == Choice(Engine(device="cuda", threads=3))


@pytest.mark.parametrize("wanted", ["auto", "plain", "fast"])
def test_on_mps_steps_are_plain(wanted: EngineName) -> None:
    choice = choose_engine(device="mps", threads=3, wanted=wanted, flops=LONG)
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
