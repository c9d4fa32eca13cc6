"""What training with rounding in the loop gains over rounding once it is trained.

    python benchmarks/quantized.py --out benchmarks/results/quantized.json

A network is trained on MNIST in floats, and twice with `recipe.quantize`, as int8 and as int4; all
else is alike. All are judged on the hold-out, in floats and in whole numbers, as an export with
`int8` computes. The network in floats is rounded in both ways. Runs are kept in the folder of
--runs, and the same command again goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any, Literal

import numpy as np
import report

import mnist_arch as ma
from mnist_arch.data.load import load_split
from mnist_arch.data.split import Split, hold_out
from mnist_arch.evaluation.metrics import count_correct, predict
from mnist_arch.exports import integer
from mnist_arch.exports.exporting import program_of
from mnist_arch.exports.quantization import CALIBRATION_IMAGES, quantized
from mnist_arch.network.weights import build_with, read_weights
from mnist_arch.runs.find import find

ARMS: dict[str, tuple[Literal[8, 4], ...]] = {"floats": (8, 4), "int8": (8,), "int4": (4,)}
"""How each is trained, and the bits of the weights that it is then rounded to."""


def judged(runs: Path, bits: tuple[Literal[8, 4], ...], training: Split, held: Split) -> Any:
    """Of the last run of a folder: right answers on `held`, and so with weights of these bits."""
    trained = find(None, runs=runs)
    model = build_with(trained.experiment, read_weights(trained.weights)[0], trained.weights)
    program = program_of(trained, model)
    some_NHW, held_NHW = (
        np.ascontiguousarray(it[:, 0].numpy())
        for it in (training.images[:CALIBRATION_IMAGES], held.images)
    )
    logits = predict(model, held.images, trained.normalization)
    found: dict[str, Any] = {"correct": count_correct(logits, held.labels)}
    for it in bits:
        whole = quantized(program, some_NHW, weight_bits=it)
        labels_N = integer.logits(whole, held_NHW).argmax(1)
        correct = int((labels_N == held.labels.numpy()).sum())
        found[f"{it} bits"] = {"correct": correct, "bytes": whole.stored_bytes}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--network", default="int8")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--holdout", type=int, default=5000)
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    training, held = hold_out(load_split("mnist", "train"), given.holdout)
    seeds = []
    for seed in range(given.seeds):
        arms = {}
        for arm, bits in ARMS.items():
            folder = given.runs / f"{arm}-{seed}"
            (result,) = ma.train(
                f"zoo/{given.network}",
                seed=seed,
                epochs=given.epochs,
                dataset="mnist",
                holdout=given.holdout,
                engine="plain",  # nothing else rounds, and all are to be trained alike
                threads=1,
                set={} if arm == "floats" else {"recipe.quantize": arm},
                out=folder,
            ).results
            seconds = result.seconds
            arms[arm] = {**judged(folder, bits, training, held), "seconds": seconds}
            print(f"seed {seed}, trained in {arm}: {arms[arm]}", flush=True)
        seeds.append({"seed": seed, "arms": arms})
    found = {
        **report.origin(),
        "network": given.network,
        "epochs": given.epochs,
        "images": len(held.labels),
        "seeds": seeds,
    }
    given.out.write_text(json.dumps(found, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
