"""Each operation of the native engine: its values and its gradients beside float64."""

from __future__ import annotations

import ctypes

import pytest
import torch
from beside import Native, compare_draws, distance, experiment_of

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
    "same-end": blocks(
        "{channels: [5, 6, 4, 5], padding: same-end, stride: 2}",
        "{channels: [4], padding: same-end, padding_mode: replicate, kernel: 4}",
    ),
    "same-end, kernel 4": blocks(
        "{channels: [5, 6], kernel: 4, padding: same-end}",
        "{channels: [5, 4], kernel: 2, padding: same-end, padding_mode: replicate}",
    ),
    "much padding": blocks(
        "{channels: [5, 6], padding: 2}",
        "{channels: [5], kernel: 1, padding: 3}",
        "{channels: [6], padding: 4, stride: 3, padding_mode: replicate}",
        "{channels: [5, 4], padding: 3}",
    ),
    "high kernels": blocks(
        "{channels: [5, 6], kernel: [5, 1], padding: valid}",
        "{channels: [4, 5], pool: {kind: max, size: 3}}",
        "{channels: [4], kernel: [1, 3], padding: valid, stride: 2, pool: max}",
    ),
    "wide kernels": blocks(
        "{channels: [4, 8], kernel: [2, 7], padding: valid, padding_mode: replicate}",
        "{channels: [8], kind: depthwise, pool: average}",
        "{channels: [5, 4], kernel: [3, 5], stride: 2, padding_mode: replicate}",
    ).replace("global-average", "flatten"),
    "a map of one row": blocks(
        "{channels: [5], kernel: [28, 3], padding: valid, norm: group}".replace("group", "layer"),
        "{channels: [6, 4], dropout: {rate: 0.3, after: each}, squeeze_excitation: 2}",
        "{channels: [4], residual: true, dropout: {rate: 0.3, kind: spatial}}",
    ),
    "high images": blocks(
        "{channels: [5, 6], kernel: [1, 9], padding: valid, norm: {kind: layer, affine: value}}",
        "{channels: [6, 5], padding: same-end, stride: 2, pool: {kind: average, padding: 1}}",
    ).replace("global-average", "global-max"),
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
        f"norm of {norm}, {order}": blocks(
            f"{{channels: [6, 4], pool: {{kind: max, norm: {norm}}}}}",
            "{channels: [8, {out: 4, dropout: {rate: 0.2, at: before-norm}}]}",
            defaults=f"norm: {norm}, order: {order}",
        ).replace("linear: true", f"hidden: {{out: 8, norm: {after}}}")
        for norm, after in (
            ("{epsilon: 0.05, momentum: 0.5}", "{momentum: 1.0}"),
            ("{affine: none}", "{affine: none}"),
            ("{splits: 3}", "{splits: 2, epsilon: 0.05}"),
            ("{splits: 64, affine: none, epsilon: 0.05}", "{splits: 2, epsilon: 0.05}"),
            ("{kind: group, groups: 2, affine: none, epsilon: 0.05}", "{kind: layer}"),
            ("layer", "{kind: layer, affine: none}"),
            ("{kind: layer, affine: one}", "{kind: layer, affine: one}"),
            ("{kind: layer, affine: value, epsilon: 0.01}", "{kind: layer, affine: value}"),
        )
        for order in ("conv-norm-activation", "conv-activation-norm")
    },
    **{
        f"{kind}, {order}": blocks(
            "{channels: [5, 6], pool: max}", defaults=f"activation: {kind}, order: {order}"
        )
        for kind in (
            "leaky_relu",
            "{kind: leaky_relu, slope: 0.125}",
            "{kind: leaky_relu, slope: 1.5}",
            *("prelu", "{kind: prelu, slopes: channel}", "gelu", "silu", "hardswish"),
        )
        for order in ("conv-norm-activation", "conv-activation-norm")
    },
    "overlapping max": blocks("{channels: [5], pool: {kind: max, size: 3, stride: 2}}"),
    "max with gaps": blocks("{channels: [5], pool: {kind: max, size: 2, stride: 3}}"),
    "average": blocks("{channels: [5], pool: average}", "{channels: [4], pool: average}"),
    "padded max": blocks(
        "{channels: [5], pool: {kind: max, size: 3, stride: 2, padding: 1}}",
        "{channels: [4], pool: {kind: max, size: 2, padding: 1}}",
    ),
    "max to the end": blocks(
        "{channels: [5], pool: {kind: max, size: 2, stride: 1, padding: same-end}}",
        "{channels: [4], pool: {kind: max, size: 3, stride: 3, padding: same-end}}",
    ),
    "padded average": blocks(
        "{channels: [5], pool: {kind: average, size: 3, padding: 1}}",
        "{channels: [4], pool: {kind: average, size: 4, stride: 2, padding: 2}}",
    ),
    "global pools inside": blocks(
        "{channels: [6], pool: global-max, reduce: {out: 5, activation: relu}}",
        "{channels: [4], kernel: 1, pool: global-average}",
    ),
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
    "a skip comes last": blocks(
        "{channels: [6], pool: global-max}", "{channels: [10], kernel: 1, residual: true}"
    ).replace(HEAD, "head: {pool: flatten}"),
    "residual without a norm": blocks(
        "{channels: [5]}", "{channels: [5], residual: true}", defaults="norm: none"
    ),
    "skip without a norm": blocks("{channels: [5], residual: true}", defaults="norm: none"),
    "one shared": blocks("{channels: [5]}", "{channels: [5, 5], repeat: 3, share: true}"),
    "squeeze and excitation": blocks("{channels: [6], squeeze_excitation: 2, repeat: 2}"),
    "residual with both": blocks(
        "{channels: [6]}", "{channels: [6], squeeze_excitation: 2, residual: true}"
    ),
    **{
        f"branches, norm {norm}": blocks(
            "{channels: [4], branches: [[5, 3], [], [{out: 6, kernel: 1}]], pool: max}",
            "{branches: [[4], {channels: [3], dropout: 0.2}, []], squeeze_excitation: 2}",
            defaults=f"norm: {norm}",
        )
        for norm in ("batch", "none")
    },
    **{
        f"added branches, norm {norm}": blocks(
            "{branches: [[], [1], []], join: add}",
            "{channels: [6], branches: [[6], [], [4, 6]], join: add, pool: max}",
            "{branches: [[], []], join: add}",
            "{branches: [[5], [{out: 5, kernel: 1}]], join: add}",
            "{branches: [[], [4, 5]], join: add}",
            defaults=f"norm: {norm}",
        )
        for norm in ("batch", "none", "instance")
    },
    **{
        f"residual branches, {join}, norm {norm}": blocks(
            "{branches: [[3], [2]], join: concat, residual: true}",
            f"{{branches: [[5], {inner}, []], join: {join}, residual: true, repeat: 2}}",
            f"{{channels: [6], branches: [[6], [6]], join: {join}, residual: true, pool: max}}",
            f"{{branches: [[5], {inner}], join: add, residual: true}}",
            f"{{branches: [{inner}, {inner}], join: add, residual: true, repeat: 2}}",
            defaults=f"norm: {norm}",
        )
        for inner in ("{channels: [6, 5], residual: true, repeat: 2}",)
        for join in ("add", "concat")
        for norm in ("batch", "none")
    },
    "branches that pad otherwise": blocks(
        "{channels: [4]}",
        "{branches: [[{out: 4, padding_mode: replicate}], [{out: 5, kernel: 5}], "
        "{pool: {kind: max, size: 3, stride: 1, padding: 1}, reduce: 3}]}",
        "{branches: [[4], [{out: 4, padding_mode: replicate, kernel: 5}]], join: add}",
    ),
    "branches that are smaller": blocks(
        "{channels: [4], branches: [{pool: {kind: max, norm: batch}}, [{out: 5, stride: 2}]]}",
        "{branches: [{channels: [6], pool: max}, {channels: [4], pool: average, reduce: 6}], "
        "join: add, residual: true}",
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
    "wide to narrow": blocks("{channels: [64, 4]}"),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_gradients_are_right(name: str, library: ctypes.CDLL) -> None:
    compare_draws(experiment_of(NETWORKS[name]), library, images=11)


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
