"""What dropouts keep, drawn in C++ as torch draws it: the same numbers of the same stream."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

import torch
from torch import Generator, Tensor

from mnist_arch.native.machine import MESSAGE_SIZE

STATE_BYTES: Final = 5056
"""Of torch's generator of a CPU."""

Kept = Sequence[tuple[Tensor, float]]
"""Dense float32 tensors, and the share of each that is 1."""


def fill(library: ctypes.CDLL, kept: Kept, *, rng: Generator) -> None:
    """Fills each tensor with 1 and 0 as its `bernoulli_` does, and moves `rng` as far."""
    if is_torchs(library):
        fill_natively(library, kept, rng=rng)
    else:
        for tensor, share in kept:
            tensor.bernoulli_(share, generator=rng)


@lru_cache
def is_torchs(library: ctypes.CDLL) -> bool:
    """Whether torch draws as the library does: on processors by Intel it may leave it to MKL."""
    if torch.Generator().get_state().numel() != STATE_BYTES:
        return False
    drawn = []
    for natively in (True, False):
        rng = torch.Generator().manual_seed(1)
        kept = [(torch.empty(501), 0.8), (torch.empty(7), 0.5)]
        if natively:
            fill_natively(library, kept, rng=rng)
        else:
            for tensor, share in kept:
                tensor.bernoulli_(share, generator=rng)
        drawn.append((torch.cat([it for it, _ in kept]), rng.get_state()))
    (ours, state), (torchs, its_state) = drawn
    return torch.equal(ours, torchs) and torch.equal(state, its_state)


def fill_natively(library: ctypes.CDLL, kept: Kept, *, rng: Generator) -> None:
    """The same by the library alone."""
    state, message = rng.get_state(), ctypes.create_string_buffer(MESSAGE_SIZE)
    for tensor, share in kept:
        if not library.native_draw(
            state.data_ptr(), share, tensor.numel(), tensor.data_ptr(), message
        ):
            raise ValueError(message.value.decode().removeprefix("value: "))
    rng.set_state(state)
