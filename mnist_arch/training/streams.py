"""Streams of random numbers: one for each use of a run's seed."""

from __future__ import annotations

from typing import Any

import torch
from torch import Generator

from mnist_arch.seeds import Use, stream_seed


def stream(seed: int, use: Use, device: str) -> Generator:
    """An independent generator for one use of the run's seed."""
    return torch.Generator(device).manual_seed(stream_seed(seed, use))


def generator_owner(device: torch.device) -> Any:
    """The part of torch that holds the global generator of a kind of device."""
    return {"cuda": torch.cuda, "mps": torch.mps}.get(device.type, torch)
