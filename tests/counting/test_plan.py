"""The plan: what a network costs, in integers, without torch."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest
import torch
from calls import calls_in
from strategies import Mapping, text_of
from torch import Tensor, nn

from mnist_arch.counting.plan import Plan, plan_network
from mnist_arch.network.build import Classifier, build
from mnist_arch.spec.experiment import Experiment
from mnist_arch.spec.loading import load, loads

FIXTURES = Path(__file__).parents[1] / "fixtures"


def experiment(spec: Mapping) -> Experiment:
    return loads(text_of({"name": "test", **spec}), source="test.yaml").experiment


def planned(spec: Mapping) -> Plan:
    return plan_network(experiment(spec))


def test_reference_network_has_the_rows_of_the_exercise() -> None:
    with (FIXTURES / "s6_layers.csv").open(newline="") as file:
        expected = [
            (
                int(row["index"]),
                row["layer"],
                (int(row["channels"]), int(row["height"]), int(row["width"])),
                int(row["parameters"]),
            )
            for row in csv.DictReader(file)
        ]
    rows = plan_network(load("s6").experiment).rows
    assert [(row.index, row.layer, row.output_shape, row.parameters) for row in rows] == expected
    assert sum(row.parameters for row in rows) == 18_666


def test_reference_network_in_numbers() -> None:
    s6 = plan_network(load("s6").experiment)
    assert s6.parameters == 18_666
    assert s6.buffers == sum(2 * channels + 1 for channels in (8, 16, 32, 16, 32, 16, 32))
    convolutions = [
        (1 * 8 * 9 + 8 * 16 * 9 + 16 * 32 * 9) * 28 * 28,
        (32 * 8 + 8 * 16 * 9 + 16 * 32 * 9) * 14 * 14,
        (32 * 8 + 8 * 16 * 9 + 16 * 32 * 9) * 7 * 7,
        (32 * 10) * 3 * 3,
    ]
    assert s6.macs == sum(convolutions) == 6_049_088
    assert (s6.largest.place, s6.largest.parameters) == ("blocks[0].channels[2]", 4640)
    assert s6.activation_bytes == 4 * sum(
        c * h * w for c, h, w in (r.output_shape for r in s6.rows)
    )
    assert not s6.shares_tensors


def test_receptive_field_of_the_reference_network() -> None:
    fields = [row.receptive_field for row in plan_network(load("s6").experiment).rows]
    assert fields[:10] == [3, 3, 3, 5, 5, 5, 7, 7, 7, 8]
    assert fields[10:21] == [8, 8, 12, 12, 12, 16, 16, 16, 18, 18, 18]
    assert fields[21:] == [26, 26, 26, 34, 34, 34, 38, 38, 38, 54]


def test_places_are_paths_of_the_spec() -> None:
    spec = {
        "blocks": [
            {"channels": [8], "dropout": 0.1, "reduce": 4, "pool": "average"},
            {
                "channels": [8, 8],
                "residual": True,
                "squeeze_excitation": 2,
                "norm": "none",
                "activation": "none",
            },
        ],
        "head": {"reduce": 12, "dropout": 0.1, "linear": True},
    }
    rows = planned(spec).rows
    assert [row.index for row in rows] == list(range(1, len(rows) + 1))
    assert [(row.place, row.layer) for row in rows] == [
        ("blocks[0].channels[0]", "Conv2d"),
        ("blocks[0].channels[0]", "ReLU"),
        ("blocks[0].channels[0]", "BatchNorm2d"),
        ("blocks[0].pool", "AvgPool2d"),
        ("blocks[0].reduce", "Conv2d"),
        ("blocks[0].dropout", "Dropout"),
        ("blocks[1].channels[0]", "Conv2d"),
        ("blocks[1].channels[1]", "Conv2d"),
        ("blocks[1].squeeze_excitation", "AdaptiveAvgPool2d"),
        ("blocks[1].squeeze_excitation", "Conv2d"),
        ("blocks[1].squeeze_excitation", "ReLU"),
        ("blocks[1].squeeze_excitation", "Conv2d"),
        ("blocks[1].squeeze_excitation", "Sigmoid"),
        ("blocks[1].residual", "Conv2d"),
        ("head.pool", "AdaptiveAvgPool2d"),
        ("head.dropout", "Dropout"),
        ("head.reduce", "Conv2d"),
        ("head.linear", "Flatten"),
        ("head.linear", "Linear"),
    ]


# ----------------------------------------------------------------------- the receptive field


WINDOWS: dict[str, list[Mapping]] = {
    "convolutions": [{"channels": [2, {"out": 2, "kernel": 5}, {"out": 2, "kernel": 1}]}],
    "even kernels": [{"channels": [2, 2], "kernel": 2, "padding": "valid"}, {"channels": [2]}],
    "strides": [{"channels": [2, {"out": 2, "stride": 2}, 2]}, {"channels": [2], "stride": 3}],
    "pools": [
        {"channels": [2], "pool": "average"},
        {"channels": [2], "pool": {"kind": "average", "size": 3, "stride": 2}},
        {"channels": [2]},
    ],
    "strided pools": [
        {"channels": [2], "pool": "convolution"},
        {"channels": [2], "pool": {"kind": "convolution", "size": 3}},
        {"channels": [2]},
    ],
    "separable": [{"channels": [2, 2], "kind": "separable"}],
    "residual": [{"channels": [2, 4], "residual": True, "stride": 2}, {"channels": [2]}],
    "repeated": [
        {"channels": [2], "repeat": 3, "share": True, "pool": "average"},
        {"channels": [1]},
    ],
}


@pytest.mark.parametrize("name", WINDOWS)
def test_receptive_field_is_what_the_gradient_reaches(name: str) -> None:
    spec = {
        "defaults": {"norm": "none", "activation": "none", "bias": False},
        "blocks": WINDOWS[name],
        "head": {"linear": True},
    }
    model = build(experiment(spec))
    for tensor in model.parameters():
        nn.init.constant_(tensor, 0.5)  # no two paths cancel out
    rows = [row for row in planned(spec).rows if not row.place.startswith("head")]
    assert _fields(model, len(rows)) == [row.receptive_field for row in rows]


def _fields(model: Classifier, count: int) -> list[int]:
    """The side of the input that the middle value of each leaf's output has a gradient to."""
    outputs: list[Tensor] = []
    leaves = [module for module in model.modules() if not list(module.children())]
    for module in leaves:
        module.register_forward_hook(lambda _module, _inputs, output: outputs.append(output))
    x_NCHW = torch.zeros(1, 1, 180, 180, dtype=torch.float64, requires_grad=True)
    model.double().layers[:-3](x_NCHW)  # without the head's pool and its linear layer
    fields = []
    for output in outputs[:count]:
        middle = output.shape[2] // 2
        value = output[0, 0, middle, middle]
        (gradient,) = torch.autograd.grad(value, x_NCHW, retain_graph=True)
        reached = gradient[0, 0].any(dim=0).nonzero()
        fields.append(int(reached.max() - reached.min()) + 1)
    return fields


