"""Random networks: every gradient beside float64."""

from __future__ import annotations

import ctypes

import pytest
from beside import compare_draws, experiment_of
from hypothesis import HealthCheck, Phase, given, reject, settings
from hypothesis import strategies as st
from strategies import Mapping, networks, rectangles

from mnist_arch.counting.plan import plan_network
from mnist_arch.errors import ShapeError

RANDOM = settings(
    derandomize=True, deadline=None, suppress_health_check=[*HealthCheck], phases=[Phase.generate]
)

NETWORKS = networks() | rectangles()


def check(library: ctypes.CDLL, network: Mapping, images: int, threads: int, smooth: float) -> None:
    experiment = experiment_of(network, label_smoothing=smooth)
    try:
        plan_network(experiment)
    except ShapeError:
        reject()
    compare_draws(experiment, library, images=images, threads=threads)


@given(NETWORKS, st.integers(2, 20), st.integers(1, 3), st.sampled_from([0.0, 0.1]))
@settings(RANDOM, max_examples=15)
def test_gradients_are_right(
    library: ctypes.CDLL, network: Mapping, images: int, threads: int, smooth: float
) -> None:
    check(library, network, images, threads, smooth)


@pytest.mark.gate
@given(NETWORKS, st.integers(2, 24), st.integers(1, 3), st.sampled_from([0.0, 0.1]))
@settings(RANDOM, max_examples=300)
def test_gradients_of_many_networks_are_right(
    library: ctypes.CDLL, network: Mapping, images: int, threads: int, smooth: float
) -> None:
    check(library, network, images, threads, smooth)
