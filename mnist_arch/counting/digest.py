"""What makes two runs the same run: the digest of an experiment.

The text that is hashed has words of its own, so that classes and fields can be renamed. It leaves
out what stands at its default of this format, so that an option that is added later changes no
digest of an experiment that does not use it.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from functools import cache, lru_cache
from typing import Any, Final

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from mnist_arch.counting.layers import (
    LAYERS_KEPT,
    Activation,
    Convolution,
    Dropout,
    Flatten,
    GlobalPooling,
    Layer,
    Linear,
    Normalization,
    Op,
    Pooling,
    Residual,
    SqueezeExcitation,
)
from mnist_arch.counting.unroll import unroll
from mnist_arch.spec.experiment import Experiment
from mnist_arch.spec.recipe import (
    AdamW,
    Augment,
    Constant,
    Cosine,
    Elastic,
    Erase,
    OneCycle,
    Recipe,
    Sgd,
    Step,
)
from mnist_arch.values import FORMAT

ALWAYS: Final = object()
"""In the place of a default: the field is always written."""

OPERATIONS: Final[dict[type, str]] = {
    Convolution: "convolution",
    Normalization: "norm",
    Activation: "activation",
    Dropout: "dropout",
    Pooling: "pool",
    GlobalPooling: "global-pool",
    SqueezeExcitation: "squeeze-and-excitation",
    Residual: "residual",
    Flatten: "flatten",
    Linear: "linear",
}
"""The word of each operation."""

_RISE: Final = {"kind": ("kind", ALWAYS), "peak": ("peak", 0.1), "warmup": ("warmup", 0.2)}

FIELDS: Final[dict[type, dict[str, tuple[str, Any]]]] = {
    Convolution: {
        "out": ("out", ALWAYS),
        "kernel": ("kernel", ALWAYS),
        "weights": ("weights-of", None),
        "bias": ("bias", ALWAYS),
        "stride": ("stride", 1),
        "padding": ("padding", 0),
        "padding_mode": ("padding-mode", "zeros"),
        "groups": ("groups", 1),
    },
    Normalization: {"kind": ("kind", ALWAYS), "groups": ("groups", 1)},
    Activation: {"kind": ("kind", ALWAYS)},
    Dropout: {"rate": ("rate", ALWAYS), "kind": ("kind", "elementwise")},
    Pooling: {"kind": ("kind", ALWAYS), "size": ("size", ALWAYS), "stride": ("stride", ALWAYS)},
    GlobalPooling: {"kind": ("kind", ALWAYS)},
    SqueezeExcitation: {"hidden": ("hidden", ALWAYS)},
    Residual: {"body": ("body", ALWAYS), "skip": ("skip", None)},
    Flatten: {},
    Linear: {"out": ("out", ALWAYS), "bias": ("bias", ALWAYS)},
    Recipe: {
        "epochs": ("epochs", 19),
        "batch_size": ("batch-size", 64),
        "last_batch": ("last-batch", "use"),
        "optimizer": ("optimizer", {"kind": "sgd"}),
        "schedule": ("schedule", {"kind": "one-cycle"}),
        "label_smoothing": ("label-smoothing", 0),
        "clip_norm": ("clip-norm", None),
        "ema": ("ema", 0.998),
        "augment": ("augment", {}),
    },
    Sgd: {
        "kind": ("kind", ALWAYS),
        "momentum": ("momentum", 0.9),
        "nesterov": ("nesterov", True),
        "weight_decay": ("weight-decay", 1e-4),
    },
    AdamW: {
        "kind": ("kind", ALWAYS),
        "beta1": ("beta1", 0.9),
        "beta2": ("beta2", 0.999),
        "weight_decay": ("weight-decay", 0.01),
    },
    OneCycle: _RISE,
    Cosine: _RISE,
    Constant: _RISE,
    Step: {
        **_RISE,
        "warmup": ("warmup", 0),
        "every_epochs": ("every-epochs", 6),
        "factor": ("factor", 0.1),
    },
    Augment: {
        "rotate_degrees": ("rotate-degrees", 10),
        "shift_pixels": ("shift-pixels", 2),
        "scale": ("scale", 0.1),
        "shear_degrees": ("shear-degrees", 8),
        "elastic": ("elastic", None),
        "erase": ("erase", None),
    },
    Elastic: {"pixels": ("pixels", ALWAYS), "sigma_pixels": ("sigma-pixels", 4)},
    Erase: {"probability": ("probability", ALWAYS), "pixels": ("pixels", 8)},
}
"""Of every field its word and its default of this format, which another format may change."""


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
        "format": FORMAT,
        "layers": _layers(layers, {}),
        "recipe": _plain(experiment.recipe),
        "dataset": experiment.dataset,
    }
    if experiment.holdout:
        content["holdout"] = experiment.holdout
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _layers(layers: tuple[Layer, ...], tensors: dict[str, int]) -> list[dict[str, Any]]:
    """Layers without places and shapes, which follow; `tensors` are those seen, by their number."""
    return [_layer(layer, tensors) for layer in layers]


def _layer(layer: Layer, tensors: dict[str, int]) -> dict[str, Any]:
    match layer.op:
        case Convolution(weights=weights) if weights in tensors:
            return _operation(layer.op, tensors[weights])
        case Convolution(weights=weights):
            tensors[weights] = len(tensors)
            return _operation(layer.op, None)
        case Residual(body=body, skip=skip) as op:
            parts = {
                "body": _layers(body, tensors),
                "skip": None if skip is None else _layer(skip, tensors),
            }
            return {"op": _word(type(op)), **_written(op, parts)}
        case op:
            return _operation(op, None)


@lru_cache(maxsize=LAYERS_KEPT)
def _operation(op: Op, weights: int | None) -> dict[str, Any]:
    """One that holds no others; `weights` is the number of the tensor that it has with another."""
    return {"op": _word(type(op)), **_written(op, {"weights": weights})}


def _written(value: Any, known: dict[str, Any]) -> dict[str, Any]:
    """The fields that are not at their defaults, by their words; `known` are plain already."""
    found = {}
    for field, word, default in _fields(value.__class__):
        plain = known[field] if field in known else _plain(getattr(value, field))
        if default is ALWAYS or plain != default:
            found[word] = plain
    return found


def _plain(value: Any) -> Any:
    """A value of JSON. Numbers that are equal are one: 1 for 1.0."""
    if isinstance(value, BaseModel):
        return _written(value, {})
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


@cache
def _fields(kind: type[Any]) -> list[tuple[str, str, Any]]:
    """Fields, words and defaults; an option without a word goes by its own name and default."""
    words = next((FIELDS[base] for base in kind.__mro__ if base in FIELDS), {})
    return [(field, *words.get(field, (field, default))) for field, default in _declared(kind)]


def _declared(kind: type[Any]) -> list[tuple[str, Any]]:
    """Names and defaults of the fields of a class."""
    if issubclass(kind, BaseModel):
        declared = [(name, field.get_default()) for name, field in kind.model_fields.items()]
    else:
        declared = [(field.name, field.default) for field in dataclasses.fields(kind)]
    missing = (PydanticUndefined, dataclasses.MISSING)
    return [(name, ALWAYS if it in missing else _plain(it)) for name, it in declared]


def _word(kind: type) -> str:
    return next(OPERATIONS[base] for base in kind.__mro__ if base in OPERATIONS)
