"""What makes two runs the same run: the digest of an experiment.

The text that is hashed has words of its own, so that classes and fields can be renamed. It leaves
out what stands at its default of this format, so that an option that is added later changes no
digest of an experiment that does not use it.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterable
from typing import Any, Final

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from mnist_arch.counting import layers as ops
from mnist_arch.counting.layers import Layer
from mnist_arch.counting.unroll import unroll
from mnist_arch.data.folds import AnyHoldOut, stated
from mnist_arch.spec.experiment import Experiment
from mnist_arch.spec.recipe import (
    L1,
    Adadelta,
    Adagrad,
    Adam,
    AdamW,
    Augment,
    Change,
    Constant,
    Cosine,
    Crop,
    Elastic,
    Erase,
    Exponential,
    Initialize,
    InverseTime,
    MultiStep,
    Normalize,
    OneCycle,
    Perspective,
    Plateau,
    Recipe,
    RmsProp,
    Sgd,
    Step,
    Teacher,
)
from mnist_arch.values import FORMAT

ALWAYS: Final = object()
"""In the place of a default: the field is always written."""

NEVER: Final = object()
"""The field is not written, since another one says what it means."""

OPERATIONS: Final[dict[type, str]] = {
    ops.Convolution: "convolution",
    ops.Normalization: "norm",
    ops.Activation: "activation",
    ops.Dropout: "dropout",
    ops.Pooling: "pool",
    ops.GlobalPooling: "global-pool",
    ops.SqueezeExcitation: "squeeze-and-excitation",
    ops.Residual: "residual",
    ops.Join: "join",
    ops.Flatten: "flatten",
    ops.Linear: "linear",
}
"""The word of each operation."""

_CHANGE: Final = {
    "rotate_degrees": ("rotate-degrees", 0),
    "shift_pixels": ("shift-pixels", 0),
    "whole_pixels": ("whole-pixels", False),
    "scale": ("scale", 0),
    "shear_degrees": ("shear-degrees", 0),
    "elastic": ("elastic", None),
    "resample": ("resample", "bilinear"),
    "fill": ("fill", 0),
    "crop": ("crop", None),
    "perspective": ("perspective", None),
    "brightness": ("brightness", 0),
    "contrast": ("contrast", 0),
    "erase": ("erase", None),
}
_RISE: Final = {"kind": ("kind", ALWAYS), "peak": ("peak", 0.1), "warmup": ("warmup", 0.2)}
_DECAYS: Final = {"decays": ("decays", "weights")}
_BETAS: Final = {
    "kind": ("kind", ALWAYS),
    "beta1": ("beta1", 0.9),
    "beta2": ("beta2", 0.999),
    "epsilon": ("epsilon", 1e-8),
}
_LATE: Final = {**_RISE, "warmup": ("warmup", 0)}

FIELDS: Final[dict[type, dict[str, tuple[str, Any]]]] = {
    ops.Convolution: {
        "out": ("out", ALWAYS),
        "kernel": ("kernel", ALWAYS),
        "weights": ("weights-of", None),
        "bias": ("bias", ALWAYS),
        "stride": ("stride", 1),
        "padding": ("padding", 0),
        "padding_mode": ("padding-mode", "zeros"),
        "groups": ("groups", 1),
    },
    ops.Normalization: {
        "kind": ("kind", ALWAYS),
        "groups": ("groups", 1),
        "affine": ("affine", "channel"),
        "epsilon": ("epsilon", 1e-5),
        "momentum": ("momentum", 0.1),
        "splits": ("splits", 1),
    },
    ops.Activation: {
        "kind": ("kind", ALWAYS),
        "slope": ("slope", 0.01),
        "by_channel": ("slope-of-each-channel", False),
    },
    ops.Dropout: {"rate": ("rate", ALWAYS), "kind": ("kind", "elementwise")},
    ops.Pooling: {
        "kind": ("kind", ALWAYS),
        "size": ("size", ALWAYS),
        "stride": ("stride", ALWAYS),
        "padding": ("padding", 0),
    },
    ops.GlobalPooling: {"kind": ("kind", ALWAYS)},
    ops.SqueezeExcitation: {"hidden": ("hidden", ALWAYS)},
    ops.Residual: {"body": ("body", ALWAYS), "skip": ("skip", None)},
    ops.Join: {"kind": ("kind", ALWAYS), "branches": ("branches", ALWAYS)},
    ops.Flatten: {},
    ops.Linear: {"out": ("out", ALWAYS), "bias": ("bias", ALWAYS)},
    Recipe: {
        "epochs": ("epochs", 19),
        "batch_size": ("batch-size", 64),
        "last_batch": ("last-batch", "use"),
        "optimizer": ("optimizer", {"kind": "sgd"}),
        "schedule": ("schedule", {"kind": "one-cycle"}),
        "label_smoothing": ("label-smoothing", 0),
        "teacher": ("teacher", None),
        "l1": ("l1", None),
        "clip_norm": ("clip-norm", None),
        "ema": ("ema", 0.998),
        "augment": ("augment", {}),
        "normalize": ("normalize", {}),
        "initialize": ("initialize", {}),
        "quantize": ("quantize", None),
    },
    Sgd: {
        "kind": ("kind", ALWAYS),
        "momentum": ("momentum", 0.9),
        "nesterov": ("nesterov", True),
        "weight_decay": ("weight-decay", 1e-4),
        **_DECAYS,
    },
    Adam: {**_BETAS, "weight_decay": ("weight-decay", 0), **_DECAYS},
    AdamW: {**_BETAS, "weight_decay": ("weight-decay", 0.01), **_DECAYS},
    RmsProp: {
        "kind": ("kind", ALWAYS),
        "alpha": ("alpha", 0.99),
        "epsilon": ("epsilon", 1e-8),
        "momentum": ("momentum", 0),
        "centered": ("centered", False),
        "weight_decay": ("weight-decay", 0),
        **_DECAYS,
    },
    Adadelta: {
        "kind": ("kind", ALWAYS),
        "rho": ("rho", 0.9),
        "epsilon": ("epsilon", 1e-6),
        "weight_decay": ("weight-decay", 0),
        **_DECAYS,
    },
    Adagrad: {
        "kind": ("kind", ALWAYS),
        "initial_accumulator": ("initial-accumulator", 0),
        "epsilon": ("epsilon", 1e-10),
        "weight_decay": ("weight-decay", 0),
        **_DECAYS,
    },
    Teacher: {  # which is its weights, whatever it is called
        "network": ("network", NEVER),
        "weight": ("weight", 0.5),
        "temperature": ("temperature", 2),
        "sha256": ("weights", ALWAYS),
    },
    L1: {"strength": ("strength", ALWAYS), "of": ("of", "weights")},
    OneCycle: {
        **_RISE,
        "div_factor": ("div-factor", 25),
        "final_div_factor": ("final-div-factor", 10_000),
        "first_step": ("first-step", "risen"),
        "cycle_momentum": ("cycle-momentum", False),
        "max_momentum": ("max-momentum", 0.95),
        "base_momentum": ("base-momentum", 0.85),
    },
    Cosine: _RISE,
    Constant: _RISE,
    Step: {
        **_LATE,
        "every_epochs": ("every-epochs", 6),
        "factor": ("factor", 0.1),
    },
    MultiStep: {**_LATE, "milestones": ("milestones", ALWAYS), "factor": ("factor", 0.1)},
    Exponential: {**_LATE, "factor": ("factor", 0.9)},
    InverseTime: {**_LATE, "decay_rate": ("decay-rate", 1)},
    Plateau: {
        **_LATE,
        "watch": ("watch", "training"),
        "factor": ("factor", 0.1),
        "patience": ("patience", 10),
        "threshold": ("threshold", 1e-4),
        "threshold_mode": ("threshold-mode", "rel"),
        "cooldown": ("cooldown", 0),
        "min_rate": ("min-rate", 0),
    },
    Change: _CHANGE,
    Augment: {
        **_CHANGE,
        "rotate_degrees": ("rotate-degrees", 10),
        "shift_pixels": ("shift-pixels", 2),
        "scale": ("scale", 0.1),
        "shear_degrees": ("shear-degrees", 8),
        "steps": ("steps", []),
    },
    Crop: {
        "pixels": ("pixels", None),
        "area": ("area", None),
        "ratio": ("ratio", None),
        "probability": ("probability", 1),
    },
    Perspective: {"distortion": ("distortion", ALWAYS), "probability": ("probability", 1)},
    Normalize: {
        "kind": ("kind", "dataset"),
        "mean": ("mean", None),
        "std": ("std", None),
    },
    Initialize: {
        "kind": ("kind", "torch"),
        "distribution": ("distribution", None),
        "fan": ("fan", None),
        "biases": ("biases", None),
    },
    Elastic: {"pixels": ("pixels", ALWAYS), "sigma_pixels": ("sigma-pixels", 4)},
    Erase: {
        "probability": ("probability", ALWAYS),
        "pixels": ("pixels", 8),
        "area": ("area", None),
        "ratio": ("ratio", None),
        "fill": ("fill", 0),
    },
}
"""Of every field its word and its default of this format, which another format may change."""


def digest(experiment: Experiment, *, layers: tuple[Layer, ...] | None = None) -> str:
    """SHA-256 of what a result depends on besides its seed: layers, recipe, dataset, hold-out.

    Two specs that mean the same network have the same digest; name and budget do not count.
    `layers` are those of the experiment's plan, and save unrolling it again. Raises ValueError
    while the dataset is `auto`, or the weights of a teacher are not known.
    """
    text, _ = layers_text(unroll(experiment) if layers is None else layers)
    return joined_digest(experiment, (text,), recipe_text(experiment.recipe))


def joined_digest(experiment: Experiment, layers: Iterable[str], recipe: str) -> str:
    """The digest of an experiment whose parts are texts already.

    `layers` are the texts of all its layers, one part after the other.
    """
    if experiment.dataset == "auto":
        raise ValueError("resolve the dataset `auto` before taking the digest")
    teacher = experiment.recipe.teacher
    if teacher is not None and teacher.sha256 is None:
        raise ValueError("find the teacher before taking the digest")
    content = {
        "dataset": _text(experiment.dataset),
        "format": _text(FORMAT),
        "holdout": _holdout_text(experiment.holdout),
        "layers": f"[{','.join(filter(None, layers))}]",
        "recipe": recipe,
    }
    members = (f'"{key}":{text}' for key, text in content.items() if text is not None)
    return hashlib.sha256(f"{{{','.join(members)}}}".encode()).hexdigest()


def _holdout_text(holdout: AnyHoldOut) -> str | None:
    """Which fold it is follows the seed, so that the runs of all folds are one experiment's."""
    return _text(stated(holdout)) if holdout else None


