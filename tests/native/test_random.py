"""Random networks: every gradient beside float64."""

from __future__ import annotations

import ctypes

import pytest
from beside import Native, compare, experiment_of, far_off_by_torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from strategies import Mapping, networks

RANDOM = settings(
    derandomize=True, deadline=None, suppress_health_check=[*HealthCheck], phases=[Phase.generate]
)


def check(library: ctypes.CDLL, network: Mapping, images: int, threads: int, smooth: float) -> None:
    """Of three draws of images: rounding may decide a pool for one, but what is wrong stays so.

    A network whose gradients float32 cannot hold, such as a norm of one channel that is normalised
    again, is as far off in torch's own float32; there the native step is held to that.
    """
    experiment = experiment_of(network, label_smoothing=smooth)
    found = []
    for seed in (1, 2, 3):
        native = Native(experiment, library, images=images, threads=threads, images_seed=seed)
        worst, allowed = compare(native)
        found.append((worst, allowed))
        if worst <= allowed:
            return
    worst, as_torch = found[-1][0], far_off_by_torch(native)
    assert worst <= 4 * as_torch, (found, as_torch)


@given(networks(common=True), st.integers(2, 20), st.integers(1, 3), st.sampled_from([0.0, 0.1]))
@settings(RANDOM, max_examples=15)
def test_gradients_are_right(
    library: ctypes.CDLL, network: Mapping, images: int, threads: int, smooth: float
) -> None:
    check(library, network, images, threads, smooth)


@pytest.mark.gate
@given(networks(common=True), st.integers(2, 24), st.integers(1, 3), st.sampled_from([0.0, 0.1]))
@settings(RANDOM, max_examples=300)
def test_gradients_of_many_networks_are_right(
    library: ctypes.CDLL, network: Mapping, images: int, threads: int, smooth: float
) -> None:
    check(library, network, images, threads, smooth)
