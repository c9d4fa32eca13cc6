"""A few small networks that have every option of the block language between them."""

from __future__ import annotations

from typing import Any, Final

from mnist_arch.spec.experiment import Experiment
from mnist_arch.spec.loading import loads

NETWORKS: Final = {
    "branches joined by channels, and padded pools": """
        defaults: {order: conv-norm-activation, padding: same-end}
        blocks:
          - {channels: [{out: 4, stride: 2, kernel: 4}], pool: {kind: max, padding: same-end}}
          - branches:
              - [3]
              - []
              - {pool: {kind: average, size: 3, stride: 1, padding: 1, norm: batch}, reduce: 2}
              - {channels: [{out: 4, kernel: 2}], pool: {kind: max, size: 3, stride: 1, padding: 1}}
            squeeze_excitation: 2
            pool: {kind: max, size: 2, norm: batch}
          - {branches: [[], [2]], repeat: 2, activation: gelu}
        head: {reduce: 10}""",
    "maps that are no squares": """
        defaults: {norm: {kind: batch, splits: 2}, activation: {kind: leaky_relu, slope: 0.2}}
        blocks:
          - channels: [{out: 4, kernel: [5, 1], stride: 2, padding: 0}, {out: 6, kernel: [1, 3]}]
          - {channels: [{out: 4, kernel: [2, 3], padding: 1}], padding_mode: replicate, pool: max}
          - {channels: [{out: 8, kind: depthwise}], pool: {kind: average, size: 2, stride: 1}}
        head: {pool: flatten, hidden: [{out: 12, order: conv-norm-activation}, 8]}""",
    "branches that are added, and slopes of channels": """
        defaults: {activation: {kind: prelu, slopes: channel}, dropout: {rate: 0.1, after: each}}
        blocks:
          - {channels: [{out: 4, kernel: 5, stride: 3}, 6]}
          - {branches: [[6], [], {reduce: 6}], join: add, residual: true, norm: {affine: none}}
          - {channels: [8], kind: separable, depthwise_bias: false, pool: global-max}
        head: {linear: true, bias: false}""",
    "a pool of a map that is no square comes last": """
        blocks:
          - {channels: [{out: 4, kernel: [7, 3], stride: 3, padding: valid}], pool: convolution}
          - {branches: [[4], [6]], activation: hardswish, order: conv-norm-activation}
        head: {pool: global-average}""",
    "branches come last": """
        blocks:
          - {channels: [4], pool: global-average}
          - {branches: [{reduce: 4}, {reduce: 6}]}""",
}
"""Every one of them can be exported in whole numbers, too."""

NORMS_OF_EACH_IMAGE: Final = """
        blocks:
          - {channels: [{out: 4, stride: 2}], norm: {kind: layer, affine: value}}
          - {channels: [{out: 4, kernel: [3, 1], padding: valid}], norm: {kind: layer, affine: one}}
          - {channels: [4], norm: {kind: group, groups: 2, affine: none}, activation: silu}
          - {channels: [4], norm: {kind: instance, epsilon: 0.01}, pool: {kind: max, norm: layer}}
        head: {pool: global-max, hidden: {out: 8, norm: layer}}"""


def experiment_of(text: str) -> Experiment:
    """A network above."""
    lines = (line[8:] for line in text.splitlines())
    return loads("\n".join(["name: test", *lines]), source="test.yaml").experiment


def spec_of(spec: dict[str, Any]) -> Experiment:
    """One that was drawn."""
    from strategies import text_of

    return loads(text_of({"name": "test", **spec}), source="test.yaml").experiment
