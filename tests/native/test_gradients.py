"""Each operation of the native engine: its values and its gradients beside float64."""

from __future__ import annotations

import ctypes

import pytest
import torch
from beside import Native, compare, distance, experiment_of

HEAD = "head: {pool: global-average, linear: true}"


def blocks(*given: str, defaults: str = "") -> str:
    lines = [f"  - {block}" for block in given]
    return "\n".join(["name: one", f"defaults: {{{defaults}}}", "blocks:", *lines, HEAD, ""])


NETWORKS = {
    "ordinary": blocks("{channels: [6, 8]}"),
    "odd sides": blocks(
        "{channels: [5], pool: max}", "{channels: [6], pool: max}", "{channels: [7]}"
    ),
    "valid": blocks("{channels: [5, 6, 7], padding: valid}"),
    "replicate": blocks("{channels: [5, 6], padding_mode: replicate}"),
    "kernel 1": blocks("{channels: [5, 6], kernel: 1}"),
    "kernel 5": blocks("{channels: [5, 6], kernel: 5}"),
    "kernel 7": blocks("{channels: [5, 6], kernel: 7, padding_mode: replicate}"),
    "even kernel": blocks("{channels: [5, 6], kernel: 4, padding: valid}"),
    "stride 2": blocks("{channels: [5, 6], stride: 2}"),
    "stride 3": blocks("{channels: [5], stride: 3, kernel: 2, padding: valid}"),
    "stride 3, replicate": blocks("{channels: [4, 5], stride: 3, padding_mode: replicate}"),
    "grouped": blocks("{channels: [4]}", "{channels: [8, 4], kind: grouped, groups: 2}"),
    "depthwise": blocks("{channels: [4]}", "{channels: [4, 8], kind: depthwise}"),
    "separable": blocks("{channels: [4, 8], kind: separable, stride: 2}"),
    "without bias": blocks("{channels: [5, 6]}", defaults="bias: false"),
    "norm first": blocks("{channels: [5, 6], pool: max}", defaults="order: conv-norm-activation"),
    "no norm": blocks("{channels: [5, 6]}", defaults="norm: none"),
    "no activation": blocks("{channels: [5, 6], pool: max}", defaults="activation: none"),
    "group norm": blocks("{channels: [8, 4]}", defaults="norm: group"),
    "instance norm": blocks("{channels: [5, 6]}", defaults="norm: instance"),
    **{
        f"{kind}, {order}": blocks(
            "{channels: [5, 6], pool: max}", defaults=f"activation: {kind}, order: {order}"
        )
        for kind in (
            "leaky_relu",
            "{kind: leaky_relu, slope: 0.125}",
            "{kind: leaky_relu, slope: 1.5}",
            *("prelu", "gelu", "silu", "hardswish"),
        )
        for order in ("conv-norm-activation", "conv-activation-norm")
    },
    "overlapping max": blocks("{channels: [5], pool: {kind: max, size: 3, stride: 2}}"),
    "max with gaps": blocks("{channels: [5], pool: {kind: max, size: 2, stride: 3}}"),
    "average": blocks("{channels: [5], pool: average}", "{channels: [4], pool: average}"),
    "overlapping average": blocks("{channels: [5], pool: {kind: average, size: 3, stride: 1}}"),
    "strided convolution": blocks("{channels: [5], pool: convolution}"),
    "reduce": blocks(
        "{channels: [6], reduce: 4}", "{channels: [6], reduce: {out: 3, norm: batch}}"
    ),
    "residual": blocks("{channels: [5]}", "{channels: [6, 5], residual: true, repeat: 2}"),
    "residual, norm first": blocks(
        "{channels: [5]}",
        "{channels: [6, 5], residual: true, pool: max}",
        defaults="order: conv-norm-activation",
    ),
    "residual with a skip": blocks("{channels: [6, 8], stride: 2, residual: true}"),
    "residual without a norm": blocks(
        "{channels: [5]}", "{channels: [5], residual: true}", defaults="norm: none"
    ),
    "skip without a norm": blocks("{channels: [5], residual: true}", defaults="norm: none"),
    "one shared": blocks("{channels: [5]}", "{channels: [5, 5], repeat: 3, share: true}"),
    "squeeze and excitation": blocks("{channels: [6], squeeze_excitation: 2, repeat: 2}"),
    "residual with both": blocks(
        "{channels: [6]}", "{channels: [6], squeeze_excitation: 2, residual: true}"
    ),
    "dropout": blocks("{channels: [5, 6], dropout: 0.3}", defaults="norm: instance"),
    "dropout of channels": blocks(
        "{channels: [5, 6], dropout: {rate: 0.3, kind: spatial, after: each}}"
    ),
    "flatten": blocks("{channels: [4], pool: {kind: max, size: 4}}").replace(
        "global-average", "flatten"
    ),
    "global max": blocks("{channels: [4]}").replace("global-average", "global-max"),
    "a pool first": blocks("{pool: average}", "{channels: [4]}"),
    "wide": blocks("{channels: [20, 37], pool: {kind: max, size: 4}}"),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_gradients_are_right(name: str, library: ctypes.CDLL) -> None:
    worst, allowed = compare(Native(experiment_of(NETWORKS[name]), library, images=11))
    assert worst <= allowed


@pytest.mark.parametrize("name", NETWORKS)
def test_predictions_are_right(name: str, library: ctypes.CDLL) -> None:
    native = Native(experiment_of(NETWORKS[name]), library, images=19)
    masks = native.step.masks(19)
    native.learn(masks, rate=0.01)
    logits_NK = torch.zeros(19, 10)
    for by_average in (False, True):
        native.step.machine.predict(
            images=19,
            pixels=native.pixels.data_ptr(),
            logits=logits_NK.data_ptr(),
            by_average=by_average,
        )
        model = native.state.average if by_average else native.state.model
        assert model is not None
        with torch.no_grad():
            right_NK = model.double().eval()(native.pixels.double())
        model.float()
        native.step.begin(native.step.epoch)  # the conversion has moved the tensors
        assert distance(logits_NK, right_NK) <= 1e-5
