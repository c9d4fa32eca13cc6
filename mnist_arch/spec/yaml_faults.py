"""What PyYAML's complaints mean to somebody who writes a spec: a sentence and the way out."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Final

import yaml

_INVALID: Final = "not valid YAML: "
_QUOTES: Final = "text that has one is written in quotes"
_INDENTATION: Final = (
    "keys of one object begin in the same column, what is inside them two spaces further right"
)

NO_ANCHORS: Final = (
    "anchors and aliases are not part of the language",
    0,
    "write the value out; what all blocks share goes under `defaults`, what specs share is taken "
    "over with `extends: other.yaml`; a text that begins with & or * is written in quotes",
)
NO_TAGS: Final = (
    "tags are not part of the language",
    0,
    "write the value alone, such as `8`, or in quotes where it is text, such as `'!x'`",
)


@dataclass(frozen=True)
class Fault:
    """What is wrong with a text, at the character `index`."""

    message: str
    index: int
    hint: str = ""

    def at(self, index: int) -> Fault:
        """The same at another place."""
        return replace(self, index=index)


def unclosed(error: yaml.MarkedYAMLError, text: str) -> bool:
    """Whether the text ends where something is still open."""
    mark = error.problem_mark
    return mark is not None and not text[mark.index :].strip() and "quote" not in _context(error)


def fault_of(error: yaml.MarkedYAMLError, text: str) -> Fault:
    """The complaint in other words, where they help; else in PyYAML's own."""
    mark, problem = error.problem_mark, error.problem or str(error)
    index = 0 if mark is None else min(mark.index, len(text))
    began = index if error.context_mark is None else error.context_mark.index
    context, char = _context(error), text[index : index + 1]
    if re.search("anchor|alias", context):
        return Fault(*NO_ANCHORS).at(began)
    if re.search(r"\btag\b", f"{context} {problem}"):
        return Fault(*NO_TAGS).at(began)
    if "quoted scalar" in context and "end of stream" in problem:
        return Fault(f"{_INVALID}the quote is not closed", began, f"close it with {text[began]}")
    message, place, hint = problem, index, ""
    if char == "\t" and "cannot start" in problem:
        message = "a tab, where only spaces can stand"
        hint = "write two spaces in place of each tab, such as `  epochs: 5`"
    elif "cannot start" in problem:
        message, hint = f"a value cannot begin with `{char}`", f"{_QUOTES}, such as '{char}x'"
    elif "could not find expected ':'" in problem:
        message, place = "this line has no key with a colon and a space", began
        hint = "write `key: value`, such as `epochs: 5`"
    elif "mapping values are not allowed" in problem:
        message, hint = _colon(text, index)
    elif "sequence entries are not allowed" in problem:
        message = "an item `-` cannot stand here"
        hint = "items stand on lines of their own below their key, or in brackets: [8, 16]"
    elif "expected <block end>" in problem:
        message, hint = "the indentation is not that of the lines above", _INDENTATION
    elif found := re.match(r"expected ',' or '([\]}])'", problem):
        opening, closing = text[began], found[1]
        message = f"`,` or `{closing}` is expected here"
        line = text.count("\n", 0, began) + 1
        hint = f"the bracket `{opening}` of line {line} is not closed before this place"
    elif "expected the node content" in problem:
        message, hint = f"a value is missing before `{char}`", "take it out, or write the value"
    elif "expected '<document start>'" in problem:
        message = "the spec has ended before this line"
        hint = "keys stand either all inside one pair of braces, or all without"
    elif "unknown escape" in problem:
        hint = "in double quotes \\ begins an escape; single quotes take text as it is: 'a\\b'"
    return Fault(f"{_INVALID}{message}", place, hint)


def _colon(text: str, index: int) -> tuple[str, str]:
    """A colon after what is no key, since the line has one already, or stands too far right."""
    line = text[text.rfind("\n", 0, index) + 1 : index]
    if re.search(r":\s", line):
        return "a second colon in one value", f"{_QUOTES}, such as `name: 'a: b'`"
    hint = f"{_INDENTATION}; each key has a colon and a space, such as `epochs: 5`"
    return "no key can stand here, by the lines above", hint


def _context(error: yaml.MarkedYAMLError) -> str:
    return error.context or ""
