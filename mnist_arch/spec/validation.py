"""What pydantic found wrong, said as problems of a spec: place, sentence, nearest valid name."""

from __future__ import annotations

from typing import Any, Final, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from mnist_arch.errors import Problem
from mnist_arch.spec.experiment import Experiment
from mnist_arch.spec.grammar import models_in
from mnist_arch.spec.strict_yaml import KeyPath, Node, place

NEEDS_A_NAME: Final = "write one in the file, such as `name: mine`: letters and digits of ASCII"
"""The way out where there is no name, and none can be made."""

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
    "string_too_long": "must have at most {max_length} characters",
    "string_too_short": "must have at least {min_length} character",
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
    error: ValidationError, tree: Node, root: type[BaseModel] = Experiment, *, inside: str = ""
) -> tuple[Problem, ...]:
    """Every problem of a validation as `root`, in the order of the file's fields.

    `inside` is the key under which a spec stands in a file that is none.
    """
    return tuple(_problem(it, tree, root, inside) for it in error.errors(include_url=False))


def _problem(details: ErrorDetails, tree: Node, root: type[BaseModel], inside: str) -> Problem:
    from mnist_arch.spec.overrides import is_set
    from mnist_arch.spec.sources import recipe_names
    from mnist_arch.spec.suggestions import Suggestions, nearest  # which only mistakes need

    path, node, models = _locate(details["loc"], tree, root)
    given, origin = details["input"], node.origin
    context: dict[str, Any] = details.get("ctx", {})
    suggest = Suggestions(root, inside, as_set=is_set(origin))
    hint = ""
    match details["type"]:
        case "extra_forbidden" if path[-2:] == ("recipe", "extends"):
            message = f"no recipe is named {given!r}"
            hint = nearest(str(given), recipe_names())
        case "union_tag_invalid" if isinstance(given, dict) and "kind" not in given:
            names = sorted({name for model in models for name in model.model_fields})
            unknown = next((key for key in given if key not in names), None)
            message, hint = "one of its keys must be there", f"valid: {', '.join(names)}"
            if unknown is not None:
                path, origin = (*path, unknown), node.entries[unknown].named_at
                message = f"unknown key `{unknown}`"
                hint = suggest.for_key(path, given[unknown], names)
        case "extra_forbidden":
            names = sorted({name for model in models for name in model.model_fields})
            origin = node.named_at
            message, hint = f"unknown key `{path[-1]}`", suggest.for_key(path, given, names)
        case "missing":
            path = (*path, details["loc"][-1])
            message, hint = f"`{path[-1]}` is missing", suggest.for_missing(path)
            if path == ("name",):  # one is made of the file's, where that has a letter or a digit
                hint = NEEDS_A_NAME
        case "literal_error" | "union_tag_invalid":
            if details["type"] == "union_tag_invalid":
                given = given["kind"]
                if isinstance(node.value, dict):  # else it is the short form
                    path, node = (*path, "kind"), node.value.get("kind", node)
                origin = node.origin
            expected = context.get("expected") or context["expected_tags"]
            words = [word.strip().strip("'") for word in expected.replace(" or ", ", ").split(",")]
            message = f"{_shown(given)} is not one of the values"
            hint = suggest.for_word(given, words)
        case kind if kind in _SENTENCES:
            limits = {name: _plain_number(value) for name, value in context.items()}
            message = f"{_SENTENCES[kind].format(**limits)}, not {_shown(given)}"
            hint = suggest.for_value(path, node.plain())
        case _:
            message = details["msg"]
    return Problem(message, place(path), origin, hint)


def _locate(
    location: tuple[int | str, ...], tree: Node, root: type[BaseModel]
) -> tuple[KeyPath, Node, set[type[BaseModel]]]:
    """The path in the file, its node, and the models that may stand there.

    A pydantic location also has parts that the file has not: union tags, and the fields that short
    forms stand for.
    """
    path: KeyPath = ()
    node = tree
    models: set[type[BaseModel]] = {root}
    for part in location:
        fields = [model.model_fields[part] for model in models if part in model.model_fields]
        if fields:
            models = {inner for field in fields for inner in models_in(field.annotation)}
        elif len(models) > 1 and not _has(node, part):  # a tag
            models = {model for model in models if part in _tags(model)}
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


def _tags(model: type[BaseModel]) -> tuple[str, ...]:
    """How a union tells a model from others: its kinds, else its first field, such as `last-of`."""
    if kind := model.model_fields.get("kind"):
        return get_args(kind.annotation)
    return (f"{next(iter(model.model_fields))}-of",)


def _has(node: Node, part: int | str) -> bool:
    return isinstance(node.value, dict) and part in node.value


def _plain_number(value: object) -> object:
    """A limit as it is written: 0 for 0.0."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _shown(value: object) -> str:
    """A value as in YAML, on one short line."""
    text = _WORDS.get(repr(value), repr(value))
    return text if len(text) <= 40 else f"{text[:37]}…"