def test_global_pool_sees_the_whole_map() -> None:
    rows = planned({"blocks": [{"channels": [4]}], "head": {"reduce": 10}}).rows
    assert [row.receptive_field for row in rows] == [3, 3, 3, 30, 30]


# ----------------------------------------------------------------------- size is no matter


HUGE: dict[str, Mapping] = {
    "widest": {"blocks": [{"channels": [4096] * 64}], "head": {"linear": True}},
    "widest kernel": {
        "blocks": [{"channels": [4096] * 64, "kernel": 63}],
        "head": {"pool": "flatten", "linear": True},
        "classes": 4096,
    },
    "longest": {
        "blocks": [{"channels": [4096] * 10, "repeat": 2, "residual": True}] * 50,
        "head": {"linear": True},
    },
    "shared": {
        "blocks": [{"channels": [4096] * 15, "repeat": 64, "share": True}],
        "head": {"linear": True},
    },
}


@pytest.mark.parametrize("name", HUGE)
def test_huge_network_is_counted_at_once_and_nothing_is_allocated(name: str) -> None:
    spec = experiment(HUGE[name])
    counted = plan_network(spec)
    assert calls_in(lambda: plan_network(spec)) < 100 * len(counted.rows)
    assert counted.macs > 10**9
    assert counted.parameters > 10**9
    assert counted.macs == sum(row.macs for row in counted.rows)


def test_macs_of_the_widest_convolution_are_exact() -> None:
    spec: dict[str, Any] = {
        "blocks": [{"channels": [4096, 4096], "kernel": 63, "bias": False}],
        "head": {"reduce": 10},
    }
    first, second, reduce = (row for row in planned(spec).rows if row.layer == "Conv2d")
    assert first.macs == 4096 * 63**2 * 28**2
    assert second.macs == 4096 * 4096 * 63**2 * 28**2
    assert reduce.macs == 40_960
