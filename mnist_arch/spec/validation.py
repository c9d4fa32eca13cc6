"""What pydantic found wrong, said as problems of a spec: place, sentence, nearest valid name."""

from __future__ import annotations

import difflib
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from mnist_arch.errors import Problem
from mnist_arch.spec.experiment import Experiment
from mnist_arch.spec.strict_yaml import MAX_KEY, Node, Path, place
from mnist_arch.values import ShortSpec

_SENTENCES = {
    "int_type": "must be a whole number",
    "float_type": "must be a number",
    "bool_type": "must be true or false",
    "string_type": "must be a word",
    "string_unicode": "must be a word",
    "tuple_type": "must be a list",
    "dict_type": "must be an object with keys",
    "model_type": "must be an object with keys",
    "model_attributes_type": "must be an object with keys",
    "finite_number": "must be a finite number",
    "greater_than": "must be more than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "too_long": "must have at most {max_length} items",
    "too_short": "must have at least {min_length} item",
    "string_pattern_mismatch": "must be letters, digits, dots, dashes and underscores, at most 64",
}
"""Sentences by pydantic's error type; the words in braces come from the error's context."""

_WORDS = {
    "True": "true",
    "False": "false",
    "None": "null",
    "inf": ".inf",
    "-inf": "-.inf",
    "nan": ".nan",
}
"""Values that Python spells differently from YAML."""


def problems_of(
    error: ValidationError, tree: Node, root: type[BaseModel] = Experiment
) -> tuple[Problem, ...]:
    """Every problem of a validation as `root`, in the order of the file's fields."""
    return tuple(_problem(details, tree, root) for details in error.errors(include_url=False))


def _problem(details: ErrorDetails, tree: Node, root: type[BaseModel]) -> Problem:
    path, node, models = _locate(details["loc"], tree, root)
    given, origin = details["input"], node.origin
    context: dict[str, Any] = details.get("ctx", {})
    hint = ""
    match details["type"]:
        case "extra_forbidden":
            names = sorted({name for model in models for name in model.model_fields})
            key, origin = str(details["loc"][-1]), node.named_at
            message, hint = f"unknown key `{key}`", _nearest(key, names)
        case "missing":
            path = (*path, details["loc"][-1])
            message = f"`{path[-1]}` is missing"
            if path == ("name",):  # one is made of the file's, where that has a letter or a digit
                hint = "write one in the file, such as `name: mine`: letters and digits of ASCII"
        case "literal_error" | "union_tag_invalid":
            if details["type"] == "union_tag_invalid":
                path, node, given = (*path, "kind"), _child(node, "kind"), given["kind"]
                origin = node.origin
            expected = context.get("expected") or context["expected_tags"]
            words = [word.strip().strip("'") for word in expected.replace(" or ", ", ").split(",")]
            message = f"{_shown(given)} is not one of the values"
            hint = _nearest(str(given), words)
        case kind if kind in _SENTENCES:
            limits = {name: _plain_number(value) for name, value in context.items()}
            message = f"{_SENTENCES[kind].format(**limits)}, not {_shown(given)}"
        case _:
            message = details["msg"]
    return Problem(message, place(path), origin, hint)


def _locate(
    location: tuple[int | str, ...], tree: Node, root: type[BaseModel]
) -> tuple[Path, Node, set[type[BaseModel]]]:
    """The path in the file, its node, and the models that may stand there.

    A pydantic location also has parts that the file has not: union tags, and the fields that short
    forms stand for.
    """
    path: Path = ()
    node = tree
    models: set[type[BaseModel]] = {root}
    for part in location:
        fields = [model.model_fields[part] for model in models if part in model.model_fields]
        if fields:
            models = {inner for field in fields for inner in _models_in(field.annotation)}
        elif len(models) > 1 and not _has(node, part):  # a tag
            kinds = {model: get_args(model.model_fields["kind"].annotation) for model in models}
            models = {model for model in models if part in kinds[model]}
            continue
        match node.value:
            case dict() as entries if part in entries:
                node = entries[str(part)]
            case list() as items if isinstance(part, int) and part < len(items):
                node = items[part]
            case _:
                continue
        path = (*path, part)
    return path, node, models


def short_field(path: Path) -> str | None:
    """The field that a bare value at `path` stands for, such as `out`; None where there is none."""
    shorts = {model.short for model in _models_at(path) if issubclass(model, ShortSpec)}
    return shorts.pop() if shorts else None


def keys_by_kind(path: Path) -> dict[str, set[str]]:
    """Keys of the object at `path` for each of its kinds; empty where no `kind` decides on them."""
    models = _models_at(path)
    if len(models) < 2:
        return {}
    return {
        str(kind): set(model.model_fields)
        for model in models
        for kind in get_args(model.model_fields["kind"].annotation)
    }


def _models_at(path: Path) -> set[type[BaseModel]]:
    """The models that an object at `path` in a spec may be of."""
    models: set[type[BaseModel]] = {Experiment}
    for part in path:
        fields = [model.model_fields[part] for model in models if part in model.model_fields]
        if isinstance(part, str):
            models = {inner for field in fields for inner in _models_in(field.annotation)}
    return models


def _has(node: Node, part: int | str) -> bool:
    return isinstance(node.value, dict) and part in node.value


def _child(node: Node, key: str) -> Node:
    return node.value.get(key, node) if isinstance(node.value, dict) else node


def _models_in(annotation: Any) -> set[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return {annotation}
    return {model for argument in get_args(annotation) for model in _models_in(argument)}


def _nearest(given: str, valid: list[str]) -> str:
    near = difflib.get_close_matches(given[:MAX_KEY], valid, n=1)
    listing = f"valid: {', '.join(valid)}"
    return f"did you mean `{near[0]}`? {listing}" if near else listing


def _plain_number(value: object) -> object:
    """A limit as it is written: 0 for 0.0."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _shown(value: object) -> str:
    """A value as in YAML, on one short line."""
    text = _WORDS.get(repr(value), repr(value))
    return text if len(text) <= 40 else f"{text[:37]}…"
