"""What makes two runs the same run: the digest of an experiment, and a folder's name."""

from __future__ import annotations

import hashlib
import json
from functools import lru_cache

from mnist_arch.counting.layers import LAYERS_KEPT, Convolution, Layer, Residual
from mnist_arch.counting.unroll import unroll
from mnist_arch.spec.experiment import Experiment
from mnist_arch.values import FORMAT


def digest(experiment: Experiment, *, layers: tuple[Layer, ...] | None = None) -> str:
    """SHA-256 of what a result depends on beside its seed: layers, recipe, dataset, hold-out.

    Two specs that mean the same network have the same digest; name and budget do not count.
    `layers` are those of the experiment's plan, and save unrolling it again.
    """
    if layers is None:
        layers = unroll(experiment)
    if experiment.dataset == "auto":
        raise ValueError("resolve the dataset `auto` before taking the digest")
    content = {
        "format": str(FORMAT),
        "layers": _list(layers, {}),
        "recipe": json.dumps(experiment.recipe.model_dump(mode="json"), sort_keys=True),
        "dataset": json.dumps(experiment.dataset),
        "holdout": str(experiment.holdout),
    }
    return hashlib.sha256(_object(content).encode()).hexdigest()


def _object(members: dict[str, str]) -> str:
    """A JSON object whose members are JSON already, as `json.dumps` writes it with sorted keys."""
    return "{" + ", ".join(f'"{key}": {value}' for key, value in sorted(members.items())) + "}"


def _list(layers: tuple[Layer, ...], numbers: dict[str, int]) -> str:
    """Layers as JSON, without their places; `numbers` are those of the tensors seen so far."""
    return "[" + ", ".join([_item(layer, numbers) for layer in layers]) + "]"


def _item(layer: Layer, numbers: dict[str, int]) -> str:
    match layer.op:
        case Convolution(weights=weights):
            return _text(layer, numbers.setdefault(weights, len(numbers)))
        case Residual(body=body, skip=skip):
            return _object(
                {
                    "op": json.dumps("Residual"),
                    "in": json.dumps(layer.in_shape),
                    "out": json.dumps(layer.out_shape),
                    "body": _list(body, numbers),
                    "skip": "null" if skip is None else _item(skip, numbers),
                }
            )
        case _:
            return _text(layer, None)


@lru_cache(maxsize=LAYERS_KEPT)
def _text(layer: Layer, tensor: int | None) -> str:
    """A layer that is no residual, as JSON; `tensor` is the number of its tensor, if it has one."""
    fields = {f"op.{name}": value for name, value in vars(layer.op).items()}
    if tensor is not None:
        fields["op.weights"] = tensor
    fields |= {"op": type(layer.op).__name__, "in": layer.in_shape, "out": layer.out_shape}
    return json.dumps(fields, sort_keys=True)


def folder_name(experiment: Experiment, seed: int) -> str:
    """`<name>-<digest8>-s<seed>`."""
    return f"{experiment.name}-{digest(experiment)[:8]}-s{seed}"
