"""Each use of each seed has random numbers of its own."""

from __future__ import annotations

import itertools
from typing import get_args

import torch
from small import loaded
from torch import Generator, Tensor

from mnist_arch.network.build import build
from mnist_arch.seeds import Use, stream_seed
from mnist_arch.training.state import State

USES: tuple[Use, ...] = get_args(Use)


def first_draws(seed: int) -> tuple[float, ...]:
    return tuple(torch.rand(8, generator=Generator().manual_seed(seed)).tolist())


def test_no_two_uses_of_no_two_seeds_share_a_sequence() -> None:
    seeds = [stream_seed(root, use) for root, use in itertools.product(range(1000), USES)]
    assert len({*seeds}) == 4000
    assert len({seed % 2**32 for seed in seeds}) == 4000  # all that torch takes on a CPU
    assert len({*map(first_draws, seeds)}) == 4000


def test_no_stream_is_that_of_a_bare_seed() -> None:
    """As it would be if the weights of one seed were drawn from what shuffles another."""
    bare = {*map(first_draws, range(4000))}
    assert not bare & {first_draws(stream_seed(root, use)) for root in range(5) for use in USES}


def test_the_seeds_stay_what_they_are() -> None:
    """Whoever repeats a run of this format has the same numbers."""
    assert {use: stream_seed(0, use) for use in USES} == {
        "weights": 6346428280276762452,
        "shuffle": 11641229156324518757,
        "augment": 5018164058204300157,
        "dropout": 16019604952882524166,
    }
    assert stream_seed(2**32 - 1, "weights") == 8649998876958876654


def test_a_training_draws_from_the_streams_of_its_seed() -> None:
    state = State.fresh(loaded().experiment, seed=7)

    def begins(use: Use) -> Tensor:
        return Generator().manual_seed(stream_seed(7, use)).get_state()

    assert torch.equal(state.shuffle.get_state(), begins("shuffle"))
    assert torch.equal(state.augment.get_state(), begins("augment"))
    assert torch.equal(state.dropout, begins("dropout"))


def test_weights_are_drawn_from_their_stream() -> None:
    """Two runs of one seed in two programs start alike, and torch's own generator is left alone."""
    experiment = loaded(blocks=[{"channels": [4]}], head={"linear": True}).experiment
    before = torch.get_rng_state()
    weight = next(build(experiment, seed=7).parameters())
    assert torch.equal(torch.get_rng_state(), before)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(stream_seed(7, "weights"))
        expected = torch.nn.Conv2d(1, 4, 3, padding=1).weight
    assert torch.equal(weight, expected)
    assert torch.equal(next(State.fresh(experiment, seed=7).model.parameters()), expected)
