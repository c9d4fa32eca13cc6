"""What the benchmarks of single levers compute, and what their variants are."""

from __future__ import annotations

import copy
import sys
from pathlib import Path

import pytest
import torch

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))

import levers
import payback
import turns
import variants

# ------------------------------------------------------------------------------------------- turns


def test_variants_take_turns_after_a_block_of_each() -> None:
    called: list[str] = []
    lever = turns.Lever(
        "order", {"a": lambda: called.append("a"), "b": lambda: called.append("b")}, calls=2
    )
    readings = turns.measure(lever, rounds=2, threads=torch.get_num_threads())
    assert "".join(called) == "aabb" * 3
    assert {name: len(found) for name, found in readings.values.items()} == {"a": 2, "b": 2}


def test_each_variant_has_its_threads() -> None:
    before = torch.get_num_threads()
    found: list[int] = []
    called = {
        name: lambda: found.append(torch.get_num_threads()) for name in ("one", "two", "rest")
    }
    lever = turns.Lever("threads", called, calls=1, threads={"one": 1, "two": 2})
    turns.measure(lever, rounds=1, threads=3)
    torch.set_num_threads(before)
    assert found == [1, 2, 3] * 2


READINGS = turns.Readings("lever", "ms", {"slow": [4.0, 6.0, 8.0], "fast": [2.0, 2.0, 8.0]})


def test_ratios_are_of_one_round_and_above_one_where_the_other_is_faster() -> None:
    assert READINGS.ratios() == {"fast": [2.0, 3.0, 1.0]}
    assert READINGS.report()["ratio_spreads"] == {"fast": {"median": 2.0, "min": 1.0, "max": 3.0}}


def test_a_row_of_the_first_variant_has_no_ratio() -> None:
    assert READINGS.rows() == [
        ["lever: slow", "ms", "6.000", "4.000", "8.000", "", "", ""],
        ["lever: fast", "ms", "2.000", "2.000", "8.000", "2", "1", "3"],
    ]


# ---------------------------------------------------------------------------------------- variants


@pytest.fixture(scope="module")
def bench() -> variants.Bench:
    return variants.Bench.of("mnist-5k", batch=4, steps=1)


def formats(model: torch.nn.Module, x_NCHW: torch.Tensor) -> set[bool]:
    """Whether the maps behind convolutions are channels_last."""
    seen = set()
    for module in model.modules():
        if isinstance(module, torch.nn.Conv2d) and module.out_channels > 1:
            module.register_forward_hook(
                lambda _, __, y: (
                    seen.add(y.is_contiguous(memory_format=torch.channels_last))
                    if y.shape[-1] > 1
                    else None
                )
            )
    model(x_NCHW)
    return seen


def test_memory_formats_differ_in_every_map(bench: variants.Bench) -> None:
    batch = variants.TwoPartStep(bench).assemble()[0]
    assert formats(bench.state().model, batch) == {True}
    other = variants.contiguous(bench.state())
    assert formats(other.model, batch) == {False}
    buffers = [it for group in other.optimizer.groups for it in group.kept("momentum_buffer")]
    assert all(it.is_contiguous() for it in buffers)


def test_gradients_filled_with_zeros_stay_where_they_are(bench: variants.Bench) -> None:
    state = bench.state()
    state.optimizer = variants.ZeroFilling(state.model, bench.experiment.recipe)
    step = bench.plain(state)
    step()
    before = [it.grad.data_ptr() for it in state.model.parameters()]
    step()
    assert [it.grad.data_ptr() for it in state.model.parameters()] == before
    state.optimizer.zero_grad()
    assert all(bool((it.grad == 0).all()) for it in state.model.parameters())


@pytest.mark.parametrize("how", [{}, {"foreach": True}, {"fused": True}])
def test_an_optimizer_on_its_own_goes_on_for_ever(
    bench: variants.Bench, how: dict[str, bool]
) -> None:
    state = bench.state()
    before = copy.deepcopy(state.model)
    step = variants.stepping_alone(state, **how)
    for _ in range(3):
        step()
    for old, new in zip(before.parameters(), state.model.parameters(), strict=True):
        assert torch.equal(old, new)
        assert torch.isfinite(new.grad).all()


def test_norms_and_pools_apart_come_to_the_same(bench: variants.Bench) -> None:
    batch = variants.TwoPartStep(bench).assemble()[0]
    own, other = bench.state().model, bench.state().model
    for model in (own, other):
        for module in model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
    written = variants.apart(other)
    assert not any(type(it) is torch.nn.MaxPool2d for it in written.layers)
    torch.testing.assert_close(written(batch), own(batch), rtol=1e-4, atol=1e-4)
    for one, two in zip(own.buffers(), other.buffers(), strict=True):
        torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-4)


def test_a_batch_ahead_is_the_same_batch(bench: variants.Bench) -> None:
    before = torch.get_num_threads()
    steps = [variants.TwoPartStep(bench) for _ in range(2)]
    calls = [variants.in_line(steps[0]), variants.overlapped(steps[1])]
    torch.set_num_threads(before)
    for call in calls:
        torch.manual_seed(0)
        call(), call()
    for one, two in zip(*(step.state.model.parameters() for step in steps), strict=True):
        torch.testing.assert_close(one, two)


def test_compiled_steps_in_bfloat16_are_a_lever_where_there_is_amx(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(levers, "cpu_has_bfloat16", lambda: False)
    missing = set(levers.LEVERS) - set(levers.levers_here())
    assert missing == {"pool-bfloat16", "bfloat16-compiled"}
    monkeypatch.setattr(levers, "cpu_has_bfloat16", lambda: True)
    assert levers.levers_here() == list(levers.LEVERS)


# ----------------------------------------------------------------------------------------- payback


def child(*, start_seconds: float, step_ms: float, plain_step_ms: float) -> payback.Child:
    return payback.Child(
        start_seconds, step_ms, plain_step_ms, evaluation_seconds=1.0, peak_bytes=10**6
    )


def test_compiling_is_paid_back_by_what_a_step_gains() -> None:
    plain = child(start_seconds=4.0, step_ms=30.0, plain_step_ms=30.0)
    # 30 s behind, and 4 ms for each 8 images, by steps that were measured in turn: 60,000 images.
    compiled = child(start_seconds=34.0, step_ms=16.0, plain_step_ms=20.0)
    assert payback.images_to_pay_back(plain, compiled, batch=8) == pytest.approx(60_000)
    slower = child(start_seconds=34.0, step_ms=16.0, plain_step_ms=15.0)
    assert payback.images_to_pay_back(plain, slower, batch=8) is None


def test_operations_are_shared_by_the_threads() -> None:
    one = payback.Payback(2, "cold", [1_000.0, None])
    assert one.flops_per_thread(macs=10) == [pytest.approx(3 * 2 * 10 * 1_000 / 2), None]
    assert payback.payback_row(one, macs=10)[1] == "not in every round"
