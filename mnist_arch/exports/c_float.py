"""A network of floats in C99."""

from __future__ import annotations

import math
from collections.abc import Sequence
from textwrap import indent
from typing import Final, assert_never

import numpy as np

from mnist_arch.counting.layers import Shape
from mnist_arch.exports.c_text import (
    KERNEL,
    NEAREST,
    CSource,
    Writer,
    filled,
    floating,
    one_line,
    places,
    row_of_sums,
)
from mnist_arch.exports.program import (
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
@KERNEL@
    for (int output = 0; output < it->outputs; output++)
        for (int row = 0; row < window->out_rows; row++, out += out_columns) {
@ROW@
        }
}
"""

_ROW: Final = {
    "@VALUE@": "float",
    "@SUM@": "float",
    "@SUMS@": "out",
    "@BIAS@": "it->biases[output]",
    "@WEIGHT@": "it->weights[first + input * taps + tap]",
    "@REAL@": "*x",
}

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


class _Writer(Writer):
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
            size = math.prod(self.shape(value))
            lines += f"    copy({size}, {place}, {out} + {done});\n"
            done += size
        return lines

    def call(self, it: AnyOperation) -> Sequence[str]:
        """Function and arguments, but for where its values are."""
        channels, height, width = it.shape
        size = height * width
        before = self.shape(it.inputs[0])
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
                text = self.window(before, op.shape, op.size, op.stride, op.sides)
                name = self.struct("window", text)
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
        slides = self.window(before, op.shape, op.kernel, op.stride, op.sides)
        text = f"{{ /* {op.place} */\n    {weights}, {biases}, {sizes}, {slides}\n}}"
        return self.struct("convolution", text)

    def kernels(self) -> str:
        """The functions that are called."""
        texts = {
            "normalize": _PIXELS,
            "convolve": _convolve("", repeats_border=False),
            "convolve_with_border": NEAREST + _convolve("_with_border", repeats_border=True),
            "scale": _SCALE,
            "group_norm": _GROUP_NORM,
            "relu": _RELU,
            "leaky_relu": _LEAKY,
            **{
                kind: _CURVE.replace("@KIND@", kind).replace("@VALUE@", value)
                for kind, value in _CURVES.items()
            },
            "largest": filled(_POOL, _LARGEST),
            "average": filled(_POOL, _AVERAGE),
            "copy": _COPY,
            "add": _ADD,
            "multiply": _MULTIPLY,
        }
        return "".join(text for name, text in texts.items() if name in self.needs)


def _convolve(suffix: str, *, repeats_border: bool) -> str:
    row = indent(row_of_sums(_ROW, repeats_border=repeats_border).rstrip(), " " * 8)
    return filled(_CONVOLVE, {"@SUFFIX@": suffix, "@KERNEL@": KERNEL, "@ROW@": row})


def float_source(program: Program, *, name: str, about: str) -> CSource:
    """The program in C. `about` is what its comment says of the network."""
    operations = program.operations
    shapes = [it.shape for it in operations]
    kinds = Scale | Relu | LeakyRelu | Curve | Add
    in_place = [number for number, it in enumerate(operations) if isinstance(it, kinds)]
    writer = _Writer(shapes, places(shapes, program.uses, in_place))
    calls = "".join(writer.operation(number, it) for number, it in enumerate(operations))
    body = f"""    const float *const scores = {writer.at(len(operations))};
    int found = 0;

{calls}    for (int at = 0; at < {program.classes}; at++) {{
        if (logits != NULL)
            logits[at] = scores[at];
        if (scores[at] > scores[found])
            found = at;
    }}
    return found;
"""
    has_convolutions = writer.needs & {"convolve", "convolve_with_border"}
    return writer.source(
        name,
        about=about,
        includes=["math.h", "stddef.h"] if writer.needs & _MATH else ["stddef.h"],
        value="float",
        logit="float",
        said=one_line(SAID),
        functions=(_STRUCT if has_convolutions else "") + writer.kernels(),
        body=body,
        data_bytes=writer.tables.bytes,
    )
