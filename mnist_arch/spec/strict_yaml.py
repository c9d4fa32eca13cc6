"""Strict YAML: text → nodes that remember where they came from.

What PyYAML would do silently is refused or read plainly: `1e-3` is a number, `no` is a word, `010`
and `1:30` are text, a repeated key is an error. Anchors, tags, deep nesting and large files are
refused.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, Protocol

import yaml

from mnist_arch.errors import Origin, Problem, SpecError
from mnist_arch.spec.yaml_faults import NO_ANCHORS, NO_TAGS, Fault, fault_of, unclosed

MAX_BYTES: Final = 1 << 20
MAX_DEPTH: Final = 32
MAX_KEY: Final = 64

KeyPath = tuple[str | int, ...]
Scalar = str | int | float | bool | None

_INT = re.compile(r"[-+]?(0|[1-9][0-9]{0,99})")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_LEADING_ZERO = re.compile(r"[-+]?0[0-9]+")
_BREAK = re.compile("\r\n|[\n\r\x85\u2028\u2029]")
"""What ends a line of YAML."""
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
    key: str = field(default="", compare=False)
    """Where its key was written; empty where it has none."""

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

    @property
    def named_at(self) -> str:
        """Where its key was written, or else the value."""
        return self.key or self.origin

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


def place(path: KeyPath) -> str:
    """`("blocks", 0, "channels", 1)` → `blocks[0].channels[1]`."""
    parts = [f"[{part}]" if isinstance(part, int) else f".{part}" for part in path]
    return "".join(parts).removeprefix(".")


# ------------------------------------------------------------------------------------------ places


class _Places(Protocol):
    """Gives the place of each character of a text."""

    def at(self, index: int) -> Origin: ...


class Lines:
    """The places in a text of several lines, which is called `source`."""

    def __init__(self, text: str, source: str) -> None:
        self.source = source
        self.starts = [0, *(match.end() for match in _BREAK.finditer(text))]
        self.lines = _BREAK.split(text)

    def at(self, index: int) -> Origin:
        """The place of a character; of one beyond the end, the end."""
        line = bisect_right(self.starts, index) - 1
        quoted = self.lines[line]
        column = min(index - self.starts[line], len(quoted)) + 1
        where = f"{self.source}:{line + 1}"
        return Origin(where, line=line + 1, column=column, quoted=quoted)


@dataclass(frozen=True)
class Argument:
    """The places in a part of an argument of the command line, which is quoted whole."""

    whole: str
    start: int = 0
    """Where the part begins."""

    def at(self, index: int) -> Origin:
        """The place of a character of the part."""
        column = min(self.start + index, len(self.whole)) + 1
        return Origin(self.whole, column=column, quoted=self.whole)


# ------------------------------------------------------------------------------------------ reading


def parse(text: str, source: str) -> Node:
    """The one document in `text`; raises SpecError, and nothing else, unless it is strict YAML."""
    text = text.removeprefix("\ufeff")
    if len(text.encode("utf-8", "replace")) > MAX_BYTES:
        raise too_long(source)
    places = Lines(text, source)
    if text.lstrip().startswith("{"):  # JSON, in which tabs are as good as spaces
        text = text.replace("\t", " ")
    return _Reader(text, places, Node(None, source)).read()


def parse_argument(argument: Argument) -> Node:
    """The value that a part of an argument is. Raises SpecError as `parse` does."""
    text = argument.whole[argument.start :]
    return _Reader(text, argument, Node(None, argument.at(0))).read()


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


@dataclass
class _Open:
    """A container that is being read."""

    node: Node
    bracket: str
    """`[` or `{`; empty where it has none, but its indentation."""
    key: str | None = None
    """The key in it that waits for its value."""
    key_origin: str = ""


class _Reader:
    """Builds the tree without recursion, so that no nesting can exhaust the stack."""

    def __init__(self, text: str, places: _Places, root: Node) -> None:
        self.text, self.places, self.root = text, places, root
        self.open: list[_Open] = []
        self.documents = 0

    def read(self) -> Node:
        try:
            loader = yaml.SafeLoader(self.text)
        except yaml.reader.ReaderError as error:
            code = f"U+{ord(self.text[error.position]):04X}"
            hint = f"take the character {code} out, or save the file as plain text in UTF-8"
            fault = Fault(f"not valid YAML: {error.reason}", error.position, hint)
            raise self._refusal(fault) from None
        try:
            for event in _events(loader):
                self._take(event)
        except yaml.MarkedYAMLError as error:
            opened = next((it for it in reversed(self.open) if it.bracket), None)
            if opened is not None and unclosed(error, self.text):
                message = f"not valid YAML: the bracket `{opened.bracket}` is not closed"
                hint = f"close it with `{'}' if opened.bracket == '{' else ']'}`"
                raise SpecError((Problem(message, "", opened.node.origin, hint),)) from None
            raise self._refusal(fault_of(error, self.text)) from None
        except (
            ValueError,
            OverflowError,
        ):  # PyYAML converts `"\UFFFFFFFF"`, `%YAML 999…` unchecked
            fault = Fault("not valid YAML: a number is out of range", loader.index)
            raise self._refusal(fault) from None
        return self.root

    def _refusal(self, fault: Fault) -> SpecError:
        problem = Problem(fault.message, "", self.places.at(fault.index), fault.hint)
        return SpecError((problem,))

    def _take(self, event: yaml.Event) -> None:
        start = event.start_mark.index if event.start_mark else 0
        if getattr(event, "anchor", None):  # an alias has its anchor's name
            raise self._refusal(Fault(*NO_ANCHORS).at(start))
        if getattr(event, "tag", None):
            raise self._refusal(Fault(*NO_TAGS).at(start))
        match event:
            case yaml.DocumentStartEvent():
                self.documents += 1
                if self.documents > 1:
                    hint = "a file has one spec; several experiments are a sweep: --- is not needed"
                    raise self._refusal(Fault("a second document; one is expected", start, hint))
            case yaml.MappingEndEvent() | yaml.SequenceEndEvent():
                self.open.pop()
            case yaml.MappingStartEvent():
                self._open(Node({}, self.places.at(start)), "{" if event.flow_style else "", start)
            case yaml.SequenceStartEvent():
                self._open(Node([], self.places.at(start)), "[" if event.flow_style else "", start)
            case yaml.ScalarEvent():
                value = scalar(event.value) if event.implicit[0] else event.value
                self._put(Node(value, self.places.at(start)), event.value, start)

    def _open(self, node: Node, bracket: str, start: int) -> None:
        self._put(node, "", start)
        self.open.append(_Open(node, bracket))
        if len(self.open) > MAX_DEPTH:
            raise self._refusal(Fault(f"nested deeper than {MAX_DEPTH} levels", start))

    def _put(self, node: Node, word: str, start: int) -> None:
        """Puts a node into the innermost container, or takes `word` as the next key of it."""
        if not self.open:
            self.root = node
            return
        parent = self.open[-1]
        match parent.node.value:
            case list() as items:
                items.append(node)
            case dict() as entries if parent.key is not None:
                node.key = parent.key_origin
                entries[parent.key] = node
                parent.key = None
            case dict() as entries:
                if not 0 < len(word) <= MAX_KEY or not word.isprintable():
                    hint = (
                        f"one printable word of at most {MAX_KEY} characters, such as `epochs: 5`"
                    )
                    raise self._refusal(Fault("a key must be a word", start, hint))
                if word in entries:
                    hint = f"it was first given at {entries[word].named_at}"
                    raise self._refusal(Fault(f"the key `{word}` stands here again", start, hint))
                parent.key, parent.key_origin = word, self.places.at(start)


def _events(loader: yaml.SafeLoader) -> Iterator[yaml.Event]:
    while loader.check_event():
        yield loader.get_event()  # type: ignore[no-untyped-call]  # of types-PyYAML
