"""What is written for a compiler comes to the same as torch's own, in float64.

Where the scale of a norm is exactly 0, all of a window are equal after it, so which of them passes
a gradient on is a choice: torch's pool takes the first, ours the one that is the largest for a
scale just above 0. Only the gradient of the scale can tell; it is tested on its own.
"""

from __future__ import annotations

import copy
from typing import Any, NamedTuple

import hypothesis
import pytest
import strategies
import torch
import torch.nn.functional as F
from hypothesis import strategies as st
from profiles import examples
from torch import Tensor, nn

from mnist_arch.network.build import Classifier, build, count_parameters
from mnist_arch.network.fused import fused
from mnist_arch.network.kernels import batch_norm, batch_norm_max_pool, max_pool
from mnist_arch.spec.loading import loads

TOLERANCE = 1e-10
"""Relative and absolute, of values of about 1; float64 rounds at 1e-16."""

OF_LARGEST = 1e-9
"""Absolute tolerance of a network's gradients, as a share of the largest of them: that of a bias
before a batch norm is 0 but for the rounding of numbers which are as large."""

EPS = 1e-5
SIDES = [(8, 8), (7, 7), (6, 9), (5, 4), (2, 2), (3, 3)]
SCALES = (1.3, -0.7, 0.4, -2.0)


class Learned(NamedTuple):
    """A forward and a backward pass."""

    y: Tensor
    grad_x: Tensor
    grad_scale: Tensor
    grad_shift: Tensor
    running_mean: Tensor
    running_var: Tensor


def maps(side: tuple[int, int], *, ties: bool, channels: int = 4) -> Tensor:
    """Three maps; with `ties`, most of each is a background of one value, and few values differ."""
    rng = torch.Generator().manual_seed(side[0] * 10 + side[1] + ties)
    x_NCHW = torch.randn(3, channels, *side, generator=rng, dtype=torch.float64)
    if ties:
        x_NCHW = x_NCHW.round()
        x_NCHW[torch.rand(x_NCHW.shape, generator=rng) < 0.5] = -0.4
    return x_NCHW.contiguous(memory_format=torch.channels_last)


def assert_close(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=TOLERANCE, atol=TOLERANCE)


def assert_all_close(found: Learned, expected: Learned) -> None:
    for name in Learned._fields:
        one, two = getattr(found, name), getattr(expected, name)
        torch.testing.assert_close(
            one, two, rtol=TOLERANCE, atol=TOLERANCE, msg=lambda text, name=name: f"{name}: {text}"
        )


def learned(
    of_torch: bool, x_NCHW: Tensor, scales: tuple[float, ...], *, rectify: bool, pool: bool
) -> Learned:
    """Batch norm, with what is asked for around it. The gradient that comes in is no constant."""
    x_NCHW = x_NCHW.detach().clone(memory_format=torch.preserve_format).requires_grad_()
    scale_C = torch.tensor(scales, dtype=torch.float64, requires_grad=True)
    shift_C = torch.linspace(-0.5, 0.8, len(scales), dtype=torch.float64).requires_grad_()
    count = x_NCHW[:, 0].numel()
    if of_torch:
        mean_C, var_C = torch.zeros(2, len(scales), dtype=torch.float64)
        before = F.relu(x_NCHW) if rectify else x_NCHW
        y = F.batch_norm(
            before, mean_C, var_C, scale_C, shift_C, training=True, momentum=1.0, eps=EPS
        )
        y = F.max_pool2d(y, 2) if pool else y
        var_C = var_C * ((count - 1) / count)
    elif pool:
        y, mean_C, var_C = batch_norm_max_pool(x_NCHW, scale_C, shift_C, eps=EPS, rectify=rectify)
    else:
        y, mean_C, var_C = batch_norm(x_NCHW, scale_C, shift_C, eps=EPS)
    incoming = torch.randn(
        y.shape, generator=torch.Generator().manual_seed(5), dtype=torch.float64
    ).contiguous(memory_format=torch.channels_last)
    y.backward(incoming)
    assert x_NCHW.grad is not None
    assert scale_C.grad is not None
    assert shift_C.grad is not None
    return Learned(y.detach(), x_NCHW.grad, scale_C.grad, shift_C.grad, mean_C, var_C)


# ------------------------------------------------------------------------ beside torch's functions


@pytest.mark.parametrize("ties", [True, False])
@pytest.mark.parametrize("side", SIDES)
def test_batch_norm_is_torchs(side: tuple[int, int], ties: bool) -> None:
    x_NCHW, scales = maps(side, ties=ties), (1.3, -0.7, 0.0, -2.0)
    found = learned(False, x_NCHW, scales, rectify=False, pool=False)
    assert_all_close(found, learned(True, x_NCHW, scales, rectify=False, pool=False))


