"""What the training of s6 needs at least on a GPU, counted from its plan and the GPU's peaks.

    python benchmarks/floor.py --batch-size 128

Nothing is measured. The peaks are those of NVIDIA's H200 data sheet: 989 TFLOP/s of dense bfloat16
(half of the 1,979 that it states with sparsity) and 4.8 TB/s of HBM3e. Maps are bfloat16 in
training and float32 in evaluation, whose operations are held against the same peak. Each map is
written and read once forward; backward its gradient is written and read, and the map read again.
Fused, what lies between convolutions is part of their kernels, and their maps alone are moved.
"""

from __future__ import annotations

import argparse
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from report import origin, publish, table

from mnist_arch import load
from mnist_arch.counting.plan import BYTES_PER_VALUE, Plan, plan_network
from mnist_arch.spec.recipe import Recipe
from mnist_arch.training.work import training_flops

VALUE_BYTES: Final = 2
"""Of a value of a map in training, as bfloat16."""
FORWARD_MOVES: Final = 2
TRAINING_MOVES: Final = 5
WEIGHT_MOVES: Final = 9
"""Of a float32 parameter in a step: its gradient is written; SGD reads it, the weight and the
momentum, and writes the last two; the average is read with the weight, and written."""
TEST_IMAGES: Final = 10_000


@dataclass(frozen=True)
class Peaks:
    """What a GPU can do at most."""

    tflops: float
    terabytes_per_second: float
    launch_microseconds: float
    """From one kernel of a graph to the next; 0 leaves them out."""


@dataclass(frozen=True)
class Floor:
    """Seconds that each kind of work would take, did nothing else take any."""

    operations: float
    maps: float
    weights: float
    launches: float
    """Of a kernel for each layer forward and one backward."""
    evaluation_operations: float
    evaluation_maps: float

    @property
    def least(self) -> tuple[str, float]:
        """What the training cannot be faster than, without its evaluation."""
        memory = self.maps + self.weights
        work = {"operations": self.operations, "memory": memory, "launches": self.launches}
        return max(work.items(), key=lambda item: item[1])


def floor(
    plan: Plan, peaks: Peaks, *, fused: bool, batch_size: int, images: int, epochs: int
) -> Floor:
    """Of a training that is judged after every epoch."""
    flops, speed = peaks.tflops * 1e12, peaks.terabytes_per_second * 1e12
    batches = Recipe(batch_size=batch_size).batches(images)
    steps, trained, judged = len(batches) * epochs, sum(batches) * epochs, TEST_IMAGES * epochs
    rows = [row for row in plan.rows if row.macs or not fused]
    values = sum(math.prod(row.output_shape) for row in rows)
    return Floor(
        operations=training_flops(macs=plan.macs, images=trained, epochs=1) / flops,
        maps=TRAINING_MOVES * VALUE_BYTES * values * trained / speed,
        weights=WEIGHT_MOVES * BYTES_PER_VALUE * plan.parameters * steps / speed,
        launches=2 * len(rows) * steps * peaks.launch_microseconds / 1e6,
        evaluation_operations=2.0 * plan.macs * judged / flops,
        evaluation_maps=FORWARD_MOVES * BYTES_PER_VALUE * values * judged / speed,
    )


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--batch-size", type=int, default=128)
    options.add_argument("--images", type=int, default=60_000)
    options.add_argument("--epochs", type=int, default=19)
    options.add_argument("--tflops", type=float, default=989.0)
    options.add_argument("--terabytes-per-second", type=float, default=4.8)
    options.add_argument("--launch-microseconds", type=float, default=0.0)
    options.add_argument("--out", type=Path)
    arguments = options.parse_args()
    peaks = Peaks(arguments.tflops, arguments.terabytes_per_second, arguments.launch_microseconds)
    sizes = {name: getattr(arguments, name) for name in ("batch_size", "images", "epochs")}
    plan = plan_network(load("s6").experiment)
    ways = {"layer by layer": False, "fused": True}
    floors = {name: floor(plan, peaks, fused=fused, **sizes) for name, fused in ways.items()}
    report = {
        **origin(),
        **sizes,
        "peaks": asdict(peaks),
        "seconds": {name: asdict(it) for name, it in floors.items()},
        "floor": {name: it.least for name, it in floors.items()},
    }
    columns = [asdict(it) for it in floors.values()]
    rows = [
        [key.replace("_", " "), *(f"{column[key]:.3f}" for column in columns)] for key in columns[0]
    ]
    text = table(["seconds at the peaks", *floors], rows)
    for name, it in floors.items():
        kind, seconds = it.least
        text += f"{name}, the floor of the training is its {kind}: {seconds:.3f} s\n"
    publish(text, report, arguments.out)


if __name__ == "__main__":
    main()
