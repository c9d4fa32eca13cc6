"""The kinds of vectors of the native engine. Nothing here looks for a compiler or a library."""

from __future__ import annotations

from typing import Literal

Vectors = Literal["avx512", "avx2", "neon", "plain"]
"""Which vectors the arithmetic is made of: 16, 8, 4 and 4 floats."""