@pytest.mark.parametrize("ties", [True, False])
@pytest.mark.parametrize("side", SIDES)
def test_max_pool_is_torchs(side: tuple[int, int], ties: bool) -> None:
    found, expected = (maps(side, ties=ties).requires_grad_() for _ in range(2))
    y, reference = max_pool(found), F.max_pool2d(expected, 2)
    assert torch.equal(y, reference)
    incoming = torch.randn_like(y)
    y.backward(incoming)
    reference.backward(incoming)
    assert found.grad is not None
    assert expected.grad is not None
    assert torch.equal(found.grad, expected.grad)


@pytest.mark.parametrize("ties", [True, False])
@pytest.mark.parametrize("rectify", [True, False])
@pytest.mark.parametrize("side", SIDES)
def test_batch_norm_and_max_pool_are_torchs(
    side: tuple[int, int], rectify: bool, ties: bool
) -> None:
    x_NCHW = maps(side, ties=ties)
    found = learned(False, x_NCHW, SCALES, rectify=rectify, pool=True)
    assert_all_close(found, learned(True, x_NCHW, SCALES, rectify=rectify, pool=True))


@pytest.mark.parametrize("rectify", [True, False])
@pytest.mark.parametrize("side", SIDES)
def test_a_scale_of_zero_passes_on_what_one_just_above_it_does(
    side: tuple[int, int], rectify: bool
) -> None:
    x_NCHW = maps(side, ties=False)
    none, few = (0.0, 1.0, 0.0, -1.0), (1e-13, 1.0, 1e-13, -1.0)
    found = learned(False, x_NCHW, none, rectify=rectify, pool=True)
    expected = learned(True, x_NCHW, none, rectify=rectify, pool=True)
    limit = learned(True, x_NCHW, few, rectify=rectify, pool=True)
    assert_all_close(found, expected._replace(grad_scale=limit.grad_scale))
    assert not found.grad_x[:, [0, 2]].any()


