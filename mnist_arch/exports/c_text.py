"""What the two C programs, of floats and of whole numbers, are written with."""

from __future__ import annotations

import math
import re
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from mnist_arch.counting.layers import Shape, Sides
from mnist_arch.data.catalog import IMAGE_SHAPE
from mnist_arch.exports.arena import Arena, Lifetime, arena_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

WIDTH: Final = 100

VALUE_BYTES: Final = {"uint8_t": 1, "float": 4}
"""Of C's types of a value."""

NEAREST: Final = """
static int nearest(int at, int side)
{
    return at < 0 ? 0 : at < side ? at : side - 1;
}
"""
"""Of a border that is repeated: the place on the map that a place beside it has its value from."""


_WINDOW: Final = """
struct window {
    @SIDE@ rows, columns, out_rows, out_columns; /* of the maps */
    @SIDE@ height, width, stride;
    uint8_t top, left; /* padding */
};
"""

KERNEL: Final = """\
    const struct window *window = &it->window;
    const int rows = window->rows, columns = window->columns, stride = window->stride;
    const int inputs = it->inputs / it->groups, taps = window->height * window->width;
    const int out_columns = window->out_columns;
"""
"""What does not change while a convolution is computed."""

_ROW: Final = """\
    const @VALUE@ *maps = in + output / (it->outputs / it->groups) * inputs * rows * columns;
    const int first = output * inputs * taps;
    const @SUM@ bias = it->biases == NULL ? 0 : @BIAS@;

    for (int column = 0; column < out_columns; column++)
        @SUMS@[column] = bias;
    for (int tap = 0; tap < taps; tap++) {
@TAP@
    }
"""

_TAP: Final = """\
        const int y = row * stride + tap / window->width - window->top;
        const int left = tap % window->width - window->left;
        const int from = left < 0 ? (stride - 1 - left) / stride : 0;
        const int end = left < columns ? (columns - 1 - left) / stride + 1 : 0;
        const int to = end < out_columns ? end : out_columns;

        if (y < 0 || y >= rows)
            continue;
        for (int input = 0; input < inputs; input++) {
            const @VALUE@ *x = maps + (input * rows + y) * columns + from * stride + left;
            const @SUM@ weight = @WEIGHT@;

            for (int column = from; column < to; column++, x += stride)
                @SUMS@[column] += weight * @REAL@;
        }"""

_BORDER_TAP: Final = """\
        const int y = nearest(row * stride + tap / window->width - window->top, rows);
        const int left = tap % window->width - window->left;

        for (int input = 0; input < inputs; input++) {
            const @VALUE@ *line = maps + (input * rows + y) * columns;
            const @SUM@ weight = @WEIGHT@;

            for (int column = 0; column < out_columns; column++) {
                const @VALUE@ *x = line + nearest(column * stride + left, columns);

                @SUMS@[column] += weight * @REAL@;
            }
        }"""


def filled(text: str, places: Mapping[str, str]) -> str:
    """A text with what its places, such as `@NAME@`, stand for."""
    for place, value in places.items():
        text = text.replace(place, value)
    return text


def row_of_sums(places: Mapping[str, str], *, repeats_border: bool) -> str:
    """Lines that sum what the taps of a kernel see for one row of what it makes.

    `places` are the types of a value and of a sum, where sums go, and how bias, weight and value
    are read. Before them stands KERNEL.
    """
    return filled(_ROW, {"@TAP@": _BORDER_TAP if repeats_border else _TAP, **places})


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


@dataclass
class Writer:
    """What a program in C is put together from."""

    shapes: Sequence[Shape]
    """Of the values, from value 1 on."""
    arena: Arena
    """Where these lie."""
    tables: Tables = field(default_factory=Tables)
    structs: list[str] = field(default_factory=list)
    """Constants that describe operations."""
    needs: set[str] = field(default_factory=set)
    """Functions that are called."""
    longest: int = 0
    """The largest number that a window has."""

    def at(self, value: int) -> str:
        """Where a value lies."""
        return "image" if value == 0 else f"memory + {self.arena.offsets[value - 1]}"

    def shape(self, value: int) -> Shape:
        """Of a value, or of the image."""
        return IMAGE_SHAPE if value == 0 else self.shapes[value - 1]

    def struct(self, kind: str, text: str) -> str:
        """The name of a constant of this kind."""
        name = f"{kind}_{len(self.structs)}"
        self.structs.append(f"static const struct {kind} {name} = {text};\n")
        return name

    def window(
        self, before: Shape, after: Shape, size: tuple[int, int], stride: int, sides: Sides
    ) -> str:
        """What slides over a map, as the numbers of `struct window`."""
        numbers = *before[1:], *after[1:], *size, stride, sides[0], sides[2]
        self.longest = max(self.longest, *numbers)
        return f"{{{', '.join(map(str, numbers))}}}"

    def source(
        self,
        name: str,
        *,
        about: str,
        includes: Sequence[str],
        value: str,
        logit: str,
        said: str,
        functions: str,
        body: str,
        data_bytes: int,
    ) -> CSource:
        """Both files. `value` and `logit` are C's types; `body` is that of what others call."""
        prefix, size = prefix_of(name), max(self.arena.size, 1)
        classes = f"{prefix.upper()}_CLASSES"
        call = f"int {prefix}_predict(const uint8_t image[784], {logit} logits[{classes}])"
        side = "uint8_t" if self.longest < 2**8 else "uint16_t"
        source = f"""{comment(about)}

#include "{name}.h"

{"".join(f"#include <{it}>{chr(10)}" for it in includes)}
static {value} memory[{size}];
{_WINDOW.replace("@SIDE@", side) if self.structs else ""}{functions}
{"".join(self.tables.texts)}
{"".join(self.structs)}
{call}
{{
{body}}}
"""
        counted = f"{classes} {self.shapes[-1][0]}"
        return CSource(
            name=name,
            prefix=prefix,
            source=source,
            header=_header(about, prefix=prefix, classes=counted, said=said, call=call),
            data_bytes=data_bytes,
            buffer_bytes=size * VALUE_BYTES[value],
            logit=logit,
        )


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


def _header(about: str, *, prefix: str, classes: str, said: str, call: str) -> str:
    """The header: what there is to call."""
    guard = f"{prefix.upper()}_H"
    return f"""{comment(about)}

#ifndef {guard}
#define {guard}

#include <stdint.h>

#ifdef __cplusplus
extern "C" {{
#endif

#define {classes}

{comment(said)}
{call};

#ifdef __cplusplus
}}
#endif

#endif
"""