def layers_text(layers: tuple[Layer, ...], tensors: int = 0) -> tuple[str, int]:
    """Layers as the text that is hashed, and the number of tensors up to their end.

    `tensors` is that before them, none of which they use.
    """
    numbers: dict[str, int] = {}
    written = [_layer(layer, numbers, tensors) for layer in layers]
    return _text(written)[1:-1], tensors + len(numbers)


def recipe_text(recipe: Recipe) -> str:
    """A recipe as the text that is hashed."""
    return _text(_plain(recipe))


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def _layer(layer: Layer, numbers: dict[str, int], first: int) -> dict[str, Any]:
    """A layer without place and shapes, which follow; `numbers` are those of the tensors so far."""
    known: dict[str, Any] = {}
    match layer.op:
        case ops.Convolution(weights=weights):
            known["weights"] = numbers.get(weights)
            numbers.setdefault(weights, first + len(numbers))
        case ops.Residual(body=body, skip=skip):
            known["body"] = [_layer(it, numbers, first) for it in body]
            known["skip"] = None if skip is None else _layer(skip, numbers, first)
        case ops.Join(branches=branches):
            known["branches"] = [[_layer(it, numbers, first) for it in way] for way in branches]
    return {"op": _word(type(layer.op)), **_written(layer.op, known)}


def _written(value: Any, known: dict[str, Any]) -> dict[str, Any]:
    """The fields that are not at their defaults, by their words; `known` are plain already."""
    found = {}
    for field, (word, default) in _fields(type(value)).items():
        if default is NEVER:
            continue
        plain = known[field] if field in known else _plain(getattr(value, field))
        if default is ALWAYS or plain != default:
            found[word] = plain
    return found


def _plain(value: Any) -> Any:
    """A value of JSON. Numbers that are equal are one: 1 for 1.0."""
    if isinstance(value, BaseModel):
        return _written(value, {})
    if isinstance(value, tuple):
        return [*map(_plain, value)]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def _fields(kind: type[Any]) -> dict[str, tuple[str, Any]]:
    """Words and defaults of all fields; an option without a word has its own name and default."""
    if kind in FIELDS:
        return FIELDS[kind]
    words = next((FIELDS[base] for base in kind.__mro__ if base in FIELDS), {})
    return {field: words.get(field, (field, default)) for field, default in _declared(kind)}


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
