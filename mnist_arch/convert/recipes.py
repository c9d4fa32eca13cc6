"""A recipe that was read, as a person would write it: what differs from the plain one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Final, get_args

from pydantic import BaseModel

from mnist_arch.spec.recipe import AnySchedule, Augment, Optimizer, Recipe
from mnist_arch.spec.sources import PLAIN, PLAIN_RECIPE

_ALIKE: Final = 1e-6
"""Relative difference of rates that are taken to be the same."""


def on_plain(recipe: dict[str, Any]) -> dict[str, Any]:
    """The recipe with `extends: plain`, without what that has, and what the kinds have by default.

    Optimizer and schedule name their kind.
    """
    found: dict[str, Any] = {"extends": PLAIN}
    for key, value in recipe.items():
        match key:
            case "optimizer":
                short = _of_kind(value, PLAIN_RECIPE[key], get_args(Optimizer))
            case "schedule":
                short = _of_kind(value, PLAIN_RECIPE[key], get_args(AnySchedule))
            case "augment" if isinstance(value, dict):
                short = _differing(value, {**_defaults(Augment), **PLAIN_RECIPE[key]})
            case _:
                known = {**_defaults(Recipe), **PLAIN_RECIPE}
                if value != known[key]:
                    found[key] = value
                continue
        if short:
            found[key] = short
    return found


def _of_kind(value: dict[str, Any], plain: dict[str, Any], kinds: Sequence[type[BaseModel]]) -> Any:
    """Without what is the default of its kind, or of the plain recipe, whose kind is not named."""
    kind = value["kind"]
    if kind == plain["kind"]:
        return _differing(value, plain)
    (model,) = (it for it in kinds if kind in get_args(it.model_fields["kind"].annotation))
    rest = _differing(value, {**_defaults(model), "kind": kind})
    return {"kind": kind, **rest} if rest else kind


def _differing(value: dict[str, Any], known: dict[str, Any]) -> dict[str, Any]:
    return {key: it for key, it in value.items() if key not in known or it != known[key]}


def _defaults(model: type[BaseModel]) -> dict[str, Any]:
    return {
        key: field.get_default(call_default_factory=True)
        for key, field in model.model_fields.items()
        if not field.is_required()
    }


def schedule_by_epoch(shares: Sequence[float]) -> dict[str, Any] | None:
    """The schedule whose rates are in these proportions, one an epoch; None where there is none."""
    first = shares[0]
    if not all(math.isfinite(it) and it > 0 for it in shares):
        return None
    if len(shares) < 3 or all(_alike(it, first) for it in shares):
        alike = all(_alike(it, first) for it in shares)
        return {"kind": "constant", "warmup": 0} if alike else None
    factor, rise = shares[1] / first, first / shares[1] - 1
    if factor < 1 and all(_alike(two / one, factor) for one, two in pairwise(shares)):
        return {"kind": "exponential", "factor": _rounded(factor)}
    inverse = [first / (1 + rise * epoch) for epoch in range(len(shares))]
    if rise > 0 and all(map(_alike, shares, inverse)):
        return {"kind": "inverse-time", "decay_rate": _rounded(rise)}
    falls = [
        (epoch, two / one)
        for epoch, (one, two) in enumerate(pairwise(shares), 1)
        if not _alike(one, two)
    ]
    factor = falls[0][1]
    if factor < 1 and all(_alike(it, factor) for _, it in falls):
        milestones = [epoch for epoch, _ in falls]
        return {"kind": "multi-step", "milestones": milestones, "factor": _rounded(factor)}
    return None


def _alike(one: float, other: float) -> bool:
    return math.isclose(one, other, rel_tol=_ALIKE)


def _rounded(value: float) -> float:
    return float(f"{value:.6g}")
