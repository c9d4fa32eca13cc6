"""What dropouts keep: the numbers of torch's own stream."""

from __future__ import annotations

import ctypes

import pytest
import torch

from mnist_arch.training import native_dropout
from mnist_arch.training.native_dropout import fill, fill_natively, is_torchs

SIZES = (1, 311, 312, 313, 625, 4_000)
"""Around the 624 numbers of a state, of which a value takes two."""


def needs_torchs_own(library: ctypes.CDLL) -> None:
    if not is_torchs(library):
        pytest.skip("torch draws otherwise on this processor")


@pytest.mark.parametrize("before", [0, 1, 7])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 1 - 0.05, 1.0])
def test_they_are_those_that_torch_draws(library: ctypes.CDLL, before: int, share: float) -> None:
    """At odd places of the stream, too; whoever comes next goes on at the same place."""
    needs_torchs_own(library)
    ours, torchs = (torch.Generator().manual_seed(5) for _ in range(2))
    for rng in (ours, torchs):
        torch.rand(before, generator=rng)
    for size in SIZES:
        found, right = torch.empty(size), torch.empty(size)
        fill_natively(library, [(found, share)], rng=ours)
        right.bernoulli_(share, generator=torchs)
        assert torch.equal(found, right), size
        assert torch.equal(ours.get_state(), torchs.get_state()), size


@pytest.mark.parametrize("is_alike", [True, False])
def test_where_torch_draws_otherwise_it_draws_itself(
    library: ctypes.CDLL, monkeypatch: pytest.MonkeyPatch, is_alike: bool
) -> None:
    monkeypatch.setattr(native_dropout, "is_torchs", lambda _: is_alike)
    natively: list[int] = []
    monkeypatch.setattr(
        native_dropout, "fill_natively", lambda _, kept, rng: natively.append(len(kept))
    )
    rng, right = torch.Generator().manual_seed(2), torch.Generator().manual_seed(2)
    kept = [(torch.full((9, 2), -1.0), 0.5), (torch.full((3,), -1.0), 0.2)]
    fill(library, kept, rng=rng)
    assert natively == ([2] if is_alike else [])
    if not is_alike:
        for tensor, share in kept:
            assert torch.equal(tensor, torch.empty_like(tensor).bernoulli_(share, generator=right))


def test_a_state_that_is_none_is_refused(library: ctypes.CDLL) -> None:
    state, tensor = torch.Generator().get_state(), torch.empty(4)
    message = ctypes.create_string_buffer(256)

    def drawn() -> int:
        found = library.native_draw(state.data_ptr(), 0.5, 4, tensor.data_ptr(), message)
        assert isinstance(found, int)
        return found

    state[8:12] = torch.tensor([255, 255, 0, 0])  # numbers that are left
    assert drawn() == 0
    assert message.value == b"value: state of a generator"
