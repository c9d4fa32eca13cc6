"""A network of floats in C99."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, assert_never

import numpy as np

from mnist_arch.counting.layers import Shape
from mnist_arch.data.catalog import IMAGE_SHAPE
from mnist_arch.exports.arena import Arena
from mnist_arch.exports.c_text import (
    NEAREST,
    WINDOW,
    CSource,
    Tables,
    comment,
    floating,
    header,
    one_line,
    places,
    prefix_of,
    window,
)
from mnist_arch.exports.program import (
    IMAGE,
    Add,
    AnyOperation,
    Concat,
    Convolution,
    Curve,
    GroupNorm,
    LeakyRelu,
    Multiply,
    Pixels,
    Pool,
    Program,
    Relu,
    Scale,
)

SAID: Final = """The class of an image, from 0: the place of the largest logit, of the first where
several are. image: 28 rows of 28 pixels, 0 is background and 255 is ink, as in MNIST; the
normalisation is inside. logits: where they are wanted, else NULL. Uses static memory: one call at a
time."""

_PIXELS: Final = """
static void normalize(float scale, float shift, const uint8_t image[784], float *out)
{
    for (int at = 0; at < 784; at++)
        out[at] = (float)image[at] * scale + shift;
}
"""

_STRUCT: Final = """
struct convolution {
    const float *weights; /* [outputs][inputs / groups][height][width] */
    const float *biases;  /* NULL where all are 0 */
    uint16_t inputs, outputs, groups;
    struct window window;
};
"""

_CONVOLVE: Final = """
static void convolve@SUFFIX@(const struct convolution *it, const float *in, float *out)
{
    const struct window *window = &it->window;
    const int rows = window->rows, columns = window->columns, stride = window->stride;
    const int inputs = it->inputs / it->groups, taps = window->height * window->width;

    for (int output = 0; output < it->outputs; output++) {
        const float *maps = in + output / (it->outputs / it->groups) * inputs * rows * columns;
        const float *weights = it->weights + (size_t)(output * inputs * taps);
        const float bias = it->biases == NULL ? 0.0f : it->biases[output];

        for (int row = 0; row < window->out_rows; row++, out += window->out_columns) {
            for (int column = 0; column < window->out_columns; column++)
                out[column] = bias;
            for (int tap = 0; tap < taps; tap++) {
@TAP@
            }
        }
    }
}
"""

_TAP: Final = """\
                const int y = row * stride + tap / window->width - window->top;
                const int left = tap % window->width - window->left;
                const int from = left < 0 ? (stride - 1 - left) / stride : 0;
                const int end = left < columns ? (columns - 1 - left) / stride + 1 : 0;
                const int to = end < window->out_columns ? end : window->out_columns;

                if (y < 0 || y >= rows)
                    continue;
                for (int input = 0; input < inputs; input++) {
                    const float *x = maps + (input * rows + y) * columns + from * stride + left;
                    const float weight = weights[input * taps + tap];

                    for (int column = from; column < to; column++, x += stride)
                        out[column] += weight * *x;
                }"""

_BORDER_TAP: Final = """\
                const int y = nearest(row * stride + tap / window->width - window->top, rows);
                const int left = tap % window->width - window->left;

                for (int input = 0; input < inputs; input++) {
                    const float *line = maps + (input * rows + y) * columns;
                    const float weight = weights[input * taps + tap];

                    for (int column = 0; column < window->out_columns; column++)
                        out[column] += weight * line[nearest(column * stride + left, columns)];
                }"""

_SCALE: Final = """
static void scale(int channels, int size, const float *by, const float *shift, const float *in,
                  float *out)
{
    for (int channel = 0; channel < channels; channel++)
        for (int at = 0; at < size; at++)
            *out++ = *in++ * by[channel] + shift[channel];
}
"""

_GROUP_NORM: Final = """
/* each: how many values that follow each other have one scale and one shift */
static void group_norm(int size, int groups, int each, float eps, const float *by,
                       const float *shift, const float *in, float *out)
{
    const int length = size / groups;

    for (int group = 0; group < groups; group++, in += length, out += length) {
        float mean = 0.0f, variance = 0.0f;

        for (int at = 0; at < length; at++)
            mean += in[at] / (float)length;
        for (int at = 0; at < length; at++)
            variance += (in[at] - mean) * (in[at] - mean) / (float)length;
        for (int at = 0; at < length; at++) {
            const int place = (group * length + at) / each;

            out[at] = (in[at] - mean) / sqrtf(variance + eps) * by[place] + shift[place];
        }
    }
}
"""

_RELU: Final = """
static void relu(int channels, int size, const float *floors, const float *in, float *out)
{
    for (int channel = 0; channel < channels; channel++) {
        const float least = floors == NULL ? 0.0f : floors[channel];

        for (int at = 0; at < size; at++, in++)
            *out++ = *in > least ? *in : least;
    }
}
"""

_LEAKY: Final = """
static void leaky_relu(int channels, int size, const float *slopes, const float *in, float *out)
{
    for (int channel = 0; channel < channels; channel++)
        for (int at = 0; at < size; at++, in++)
            *out++ = *in >= 0.0f ? *in : *in * slopes[channel];
}
"""

_CURVE: Final = """
static void @KIND@(int size, const float *in, float *out)
{
    for (int at = 0; at < size; at++) {
        const float x = in[at];

        out[at] = @VALUE@;
    }
}
"""

_CURVES: Final = {
    "gelu": "0.5f * x * (1.0f + erff(x * 0.707106781f))",
    "silu": "x / (1.0f + expf(-x))",
    "hardswish": "x <= -3.0f ? 0.0f : x >= 3.0f ? x : x * (x + 3.0f) / 6.0f",
    "sigmoid": "1.0f / (1.0f + expf(-x))",
}

_POOL: Final = """
static void @NAME@(int channels, const struct window *it, const float *in, float *out)
{
    for (int channel = 0; channel < channels; channel++, in += it->rows * it->columns)
        for (int row = 0; row < it->out_rows; row++)
            for (int column = 0; column < it->out_columns; column++) {
                const int top = row * it->stride - it->top;
                const int left = column * it->stride - it->left;
                const int from = top < 0 ? 0 : top, start = left < 0 ? 0 : left;
                float found = @FIRST@;

                for (int y = from; y < top + it->height && y < it->rows; y++)
                    for (int x = start; x < left + it->width && x < it->columns; x++)
                        @TAKE@;
                *out++ = @FOUND@;
            }
}
"""

_LARGEST: Final = {
    "@NAME@": "largest",
    "@FIRST@": "in[from * it->columns + start]",
    "@TAKE@": "found = in[y * it->columns + x] > found ? in[y * it->columns + x] : found",
    "@FOUND@": "found",
}
_AVERAGE: Final = {
    "@NAME@": "average",
    "@FIRST@": "0.0f",
    "@TAKE@": "found += in[y * it->columns + x]",
    "@FOUND@": "found / (float)(it->height * it->width)",
}

_COPY: Final = """
static void copy(int size, const float *in, float *out)
{
    for (int at = 0; at < size; at++)
        out[at] = in[at];
}
"""

_ADD: Final = """
static void add(int size, const float *a, const float *b, float *out)
{
    for (int at = 0; at < size; at++)
        out[at] = a[at] + b[at];
}
"""

_MULTIPLY: Final = """
static void multiply(int channels, int size, const float *a, const float *b, float *out)
{
    for (int channel = 0; channel < channels; channel++)
        for (int at = 0; at < size; at++)
            *out++ = *a++ * b[channel];
}
"""

_MATH: Final = {"group_norm", "gelu", "silu", "sigmoid"}
"""What needs the library of mathematics, of C itself."""


@dataclass
class _Writer:
    program: Program
    arena: Arena
    tables: Tables = field(default_factory=Tables)
    structs: list[str] = field(default_factory=list)
    needs: set[str] = field(default_factory=set)

    def at(self, value: int) -> str:
        """Where a value lies."""
        return "image" if value == 0 else f"memory + {self.arena.offsets[value - 1]}"

    def operation(self, number: int, it: AnyOperation) -> str:
        """The line that computes an operation."""
        ins, out = [self.at(value) for value in it.inputs], self.at(number + 1)
        if isinstance(it, Concat):
            return self.concat(it, ins, out)
        function, *options = self.call(it)
        self.needs.add(function)
        return f"    {function}({', '.join([*options, *ins, out])});\n"

    def concat(self, it: Concat, ins: list[str], out: str) -> str:
        """The lines that put values one after the other."""
        self.needs.add("copy")
        lines, done = "", 0
        for value, place in zip(it.inputs, ins, strict=True):
            size = math.prod(self.program.operations[value - 1].shape)
            lines += f"    copy({size}, {place}, {out} + {done});\n"
            done += size
        return lines

    def call(self, it: AnyOperation) -> Sequence[str]:
        """Function and arguments, but for where its values are."""
        channels, height, width = it.shape
        size = height * width
        taken = it.inputs[0]
        before = IMAGE_SHAPE if taken == IMAGE else self.program.operations[taken - 1].shape
        match it:
            case Pixels(scale=scale, shift=shift):
                return "normalize", floating(scale), floating(shift)
            case Convolution() as op:
                name = self.convolution(op, before)
                return "convolve_with_border" if op.repeats_border else "convolve", f"&{name}"
            case Scale(scale=by, shift=moved):
                tables = (
                    self.tables.name("float", "scales", by),
                    self.tables.name("float", "shifts", moved),
                )
                return "scale", f"{channels}", f"{size}", *tables
            case GroupNorm() as op:
                tables = (
                    self.tables.name("float", "scales", op.scale),
                    self.tables.name("float", "shifts", op.shift),
                )
                eps = floating(op.eps)
                values = channels * size
                numbers = f"{values}", f"{op.groups}", f"{values // op.scale.size}"
                return "group_norm", *numbers, eps, *tables
            case Relu(floor=floor):
                table = self.tables.name("float", "floors", floor)
                return "relu", f"{channels}", f"{size}", table
            case LeakyRelu(slope=slope):
                slopes = np.broadcast_to(slope, channels).copy()
                table = self.tables.name("float", "slopes", slopes)
                return "leaky_relu", f"{channels}", f"{size}", table
            case Curve(kind=kind):
                return kind, f"{channels * size}"
            case Pool() as op:
                name = f"window_{len(self.structs)}"
                text = window(before, op.shape, op.size, op.stride, op.sides)
                self.structs.append(f"static const struct window {name} = {text};\n")
                return "largest" if op.kind == "max" else "average", f"{channels}", f"&{name}"
            case Add():
                return "add", f"{channels * size}"
            case Concat():
                raise AssertionError(it)  # which is several calls
            case Multiply():
                return "multiply", f"{channels}", f"{size}"
            case never:
                assert_never(never)

    def convolution(self, op: Convolution, before: Shape) -> str:
        """The name of the constant that describes it."""
        outputs, inputs = len(op.weight), op.weight.shape[1] * op.groups
        weights = self.tables.name("float", "weights", op.weight)
        biases = self.tables.name("float", "biases", op.bias if op.bias.any() else None)
        sizes = f"{inputs}, {outputs}, {op.groups}"
        slides = window(before, op.shape, op.kernel, op.stride, op.sides)
        name = f"convolution_{len(self.structs)}"
        self.structs.append(
            f"static const struct convolution {name} = {{ /* {op.place} */\n"
            f"    {weights}, {biases}, {sizes}, {slides}\n}};\n"
        )
        return name

    def kernels(self) -> str:
        """The functions that are called."""
        zeros = _CONVOLVE.replace("@TAP@", _TAP)
        border = _CONVOLVE.replace("@TAP@", _BORDER_TAP)
        texts = {
            "normalize": _PIXELS,
            "convolve": zeros.replace("@SUFFIX@", ""),
            "convolve_with_border": NEAREST + border.replace("@SUFFIX@", "_with_border"),
            "scale": _SCALE,
            "group_norm": _GROUP_NORM,
            "relu": _RELU,
            "leaky_relu": _LEAKY,
            **{
                kind: _CURVE.replace("@KIND@", kind).replace("@VALUE@", value)
                for kind, value in _CURVES.items()
            },
            "largest": _filled(_POOL, _LARGEST),
            "average": _filled(_POOL, _AVERAGE),
            "copy": _COPY,
            "add": _ADD,
            "multiply": _MULTIPLY,
        }
        return "".join(text for name, text in texts.items() if name in self.needs)


def _filled(text: str, places: dict[str, str]) -> str:
    for place, value in places.items():
        text = text.replace(place, value)
    return text


def float_source(program: Program, *, name: str, about: str) -> CSource:
    """The program in C. `about` is what its comment says of the network."""
    operations = program.operations
    kinds = Scale | Relu | LeakyRelu | Curve | Add
    in_place = [number for number, it in enumerate(operations) if isinstance(it, kinds)]
    writer = _Writer(program, places([it.shape for it in operations], program.uses, in_place))
    prefix = prefix_of(name)
    calls = "".join(writer.operation(number, it) for number, it in enumerate(operations))
    kernels, structs = writer.kernels(), "".join(writer.structs)
    includes = "#include <math.h>\n" if writer.needs & _MATH else ""
    source = f"""{comment(about)}

#include "{name}.h"

{includes}#include <stddef.h>

static float memory[{writer.arena.size}];
{WINDOW if writer.structs else ""}{_STRUCT if "convolution_" in structs else ""}{kernels}
{"".join(writer.tables.texts)}
{structs}
int {prefix}_predict(const uint8_t image[784], float logits[{prefix.upper()}_CLASSES])
{{
    const float *const scores = {writer.at(len(operations))};
    int found = 0;

{calls}    for (int at = 0; at < {program.classes}; at++) {{
        if (logits != NULL)
            logits[at] = scores[at];
        if (scores[at] > scores[found])
            found = at;
    }}
    return found;
}}
"""
    return CSource(
        name=name,
        prefix=prefix,
        source=source,
        header=header(
            prefix, about=about, classes=program.classes, logit="float", said=one_line(SAID)
        ),
        data_bytes=writer.tables.bytes,
        buffer_bytes=4 * writer.arena.size,
        logit="float",
    )