@pytest.mark.parametrize("pool", [True, False])
def test_digits_are_kept_where_the_mean_is_large(pool: bool) -> None:
    """A variance as the difference of sums of squares would have none left."""
    x_NCHW = maps((6, 6), ties=False) + 1e6
    found = learned(False, x_NCHW, SCALES, rectify=False, pool=pool)
    expected = learned(False, x_NCHW - 1e6, SCALES, rectify=False, pool=pool)
    torch.testing.assert_close(found.running_var, expected.running_var, rtol=1e-8, atol=0)
    torch.testing.assert_close(found.y, expected.y, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("pool", [True, False])
@pytest.mark.parametrize("rectify", [True, False])
def test_maps_keep_their_dtype_and_channels_last(
    pool: bool, rectify: bool, dtype: torch.dtype
) -> None:
    x_NCHW = maps((6, 6), ties=False).to(dtype).requires_grad_()
    scale_C, shift_C = torch.ones(4), torch.zeros(4)
    if pool:
        y, *of_channels = batch_norm_max_pool(x_NCHW, scale_C, shift_C, eps=EPS, rectify=rectify)
    else:
        y, *of_channels = batch_norm(x_NCHW, scale_C, shift_C, eps=EPS)
    y.backward(torch.ones_like(y))
    assert x_NCHW.grad is not None
    for map_NCHW in (y, x_NCHW.grad):
        assert map_NCHW.dtype == dtype
        assert map_NCHW.is_contiguous(memory_format=torch.channels_last)
    assert {it.dtype for it in of_channels} == {torch.float32}


@pytest.mark.parametrize("rectify", [True, False])
@pytest.mark.parametrize("pool", [True, False])
def test_maps_of_bfloat16_are_rounded_once(pool: bool, rectify: bool) -> None:
    """Sums and formulas are of float32, as in torch's own norm of such maps."""
    rounded = maps((6, 6), ties=False).bfloat16()
    found, exact = rounded.clone().requires_grad_(), rounded.double().requires_grad_()
    y = []
    for x_NCHW in (found, exact):
        dtype = torch.float64 if x_NCHW is exact else torch.float32
        scale_C = torch.tensor(SCALES, dtype=dtype)
        shift_C = torch.zeros_like(scale_C)
        if pool:
            y += batch_norm_max_pool(x_NCHW, scale_C, shift_C, eps=EPS, rectify=rectify)[:1]
        else:
            y += batch_norm(x_NCHW, scale_C, shift_C, eps=EPS)[:1]
        y[-1].backward(torch.ones_like(y[-1]).cumsum(0))
    assert found.grad is not None
    assert exact.grad is not None
    torch.testing.assert_close(y[0].double(), y[1], rtol=2**-8, atol=1e-6)
    torch.testing.assert_close(found.grad.double(), exact.grad, rtol=2**-8, atol=1e-5)


def test_statistics_have_no_gradient() -> None:
    x_NCHW = maps((4, 4), ties=False).requires_grad_()
    scale_C = torch.ones(4, dtype=torch.float64, requires_grad=True)
    _, *one = batch_norm(x_NCHW, scale_C, scale_C, eps=EPS)
    _, *two = batch_norm_max_pool(x_NCHW, scale_C, scale_C, eps=EPS, rectify=False)
    assert not any(statistic.requires_grad for statistic in (*one, *two))


# ---------------------------------------------------------------------- beside finite differences


def apart(side: tuple[int, int]) -> Tensor:
    """Two maps of two channels without ties: all values differ by much more than a step."""
    count = 4 * side[0] * side[1]
    rng = torch.Generator().manual_seed(3)
    values = (torch.randperm(count, generator=rng) - count / 2 + 0.25).double() / count
    return values.view(2, 2, *side).contiguous(memory_format=torch.channels_last).requires_grad_()


AFFINE = ((0.8, -1.1), (0.3, -0.2))


@pytest.mark.parametrize("side", [(4, 4), (5, 3)])
@pytest.mark.parametrize("function", ["norm", "pool", "norm-pool", "rectify-norm-pool"])
def test_gradients_are_those_of_finite_differences(function: str, side: tuple[int, int]) -> None:
    affine = [torch.tensor(it, dtype=torch.float64, requires_grad=True) for it in AFFINE]

    def value(x_NCHW: Tensor, *affine: Tensor) -> Tensor:
        match function:
            case "norm":
                return batch_norm(x_NCHW, *affine, eps=EPS)[0]
            case "pool":
                return max_pool(x_NCHW)
        rectify = function.startswith("rectify")
        return batch_norm_max_pool(x_NCHW, *affine, eps=EPS, rectify=rectify)[0]

    inputs = [apart(side), *(affine if function != "pool" else [])]
    assert torch.autograd.gradcheck(value, inputs, eps=1e-6, atol=1e-6, rtol=1e-5)


# ------------------------------------------------------------------------------- whole networks

NETWORKS: dict[str, tuple[int, dict[str, Any]]] = {
    # the number of norms and pools that are taken together or anew, and the network
    "both orders": (
        4,
        {
            "blocks": [
                {"channels": [4], "pool": "max"},
                {"channels": [4], "order": "conv-norm-activation", "pool": "max"},
                {"channels": [4], "activation": "none", "pool": "max"},
                {"channels": [4]},
            ]
        },
    ),
    "other activations": (
        5,
        {
            "blocks": [
                {"channels": [4], "activation": "gelu", "pool": "max"},
                {"channels": [{"out": 4, "activation": "prelu"}], "pool": "max"},
                {"channels": [4], "activation": "silu", "order": "conv-norm-activation"},
            ]
        },
    ),
    "residual": (
        4,
        {
            "blocks": [
                {"channels": [4], "pool": "max"},
                {"channels": [4, 4], "residual": True, "squeeze_excitation": 2, "pool": "max"},
            ]
        },
    ),
    "separable": (2, {"blocks": [{"channels": [4, 6], "kind": "separable", "pool": "max"}]}),
    "shared weights": (
        4,
        {
            "blocks": [
                {"channels": [4], "pool": "max"},
                {"channels": [4], "repeat": 3, "share": True},
            ]
        },
    ),
    "group norm": (
        1,
        {"blocks": [{"channels": [4], "norm": {"kind": "group", "groups": 2}, "pool": "max"}]},
    ),
    "average pools": (2, {"blocks": [{"channels": [4], "pool": "average"}, {"channels": [4]}]}),
    "pools of other sizes": (
        1,
        {"blocks": [{"channels": [4], "pool": {"kind": "max", "size": 3}}]},
    ),
    "pools without norm": (2, {"blocks": [{"channels": [4], "norm": "none", "pool": "max"}] * 2}),
    "odd maps": (3, {"blocks": [{"channels": [4], "pool": "max"}] * 3}),
}


def network(tree: dict[str, Any]) -> Classifier:
    """In float64, channels last; the scales of its norms are not all 1, and some are negative.

    Without a head of its own it ends in a linear layer.
    """
    tree = {"head": {"linear": True}, **tree}
    spec = loads(strategies.text_of({"name": "fused", **tree}), source="fused.yaml").experiment
    model = build(spec, seed=3).double().to(memory_format=torch.channels_last)
    rng = torch.Generator().manual_seed(4)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d) and module.affine:
            with torch.no_grad():
                module.weight.copy_(torch.randn(module.num_features, generator=rng))
                module.bias.copy_(torch.randn(module.num_features, generator=rng))
    return model.train()


