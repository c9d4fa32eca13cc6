"""What cannot be connected is refused in a sentence with the place and both shapes."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from calls import calls_in
from strategies import Mapping, text_of

from mnist_arch.counting.layers import Convolution, Layer, Residual
from mnist_arch.counting.unroll import MAX_CONVOLUTIONS, unroll
from mnist_arch.errors import Problem, ShapeError
from mnist_arch.spec.experiment import Experiment
from mnist_arch.spec.loading import loads
from mnist_arch.spec.network import MAX_ITEMS

LINEAR: Mapping = {"linear": True}


def experiment(spec: Mapping) -> Experiment:
    return loads(text_of({"name": "test", **spec}), source="test.yaml").experiment


def layers(*blocks: Mapping, head: Mapping = LINEAR, **rest: Any) -> tuple[Layer, ...]:
    return unroll(experiment({"blocks": list(blocks), "head": head, **rest}))


FIT = "pool less, pad with `same`, or use a smaller window"
MULTIPLES = "choose channel counts that are multiples of the groups"
ODD = "use an odd kernel, or `padding: valid` or `same-end`"
SAME = "use `padding: same`, so that only strides change the size"
REDUCE = "let the last block reduce to {0}, or set `head.linear: true`; pool the whole map"
GROUPED = "kind: grouped"

DEPTHWISE_BIAS: Any = {"out": 8, "depthwise_bias": False}
BEFORE_NORM = {"rate": 0.1, "at": "before-norm"}
REFUSED: dict[str, tuple[Mapping, Problem]] = {
    "pool of a map that is too small": (
        {"blocks": [{"channels": [8], "pool": "max"}] * 4 + [{"pool": "max"}]},
        Problem("a window of 2×2 does not fit into 8×1×1", "blocks[4].pool", hint=FIT),
    ),
    "convolution of a map that is too small": (
        {"blocks": [{"channels": [4], "kernel": 9, "padding": "valid", "repeat": 4}]},
        Problem("a window of 9×9 does not fit into 4×4×4", "blocks[0].channels[0]", hint=FIT),
    ),
    "head's pool of a map that is too small": (
        {"blocks": [{"channels": [4], "pool": "max"}], "head": {"pool": "average", "size": 15}},
        Problem("a window of 15×15 does not fit into 4×14×14", "head.pool", hint=FIT),
    ),
    "wrong number of classes": (
        {"blocks": [{"channels": [8]}]},
        Problem(
            "the network ends in 8×1×1, not in 10×1×1 for 10 classes",
            "head",
            hint=REDUCE.format(10),
        ),
    ),
    "wrong number of more classes": (
        {"classes": 26, "blocks": [{"channels": [8], "reduce": 10}]},
        Problem(
            "the network ends in 10×1×1, not in 26×1×1 for 26 classes",
            "head",
            hint=REDUCE.format(26),
        ),
    ),
    "map that is not pooled whole": (
        {"blocks": [{"channels": [8], "reduce": 10}], "head": {"pool": "average", "size": 14}},
        Problem(
            "the network ends in 10×2×2, not in 10×1×1 for 10 classes",
            "head",
            hint=REDUCE.format(10),
        ),
    ),
    "map that is not pooled at all": (
        {"blocks": [{"channels": [8], "reduce": 10}], "head": {"pool": "flatten"}},
        Problem(
            "the network ends in 10×28×28, not in 10×1×1 for 10 classes",
            "head",
            hint=REDUCE.format(10),
        ),
    ),
    "groups that do not divide the input": (
        {"blocks": [{"channels": [9, {"out": 12, "kind": "grouped", "groups": 4}]}]},
        Problem(
            "4 groups do not divide 9 input and 12 output channels",
            "blocks[0].channels[1]",
            hint=MULTIPLES,
        ),
    ),
    "groups that do not divide the output": (
        {"blocks": [{"channels": [8]}, {"channels": [10], "kind": "grouped", "groups": 4}]},
        Problem(
            "4 groups do not divide 8 input and 10 output channels",
            "blocks[1].channels[0]",
            hint=MULTIPLES,
        ),
    ),
    "depthwise that does not keep or multiply its channels": (
        {"blocks": [{"channels": [8, {"out": 12, "kind": "depthwise"}]}]},
        Problem(
            "8 groups do not divide 8 input and 12 output channels",
            "blocks[0].channels[1]",
            hint=MULTIPLES,
        ),
    ),
    "grouped convolution without groups": (
        {"blocks": [{"channels": [8], "kind": "grouped"}]},
        Problem(
            "a grouped convolution needs `groups`",
            "blocks[0].channels[0]",
            hint="groups: 2",
        ),
    ),
    "groups of an ordinary convolution": (
        {"blocks": [{"channels": [{"out": 8, "groups": 2}]}]},
        Problem(
            "`groups` without a grouped convolution",
            "blocks[0].channels[0].groups",
            hint=GROUPED,
        ),
    ),
    "groups of a block of ordinary convolutions": (
        {"blocks": [{"channels": [8], "reduce": 4, "groups": 2}]},
        Problem("`groups` without a grouped convolution", "blocks[0].groups", hint=GROUPED),
    ),
    "groups of a network of ordinary convolutions": (
        {"defaults": {"groups": 2}, "blocks": [{"channels": [8]}]},
        Problem("`groups` without a grouped convolution", "defaults.groups", hint=GROUPED),
    ),
    "norm groups that do not divide": (
        {"blocks": [{"channels": [6], "norm": "group"}]},
        Problem(
            "4 norm groups do not divide 6 channels",
            "blocks[0].channels[0]",
            hint="norm: {kind: group, groups: …}",
        ),
    ),
    "even kernel that pads": (
        {"blocks": [{"channels": [8, {"out": 8, "kernel": 4}]}]},
        Problem("a kernel of 4 cannot keep the size", "blocks[0].channels[1]", hint=ODD),
    ),
    "even kernel that pads, inherited": (
        {"defaults": {"kernel": 2}, "blocks": [{"channels": [8]}]},
        Problem("a kernel of 2 cannot keep the size", "blocks[0].channels[0]", hint=ODD),
    ),
    "residual that shrinks": (
        {"blocks": [{"channels": [8]}, {"channels": [8], "padding": "valid", "residual": True}]},
        Problem(
            "the input 8×28×28 cannot be added to the output 8×26×26",
            "blocks[1].residual",
            hint=SAME,
        ),
    ),
    "residual that shrinks to a half": (
        # 4 → 2 pixels without any stride: a strided projection would look at other pixels.
        {
            "blocks": [
                {"channels": [8], "pool": {"kind": "max", "size": 7}},
                {"channels": [8], "padding": "valid", "residual": True},
            ]
        },
        Problem(
            "the input 8×4×4 cannot be added to the output 8×2×2", "blocks[1].residual", hint=SAME
        ),
    ),
    "instance norm of single values": (
        {
            "blocks": [
                {"channels": [8], "pool": {"kind": "max", "size": 28}},
                {"channels": [8], "norm": "instance"},
            ]
        },
        Problem(
            "instance norm has nothing to normalise in 8×1×1",
            "blocks[1].channels[0]",
            hint="use another norm here",
        ),
    ),
    "group norm of single values": (
        {
            "blocks": [{"channels": [8], "pool": {"kind": "max", "size": 28}}],
            "head": {"reduce": {"out": 10, "norm": {"kind": "group", "groups": 10}}},
        },
        Problem(
            "group norm with 10 groups has nothing to normalise in 10×1×1",
            "head.reduce",
            hint="use fewer groups, or another norm",
        ),
    ),
    "dropout after no convolution": (
        {
            "blocks": [
                {"channels": [10]},
                {"pool": "max", "dropout": {"rate": 0.1, "after": "each"}},
            ]
        },
        Problem(
            "`after: each` in a block without `channels`",
            "blocks[1].dropout",
            hint="after: block",
        ),
    ),
    "bias of a depthwise half that is not there": (
        {"blocks": [{"channels": [8], "depthwise_bias": False}]},
        Problem(
            "`depthwise_bias` without a separable convolution",
            "blocks[0].depthwise_bias",
            hint="kind: separable",
        ),
    ),
    "bias of a depthwise half that one convolution has not": (
        {"blocks": [{"channels": [{"out": 8, "kind": "separable"}, DEPTHWISE_BIAS]}]},
        Problem(
            "`depthwise_bias` without a separable convolution",
            "blocks[0].channels[1].depthwise_bias",
            hint="kind: separable",
        ),
    ),
    "dropout before no norm": (
        {"blocks": [{"channels": [{"out": 8, "norm": "none", "dropout": BEFORE_NORM}]}]},
        Problem(
            "`at: before-norm` where there is no norm",
            "blocks[0].channels[0]",
            hint="a `norm`, or a dropout `at: end`",
        ),
    ),
    "dropout before no norm of a pool": (
        {"blocks": [{"channels": [8], "pool": "max", "dropout": BEFORE_NORM}]},
        Problem(
            "`at: before-norm` at the end of a block whose pool has no norm",
            "blocks[0].dropout",
            hint="after: each, or a `norm` in the pool",
        ),
    ),
    "more convolutions than anyone counts": (
        {"blocks": [{"channels": [8] * MAX_ITEMS, "repeat": MAX_ITEMS}] * MAX_ITEMS},
        Problem("262,144 convolutions are more than 1,000", "blocks", hint="repeat less"),
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refusal_names_the_place_and_both_shapes(name: str) -> None:
    spec, problem = REFUSED[name]
    drawn = experiment(spec)
    with pytest.raises(ShapeError) as caught:
        unroll(drawn)
    assert caught.value.problems == (problem,)


def test_most_convolutions_are_unrolled_quickly() -> None:
    most = experiment(
        {"blocks": [{"channels": [8] * 20, "repeat": MAX_CONVOLUTIONS // 20}], "head": LINEAR}
    )
    assert calls_in(lambda: unroll(most)) < 100 * MAX_CONVOLUTIONS
    unrolled = unroll(most)
    assert sum(isinstance(layer.op, Convolution) for layer in unrolled) == MAX_CONVOLUTIONS


def test_too_many_convolutions_are_refused_at_once() -> None:
    most = experiment(
        {"blocks": [{"channels": [8] * MAX_ITEMS, "repeat": MAX_ITEMS}] * MAX_ITEMS, "head": LINEAR}
    )

    def refused() -> None:
        with pytest.raises(ShapeError):
            unroll(most)

    assert calls_in(refused) < 1000


# ----------------------------------------------------------------------- what may be doubted


def test_layers_follow_one_another() -> None:
    unrolled = layers(
        {"channels": [8, 16], "residual": True, "stride": 2, "pool": "max", "reduce": 4},
        {"channels": [4], "residual": True, "repeat": 2, "squeeze_excitation": 2},
    )
    assert unrolled[0].in_shape == (1, 28, 28)
    assert unrolled[-1].out_shape == (10, 1, 1)
    for before, after in pairwise(unrolled):
        assert before.out_shape == after.in_shape


def test_residual_of_equal_shapes_has_no_projection() -> None:
    (first, *_) = layers({"channels": [1], "residual": True})
    assert isinstance(first.op, Residual)
    assert first.op.skip is None


@pytest.mark.parametrize("stride", [2, 3, 5, 27, 28, 64])
def test_residual_projection_has_the_strides_of_its_convolutions(stride: int) -> None:
    (first, *_) = layers({"channels": [4, {"out": 8, "stride": stride}, 8], "residual": True})
    assert isinstance(first.op, Residual)
    assert first.op.skip is not None
    assert first.op.skip.op == Convolution(8, 1, "blocks[0].residual#0", True, stride=stride)
    assert first.op.skip.out_shape == first.op.body[-1].out_shape


def test_residual_over_unpadded_1x1_convolutions_has_a_projection_without_stride() -> None:
    (first, *_) = layers({"channels": [4, 8], "kernel": 1, "padding": "valid", "residual": True})
    assert isinstance(first.op, Residual)
    assert first.op.skip is not None
    assert first.op.skip.op == Convolution(8, 1, "blocks[0].residual#0", True)


@pytest.mark.parametrize(
    ("size", "stride", "side"),
    [(2, None, 14), (3, None, 14), (1, None, 14), (4, None, 14), (5, None, 14), (2, 3, 9)],
)
def test_convolution_pool_halves_unless_told_otherwise(
    size: int, stride: int | None, side: int
) -> None:
    pool: Mapping = {"kind": "convolution", "size": size}
    if stride:
        pool["stride"] = stride
    (pooled,) = (layer for layer in layers({"pool": pool}) if layer.place == "blocks[0].pool")
    assert pooled.out_shape == (1, side, side)


def test_block_inherits_from_defaults_and_convolution_from_block() -> None:
    unrolled = layers(
        {"channels": [4, {"out": 6, "kernel": 1, "bias": False}], "kernel": 5},
        {"channels": [8]},
        defaults={"kernel": 7, "norm": "none", "activation": "none"},
    )
    convolutions = [layer.op for layer in unrolled if isinstance(layer.op, Convolution)]
    assert [(op.kernel, op.bias) for op in convolutions] == [(5, True), (1, False), (7, True)]


def test_padding_mode_is_of_no_account_without_padding() -> None:
    first, second = (
        layer.op
        for layer in layers(
            {"channels": [4, {"out": 4, "padding": "valid"}], "padding_mode": "replicate"},
            defaults={"norm": "none", "activation": "none"},
        )
        if isinstance(layer.op, Convolution)
    )
    assert (first.padding, first.padding_mode) == (1, "replicate")
    assert (second.padding, second.padding_mode) == (0, "zeros")


def test_dropout_of_one_convolution_stands_in_place_of_the_blocks() -> None:
    unrolled = layers(
        {
            "channels": [4, {"out": 4, "dropout": 0.5}, {"out": 4, "dropout": 0}],
            "dropout": {"rate": 0.1, "after": "each"},
        },
        {"channels": [4, {"out": 4, "dropout": 0.5}], "dropout": 0.2},
    )
    rates = [(layer.place, layer.op.rate) for layer in unrolled if hasattr(layer.op, "rate")]
    assert rates == [
        ("blocks[0].channels[0]", 0.1),
        ("blocks[0].channels[1]", 0.5),
        ("blocks[1].channels[1]", 0.5),
        ("blocks[1].dropout", 0.2),
    ]


def test_repeats_that_pad_otherwise_share_no_weights() -> None:
    """A stride leaves 14, 7 and 4 pixels; `same-end` pads 28 and 14 alike, and 7 otherwise."""
    block = {"channels": [1], "repeat": 3, "share": True, "stride": 2, "padding": "same-end"}
    drawn = experiment({"blocks": [block], "head": {"linear": True}})
    weights = [it.op.weights for it in unroll(drawn) if isinstance(it.op, Convolution)][:3]
    assert weights[0] == weights[1] != weights[2]
