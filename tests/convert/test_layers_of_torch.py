"""What each layer of torch is in the language, or why it is none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from torch import nn

from mnist_arch.convert.from_torch import from_torch
from mnist_arch.counting.plan import plan_network
from mnist_arch.errors import SpecError


def among_others(*layers: nn.Module) -> nn.Sequential:
    """The layers on maps of 8×26×26."""
    return nn.Sequential(
        nn.Conv2d(1, 8, 3), *layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 10)
    )


def at_the_end(*layers: nn.Module) -> nn.Sequential:
    """The layers on maps of 8×13×13."""
    return nn.Sequential(nn.Conv2d(1, 8, 3, stride=2), *layers)


def again() -> nn.Sequential:
    layer = nn.Conv2d(8, 8, 3, padding=1)
    return among_others(layer, layer)


@pytest.mark.parametrize(
    ("layer", "says"),
    [
        (lambda: nn.GroupNorm(2, 8), {"kind": "group", "groups": 2}),
        (lambda: nn.InstanceNorm2d(8), {"kind": "instance", "affine": "none"}),
        (lambda: nn.InstanceNorm2d(8, affine=True), "instance"),
        (lambda: nn.LayerNorm((8, 26, 26)), {"kind": "layer", "affine": "value"}),
    ],
)
def test_norms(layer: Callable[[], nn.Module], says: Any) -> None:
    module = among_others(layer())
    imported = from_torch(module)
    assert imported.tree["defaults"]["norm"] == says
    assert imported.parameters == sum(it.numel() for it in module.parameters())


@pytest.mark.parametrize(
    ("layer", "says"),
    [
        (lambda: nn.LeakyReLU(0.2), {"kind": "leaky_relu", "slope": 0.2}),
        (lambda: nn.PReLU(), "prelu"),
        (lambda: nn.PReLU(8), {"kind": "prelu", "slopes": "channel"}),
        (lambda: nn.GELU(), "gelu"),
        (lambda: nn.SiLU(), "silu"),
        (lambda: nn.Hardswish(), "hardswish"),
        (lambda: nn.Identity(), "none"),
    ],
)
def test_activations(layer: Callable[[], nn.Module], says: Any) -> None:
    assert from_torch(among_others(layer())).tree["defaults"]["activation"] == says


@pytest.mark.parametrize(
    ("layer", "says"),
    [
        (lambda: nn.MaxPool2d(2, padding=1), {"kind": "max", "padding": 1}),
        (
            lambda: nn.MaxPool2d(3, 2, padding=1),
            {"kind": "max", "size": 3, "stride": 2, "padding": 1},
        ),
        (lambda: nn.AdaptiveAvgPool2d(13), "average"),
        (lambda: nn.AdaptiveMaxPool2d((2, 2)), {"kind": "max", "size": 13}),
    ],
)
def test_pools(layer: Callable[[], nn.Module], says: Any) -> None:
    (block,) = from_torch(among_others(layer())).tree["blocks"]
    assert block["pool"] == says


@pytest.mark.parametrize(
    ("layers", "blocks"),
    [
        (
            lambda: [nn.ZeroPad2d(1), nn.Conv2d(8, 8, 3)],
            [{"channels": [{"out": 8, "padding": "valid"}, 8]}],
        ),
        (
            lambda: [nn.Conv2d(8, 8, 3, padding="same")],
            [{"channels": [{"out": 8, "padding": "valid"}, 8]}],
        ),
        (lambda: [nn.Conv2d(8, 8, 3, padding="valid")], [{"channels": [8, 8]}]),
        (
            lambda: [nn.Conv2d(8, 8, 3, groups=4)],
            [{"channels": [8, {"out": 8, "kind": "grouped"}], "groups": 4}],
        ),
        (
            lambda: [nn.Conv2d(8, 16, 3, groups=8), nn.Conv2d(16, 8, 1)],
            [{"channels": [8, {"out": 16, "kind": "depthwise"}], "reduce": 8}],
        ),
        (lambda: [nn.Dropout(0.2)], [{"channels": [8], "dropout": 0.2}]),
        (
            lambda: [nn.Dropout2d(0.2)],
            [{"channels": [8], "dropout": {"rate": 0.2, "kind": "spatial"}}],
        ),
    ],
)
def test_convolutions_and_dropouts(
    layers: Callable[[], list[nn.Module]], blocks: list[Any]
) -> None:
    assert from_torch(among_others(*layers())).tree["blocks"] == blocks


def test_a_layer_that_is_used_again_is_repeated() -> None:
    imported = from_torch(again())
    assert imported.tree["blocks"][1] == {"channels": [8], "repeat": 2, "share": True}
    assert imported.parameters == 80 + 584 + 90


@pytest.mark.parametrize(
    ("layers", "head"),
    [
        (lambda: [nn.Linear(1352, 10)], {"linear": True}),
        (lambda: [nn.Linear(1352, 10, bias=False)], {"linear": True, "bias": False}),
        (
            lambda: [nn.Linear(1352, 16), nn.ReLU(), nn.Linear(16, 10)],
            {"hidden": {"out": 16, "activation": "relu"}},
        ),
    ],
)
def test_heads(layers: Callable[[], list[nn.Module]], head: dict[str, Any]) -> None:
    imported = from_torch(at_the_end(nn.Flatten(), *layers()))
    assert imported.tree["head"] == {"pool": "flatten", **head}
    assert plan_network(imported.experiment).layers[-1].out_shape == (10, 1, 1)


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (lambda: nn.LayerNorm(26), "LayerNorm of (26,) on 8×26×26"),
        (lambda: nn.LayerNorm((8, 26, 26), bias=False), "a layer norm with a scale and without"),
        (lambda: nn.BatchNorm2d(8, track_running_stats=False), "batch norm that always uses"),
        (lambda: nn.BatchNorm2d(8, momentum=None), "batch norm with a plain mean of all batches"),
        (lambda: nn.BatchNorm2d(8, eps=2.0), "an epsilon of a norm: 2"),
        (lambda: nn.BatchNorm1d(8), "a norm of vectors on a map"),
        (lambda: nn.ConstantPad2d(1, 1.0), "ConstantPad2d is not known"),
        (lambda: nn.ZeroPad2d(1), "padding on its own"),
        (lambda: nn.Conv2d(8, 8, 3, padding=1, padding_mode="reflect"), "padding of the kind refl"),
        (lambda: nn.Conv2d(8, 8, 3, dilation=2), "dilation"),
        (lambda: nn.Conv2d(8, 8, 3, stride=(1, 2)), "a stride that is not the same both ways"),
        (lambda: nn.Conv2d(8, 8, 30), "a convolution of 30×30 to 8 channels does not fit into 8×2"),
        (lambda: nn.MaxPool2d(3, ceil_mode=True), "a pool that keeps rows which do not fill"),
        (lambda: nn.MaxPool2d(2, dilation=2), "a pool with dilation"),
        (lambda: nn.MaxPool2d((2, 1)), "a pool of 2×1, which is not square"),
        (lambda: nn.MaxPool2d(40), "a max pool of 40×40 does not fit into 8×26×26"),
        (lambda: nn.MaxPool2d(2, return_indices=True), "MaxPool2d with return_indices"),
        (lambda: nn.AvgPool2d(2, divisor_override=3), "AvgPool2d with return_indices or divisor"),
        (lambda: nn.AdaptiveAvgPool2d(5), "AdaptiveAvgPool2d: windows of several sizes"),
        (lambda: nn.LeakyReLU(-0.2), "a slope of leaky_relu below 0, -0.2"),
        (lambda: nn.GELU(approximate="tanh"), "GELU by an approximation"),
        (lambda: nn.ReLU6(), "the activation relu6"),
        (lambda: nn.AlphaDropout(0.2), "AlphaDropout is not known"),
        (lambda: nn.Unflatten(1, (2, 4)), "Unflatten is not known"),
        (lambda: nn.Linear(26, 26), "Linear needs values, and comes after 8×26×26"),
    ],
)
def test_what_the_language_lacks_is_named(layer: Callable[[], nn.Module], message: str) -> None:
    with pytest.raises(SpecError) as caught:
        from_torch(among_others(layer()))
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        (lambda: [nn.Flatten(0)], "a flatten from 0 to -1, which mixes images or parts"),
        (lambda: [nn.Flatten(2)], "a flatten from 2 to -1, which mixes images or parts"),
        (
            lambda: [nn.Flatten(), nn.BatchNorm1d(1352), nn.Linear(1352, 10)],
            "a norm of the values of a flattened map",
        ),
    ],
)
def test_ends_that_are_none_are_refused(
    layers: Callable[[], list[nn.Module]], message: str
) -> None:
    with pytest.raises(SpecError) as caught:
        from_torch(at_the_end(*layers()))
    assert message in str(caught.value)


def test_padding_of_one_side_is_not_taken_for_another() -> None:
    module = among_others(nn.ZeroPad2d((1, 0, 1, 0)), nn.Conv2d(8, 8, 3))
    with pytest.raises(SpecError, match="padding of a side only that is not Keras' `same`"):
        from_torch(module)
