"""A network of whole numbers in C99."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, assert_never

from mnist_arch.exports.arena import Arena
from mnist_arch.exports.c_text import (
    NEAREST,
    CSource,
    Tables,
    comment,
    header,
    one_line,
    places,
    prefix_of,
)
from mnist_arch.exports.integer import (
    AnyIntegerOperation,
    HardSwish,
    IntegerConvolution,
    IntegerProgram,
    LargestOf,
    Leaky,
    MeanOf,
    ProductOf,
    SumOf,
    Table,
)

RULE: Final = """Every value is uint8_t with a zero point. What makes a new value of a sum of
int32_t: zero + floor((sum * multiplier + 2^(shift - 1)) / 2^shift), where the product has 64 bits,
nothing is added for a shift of 0, and the value is cut to what can be stored. Padding is the zero
point."""

SAID: Final = """The class of an image, from 0: the place of the largest logit, of the first where
several are. image: 28 rows of 28 pixels, 0 is background and 255 is ink, as in MNIST; the
normalisation is inside. logits: where they are wanted, else NULL. One of the float network is about
{scale:.6g} times one of these. Uses static memory: one call at a time."""

_ROUNDED: Final = """
/* floor((sum * multiplier + 2^(shift - 1)) / 2^shift), without shifting what is negative */
static int32_t scaled(int32_t sum, int32_t multiplier, int shift)
{
    const int64_t product = (int64_t)sum * multiplier + (((int64_t)1 << shift) >> 1);

    if (product >= 0)
        return (int32_t)(product >> shift);
    return -(int32_t)((((int64_t)1 << shift) - 1 - product) >> shift);
}
"""

_CUT: Final = """
static uint8_t stored(int32_t value, int32_t low)
{
    return (uint8_t)(value < low ? low : value > 255 ? 255 : value);
}
"""

_STRUCT: Final = """
struct convolution {
    const int8_t *weights;       /* [outputs][inputs / groups][kernel][kernel] */
    const int16_t *biases;       /* NULL where all are 0 */
    const uint8_t *multipliers;
    const uint8_t *lows;         /* the least that is stored; NULL where it is 0 */
    uint16_t inputs, outputs, groups;
    uint8_t side, out_side, kernel, stride, padding;
    uint8_t zero, out_zero, bias_shift, shift;
};
"""

_SUM_ROW: Final = """
/* one row of what a convolution makes, scaled, without the zero point */
static void sum_row@SUFFIX@(const struct convolution *it, const uint8_t *in, int output, int row,
                    int32_t sums[LONGEST_ROW])
{
    const int kernel = it->kernel, side = it->side, inputs = it->inputs / it->groups;
    const uint8_t *maps = in + output / (it->outputs / it->groups) * inputs * side * side;
    const int8_t *weights = it->weights + (size_t)(output * inputs * kernel * kernel);
    const int32_t bias =
        it->biases == NULL ? 0 : it->biases[output] * ((int32_t)1 << it->bias_shift);

    for (int column = 0; column < it->out_side; column++)
        sums[column] = bias;
    for (int tap = 0; tap < kernel * kernel; tap++) {
@TAP@
    }
    for (int column = 0; column < it->out_side; column++)
        sums[column] = scaled(sums[column], it->multipliers[output], it->shift);
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
            const uint8_t *pixel = maps + (input * side + y) * side + from * it->stride + left;
            const int32_t weight = weights[input * kernel * kernel + tap];

            for (int column = from; column < to; column++, pixel += it->stride)
                sums[column] += weight * (*pixel - it->zero);
        }"""

_BORDER_TAP: Final = """\
        const int y = nearest(row * it->stride + tap / kernel - it->padding, side);
        const int left = tap % kernel - it->padding;

        for (int input = 0; input < inputs; input++) {
            const uint8_t *line = maps + (input * side + y) * side;
            const int32_t weight = weights[input * kernel * kernel + tap];

            for (int column = 0; column < it->out_side; column++) {
                const int x = nearest(column * it->stride + left, side);

                sums[column] += weight * (line[x] - it->zero);
            }
        }"""

_CONVOLVE: Final = """
static void convolve@SUFFIX@(const struct convolution *it, const uint8_t *in, uint8_t *out)
{
    int32_t sums[LONGEST_ROW];

    for (int output = 0; output < it->outputs; output++)
        for (int row = 0; row < it->out_side; row++) {
            sum_row@SUFFIX@(it, in, output, row, sums);
            for (int column = 0; column < it->out_side; column++)
                *out++ = stored(it->out_zero + sums[column],
                                it->lows == NULL ? 0 : it->lows[output]);
        }
}
"""

_TABLE: Final = """
static void look_up(const uint8_t table[256], int size, const uint8_t *in, uint8_t *out)
{
    for (int at = 0; at < size; at++)
        out[at] = table[in[at]];
}
"""

_LEAKY: Final = """
static void leaky(int size, int zero, int32_t positive, int32_t negative, int shift, int out_zero,
                  const uint8_t *in, uint8_t *out)
{
    for (int at = 0; at < size; at++) {
        const int32_t a = in[at] - zero;

        out[at] = stored(out_zero + scaled(a, a >= 0 ? positive : negative, shift), 0);
    }
}
"""

_HARD_SWISH: Final = """
static void hard_swish(int size, int zero, int32_t three, int32_t multiplier, int shift,
                       int out_zero, const uint8_t *in, uint8_t *out)
{
    for (int at = 0; at < size; at++) {
        const int32_t a = in[at] - zero;
        const int32_t gate = a < -three ? 0 : a > three ? 2 * three : a + three;

        out[at] = stored(out_zero + scaled(a * gate, multiplier, shift), 0);
    }
}
"""

_LARGEST: Final = """
static void largest(int channels, int side, int out_side, int size, int stride, const uint8_t *in,
                    uint8_t *out)
{
    for (int channel = 0; channel < channels; channel++, in += side * side)
        for (int row = 0; row < out_side; row++)
            for (int column = 0; column < out_side; column++) {
                const uint8_t *window = in + row * stride * side + column * stride;
                uint8_t found = 0;

                for (int y = 0; y < size; y++)
                    for (int x = 0; x < size; x++)
                        if (window[y * side + x] > found)
                            found = window[y * side + x];
                *out++ = found;
            }
}
"""

_SUM: Final = """
/* the sum of a window, without the zero points */
static int32_t window_sum(const uint8_t *window, int side, int size, int zero)
{
    int32_t sum = 0;

    for (int y = 0; y < size; y++)
        for (int x = 0; x < size; x++)
            sum += window[y * side + x] - zero;
    return sum;
}
"""

_MEAN: Final = """
static void average(int channels, int side, int out_side, int size, int stride, int zero,
                    int32_t multiplier, int shift, int out_zero, const uint8_t *in, uint8_t *out)
{
    for (int channel = 0; channel < channels; channel++, in += side * side)
        for (int row = 0; row < out_side; row++)
            for (int column = 0; column < out_side; column++) {
                const uint8_t *window = in + row * stride * side + column * stride;
                const int32_t sum = window_sum(window, side, size, zero);

                *out++ = stored(out_zero + scaled(sum, multiplier, shift), 0);
            }
}
"""

_ADD: Final = """
static void add(int size, const uint8_t *a, int zero_a, int32_t by_a, const uint8_t *b, int zero_b,
                int32_t by_b, int shift, int out_zero, uint8_t *out)
{
    for (int at = 0; at < size; at++) {
        const int32_t sum = (a[at] - zero_a) * by_a + (b[at] - zero_b) * by_b;

        out[at] = stored(out_zero + scaled(sum, 1, shift), 0);
    }
}
"""

_MULTIPLY: Final = """
static void multiply(int channels, int size, const uint8_t *a, int zero_a, const uint8_t *b,
                     int zero_b, int32_t multiplier, int shift, int out_zero, uint8_t *out)
{
    for (int channel = 0; channel < channels; channel++)
        for (int at = 0; at < size; at++, a++) {
            const int32_t product = (*a - zero_a) * (b[channel] - zero_b);

            *out++ = stored(out_zero + scaled(product, multiplier, shift), 0);
        }
}
"""


@dataclass
class _Writer:
    program: IntegerProgram
    arena: Arena
    tables: Tables = field(default_factory=Tables)
    structs: list[str] = field(default_factory=list)
    needs: set[str] = field(default_factory=set)

    def at(self, value: int) -> str:
        """Where a value lies."""
        return "image" if value == 0 else f"memory + {self.arena.offsets[value - 1]}"

    def side(self, value: int) -> int:
        return 28 if value == 0 else self.program.operations[value - 1].shape[1]

    def operation(self, number: int, it: AnyIntegerOperation) -> str:
        """The lines that compute an operation, the last of which makes the logits."""
        is_last = number + 1 == len(self.program.operations)
        ins = [self.at(value) for value in it.inputs]
        zeros = [self.program.zero(value) for value in it.inputs]
        out, (channels, height, _) = self.at(number + 1), it.shape
        side = self.side(it.inputs[0])
        call: str
        match it:
            case IntegerConvolution() as op:
                name = self.convolution(op, side, zeros[0])
                suffix = "_with_border" if op.repeats_border else ""
                if is_last:
                    self.needs |= {f"sum_row{suffix}"}
                    row = f"sum_row{suffix}(&{name}, {ins[0]}, at, 0, row)"
                    return _each("row[0]", channels, before=("int32_t row[LONGEST_ROW];", row))
                self.needs |= {f"sum_row{suffix}", f"convolve{suffix}", "stored"}
                call = f"convolve{suffix}(&{name}, {ins[0]}, {out})"
            case Table(values=values):
                self.needs.add("look_up")
                name = self.tables.name("uint8_t", "table", values)
                call = f"look_up({name}, {channels * height**2}, {ins[0]}, {out})"
            case Leaky(multipliers=(positive, negative), shift=shift):
                self.needs |= {"scaled", "leaky", "stored"}
                scales = f"{zeros[0]}, {positive}, {negative}, {shift}, {it.zero}"
                call = f"leaky({channels * height**2}, {scales}, {ins[0]}, {out})"
            case HardSwish() as op:
                self.needs |= {"scaled", "hard_swish", "stored"}
                scales = f"{zeros[0]}, {op.three}, {op.multiplier}, {op.shift}, {op.zero}"
                call = f"hard_swish({channels * height**2}, {scales}, {ins[0]}, {out})"
            case LargestOf(size=size, stride=stride):
                self.needs.add("largest")
                sizes = f"{channels}, {side}, {height}, {size}, {stride}"
                call = f"largest({sizes}, {ins[0]}, {out})"
            case MeanOf() as op:
                if is_last:
                    self.needs |= {"window_sum", "scaled"}
                    window = f"{ins[0]} + at * {side**2}, {side}, {op.size}, {zeros[0]}"
                    scaled = f"scaled(window_sum({window}), {op.multiplier}, {op.shift})"
                    return _each(scaled, channels)
                self.needs |= {"window_sum", "scaled", "average", "stored"}
                sizes = f"{channels}, {side}, {height}, {op.size}, {op.stride}"
                scales = f"{zeros[0]}, {op.multiplier}, {op.shift}, {op.zero}"
                call = f"average({sizes}, {scales}, {ins[0]}, {out})"
            case SumOf(multipliers=by, shift=shift):
                self.needs |= {"scaled", "add", "stored"}
                both = ", ".join(f"{i}, {z}, {m}" for i, z, m in zip(ins, zeros, by, strict=True))
                call = f"add({channels * height**2}, {both}, {shift}, {it.zero}, {out})"
            case ProductOf(multiplier=multiplier, shift=shift):
                self.needs |= {"scaled", "multiply", "stored"}
                both = ", ".join(f"{i}, {z}" for i, z in zip(ins, zeros, strict=True))
                scales = f"{multiplier}, {shift}, {it.zero}"
                call = f"multiply({channels}, {height**2}, {both}, {scales}, {out})"
            case never:
                assert_never(never)
        if is_last:
            return f"    {call};\n" + _each(f"({out})[at] - {it.zero}", channels)
        return f"    {call};\n"

    def convolution(self, op: IntegerConvolution, side: int, zero: int) -> str:
        """The name of the constant that describes it."""
        self.needs.add("scaled")
        outputs, inputs = len(op.weight), op.weight.shape[1] * op.groups
        pointers = ", ".join(
            (
                self.tables.name("int8_t", "weights", op.weight),
                self.tables.name("int16_t", "biases", op.bias),
                self.tables.name("uint8_t", "multipliers", op.multiplier),
                self.tables.name("uint8_t", "lows", op.low),
            )
        )
        sizes = f"{inputs}, {outputs}, {op.groups}"
        window = f"{side}, {op.shape[1]}, {op.kernel}, {op.stride}, {op.padding}"
        scales = f"{zero}, {op.zero}, {op.bias_shift}, {op.shift}"
        name = f"convolution_{len(self.structs)}"
        self.structs.append(
            f"static const struct convolution {name} = {{ /* {op.place} */\n"
            f"    {pointers},\n    {sizes}, {window}, {scales}\n}};\n"
        )
        return name

    def kernels(self) -> str:
        """The functions that are called."""
        texts = {
            "scaled": _ROUNDED,
            "stored": _CUT,
            "sum_row": _SUM_ROW.replace("@TAP@", _TAP).replace("@SUFFIX@", ""),
            "convolve": _CONVOLVE.replace("@SUFFIX@", ""),
            "sum_row_with_border": NEAREST
            + _SUM_ROW.replace("@TAP@", _BORDER_TAP).replace("@SUFFIX@", "_with_border"),
            "convolve_with_border": _CONVOLVE.replace("@SUFFIX@", "_with_border"),
            "look_up": _TABLE,
            "leaky": _LEAKY,
            "hard_swish": _HARD_SWISH,
            "largest": _LARGEST,
            "window_sum": _SUM,
            "average": _MEAN,
            "add": _ADD,
            "multiply": _MULTIPLY,
        }
        return "".join(text for name, text in texts.items() if name in self.needs)


def _each(value: str, classes: int, *, before: tuple[str, str] | None = None) -> str:
    declared, done = before or ("", "")
    return f"""    for (int at = 0; at < {classes}; at++) {{
{declared and f"        {declared}" + chr(10)}        int32_t logit;

{done and f"        {done};" + chr(10)}        logit = {value};
        if (logits != NULL)
            logits[at] = logit;
        if (at == 0 || logit > best) {{
            best = logit;
            found = at;
        }}
    }}
