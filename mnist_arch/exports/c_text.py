"""What the two C programs, of floats and of whole numbers, are written with."""

from __future__ import annotations

import math
import re
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from mnist_arch.counting.layers import Shape, Sides
from mnist_arch.exports.arena import Arena, Lifetime, arena_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

WIDTH: Final = 100

NEAREST: Final = """
static int nearest(int at, int side)
{
    return at < 0 ? 0 : at < side ? at : side - 1;
}
"""
"""Of a border that is repeated: the place on the map that a place beside it has its value from."""


WINDOW: Final = """
struct window {
    uint16_t rows, columns, out_rows, out_columns; /* of the maps */
    uint16_t height, width, stride;
    uint8_t top, left; /* padding */
};
"""


def window(before: Shape, after: Shape, size: tuple[int, int], stride: int, sides: Sides) -> str:
    """Such a struct of what slides over a map."""
    numbers = *before[1:], *after[1:], *size, stride, sides[0], sides[2]
    return f"{{{', '.join(map(str, numbers))}}}"


@dataclass(frozen=True)
class CSource:
    """A network in C99: one file and its header."""

    name: str
    """Of both files, without ending."""
    prefix: str
    """Of every name that others see."""
    source: str
    header: str
    data_bytes: int
    """Of what is stored of the network: weights, biases, and what scales."""
    buffer_bytes: int
    """Of static memory."""
    logit: str
    """C's type of a logit."""


def prefix_of(name: str) -> str:
    """A name of C for a network's name."""
    found = re.sub(r"[^0-9A-Za-z]+", "_", name).strip("_").lower()
    return found if found[:1].isalpha() else f"net_{found}".rstrip("_")


def comment(text: str) -> str:
    """A comment in lines that are not too long; `*/` cannot end it early."""
    safe = re.sub(r"[^ -~\n]", "?", text).replace("*/", "* /").replace("/*", "/ *")
    lines: list[str] = []
    for paragraph in safe.split("\n"):
        lines += textwrap.wrap(paragraph, WIDTH - 3, break_long_words=False) or [""]
    return "\n".join(["/*", *(f" * {line}".rstrip() for line in lines), " */"])


def one_line(text: str) -> str:
    """The same words, to be broken into lines by `comment`."""
    return " ".join(text.split())


def table(kind: str, name: str, values: NDArray[Any]) -> str:
    """A constant array."""
    numbers = ", ".join(map(_number, values.reshape(-1).tolist()))
    rows = textwrap.fill(numbers, WIDTH - 4, initial_indent="    ", subsequent_indent="    ")
    return f"static const {kind} {name}[{values.size}] = {{\n{rows}\n}};\n"


def floating(value: float) -> str:
    """A float32 in C, with the digits that give it back; what is not finite has no text in C99."""
    if not math.isfinite(value):
        raise ValueError("not a finite number")
    text = f"{value:.9g}"
    return f"{text}f" if "." in text or "e" in text else f"{text}.0f"


def _number(value: float) -> str:
    return str(value) if isinstance(value, int) else floating(value)


class Tables:
    """The constant arrays of a program; equal ones, such as weights that are shared, are one."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.known: dict[tuple[str, bytes], str] = {}
        self.bytes = 0

    def name(self, kind: str, what: str, values: NDArray[Any] | None) -> str:
        """The name of an array of this C type; NULL for none."""
        if values is None:
            return "NULL"
        key = kind, values.tobytes()
        if key not in self.known:
            self.known[key] = f"{what}_{len(self.known)}"
            self.texts.append(table(kind, self.known[key], values))
            self.bytes += values.nbytes
        return self.known[key]


def places(
    shapes: Sequence[Shape], uses: Sequence[Sequence[int]], in_place: Iterable[int] = ()
) -> Arena:
    """Where values 1, 2, … of a program lie: `shapes` from value 1 on, `uses` from the image on.

    `in_place` are the operations, from 0, whose value may lie where that of their first input does,
    which the value before them has to be. The last value is kept to the end.
    """
    together = set(in_place)
    group: list[int] = []  # of each value, the first that lies in the same place
    spans: dict[int, Lifetime] = {}
    for number, shape in enumerate(shapes):
        last = max(uses[number + 1], default=number)
        is_moved = number not in together or list(uses[number]) != [number]
        first = number if is_moved else group[number - 1]
        group.append(first)
        begun = spans.get(first)
        size = math.prod(shape)
        spans[first] = (
            Lifetime(size, number, last)
            if begun is None
            else Lifetime(max(size, begun.size), begun.first, max(begun.last, last))
        )
    arena = arena_of(list(spans.values()))
    offset = dict(zip(spans, arena.offsets, strict=True))
    return Arena(tuple(offset[it] for it in group), arena.size)


def header(prefix: str, *, about: str, classes: int, logit: str, said: str) -> str:
    """The header: what there is to call."""
    guard = f"{prefix.upper()}_H"
    return f"""{comment(about)}

#ifndef {guard}
#define {guard}

#include <stdint.h>

#ifdef __cplusplus
extern "C" {{
#endif

#define {prefix.upper()}_CLASSES {classes}

{comment(said)}
int {prefix}_predict(const uint8_t image[784], {logit} logits[{prefix.upper()}_CLASSES]);

#ifdef __cplusplus
}}
#endif

#endif
"""
