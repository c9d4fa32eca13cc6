"""A spec as a person would write it: comments that say where it came from, then short YAML."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any, Final

from mnist_arch.spec.strict_yaml import flow

_WIDTH: Final = 100


def spec_text(tree: dict[str, Any], comments: Sequence[str]) -> str:
    """YAML that loads as `tree`, with a comment of several lines before it."""
    lines = [f"# {line}".rstrip() for comment in comments for line in _wrapped(comment)]
    for key, value in tree.items():
        lines += _entry(key, value, "")
    return "\n".join(lines) + "\n"


def _wrapped(comment: str) -> list[str]:
    plain = "".join(it if it.isprintable() else " " for it in comment)
    return textwrap.wrap(plain, _WIDTH - 2, subsequent_indent="  ", break_on_hyphens=False) or [""]


def _entry(key: str, value: Any, indent: str) -> list[str]:
    """A key with its value: on one line where there is room, else one line an item."""
    line = f"{indent}{key}: {flow(value)}"
    is_block = isinstance(value, list) and any(isinstance(it, dict) for it in value)
    if not (is_block and key == "blocks") and len(line) <= _WIDTH and key != "recipe":
        return [line]
    match value:
        case dict():
            inner = [it for name, each in value.items() for it in _entry(name, each, indent + "  ")]
            return [f"{indent}{key}:", *inner]
        case list():
            return [f"{indent}{key}:", *(it for item in value for it in _item(item, indent + "  "))]
    return [line]


def _item(value: Any, indent: str) -> list[str]:
    line = f"{indent}- {flow(value)}"
    if len(line) <= _WIDTH or not isinstance(value, dict):
        return [line]
    inner = [it for name, each in value.items() for it in _entry(name, each, indent + "  ")]
    return [f"{indent}- {inner[0].lstrip()}", *inner[1:]]
