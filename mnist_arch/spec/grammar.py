"""What may stand where in a spec, read off the models: keys, kinds, short forms, values."""

from __future__ import annotations

from functools import cache
from typing import Annotated, Any, get_args

from pydantic import BaseModel, Field, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from mnist_arch.spec.experiment import Experiment
from mnist_arch.spec.strict_yaml import KeyPath
from mnist_arch.values import ShortSpec


def short_field(path: KeyPath) -> str | None:
    """The field that a bare value at `path` stands for, such as `out`; None where there is none."""
    shorts = {model.short for model in models_at(path) if issubclass(model, ShortSpec)}
    return shorts.pop() if shorts else None


def keys_by_kind(path: KeyPath) -> dict[str, set[str]]:
    """Keys of the object at `path` for each of its kinds; empty where no `kind` decides on them."""
    models = models_at(path)
    if len(models) < 2 or not all("kind" in model.model_fields for model in models):
        return {}
    return {
        str(kind): set(model.model_fields)
        for model in models
        for kind in get_args(model.model_fields["kind"].annotation)
    }


def models_at(path: KeyPath) -> set[type[BaseModel]]:
    """The models that an object at `path` in a spec may be of."""
    models: set[type[BaseModel]] = {Experiment}
    for part in path:
        if isinstance(part, str):
            fields = [model.model_fields[part] for model in models if part in model.model_fields]
            models = {inner for field in fields for inner in models_in(field.annotation)}
    return models


def models_in(annotation: Any) -> set[type[BaseModel]]:
    """The models that a type is made of."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return {annotation}
    return {model for argument in get_args(annotation) for model in models_in(argument)}


def pattern(path: KeyPath) -> str:
    """A path without the numbers of items: `blocks.channels.out`."""
    return ".".join(part for part in path if isinstance(part, str))


@cache
def fields(root: type[BaseModel]) -> dict[str, tuple[FieldInfo, ...]]:
    """The fields of all places by their pattern, the shallow places first; one for each kind."""
    found: dict[str, tuple[FieldInfo, ...]] = {}
    level: dict[str, set[type[BaseModel]]] = {"": {root}}
    while level:
        below: dict[str, set[type[BaseModel]]] = {}
        for place, models in level.items():
            for model in sorted(models, key=lambda it: it.__name__):
                for name, field in model.model_fields.items():
                    inner = f"{place}.{name}" if place else name
                    found[inner] = (*found.get(inner, ()), field)
                    if under := models_in(field.annotation):
                        below[inner] = below.get(inner, set()) | under
        level = below
    if root is Experiment:  # a key of a file, which is resolved before there is an experiment
        found["extends"] = (FieldInfo(annotation=str),)
    return found


def is_list(place: str, root: type[BaseModel]) -> bool:
    """Whether a list of items stands at a place."""
    return any(_is_tuple(field.annotation) for field in fields(root).get(place, ()))


def accepts(path: KeyPath, value: object, root: type[BaseModel]) -> bool:
    """Whether a value may stand at a path, whatever stands elsewhere."""
    is_item = bool(path) and isinstance(path[-1], int)
    for adapter in _adapters(pattern(path), is_item, root):
        try:
            adapter.validate_python(value)
        except ValidationError:
            continue
        return True
    return False


@cache
def _adapters(place: str, is_item: bool, root: type[BaseModel]) -> tuple[TypeAdapter[Any], ...]:
    known = fields(root).get(place, ())
    if is_item:
        types = [get_args(it.annotation)[0] for it in known if _is_tuple(it.annotation)]
    else:
        types = [_type_of(it) for it in known]
    return tuple(map(TypeAdapter, types))


def _type_of(field: FieldInfo) -> Any:
    """The type of a field with all that checks it, in the order in which it was written."""
    checks = [Field(discriminator=field.discriminator)] if field.discriminator else []
    if not (checks or field.metadata):
        return field.annotation
    return Annotated[(field.annotation, *checks, *field.metadata)]


def _is_tuple(annotation: Any) -> bool:
    return getattr(annotation, "__origin__", None) is tuple