"""


def integer_source(program: IntegerProgram, *, name: str, about: str) -> CSource:
    """The program in C. `about` is what its comment says of the network."""
    operations = program.operations
    shapes = [it.shape for it in operations]
    uses = uses_of(program)
    in_place = [
        n for n, it in enumerate(operations) if isinstance(it, Table | Leaky | HardSwish | SumOf)
    ]
    writer = _Writer(program, places(shapes, uses, in_place))
    prefix = prefix_of(name)
    calls = "".join(writer.operation(number, it) for number, it in enumerate(operations))
    size = max(writer.arena.size, 1)
    kernels = writer.kernels()
    sides = [it.shape[1] for it in operations if isinstance(it, IntegerConvolution)]
    longest = f"#define LONGEST_ROW {max(sides)}\n\n" if sides else ""
    source = f"""{comment(about)}
{comment(one_line(RULE))}

#include "{name}.h"

#include <stddef.h>

{longest}static uint8_t memory[{size}];
{_STRUCT if writer.structs else ""}{kernels}
{"".join(writer.tables.texts)}
{"".join(writer.structs)}
int {prefix}_predict(const uint8_t image[784], int32_t logits[{prefix.upper()}_CLASSES])
{{
    int32_t best = 0;
    int found = 0;

{calls}    return found;
}}
"""
    return CSource(
        name=name,
        prefix=prefix,
        source=source,
        header=header(
            prefix,
            about=about,
            classes=program.classes,
            logit="int32_t",
            said=one_line(SAID).format(scale=program.logit_scale),
        ),
        data_bytes=program.stored_bytes,
        buffer_bytes=size,
        logit="int32_t",
    )


def uses_of(program: IntegerProgram) -> list[list[int]]:
    """Of each value, from the image on, the operations that take it."""
    found: list[list[int]] = [[] for _ in range(len(program.operations) + 1)]
    for number, operation in enumerate(program.operations):
        for value in operation.inputs:
            found[value].append(number)
    return found
