"""The ground that specs stand on: strict field types, and values that are frozen and closed."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    StrictFloat,
    StrictInt,
    ValidationError,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from mnist_arch.errors import FROM_SCRATCH, TRAIN_AGAIN, EarlierFormat, LaterFormat, RunCorrupt
from mnist_arch.files import read, to_json

Count = Annotated[StrictInt, Field(gt=0, le=4096)]
Small = Annotated[StrictInt, Field(gt=0, le=64)]
Rate = Annotated[StrictFloat, Field(ge=0, lt=1, allow_inf_nan=False)]
Fraction = Annotated[StrictFloat, Field(ge=0, le=1, allow_inf_nan=False)]
Positive = Annotated[StrictFloat, Field(gt=0, le=1e6, allow_inf_nan=False)]
NotNegative = Annotated[StrictFloat, Field(ge=0, le=1e6, allow_inf_nan=False)]


class Spec(BaseModel):
    """A frozen value with strict fields; unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        schema = handler(core_schema)
        properties = handler.resolve_ref_schema(schema)["properties"]
        for name, text in field_docstrings(cls).items():
            properties[name]["description"] = text
        return schema


def field_docstrings(kind: type[Spec]) -> dict[str, str]:
    """What stands below each field. pydantic would read the sources at each start."""
    kinds = [it for it in reversed(kind.__mro__) if issubclass(it, Spec)]
    found = {name: text for it in kinds for name, text in _own_docstrings(it).items()}
    return {name: found[name] for name in kind.model_fields if name in found}


@functools.cache
def _own_docstrings(kind: type[Spec]) -> dict[str, str]:
    import ast  # here, since few commands need it
    import inspect
    import textwrap

    (tree,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    assert isinstance(tree, ast.ClassDef)
    found: dict[str, str] = {}
    for field, below in itertools.pairwise(tree.body):
        match field, below:
            case (
                ast.AnnAssign(target=ast.Name(name)),
                ast.Expr(value=ast.Constant(value=str(text))),
            ):
                found[name] = inspect.cleandoc(text)
    return found


class ShortSpec(Spec):
    """A spec that may be written as the bare value of one field: `16` for `{out: 16}`."""

    short: ClassVar[str]

    @model_validator(mode="before")
    @classmethod
    def _expand(cls, value: Any) -> Any:
        return value if isinstance(value, dict | cls) else {cls.short: value}

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        schema = super().__get_pydantic_json_schema__(core_schema, handler)
        whole = handler.resolve_ref_schema(schema)
        bare = {
            key: item for key, item in whole["properties"][cls.short].items() if key != "default"
        }
        return {"anyOf": [bare, whole], "description": whole["description"]}


FORMAT: Final = 2
"""Number of the spec language and its random numbers; in every digest and every file written."""


class Record(BaseModel):
    """A frozen value that is stored as JSON."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    def json_text(self) -> str:
        return to_json(self.model_dump(mode="json"))


RecordT = TypeVar("RecordT", bound=Record)


def check_format(found: int, path: Path, *, hint: str = TRAIN_AGAIN) -> None:
    """Raises EarlierFormat, whose hint says how to start again, or LaterFormat."""
    if found < FORMAT:
        message = f"{path} has format {found}, of an earlier version; this program reads {FORMAT}"
        hint = f"{hint}, or use the version of mnist-arch that wrote it"
        raise EarlierFormat(message, hint=hint)
    if found > FORMAT:
        message = f"{path} has format {found}; this program reads up to {FORMAT}"
        raise LaterFormat(message, hint="install a later version of mnist-arch")


def check_header_format(metadata: Mapping[str, str], path: Path) -> None:
    """Checks the format of a weights file by its header, where this program wrote it."""
    if "spec" in metadata and (found := metadata.get("format", "")).isdecimal():
        check_format(int(found), path, hint="train the network again")


class _Format(BaseModel):
    """The only field that every version of a file has."""

    format: Annotated[int, Field(ge=1)]


def read_record(path: Path, kind: type[RecordT], *, hint: str = TRAIN_AGAIN) -> RecordT:
    """A stored value.

    Raises RunCorrupt, EarlierFormat, whose hint has `hint`, LaterFormat, or StorageError.
    """
    try:
        text = read(path).decode("utf-8")
        check_format(_Format.model_validate_json(text).format, path, hint=hint)
        return kind.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        place = "".join(f"{part}: " for part in first["loc"])
        raise RunCorrupt(f"{path} is damaged: {place}{first['msg']}", hint=FROM_SCRATCH) from None
    except UnicodeDecodeError as error:
        raise RunCorrupt(f"{path} cannot be read: {error}", hint=FROM_SCRATCH) from None
