"""A network of floats in C99."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, assert_never

from mnist_arch.exports.arena import Arena
from mnist_arch.exports.c_text import (
    NEAREST,
    CSource,
    Tables,
    comment,
    floating,
    header,
    one_line,
    places,
    prefix_of,
)
from mnist_arch.exports.program import (
    Add,
    AnyOperation,
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
    const float *weights; /* [outputs][inputs / groups][kernel][kernel] */
    const float *biases;  /* NULL where all are 0 */
    uint16_t inputs, outputs, groups;
    uint8_t side, out_side, kernel, stride, padding;
};
"""

_CONVOLVE: Final = """
static void convolve@SUFFIX@(const struct convolution *it, const float *in, float *out)
{
    const int kernel = it->kernel, side = it->side, inputs = it->inputs / it->groups;

    for (int output = 0; output < it->outputs; output++) {
        const float *maps = in + output / (it->outputs / it->groups) * inputs * side * side;
        const float *weights = it->weights + (size_t)(output * inputs * kernel * kernel);
        const float bias = it->biases == NULL ? 0.0f : it->biases[output];

        for (int row = 0; row < it->out_side; row++, out += it->out_side) {
            for (int column = 0; column < it->out_side; column++)
                out[column] = bias;
            for (int tap = 0; tap < kernel * kernel; tap++) {
@TAP@
            }
        }
    }
}
"""

_TAP: Final = """\
                const int y = row * it->stride + tap / kernel - it->padding;
                const int left = tap % kernel - it->padding;
                const int from = left < 0 ? (it->stride - 1 - left) / it->stride : 0;
                const int end = (side - 1 - left) / it->stride + 1;
                const int to = end < it->out_side ? end : it->out_side;

                if (y < 0 || y >= side)
                    continue;
                for (int input = 0; input < inputs; input++) {
                    const float *x = maps + (input * side + y) * side + from * it->stride + left;
                    const float weight = weights[input * kernel * kernel + tap];

                    for (int column = from; column < to; column++, x += it->stride)
                        out[column] += weight * *x;
                }"""

_BORDER_TAP: Final = """\
                const int y = nearest(row * it->stride + tap / kernel - it->padding, side);
                const int left = tap % kernel - it->padding;

                for (int input = 0; input < inputs; input++) {
                    const float *line = maps + (input * side + y) * side;
                    const float weight = weights[input * kernel * kernel + tap];

                    for (int column = 0; column < it->out_side; column++)
                        out[column] += weight * line[nearest(column * it->stride + left, side)];
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
static void group_norm(int channels, int size, int groups, float eps, const float *by,
                       const float *shift, const float *in, float *out)
{
    const int length = channels / groups * size;

    for (int group = 0; group < groups; group++, in += length, out += length) {
        float mean = 0.0f, variance = 0.0f;

        for (int at = 0; at < length; at++)
            mean += in[at] / (float)length;
        for (int at = 0; at < length; at++)
            variance += (in[at] - mean) * (in[at] - mean) / (float)length;
        for (int at = 0; at < length; at++) {
            const int channel = (group * length + at) / size;

            out[at] = (in[at] - mean) / sqrtf(variance + eps) * by[channel] + shift[channel];
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
static void leaky_relu(int size, float slope, const float *in, float *out)
{
    for (int at = 0; at < size; at++)
        out[at] = in[at] >= 0.0f ? in[at] : in[at] * slope;
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

_LARGEST: Final = """
static void largest(int channels, int side, int out_side, int size, int stride, const float *in,
                    float *out)
{
    for (int channel = 0; channel < channels; channel++, in += side * side)
        for (int row = 0; row < out_side; row++)
            for (int column = 0; column < out_side; column++) {
                const float *window = in + row * stride * side + column * stride;
                float found = *window;

                for (int y = 0; y < size; y++)
                    for (int x = 0; x < size; x++)
                        if (window[y * side + x] > found)
                            found = window[y * side + x];
                *out++ = found;
            }
}
"""

_MEAN: Final = """
static void average(int channels, int side, int out_side, int size, int stride, const float *in,
                    float *out)
{
    for (int channel = 0; channel < channels; channel++, in += side * side)
        for (int row = 0; row < out_side; row++)
            for (int column = 0; column < out_side; column++) {
                const float *window = in + row * stride * side + column * stride;
                float sum = 0.0f;

                for (int y = 0; y < size; y++)
                    for (int x = 0; x < size; x++)
                        sum += window[y * side + x];
                *out++ = sum / (float)(size * size);
            }
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
        function, *options = self.call(it)
        self.needs.add(function)
        ins = [self.at(value) for value in it.inputs]
        return f"    {function}({', '.join([*options, *ins, self.at(number + 1)])});\n"

    def call(self, it: AnyOperation) -> Sequence[str]:
        """Function and arguments, but for where its values are."""
        channels, height, _ = it.shape
        size = height * height
        side = self.program.operations[it.inputs[0] - 1].shape[1]
        match it:
            case Pixels(scale=scale, shift=shift):
                return "normalize", floating(scale), floating(shift)
            case Convolution() as op:
                name = self.convolution(op, side)
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
                return "group_norm", f"{channels}", f"{size}", f"{op.groups}", eps, *tables
            case Relu(floor=floor):
                table = self.tables.name("float", "floors", floor)
                return "relu", f"{channels}", f"{size}", table
            case LeakyRelu(slope=slope):
                return "leaky_relu", f"{channels * size}", floating(slope)
            case Curve(kind=kind):
                return kind, f"{channels * size}"
            case Pool() as op:
                sizes = channels, side, height, op.size, op.stride
                return "largest" if op.kind == "max" else "average", *map(str, sizes)
            case Add():
                return "add", f"{channels * size}"
            case Multiply():
                return "multiply", f"{channels}", f"{size}"
            case never:
                assert_never(never)

    def convolution(self, op: Convolution, side: int) -> str:
        """The name of the constant that describes it."""
        outputs, inputs = len(op.weight), op.weight.shape[1] * op.groups
        weights = self.tables.name("float", "weights", op.weight)
        biases = self.tables.name("float", "biases", op.bias if op.bias.any() else None)
        sizes = f"{inputs}, {outputs}, {op.groups}"
        window = f"{side}, {op.shape[1]}, {op.kernel}, {op.stride}, {op.padding}"
        name = f"convolution_{len(self.structs)}"
        self.structs.append(
            f"static const struct convolution {name} = {{ /* {op.place} */\n"
            f"    {weights}, {biases}, {sizes}, {window}\n}};\n"
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
            "largest": _LARGEST,
            "average": _MEAN,
            "add": _ADD,
            "multiply": _MULTIPLY,
        }
        return "".join(text for name, text in texts.items() if name in self.needs)


def float_source(program: Program, *, name: str, about: str) -> CSource:
    """The program in C. `about` is what its comment says of the network."""
    operations = program.operations
    kinds = Scale | Relu | LeakyRelu | Curve | Add
    in_place = [number for number, it in enumerate(operations) if isinstance(it, kinds)]
    writer = _Writer(program, places([it.shape for it in operations], program.uses, in_place))
    prefix = prefix_of(name)
    calls = "".join(writer.operation(number, it) for number, it in enumerate(operations))
    kernels = writer.kernels()
    includes = "#include <math.h>\n" if writer.needs & _MATH else ""
    source = f"""{comment(about)}

#include "{name}.h"

{includes}#include <stddef.h>

static float memory[{writer.arena.size}];
{_STRUCT if writer.structs else ""}{kernels}
{"".join(writer.tables.texts)}
{"".join(writer.structs)}
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
