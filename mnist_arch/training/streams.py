"""Streams of random numbers: one for each use of a run's seed."""

from __future__ import annotations

from typing import Any

import torch
from torch import Generator


def stream(seed: int, use: int, device: str) -> Generator:
    """An independent generator for one use of the run's seed."""
    return torch.Generator(device).manual_seed(seed * 1000 + use)


def generator_owner(device: torch.device) -> Any:
    """The part of torch that holds the global generator of a kind of device."""
    return {"cuda": torch.cuda, "mps": torch.mps}.get(device.type, torch)
