"""What the bits of a run depend on besides its experiment and seed. Nothing here imports torch."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import Field, model_validator

from mnist_arch.native.vectors import Vectors
from mnist_arch.values import Record

Device = Literal["cpu", "cuda", "mps"]
"""Where a run computes."""

StepKind = Literal["plain", "compiled", "captured", "native"]
"""How a step runs: operation by operation, compiled, as one captured graph, or in C++."""

_DEVICES: Final[dict[StepKind, tuple[Device, ...]]] = {
    "plain": ("cpu", "cuda", "mps"),
    "compiled": ("cpu",),
    "captured": ("cuda",),
    "native": ("cpu",),
}
"""Where there are steps of each kind."""

Precision = Literal["float32", "bfloat16"]
"""What a network computes in while it trains; its weights are float32 in either case."""


EngineName = Literal["auto", "plain", "compiled", "native", "fast"]
"""`plain` is in float32 and the reference; `compiled` and `native` are what they are called; `fast`
is the fastest that this machine has; `auto` is that, where making it pays back."""

MOST_THREADS: Final = 1_024
"""That a run can ask for."""


class Engine(Record):
    """What the bits of a run depend on besides its experiment and seed."""

    device: Device
    threads: Annotated[int, Field(ge=1)]
    """Threads of torch within an operation."""
    memory_format: Literal["channels_last"] = "channels_last"
    """Memory format of weights and images."""
    step: StepKind = "plain"
    """How a step runs."""
    precision: Precision = "float32"
    """Of forward and backward in a step; evaluation is in float32."""
    vectors: Vectors | None = None
    """Of native steps."""

    @model_validator(mode="after")
    def _is_one_that_there_is(self) -> Engine:
        if self.device not in _DEVICES[self.step]:
            raise ValueError(f"there are no {self.step} steps on {self.device}")
        if (self.step == "native") != (self.vectors is not None):
            raise ValueError("native steps, and no others, have vectors")
        if self.step == "native" and self.precision != "float32":
            raise ValueError("native steps are in float32")
        return self
