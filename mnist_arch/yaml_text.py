"""Strict YAML: text → nodes that remember where they came from.

What PyYAML would do silently is refused or read plainly: `1e-3` is a number, `no` is a word, `010`
and `1:30` are text, a repeated key is an error. Anchors, tags, deep nesting and large files are
refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import yaml

from mnist_arch.errors import Problem, SpecError

MAX_BYTES: Final = 1 << 20
MAX_DEPTH: Final = 32
MAX_KEY: Final = 64

Path = tuple[str | int, ...]
Scalar = str | int | float | bool | None

_INT = re.compile(r"[-+]?(0|[1-9][0-9]{0,99})")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_LEADING_ZERO = re.compile(r"[-+]?0[0-9]+")
_WORDS: Final[dict[str, Scalar]] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf"), float("inf")),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), float("-inf")),
}


@dataclass
class Node:
    """A value and the place it was written at."""

    value: dict[str, Node] | list[Node] | Scalar
    origin: str

    @classmethod
    def of(cls, value: object, origin: str) -> Node:
        """Dictionaries, lists and scalars as nodes that all have one origin."""
        match value:
            case dict():
                return cls(
                    {str(key): cls.of(inner, origin) for key, inner in value.items()}, origin
                )
            case list() | tuple():
                return cls([cls.of(inner, origin) for inner in value], origin)
            case str() | int() | float() | None:
                return cls(value, origin)
        raise TypeError(f"YAML has no {type(value).__name__}")

    @property
    def entries(self) -> dict[str, Node]:
        """The keys of a mapping, which this must be."""
        assert isinstance(self.value, dict)
        return self.value

    @property
    def items(self) -> list[Node]:
        """The items of a list, which this must be."""
        assert isinstance(self.value, list)
        return self.value

    def plain(self) -> object:
        """The value as dictionaries, lists and scalars."""
        match self.value:
            case dict() as entries:
                return {key: node.plain() for key, node in entries.items()}
            case list() as items:
                return [node.plain() for node in items]
            case scalar:
                return scalar


def flow(value: object) -> str:
    """A value on one line, as one would write it in YAML: `{kind: adamw, beta1: 0.9}`."""
    match value:
        case dict():
            return f"{{{', '.join(f'{key}: {flow(inner)}' for key, inner in value.items())}}}"
        case list() | tuple():
            return f"[{', '.join(map(flow, value))}]"
        case bool():
            return str(value).lower()
        case None:
            return "null"
        case _:
            return str(value)


_Open = tuple[Node, str | None]
"""A container that is being read, and the key in it that waits for its value."""


def place(path: Path) -> str:
    """`("blocks", 0, "channels", 1)` → `blocks[0].channels[1]`."""
    parts = [f"[{part}]" if isinstance(part, int) else f".{part}" for part in path]
    return "".join(parts).removeprefix(".")


def parse(text: str, source: str) -> Node:
    """The one document in `text`; raises SpecError, and nothing else, unless it is strict YAML."""
    if len(text.encode("utf-8", "replace")) > MAX_BYTES:
        raise too_long(source)
    try:
        loader = yaml.SafeLoader(text)
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position)
        raise _invalid(error.reason, source, line) from None
    try:
        return _document(_events(loader), source)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or loader
        raise _invalid(error.problem or str(error), source, mark.line) from None
    except (ValueError, OverflowError):  # PyYAML converts `"\UFFFFFFFF"` and `%YAML 999…` unchecked
        raise _invalid("a number is out of range", source, loader.line) from None


def _invalid(what: str, source: str, line: int) -> SpecError:
    """A refusal of the text at `line`, counted from 0."""
    return SpecError((Problem(f"not valid YAML: {what}", origin=f"{source}:{line + 1}"),))


def too_long(source: str) -> SpecError:
    """The refusal of a text over `MAX_BYTES`."""
    return SpecError((Problem(f"the text is longer than {MAX_BYTES:,} bytes", origin=source),))


def scalar(text: str) -> Scalar:
    """An unquoted scalar by the core schema of YAML 1.2, with leading zeros read as text."""
    if text in _WORDS:
        return _WORDS[text]
    if _INT.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text) and not _LEADING_ZERO.fullmatch(text):
        return float(text)
    return text


def _events(loader: yaml.SafeLoader) -> Iterator[yaml.Event]:
    while loader.check_event():
        yield loader.get_event()  # type: ignore[no-untyped-call]  # of types-PyYAML


def _document(events: Iterator[yaml.Event], source: str) -> Node:
    """Builds the tree without recursion, so that no nesting can exhaust the stack."""
    root = Node(None, source)
    open_nodes: list[_Open] = []
    documents = 0
    for event in events:
        where = f"{source}:{event.start_mark.line + 1}" if event.start_mark else source
        _refuse(event, where)
        match event:
            case yaml.DocumentStartEvent():
                documents += 1
                if documents > 1:
                    raise SpecError((Problem("a second document; one is expected", origin=where),))
                continue
            case yaml.MappingEndEvent() | yaml.SequenceEndEvent():
                open_nodes.pop()
                continue
            case yaml.MappingStartEvent():
                node = Node({}, where)
            case yaml.SequenceStartEvent():
                node = Node([], where)
            case yaml.ScalarEvent():
                node = Node(scalar(event.value) if event.implicit[0] else event.value, where)
            case _:
                continue
        if not open_nodes:
            root = node
        elif _attach(open_nodes, node, event, where):
            continue
        if isinstance(node.value, dict | list):
            open_nodes.append((node, None))
            if len(open_nodes) > MAX_DEPTH:
                raise SpecError((Problem(f"nested deeper than {MAX_DEPTH} levels", origin=where),))
    return root


def _attach(open_nodes: list[_Open], node: Node, event: yaml.Event, where: str) -> bool:
    """Puts `node` into the innermost container; true when it was the key of a mapping."""
    parent, key = open_nodes[-1]
    if isinstance(parent.value, list):
        parent.value.append(node)
        return False
    assert isinstance(parent.value, dict)
    if key is not None:
        parent.value[key] = node
        open_nodes[-1] = (parent, None)
        return False
    word = event.value if isinstance(event, yaml.ScalarEvent) else ""
    if not 0 < len(word) <= MAX_KEY or not word.isprintable():
        raise SpecError((Problem("a key must be a word", origin=where),))
    if word in parent.value:
        message = f"the key `{word}` stands here again"
        hint = f"it was first given at {parent.value[word].origin}"
        raise SpecError((Problem(message, origin=where, hint=hint),))
    open_nodes[-1] = (parent, word)
    return True


def _refuse(event: yaml.Event, where: str) -> None:
    if getattr(event, "anchor", None):  # an alias has its anchor's name
        message = "anchors and aliases are not part of the language"
        raise SpecError((Problem(message, origin=where),))
    if getattr(event, "tag", None):
        raise SpecError((Problem("tags are not part of the language", origin=where),))
