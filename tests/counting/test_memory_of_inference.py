"""The most that maps need at a time in inference: counted by hand, and by following the layers."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from strategies import Mapping, networks, text_of

from mnist_arch.counting.plan import plan_network
from mnist_arch.spec.loading import loads


def peak(blocks: str, head: str = "{}") -> int:
    """In values, not bytes."""
    spec = f"{{name: x, blocks: {blocks}, head: {head}, defaults: {{norm: none}}}}"
    most = plan_network(loads(spec, source="a").experiment).sizes.inference_peak_bytes
    assert most % 4 == 0
    return most // 4


@pytest.mark.parametrize(
    ("blocks", "values"),
    [
        # The activation's input and output, each of 8×28×28.
        ("[{channels: [8], reduce: 10}]", (8 + 10) * 784),
        ("[{channels: [16], reduce: 10}]", (16 + 16) * 784),
        # A pool leads to a quarter: the activation before it takes more.
        ("[{channels: [16], pool: max, reduce: 10}]", (16 + 16) * 784),
        # Without an activation the convolution's input and output are what there is.
        ("[{channels: [10], activation: none}]", (1 + 10) * 784),
        # The projection's output and the body's are added to a third, the input being gone.
        ("[{channels: [10], activation: none, residual: true}]", 3 * 10 * 784),
        # The input of the second block is kept while its two convolutions run.
        (
            "[{channels: [10], activation: none},"
            " {channels: [10, 10], activation: none, residual: true}]",
            3 * 10 * 784,
        ),
        (
            "[{channels: [10], activation: none},"
            " {channels: [30, 10], activation: none, residual: true}]",
            (10 + 30 + 10) * 784,
        ),
        # A projection runs beside the output of the body, while the input is still needed.
        (
            "[{channels: [40], activation: none},"
            " {channels: [10], activation: none, residual: true}]",
            (40 + 10 + 10) * 784,
        ),
        # Of branches each but the last waits, with the input for the last; then all are copied.
        ("[{branches: [[5], [5]], activation: none}]", 20 * 784),
        ("[{branches: [[], [9]], activation: none}]", 2 * 10 * 784),
        (
            "[{channels: [40], activation: none},"
            " {branches: [[5], [5]], activation: none, join: add, reduce: 10}]",
            (40 + 5 + 5) * 784,
        ),
        # Squeeze-and-excitation: the map, its factors, and their product.
        ("[{channels: [10], activation: none, squeeze_excitation: 2}]", 2 * 10 * 784 + 10),
    ],
)
def test_peak_by_hand(blocks: str, values: int) -> None:
    assert peak(blocks) == values


def test_dropout_and_flattening_need_no_map_of_their_own() -> None:
    plain = peak("[{channels: [10], activation: none}]", "{linear: true}")
    dropped = peak(
        "[{channels: [10], activation: none, dropout: 0.5}]", "{linear: true, dropout: 0.5}"
    )
    flat = peak("[{channels: [4], activation: none}]", "{pool: flatten, linear: true}")
    assert plain == dropped == 11 * 784
    assert flat == 5 * 784


@pytest.mark.slow
@settings(max_examples=150, derandomize=True, deadline=None)
@given(networks())
def test_peak_is_between_one_layer_and_all_maps(spec: Mapping) -> None:
    plan = plan_network(loads(text_of(spec, flow=None), source="a").experiment)
    sizes = plan.sizes
    outputs = [row.activation_bytes for row in plan.rows]
    assert sizes.inference_peak_bytes >= max(outputs)
    assert sizes.inference_peak_bytes <= 4 * (784 + sum(outputs)) + 2 * sum(outputs)
    assert sizes.parameter_bytes == 4 * plan.parameters
    assert sizes.inference_bytes == sizes.parameter_bytes + sizes.inference_peak_bytes
    assert sizes.training_bytes == 4 * math.prod((1, 28, 28)) + (
        sizes.forward_backward_bytes + sizes.parameter_bytes
    )
