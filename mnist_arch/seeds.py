"""The streams of random numbers that come from one seed, by name. Nothing here imports torch."""

from __future__ import annotations

import hashlib
from typing import Literal

Use = Literal["weights", "shuffle", "augment", "dropout"]
"""What a stream is for: initial weights, the order of the images, their changes, or dropout."""


def stream_seed(root: int, use: Use) -> int:
    """The seed, of 64 bits, of one use of the random numbers of the run whose seed is `root`.

    It is a hash of both, so that neighbouring seeds and uses have nothing in common. Torch's
    generator on a CPU takes the lower 32 bits alone, which differ, too, for all roots below 1,000.
    """
    text = f"mnist-arch seed {root} for {use}"
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")
