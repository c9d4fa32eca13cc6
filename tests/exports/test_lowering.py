"""A program against the network that it was lowered from, and which norms it still has."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
import torch
from every_option import NETWORKS, NORMS_OF_EACH_IMAGE, experiment_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from profiles import examples
from strategies import Mapping, networks, text_of
from trained import arrays, trained

from mnist_arch.counting.advice import advise
from mnist_arch.counting.plan import plan_network
from mnist_arch.data.catalog import INFO
from mnist_arch.data.pixels import normalize, to_unit
from mnist_arch.exports import reference
from mnist_arch.exports.lowering import lower
from mnist_arch.exports.program import Convolution, LeakyRelu, Program, Relu, Scale
from mnist_arch.network.build import Classifier
from mnist_arch.spec.experiment import Experiment
from mnist_arch.spec.loading import load, loads

MNIST = INFO["mnist"]
HEAD = {"head": {"reduce": 10}}


def experiment(spec: Mapping) -> Experiment:
    return loads(text_of({"name": "test", **spec}), source="test.yaml").experiment


def images(count: int = 3, *, seed: int = 0) -> NDArray[np.uint8]:
    """(N, 28, 28), as bright at the border as anywhere."""
    return np.random.default_rng(seed).integers(0, 256, (count, 28, 28), np.uint8)


def by_torch(model: Classifier, images_NHW: NDArray[np.uint8]) -> NDArray[Any]:
    """Logits in float64."""
    x = torch.from_numpy(images_NHW)[:, None].double() / 255
    with torch.no_grad():
        logits: NDArray[Any] = model.double()((x - MNIST.mean) / MNIST.std).numpy()
    return logits


def exact(spec: Mapping | Experiment, *, seed: int = 0, signs: int = -1) -> Program:
    """The program of a network, which computes the same in float64. See `trained`."""
    it = spec if isinstance(spec, Experiment) else experiment(spec)
    model, layers = trained(it, seed=seed, signs=signs), plan_network(it).layers
    tensors = arrays(model)
    right = by_torch(model, images())
    bare = lower(layers, tensors, MNIST, fold=False, dtype=np.float64)
    folded = lower(layers, tensors, MNIST, dtype=np.float64)
    for program in (bare, folded):
        found = reference.logits(program, images(), dtype=np.float64)
        least = 1e-12 + 1e-9 * np.abs(right).max()  # all logits may be rounding alone
        np.testing.assert_allclose(found, right, rtol=1e-9, atol=least)
    return folded


def scales(program: Program) -> list[str]:
    return [it.place for it in program.operations if isinstance(it, Scale)]


@pytest.mark.slow
@settings(
    max_examples=examples(60),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(networks(), st.integers(0, 5))
def test_any_network_is_lowered_exactly(spec: Mapping, seed: int) -> None:
    exact(spec, seed=seed)


@pytest.mark.slow
@settings(
    max_examples=examples(100),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(networks())
def test_the_advice_knows_before_which_norms_stay(spec: Mapping) -> None:
    it = experiment(spec)
    stay, may_stay = norms_left(it, signs=1), norms_left(it)
    assert set(stay) <= set(may_stay)
    assert remarked(it) == [
        *listed(stay),
        *listed(place for place in may_stay if place not in stay),
    ]


def norms_left(it: Experiment, *, signs: int = -1) -> list[str]:
    """Places of the norms that stay, some scales of each having this sign."""
    return scales(lower(plan_network(it).layers, arrays(trained(it, signs=signs)), MNIST))


def remarked(it: Experiment) -> list[str]:
    """Places that advice names for norms that stay, and that may stay."""
    advice = advise(it, plan_network(it))
    return [one.place for one in advice if one.message.startswith("a batch norm that stays")]


def listed(places: Iterable[str]) -> list[str]:
    first, *more = [*places] or [""]
    return [first + (f" and {len(more)} more" if more else "")] if first else []


@pytest.mark.parametrize("order", ["conv-activation-norm", "conv-norm-activation"])
@pytest.mark.parametrize("first", [{"pool": "max"}, {"residual": True}, {"pool": "average"}])
def test_a_norm_that_stays_for_a_scale_below_0_is_named_before(first: Mapping, order: str) -> None:
    """A convolution that follows directly takes the sign of a scale; a mean lets it through."""
    block = {"channels": [8], **first, "order": order}
    it = experiment({"blocks": [{**CONV, "order": order}, block], **HEAD})
    may_stay = first != {"pool": "average"} and order == "conv-activation-norm"
    assert norms_left(it, signs=1) == []
    assert bool(norms_left(it)) == may_stay
    assert remarked(it) == listed(norms_left(it))


@pytest.mark.parametrize(
    "text", [*NETWORKS.values(), NORMS_OF_EACH_IMAGE], ids=[*NETWORKS, "norms"]
)
def test_every_option_is_lowered_exactly(text: str) -> None:
    exact(experiment_of(text))


def test_a_norm_stays_in_front_of_a_mean_that_counts_zeros() -> None:
    pool = {"kind": "average", "size": 3, "stride": 1, "padding": 1}
    first = {"activation": "gelu", "pool": pool}
    assert folds(first=first, second={"padding": "valid"}) == ["blocks[0].channels[0]"]
    assert folds(first=first | {"pool": pool | {"padding": 0}}, second={"padding": "valid"}) == []
    assert folds(first={"pool": pool}, second={}, signs=1) == []  # but not behind a ReLU


# ------------------------------------------------------------------------------------------ folding

CONV = {"channels": [8], "kernel": 3}


def folds(*, first: Mapping, second: Mapping, signs: int = -1) -> list[str]:
    """Places of the norms that stay in a network of two blocks of which the second has none."""
    blocks = [{**CONV, **first}, {**CONV, "norm": "none", **second}]
    return scales(exact({"blocks": blocks, **HEAD}, signs=signs))


@pytest.mark.parametrize("mode", ["zeros", "replicate"])
@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("order", ["conv-activation-norm", "conv-norm-activation"])
def test_a_batch_norm_is_folded_with_its_padding(mode: str, padding: str, order: str) -> None:
    second = {"padding": padding, "padding_mode": mode}
    assert folds(first={"order": order}, second=second) == []


@pytest.mark.parametrize("kind", ["separable", "depthwise", "grouped"])
@pytest.mark.parametrize("mode", ["zeros", "replicate"])
def test_a_batch_norm_is_folded_into_groups(kind: str, mode: str) -> None:
    groups = {"groups": 2} if kind == "grouped" else {}
    assert folds(first={}, second={"kind": kind, "padding_mode": mode, **groups}) == []


def test_a_shift_leaves_a_floor_in_the_relu() -> None:
    program = exact({"blocks": [CONV, {**CONV, "norm": "none"}], **HEAD})
    first, second = [it for it in program.operations if isinstance(it, Relu)]
    assert first.floor is not None
    assert first.floor.shape == (8,)
    assert second.floor is None


@pytest.mark.parametrize("activation", ["gelu", "silu", "hardswish", "prelu", "leaky_relu"])
def test_behind_another_activation_only_what_needs_no_floor_is_folded(activation: str) -> None:
    first = {"activation": activation}
    assert folds(first=first, second={"padding": "valid"}) == []
    assert folds(first=first, second={"padding_mode": "replicate"}) == []
    assert folds(first=first, second={}) == ["blocks[0].channels[0]"]


@pytest.mark.parametrize("kind", ["max", "average", "convolution"])
def test_through_pools(kind: str) -> None:
    assert folds(first={"pool": kind}, second={}, signs=1) == []
    # The largest of values with a scale below 0 is the smallest of those without.
    assert folds(first={"pool": kind}, second={}) == (
        ["blocks[0].channels[0]"] if kind == "max" else []
    )


def test_behind_a_relu_nothing_has_to_follow() -> None:
    block = {"channels": [4, 4], "residual": True, "squeeze_excitation": 2}
    blocks = [CONV, {**CONV, **block}, {"channels": [10]}]
    assert scales(exact({"blocks": blocks}, signs=1)) == []
    assert len(scales(exact({"blocks": blocks}))) == 3


def test_shared_weights_are_one_array_and_take_no_norm() -> None:
    block = {"channels": [8], "repeat": 3, "share": True}
    program = exact({"blocks": [CONV, block], **HEAD})
    convolutions = [it for it in program.operations if isinstance(it, Convolution)]
    assert len({id(it.weight) for it in convolutions[1:4]}) == 1
    assert len(scales(program)) == 3
    assert program.numbers == sum(
        it.size for it in {id(a): a for op in program.operations for a in op.arrays()}.values()
    )


def test_a_scale_of_nothing_is_folded() -> None:
    it = experiment({"blocks": [CONV, {**CONV, "norm": "none"}], **HEAD})
    model = trained(it)
    tensors = arrays(model)
    tensors["layers.2.weight"][:2] = 0
    program = lower(plan_network(it).layers, tensors, MNIST, dtype=np.float64)
    assert scales(program) == []
    found = reference.logits(program, images(), dtype=np.float64)
    np.testing.assert_allclose(found, by_torch(model, images()), rtol=1e-9)


def test_one_slope_of_a_prelu() -> None:
    (slope,) = [
        it.slope
        for it in exact({"blocks": [{**CONV, "activation": "prelu"}], **HEAD}).operations
        if isinstance(it, LeakyRelu)
    ]
    assert slope.shape == (1,)


def test_a_linear_layer_reads_channel_by_channel() -> None:
    head = {"pool": "flatten", "linear": True}
    program = exact({"blocks": [{**CONV, "stride": 3}], "head": head})
    *_, last = program.operations
    assert isinstance(last, Convolution)
    assert last.weight.shape == (10, 8, 10, 10)


def test_in_float32_s6_is_as_near_as_torch_is() -> None:
    it = load("s6").experiment
    model = trained(it)
    program = lower(plan_network(it).layers, arrays(model), MNIST)
    assert {a.dtype for op in program.operations for a in op.arrays()} == {np.dtype("float32")}
    found = reference.logits(program, images())
    x = normalize(to_unit(torch.from_numpy(images())[:, None]), MNIST)
    with torch.no_grad():
        by_float32 = model(x).numpy()
    right = by_torch(model, images())
    largest = np.abs(right).max()
    assert found.dtype == np.float32
    assert np.abs(found - right).max() <= 4 * np.abs(by_float32 - right).max() + 1e-6 * largest
