"""Values that may have been meant by one that does not fit its place."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from mnist_arch.spec.strict_yaml import scalar
from mnist_arch.spec.synonyms import words_for

EXAMPLES: Final[dict[str, Any]] = {
    "blocks": [{"channels": [8, 16], "pool": "max", "reduce": 10}],
    "blocks.branches": [[16], [8, 16]],
    "blocks.channels": [16, 32],
    "blocks.channels.out": 16,
    "blocks.pool": "max",
    "blocks.pool.kind": "max",
    "blocks.reduce": 8,
    "blocks.reduce.out": 8,
    "blocks.join": "concat",
    "blocks.repeat": 2,
    "blocks.residual": True,
    "blocks.share": True,
    "blocks.squeeze_excitation": 4,
    "budget": {"parameters_below": 10_000},
    "budget.bytes_below": 100_000,
    "budget.macs_below": 1_000_000,
    "classes": 10,
    "dataset": "mnist",
    "defaults": {"activation": "relu"},
    "defaults.activation": "relu",
    "defaults.activation.slope": 0.2,
    "defaults.depthwise_bias": False,
    "defaults.dropout": 0.1,
    "defaults.dropout.rate": 0.1,
    "defaults.groups": 2,
    "defaults.norm": "batch",
    "defaults.norm.splits": 2,
    "extends": "s6",
    "head": {"pool": "global-average"},
    "head.dropout": 0.1,
    "head.hidden": 16,
    "head.hidden.out": 16,
    "head.linear": True,
    "head.reduce": 10,
    "head.size": 3,
    "holdout": 5000,
    "holdout.fold": 0,
    "holdout.folds": 12,
    "holdout.last": 6000,
    "name": "mine",
    "recipe": {"epochs": 19},
    "recipe.augment": {"rotate_degrees": 10},
    "recipe.augment.brightness": 0.2,
    "recipe.augment.contrast": 0.2,
    "recipe.augment.crop": {"pixels": 22, "probability": 0.1},
    "recipe.augment.crop.area": [0.8, 1.0],
    "recipe.augment.crop.pixels": 22,
    "recipe.augment.crop.ratio": [0.75, 1.33],
    "recipe.augment.elastic": {"pixels": 1},
    "recipe.augment.elastic.pixels": 1,
    "recipe.augment.erase": {"probability": 0.25},
    "recipe.augment.erase.area": [0.02, 0.33],
    "recipe.augment.erase.probability": 0.25,
    "recipe.augment.erase.ratio": [0.3, 3.3],
    "recipe.augment.perspective": {"distortion": 0.2, "probability": 0.5},
    "recipe.augment.perspective.distortion": 0.2,
    "recipe.augment.scale": 0.1,
    "recipe.augment.steps": [{"rotate_degrees": 10}],
    "recipe.clip_norm": 1.0,
    "recipe.ema": 0.998,
    "recipe.label_smoothing": 0.05,
    "recipe.teacher": "s6",
    "recipe.teacher.network": "s6",
    "recipe.teacher.sha256": "0" * 64,
    "recipe.initialize": "he",
    "recipe.initialize.distribution": "uniform",
    "recipe.initialize.fan": "out",
    "recipe.initialize.biases": "torch",
    "recipe.normalize": "none",
    "recipe.normalize.mean": 0.1307,
    "recipe.normalize.std": 0.3081,
    "recipe.optimizer": "adamw",
    "recipe.schedule": "cosine",
    "recipe.schedule.milestones": [8, 12],
}
"""Values of places that have no default, or where it says little."""

OFF: Final[dict[str, Any]] = {
    "head.hidden": [],
    "recipe.augment": [],
    "recipe.ema": None,
    "recipe.schedule": {"kind": "constant", "warmup": 0},
}
"""How options are switched off where none and 0 do not do that."""

_FIRST: Final[dict[str, str]] = {
    "blocks": "channels",
    "budget": "parameters_below",
    "head": "pool",
    "recipe.schedule": "peak",
}
"""The key of an object that a bare value is most likely meant for."""

NO: Final = {"none", "null", "no", "off", "false", "disabled", "nothing", "~"}
YES: Final = {"yes", "on", "true", "enabled"}


def alternatives(given: object, where: str) -> Iterator[object]:
    """Values that may have been meant, the likeliest first; those that do not fit among them."""
    match given:
        case bool():
            yield from _switched(given, where)
        case int() | float():
            if float(given).is_integer():
                yield from (int(given), bool(given))
            if 1 < given <= 100:
                yield round(given / 100, 6)  # percent
        case str():
            yield from _read_again(given, where)
        case None:
            yield from _switched(False, where)
        case [one, *more] if all(it == one for it in more):  # such as the sides of a kernel
            yield one
            yield from alternatives(one, where)
        case dict():
            yield from (given[key] for key in ("kind", "name", "type", "out") if key in given)
    if isinstance(given, str | int | float):
        yield from words_for(last_part(str(given)))
    if first := _FIRST.get(where):
        yield from (it for one in ({first: given}, {first: [given]}) for it in (one, [one]))
    if not isinstance(given, list):
        yield [given]


def _read_again(text: str, where: str) -> Iterator[object]:
    """A text as a number, a share in percent, a switch, or a word in the language's own case."""
    word = text.strip().lower()
    value = scalar(_number_in(word))
    if isinstance(value, int | float):
        if word.endswith("%") and not where.endswith("percent"):
            yield round(value / 100, 6)
        yield value
        yield from alternatives(value, where)
    if word in YES | NO:
        yield from _switched(word in YES, where)
    yield word
    yield re.sub(r"[\s_]+", "-", word)


def _number_in(word: str) -> str:
    """A number as YAML has it, of one with separators, a unit, or the sides of a square."""
    word = re.sub(r"(\d+) ?[x×] ?\1", r"\1", word.removesuffix("%").strip())  # 3x3
    if re.fullmatch(r"[1-9]\d{0,2}([_, ']\d{3})+", word):  # 1,000
        return re.sub(r"\D", "", word)
    word = re.sub(r"(\d+) ?k", r"\g<1>000", word)
    return word.replace(",", ".")


def last_part(word: str) -> str:
    """`ReLU` of `activations.ReLU(inplace=True)`."""
    return word.partition("(")[0].rpartition(".")[2] or word


def _switched(on: bool, where: str) -> Iterator[object]:
    """What switches an option on or off, by the kinds of value that there are."""
    yield on
    if on:
        yield from ([EXAMPLES[where]] if where in EXAMPLES else ())
    else:
        yield from ([OFF[where]] if where in OFF else ())
        yield from ("none", 0, 0.0, None)  # null often means that a value is inherited
