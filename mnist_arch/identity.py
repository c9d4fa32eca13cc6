"""What makes two runs the same run: the digest of an experiment, and a folder's name."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from typing import Any

from mnist_arch.layers import Layer, Residual
from mnist_arch.specs import FORMAT, Experiment
from mnist_arch.unrolling import unroll


def digest(experiment: Experiment) -> str:
    """SHA-256 of what a result depends on beside its seed: layers, recipe, dataset, hold-out.

    Two specs that mean the same network have the same digest; name and budget do not count.
    """
    content = {
        "format": FORMAT,
        "layers": _canonical(unroll(experiment)),
        "recipe": experiment.recipe.model_dump(mode="json"),
        "dataset": experiment.dataset,
        "holdout": experiment.holdout,
    }
    if experiment.dataset == "auto":
        raise ValueError("resolve the dataset `auto` before taking the digest")
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _canonical(layers: tuple[Layer, ...]) -> list[Any]:
    """Layers as JSON values, without their places; tensors are numbered by their first use."""
    numbers: dict[str, int] = {}

    def value_of(layer: Layer) -> Any:
        op = layer.op
        fields: dict[str, Any] = {
            "op": type(op).__name__,
            "in": layer.in_shape,
            "out": layer.out_shape,
        }
        if isinstance(op, Residual):
            fields["body"] = [value_of(inner) for inner in op.body]
            fields["skip"] = None if op.skip is None else value_of(op.skip)
            return fields
        values = dataclasses.asdict(op)
        if "weights" in values:
            values["weights"] = numbers.setdefault(values["weights"], len(numbers))
        return {**fields, **{f"op.{key}": value for key, value in values.items()}}

    return [value_of(layer) for layer in layers]


def folder_name(experiment: Experiment, seed: int) -> str:
    """`<name>-<digest8>-s<seed>`."""
    return f"{experiment.name}-{digest(experiment)[:8]}-s{seed}"
