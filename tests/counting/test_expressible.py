"""Typical public solutions of the exercise, as torch modules and as specs: the same network.

Each is written after the style of the notebooks: which layers follow one another, where the biases
are, how the last map becomes ten numbers. Equal means every leaf module with all its settings.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from agreement import assert_agreement
from strategies import Mapping, text_of
from torch import nn

from mnist_arch.convert.from_torch import from_torch
from mnist_arch.counting.plan import plan_network
from mnist_arch.errors import ShapeError
from mnist_arch.network.build import build, count_parameters
from mnist_arch.spec.loading import loads
from mnist_arch.spec.overrides import parse_override


def conv(
    before: int, after: int, kernel: int = 3, *, padding: int = 0, dropout: float = 0.0, **rest: Any
) -> list[nn.Module]:
    """Convolution without bias, ReLU, batch norm, dropout: the usual step of the notebooks."""
    layers = [
        nn.Conv2d(before, after, kernel, padding=padding, bias=False, **rest),
        nn.ReLU(),
        nn.BatchNorm2d(after),
    ]
    return [*layers, nn.Dropout(dropout)] if dropout else layers


def norm_first(before: int, after: int, dropout: float, **rest: Any) -> list[nn.Module]:
    return [
        nn.Conv2d(before, after, 3, **rest),
        nn.BatchNorm2d(after),
        nn.ReLU(),
        nn.Dropout(dropout),
    ]


NO_BIAS: Mapping = {"bias": False, "padding": "valid"}

SOLUTIONS: dict[str, tuple[list[nn.Module], Mapping]] = {
    # No padding anywhere; a pointwise transition; a pooled map of 10 channels is the answer.
    "unpadded, transition, average of the whole map": (
        [
            *conv(1, 10, dropout=0.05),
            *conv(10, 16, dropout=0.05),
            *conv(16, 20, dropout=0.05),
            nn.MaxPool2d(2, 2),
            *conv(20, 10, 1, dropout=0.05),
            *conv(10, 16, dropout=0.05),
            *conv(16, 16, dropout=0.05),
            *conv(16, 16, dropout=0.05),
            nn.AvgPool2d(5),
            nn.Conv2d(16, 10, 1, bias=False),
        ],
        {
            "defaults": {**NO_BIAS, "dropout": {"rate": 0.05, "after": "each"}},
            "blocks": [
                {"channels": [10, 16, 20], "pool": "max"},
                {"channels": [{"out": 10, "kernel": 1}, 16, 16, 16]},
            ],
            "head": {"pool": "average", "size": 5, "reduce": {"out": 10, "bias": False}},
        },
    ),
    # From 8 channels on; the transition lies before the pool and is bare; 1×1 before the average.
    "eight channels, bare transition before the pool": (
        [
            *conv(1, 8, padding=1),
            *conv(8, 16, padding=1),
            nn.Conv2d(16, 8, 1, bias=False),
            nn.MaxPool2d(2, 2),
            nn.Dropout(0.1),
            *conv(8, 16, padding=1),
            *conv(16, 16, padding=1),
            nn.Conv2d(16, 8, 1, bias=False),
            nn.MaxPool2d(2, 2),
            nn.Dropout(0.1),
            *conv(8, 16, padding=1),
            nn.Conv2d(16, 10, 1, bias=False),
            nn.AdaptiveAvgPool2d(1),
        ],
        {
            "defaults": {"bias": False},
            "blocks": [
                {
                    "channels": [8, 16],
                    "reduce": {"out": 8, "at": "before"},
                    "pool": "max",
                    "dropout": 0.1,
                },
                {
                    "channels": [16, 16],
                    "reduce": {"out": 8, "at": "before"},
                    "pool": "max",
                    "dropout": 0.1,
                },
                {"channels": [16]},
            ],
            "head": {"reduce": {"out": 10, "at": "before"}},
        },
    ),
    # Convolution, norm, ReLU, dropout, with biases; the last convolution sees its whole map.
    "norm first, last convolution as wide as its map": (
        [
            *norm_first(1, 8, 0.1, padding=1),
            *norm_first(8, 8, 0.1, padding=1),
            nn.MaxPool2d(2, 2),
            *norm_first(8, 16, 0.1, padding=1),
            *norm_first(16, 16, 0.1, padding=1),
            nn.MaxPool2d(2, 2),
            nn.Conv2d(16, 10, 7),
        ],
        {
            "defaults": {
                "order": "conv-norm-activation",
                "dropout": {"rate": 0.1, "after": "each"},
            },
            "blocks": [
                {"channels": [8, 8], "pool": "max"},
                {"channels": [16, 16], "pool": "max"},
                {
                    "channels": [{"out": 10, "kernel": 7, "padding": "valid"}],
                    "norm": "none",
                    "activation": "none",
                    "dropout": 0,
                },
            ],
            "head": {"pool": "flatten"},
        },
    ),
    # Larger kernels with strides in place of pools, and a fully connected layer at the end.
    "strided convolutions, linear layer": (
        [
            nn.Conv2d(1, 8, 5, stride=2, padding=2),
            nn.ReLU(),
            nn.BatchNorm2d(8),
            nn.Conv2d(8, 16, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.BatchNorm2d(16),
            nn.Dropout2d(0.2),
            nn.Flatten(),
            nn.Linear(16 * 7 * 7, 10),
        ],
        {
            "blocks": [
                {
                    "channels": [{"out": 8, "kernel": 5}, 16],
                    "stride": 2,
                    "dropout": {"rate": 0.2, "kind": "spatial"},
                }
            ],
            "head": {"pool": "flatten", "linear": True},
        },
    ),
    # A strided convolution that keeps its channels takes the place of each pool.
    "learned pools": (
        [
            *conv(1, 8, padding=1),
            nn.Conv2d(8, 8, 2, stride=2, bias=False),
            *conv(8, 16, padding=1),
            nn.Conv2d(16, 16, 3, stride=2, padding=1, bias=False),
            *conv(16, 16, padding=1),
            nn.AdaptiveMaxPool2d(1),
            nn.Dropout(0.3),
            nn.Flatten(),
            nn.Linear(16, 10, bias=False),
        ],
        {
            "defaults": {"bias": False},
            "blocks": [
                {"channels": [8], "pool": "convolution"},
                {"channels": [16], "pool": {"kind": "convolution", "size": 3}},
                {"channels": [16]},
            ],
            "head": {"pool": "global-max", "linear": True, "bias": False, "dropout": 0.3},
        },
    ),
    # A transition of its own with norm, ReLU and dropout before the pool: a block without a pool.
    "transition with norm before the pool": (
        [
            *conv(1, 16, padding=1, dropout=0.1),
            *conv(16, 8, 1, dropout=0.1),
            nn.MaxPool2d(3, 2),
            *conv(8, 16, dropout=0.1),
            *conv(16, 32, dropout=0.1),
            nn.AdaptiveAvgPool2d(1),
            nn.Dropout(0.1),
            nn.Conv2d(32, 10, 1),
        ],
        {
            "defaults": {"bias": False, "dropout": {"rate": 0.1, "after": "each"}},
            "blocks": [
                {
                    "channels": [16, {"out": 8, "kernel": 1}],
                    "pool": {"kind": "max", "size": 3, "stride": 2},
                },
                {"channels": [16, 32], "padding": "valid"},
            ],
            "head": {"dropout": 0.1, "reduce": {"out": 10, "bias": True}},
        },
    ),
    # Depthwise separable convolutions, PReLU, group norm: the smallest entries.
    "separable": (
        [
            nn.Conv2d(1, 8, 3, padding=1, padding_mode="replicate"),
            nn.GroupNorm(4, 8),
            nn.PReLU(),
            nn.AvgPool2d(2, 2),
            nn.Conv2d(8, 8, 3, padding=1, padding_mode="replicate", groups=8),
            nn.Conv2d(8, 16, 1),
            nn.GroupNorm(4, 16),
            nn.PReLU(),
            nn.AvgPool2d(2, 2),
            nn.Conv2d(16, 32, 3, padding=1, padding_mode="replicate", groups=16),
            nn.GroupNorm(4, 32),
            nn.PReLU(),
            nn.Conv2d(32, 16, 3, padding=1, padding_mode="replicate", groups=4),
            nn.GroupNorm(4, 16),
            nn.PReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(16, 10),
        ],
        {
            "defaults": {
                "padding_mode": "replicate",
                "norm": "group",
                "activation": "prelu",
                "order": "conv-norm-activation",
            },
            "blocks": [
                {"channels": [8], "pool": "average"},
                {"channels": [16], "kind": "separable", "pool": "average"},
                {
                    "channels": [
                        {"out": 32, "kind": "depthwise"},
                        {"out": 16, "kind": "grouped", "groups": 4},
                    ]
                },
            ],
            "head": {"linear": True},
        },
    ),
    # LeNet-5 on 28×28, with ReLU, and fewer channels: two hidden layers.
    "two hidden layers": (
        [
            nn.Conv2d(1, 4, 5, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(2, 2),
            nn.Conv2d(4, 8, 5),
            nn.ReLU(),
            nn.MaxPool2d(2, 2),
            nn.Flatten(),
            nn.Linear(8 * 5 * 5, 60),
            nn.ReLU(),
            nn.Linear(60, 42),
            nn.ReLU(),
            nn.Linear(42, 10),
        ],
        {
            "defaults": {"kernel": 5, "norm": "none"},
            "blocks": [
                {"channels": [4], "pool": "max"},
                {"channels": [8], "padding": "valid", "pool": "max"},
            ],
            "head": {"pool": "flatten", "hidden": [60, 42]},
        },
    ),
    # After the global pool, with a norm of its values and dropout; as ruslangrimov's smallest.
    "hidden layer with norm and dropout after the global pool": (
        [
            *conv(1, 8),
            nn.MaxPool2d(2, 2),
            *conv(8, 24, padding=1),
            nn.AdaptiveAvgPool2d(1),
            nn.Dropout2d(0.1),
            nn.Flatten(),
            nn.Linear(24, 16),
            nn.ReLU(),
            nn.BatchNorm1d(16),
            nn.Dropout(0.1),
            nn.Linear(16, 10),
        ],
        {
            "defaults": {"bias": False},
            "blocks": [{"channels": [8], "padding": "valid", "pool": "max"}, {"channels": [24]}],
            "head": {
                "dropout": {"rate": 0.1, "kind": "spatial"},
                "hidden": {"out": 16, "bias": True, "dropout": {"rate": 0.1, "kind": "spatial"}},
            },
        },
    ),
    # A multilayer perceptron behind one convolution: norm first, dropout before the norm.
    "perceptron": (
        [
            nn.Conv2d(1, 2, 4, stride=4),
            nn.GroupNorm(1, 2),
            nn.SiLU(),
            nn.Flatten(),
            nn.Linear(98, 64, bias=False),
            nn.Dropout(0.3),
            nn.BatchNorm1d(64),
            nn.SiLU(),
            nn.Linear(64, 32),
            nn.GroupNorm(1, 32),
            nn.PReLU(32),
            nn.Linear(32, 10, bias=False),
        ],
        {
            "defaults": {
                "norm": "layer",
                "activation": "silu",
                "order": "conv-norm-activation",
                "padding": "valid",
            },
            "blocks": [{"channels": [{"out": 2, "kernel": 4, "stride": 4}]}],
            "head": {
                "pool": "flatten",
                "bias": False,
                "hidden": [
                    {
                        "out": 64,
                        "bias": False,
                        "norm": "batch",
                        "dropout": {"rate": 0.3, "at": "before-norm"},
                    },
                    {"out": 32, "activation": {"kind": "prelu", "slopes": "channel"}},
                ],
            },
        },
    ),
}


class Concat(nn.Module):
    """Ways side by side, after the style of the sources of these networks; None is the input."""

    def __init__(self, *ways: list[nn.Module] | None) -> None:
        super().__init__()
        self.ways = nn.ModuleList(nn.Sequential(*(way or [nn.Identity()])) for way in ways)

    def forward(self, x_NCHW: torch.Tensor) -> torch.Tensor:
        return torch.cat([way(x_NCHW) for way in self.ways], 1)


class Add(Concat):
    def forward(self, x_NCHW: torch.Tensor) -> torch.Tensor:
        first, *others = (way(x_NCHW) for way in self.ways)
        return sum(others, first)


def relu(before: int, after: int, kernel: int = 1, **rest: Any) -> list[nn.Module]:
    return [nn.Conv2d(before, after, kernel, padding=kernel // 2, **rest), nn.ReLU()]


def fire(before: int, squeeze: int, expand: int) -> list[nn.Module]:
    """As in SqueezeNet (Iandola et al. 2016)."""
    ways = relu(squeeze, expand), relu(squeeze, expand, 3)
    return [*relu(before, squeeze), Concat(*ways)]


BRANCHED: dict[str, tuple[list[nn.Module], Mapping, int]] = {
    "fire modules": (
        [
            *relu(1, 16, 3, stride=2),
            *fire(16, 4, 8),
            *fire(16, 4, 8),
            nn.MaxPool2d(2, 2),
            *fire(16, 8, 16),
            nn.Dropout(0.5),
            nn.Conv2d(32, 10, 1),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
        ],
        {
            "defaults": {"norm": "none"},
            "blocks": [
                {"channels": [{"out": 16, "stride": 2}]},
                {
                    "channels": [{"out": 4, "kernel": 1}],
                    "branches": [[{"out": 8, "kernel": 1}], [8]],
                    "repeat": 2,
                    "pool": "max",
                },
                {
                    "channels": [{"out": 8, "kernel": 1}],
                    "branches": [[{"out": 16, "kernel": 1}], [16]],
                    "dropout": 0.5,
                },
                {"reduce": {"out": 10, "activation": "relu"}},
            ],
        },
        # 160, two of 16·4+4 + 4·8+8 + 9·4·8+8, one of 16·8+8 + 8·16+16 + 9·8·16+16, 330
        160 + 2 * (68 + 40 + 296) + (136 + 144 + 1168) + 330,
    ),
    "dense blocks": (
        [
            *conv(1, 8, padding=1),
            nn.MaxPool2d(2, 2),
            *(Concat(None, [*conv(8 + 6 * i, 12, 1), *conv(12, 6, padding=1)]) for i in range(3)),
            *conv(26, 13, 1),
            nn.AvgPool2d(2, 2),
            *(Concat(None, conv(13 + 6 * i, 6, padding=1)) for i in range(3)),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(31, 10),
        ],
        {
            "defaults": {"bias": False},
            "blocks": [
                {"channels": [8], "pool": "max"},
                {"branches": [[], [{"out": 12, "kernel": 1}, 6]], "repeat": 3},
                {"channels": [{"out": 13, "kernel": 1}], "pool": "average"},
                {"branches": [[], [6]], "repeat": 3, "join": "concat"},
            ],
            "head": {"linear": True},
        },
        (72 + 16)
        + sum(12 * (8 + 6 * i) + 24 + 648 + 12 for i in range(3))
        + (26 * 13 + 26)
        + sum(54 * (13 + 6 * i) + 12 for i in range(3))
        + 320,
    ),
    "an inception module, and a sum of three": (
        [
            *conv(1, 8, padding=1),
            nn.MaxPool2d(3, 2, 1),
            Concat(
                conv(8, 4, 1),
                [*conv(8, 3, 1), *conv(3, 6, padding=1)],
                [*conv(8, 2, 1), *conv(2, 4, 5, padding=2)],
                [nn.MaxPool2d(3, 1, 1), *conv(8, 2, 1)],
            ),
            nn.MaxPool2d(2, 2),
            Add(conv(16, 16, padding=1), [nn.Conv2d(16, 16, 1, bias=False)], None),
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(16, 10, 1, bias=False),
        ],
        {
            "defaults": {"bias": False},
            "blocks": [
                {"channels": [8], "pool": {"kind": "max", "size": 3, "stride": 2, "padding": 1}},
                {
                    "branches": [
                        [{"out": 4, "kernel": 1}],
                        [{"out": 3, "kernel": 1}, 6],
                        [{"out": 2, "kernel": 1}, {"out": 4, "kernel": 5}],
                        {
                            "pool": {"kind": "max", "size": 3, "stride": 1, "padding": 1},
                            "reduce": {"out": 2, "norm": "batch", "activation": "relu"},
                        },
                    ],
                    "pool": "max",
                },
                {"branches": [[16], {"reduce": 16}, []], "join": "add"},
            ],
            "head": {"reduce": 10},
        },
        (72 + 16)
        + (32 + 8)
        + (24 + 6 + 162 + 12)
        + (16 + 4 + 200 + 8)
        + (16 + 4)
        + (2304 + 32 + 256)
        + 160,
    ),
}


@pytest.mark.parametrize("name", BRANCHED)
def test_public_networks_with_branches_are_expressible_exactly(name: str) -> None:
    """Parameters by hand, by the plan and by both modules; logits after weights are copied.

    What is read from the module is the same network again.
    """
    layers, spec, parameters = BRANCHED[name]
    by_hand = nn.Sequential(*layers)
    experiment = loads(text_of({"name": "public", **spec}), source="public.yaml").experiment
    plan = assert_agreement(experiment)
    assert plan.parameters == count_parameters(by_hand) == parameters
    x_NCHW = torch.rand(2, 1, 28, 28)
    for other in (experiment, from_torch(by_hand).experiment):
        built = build(other)
        assert [it.shape for it in built.parameters()] == [it.shape for it in by_hand.parameters()]
        by_hand.load_state_dict(
            dict(zip(by_hand.state_dict(), built.state_dict().values(), strict=True))
        )
        with torch.no_grad():
            found, right = built.eval()(x_NCHW), by_hand.eval()(x_NCHW).flatten(1)
        torch.testing.assert_close(found, right)


@pytest.mark.parametrize(
    ("blocks", "place", "message"),
    [
        (
            "[{branches: [[8], [{out: 8, stride: 2}]]}]",
            "blocks[0].branches[1]",
            "it ends in 8×14×14, and the first branch in 8×28×28: they cannot be joined",
        ),
        (
            "[{branches: [[8], [9]], join: add}]",
            "blocks[0].branches[1]",
            "it ends in 9×28×28, and the first branch in 8×28×28: they cannot be added",
        ),
        (
            "[{branches: [[], []], repeat: 20}]",
            "blocks[0].branches",
            "8,192 channels together are more than 4,096",
        ),
        ("[{branches: [[8], {groups: 2}]}]", "blocks[0].branches[1].groups", "without a grouped"),
        (
            "[{branches: [[8], {dropout: {rate: 0.1, after: each}}]}]",
            "blocks[0].branches[1].dropout",
            "`after: each` in a branch without `channels`",
        ),
    ],
)
def test_branches_that_do_not_fit_are_named(blocks: str, place: str, message: str) -> None:
    spec = f"{{name: x, blocks: {blocks}, head: {{linear: true}}}}"
    with pytest.raises(ShapeError) as caught:
        plan_network(loads(spec, source="x.yaml").experiment)
    (problem,) = caught.value.problems
    assert (problem.place, message in problem.message) == (place, True)
    assert problem.hint


def test_repeats_share_the_weights_of_their_branches() -> None:
    block = "{branches: [[4], {reduce: 4}], repeat: 3, share: true}"
    spec = f"{{name: x, blocks: [{block}], head: {{linear: true}}}}"
    experiment = loads(spec, source="x.yaml").experiment
    plan = assert_agreement(experiment)
    first, later = 4 * 9 + 4 + 4 + 4, 8 * 4 * 9 + 4 + 8 * 4 + 4
    assert plan.parameters == first + later + 3 * 8 + 90
    change = parse_override("blocks.0.branches.0.channels.0.kernel=1")
    opened = loads(spec, source="x.yaml", overrides=[change]).experiment
    assert plan_network(opened).parameters == 8 + 8 + 2 * 36 + 3 * 8 + 90


@pytest.mark.parametrize("name", SOLUTIONS)
def test_public_solution_is_expressible_exactly(name: str) -> None:
    layers, spec = SOLUTIONS[name]
    by_hand = nn.Sequential(*layers)
    experiment = loads(text_of({"name": "public", **spec}), source="public.yaml").experiment
    built = build(experiment)
    assert [repr(module) for module in built.layers] == [repr(module) for module in by_hand]
    assert (
        plan_network(experiment).parameters == count_parameters(built) == count_parameters(by_hand)
    )
    assert count_parameters(by_hand) < 20_000
    by_hand.load_state_dict(
        dict(zip(by_hand.state_dict(), built.state_dict().values(), strict=True))
    )
    x_NCHW = torch.rand(2, 1, 28, 28)
    with torch.no_grad():
        assert torch.equal(built.eval()(x_NCHW), by_hand.eval()(x_NCHW).flatten(1))