def assert_same_learning(model: Classifier) -> None:
    """The network and its fused twin come to the same in a forward and a backward pass."""
    one, other = copy.deepcopy(model), copy.deepcopy(model)
    twin = fused(other).train()
    rng = torch.Generator().manual_seed(6)
    x_NCHW = torch.rand(3, 1, 28, 28, generator=rng, dtype=torch.float64)
    x_NCHW[:, :, :9] = 0.0  # a background, as digits have it
    x_NCHW = x_NCHW.contiguous(memory_format=torch.channels_last)
    outputs = []
    for it in (one, twin):
        torch.manual_seed(8)
        outputs.append(it(x_NCHW))
        F.cross_entropy(outputs[-1], torch.arange(3)).backward()
    assert_close(outputs[1], outputs[0])
    pairs = list(zip(one.named_parameters(), other.parameters(), strict=True))
    gradients = [(name, a.grad, b.grad) for (name, a), b in pairs]
    assert all(a is not None and b is not None for _, a, b in gradients)
    largest = max(float(a.abs().max()) for _, a, _ in gradients if a is not None)
    for name, expected, found in gradients:
        torch.testing.assert_close(
            found,
            expected,
            rtol=TOLERANCE,
            atol=OF_LARGEST * max(largest, 1e-6),
            msg=lambda text, name=name: f"{name}: {text}",
        )
    for (name, kept), own in zip(one.named_buffers(), other.buffers(), strict=True):
        torch.testing.assert_close(
            own,
            kept,
            rtol=TOLERANCE,
            atol=TOLERANCE,
            msg=lambda text, name=name: f"{name}: {text}",
        )


def rewritten(model: nn.Module) -> int:
    """Modules of the kind that `fused` puts in."""
    return sum(type(it).__name__.startswith("Fused") for it in model.modules())


@pytest.mark.parametrize("name", NETWORKS)
def test_the_fused_twin_learns_the_same(name: str) -> None:
    count, tree = NETWORKS[name]
    model = network(tree)
    assert rewritten(fused(model)) == count
    assert_same_learning(model)


@pytest.mark.slow
@hypothesis.settings(max_examples=examples(15), derandomize=True)
@hypothesis.given(spec=strategies.networks())
def test_the_fused_twin_of_any_network_learns_the_same(spec: dict[str, Any]) -> None:
    assert_same_learning(network({"head": {}, **spec}))


@pytest.mark.slow
@hypothesis.settings(max_examples=examples(15), derandomize=True)
@hypothesis.given(
    orders=st.lists(st.sampled_from(strategies.ORDERS), min_size=1, max_size=3),
    activation=st.sampled_from(strategies.ACTIVATIONS),
    pool=st.sampled_from(["max", "average", "none"]),
    bias=st.booleans(),
)
def test_whatever_stands_around_a_norm(
    orders: list[str], activation: str, pool: str, bias: bool
) -> None:
    blocks = [{"channels": [3], "order": order, "pool": pool} for order in orders]
    assert_same_learning(
        network({"defaults": {"activation": activation, "bias": bias}, "blocks": blocks})
    )


@pytest.mark.parametrize("name", NETWORKS)
def test_the_fused_twin_is_the_same_tensors(name: str) -> None:
    model = network(NETWORKS[name][1])
    before = list(model.parameters())
    twin = fused(model)
    assert {id(it) for it in twin.parameters()} == {id(it) for it in before}
    assert {id(it) for it in twin.buffers()} == {id(it) for it in model.buffers()}
    assert count_parameters(twin) == count_parameters(model)
    assert rewritten(model) == 0  # the network itself stays as it was
    assert all(a is b for a, b in zip(before, model.parameters(), strict=True))


def test_statistics_are_kept_step_by_step() -> None:
    model = network(NETWORKS["both orders"][1])
    one, other = copy.deepcopy(model), copy.deepcopy(model)
    twin = fused(other)
    for seed in range(3):
        rng = torch.Generator().manual_seed(seed)
        x_NCHW = torch.randn(4, 1, 28, 28, generator=rng, dtype=torch.float64)
        one(x_NCHW)
        twin(x_NCHW)
    norms = zip(one.modules(), other.modules(), strict=True)
    pairs = [(a, b) for a, b in norms if isinstance(a, nn.BatchNorm2d)]
    assert len(pairs) == 4
    for a, b in pairs:
        assert isinstance(b, nn.BatchNorm2d)
        assert a.running_mean is not None
        assert b.running_mean is not None
        assert a.running_var is not None
        assert b.running_var is not None
        assert_close(b.running_mean, a.running_mean)
        assert_close(b.running_var, a.running_var)
        assert int(b.num_batches_tracked or 0) == int(a.num_batches_tracked or 0) == 3
