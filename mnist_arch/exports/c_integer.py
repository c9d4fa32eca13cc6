"""A network of whole numbers in C99."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, assert_never

import numpy as np

from mnist_arch.counting.layers import Shape
from mnist_arch.exports.c_text import (
    KERNEL,
    NEAREST,
    CSource,
    Writer,
    filled,
    one_line,
    places,
    row_of_sums,
)
from mnist_arch.exports.integer import (
    AnyIntegerOperation,
    ConcatOf,
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

    return (int32_t)(product < 0 ? ~(~product >> shift) : product >> shift);
}
"""

_CUT: Final = """
static uint8_t stored(int32_t value, int32_t low)
{
    return (uint8_t)(value < low ? low : value > 255 ? 255 : value);
}
"""

_HEAD: Final = """
#define LONGEST_ROW @LONGEST@

struct convolution {
    const @NUMBER@ *weights; /* [outputs][inputs / groups][height][width] */
    const int16_t *biases; /* NULL where all are 0 */
    const uint8_t *multipliers;
    const uint8_t *lows; /* the least that is stored; NULL where it is 0 */
    uint16_t inputs, outputs, groups;
    struct window window;
    uint8_t zero, out_zero, bias_shift, shift;
};
"""

_WEIGHT: Final = """
/* two weights lie in a byte, the first in its lower half, and 8 is added to each */
static int32_t weight_at(const uint8_t *weights, int at)
{
    return (weights[at / 2] >> at % 2 * 4 & 15) - 8;
}
"""

_SUM_ROW: Final = """
/* one row of what a convolution makes, scaled, without the zero point */
static void sum_row@SUFFIX@(const struct convolution *it, const uint8_t *in, int output, int row,
                    int32_t sums[LONGEST_ROW])
{
@KERNEL@    const int32_t zero = it->zero;
@ROW@
    for (int column = 0; column < out_columns; column++)
        sums[column] = scaled(sums[column], it->multipliers[output], it->shift);
}
"""

_ROW: Final = {
    "@VALUE@": "uint8_t",
    "@SUM@": "int32_t",
    "@SUMS@": "sums",
    "@BIAS@": "it->biases[output] * ((int32_t)1 << it->bias_shift)",
    "@REAL@": "(*x - zero)",
}

_CONVOLVE: Final = """
static void convolve@SUFFIX@(const struct convolution *it, const uint8_t *in, uint8_t *out)
{
    int32_t sums[LONGEST_ROW];

    for (int output = 0; output < it->outputs; output++)
        for (int row = 0; row < it->window.out_rows; row++) {
            sum_row@SUFFIX@(it, in, output, row, sums);
            for (int column = 0; column < it->window.out_columns; column++)
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
/* each: how many values that follow each other have one factor below zero */
static void leaky(int size, int each, int zero, int32_t positive, const int16_t *negatives,
                  int shift, int out_zero, const uint8_t *in, uint8_t *out)
{
    for (int at = 0; at < size; at++) {
        const int32_t a = in[at] - zero;

        out[at] = stored(out_zero + scaled(a, a >= 0 ? positive : negatives[at / each], shift), 0);
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
static void largest(int channels, const struct window *it, const uint8_t *in, uint8_t *out)
{
    for (int channel = 0; channel < channels; channel++, in += it->rows * it->columns)
        for (int row = 0; row < it->out_rows; row++)
            for (int column = 0; column < it->out_columns; column++) {
                const int top = row * it->stride - it->top;
                const int left = column * it->stride - it->left;
                uint8_t found = 0;

                for (int y = top < 0 ? 0 : top; y < top + it->height && y < it->rows; y++)
                    for (int x = left < 0 ? 0 : left; x < left + it->width && x < it->columns; x++)
                        if (in[y * it->columns + x] > found)
                            found = in[y * it->columns + x];
                *out++ = found;
            }
}
"""

_SUM: Final = """
/* the sum of a window, without the zero points */
static int32_t window_sum(const struct window *it, int row, int column, int zero,
                          const uint8_t *in)
{
    const int top = row * it->stride - it->top, left = column * it->stride - it->left;
    int32_t sum = 0;

    for (int y = top < 0 ? 0 : top; y < top + it->height && y < it->rows; y++)
        for (int x = left < 0 ? 0 : left; x < left + it->width && x < it->columns; x++)
            sum += in[y * it->columns + x] - zero;
    return sum;
}
"""

_MEAN: Final = """
static void average(int channels, const struct window *it, int zero, int32_t multiplier, int shift,
                    int out_zero, const uint8_t *in, uint8_t *out)
{
    for (int channel = 0; channel < channels; channel++, in += it->rows * it->columns)
        for (int row = 0; row < it->out_rows; row++)
            for (int column = 0; column < it->out_columns; column++) {
                const int32_t sum = window_sum(it, row, column, zero, in);

                *out++ = stored(out_zero + scaled(sum, multiplier, shift), 0);
            }
}
"""

_RESCALE: Final = """
static void rescale(int size, int zero, int32_t multiplier, int shift, int out_zero,
                    const uint8_t *in, uint8_t *out)
{
    for (int at = 0; at < size; at++)
        out[at] = stored(out_zero + scaled(in[at] - zero, multiplier, shift), 0);
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


@dataclass(kw_only=True)
class _Writer(Writer):
    program: IntegerProgram

    def operation(self, number: int, it: AnyIntegerOperation) -> str:
        """The lines that compute an operation, the last of which makes the logits."""
        is_last = number + 1 == len(self.program.operations)
        ins = [self.at(value) for value in it.inputs]
        zeros = [self.program.zero(value) for value in it.inputs]
        out, (channels, height, width) = self.at(number + 1), it.shape
        size, before = channels * height * width, self.shape(it.inputs[0])
        call: str
        match it:
            case IntegerConvolution() as op:
                name = self.convolution(op, before, zeros[0])
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
                call = f"look_up({name}, {size}, {ins[0]}, {out})"
            case Leaky(positive=positive, negative=negative, shift=shift):
                self.needs |= {"scaled", "leaky", "stored"}
                table = self.tables.name("int16_t", "slopes", negative)
                scales = f"{zeros[0]}, {positive}, {table}, {shift}, {it.zero}"
                call = f"leaky({size}, {size // len(negative)}, {scales}, {ins[0]}, {out})"
            case HardSwish() as op:
                self.needs |= {"scaled", "hard_swish", "stored"}
                scales = f"{zeros[0]}, {op.three}, {op.multiplier}, {op.shift}, {op.zero}"
                call = f"hard_swish({size}, {scales}, {ins[0]}, {out})"
            case LargestOf() as op:
                self.needs.add("largest")
                call = f"largest({channels}, &{self.pool(op, before)}, {ins[0]}, {out})"
            case MeanOf() as op:
                name = self.pool(op, before)
                if is_last:
                    self.needs |= {"window_sum", "scaled"}
                    map_at = f"{ins[0]} + at * {before[1] * before[2]}"
                    total = f"window_sum(&{name}, 0, 0, {zeros[0]}, {map_at})"
                    return _each(f"scaled({total}, {op.multiplier}, {op.shift})", channels)
                self.needs |= {"window_sum", "scaled", "average", "stored"}
                scales = f"{zeros[0]}, {op.multiplier}, {op.shift}, {op.zero}"
                call = f"average({channels}, &{name}, {scales}, {ins[0]}, {out})"
            case SumOf(multipliers=by, shift=shift):
                self.needs |= {"scaled", "add", "stored"}
                both = ", ".join(f"{i}, {z}, {m}" for i, z, m in zip(ins, zeros, by, strict=True))
                call = f"add({size}, {both}, {shift}, {it.zero}, {out})"
            case ConcatOf(multipliers=by, shift=shift):
                self.needs |= {"scaled", "rescale", "stored"}
                calls, done = [], 0
                for value, place, zero, multiplier in zip(it.inputs, ins, zeros, by, strict=True):
                    length = math.prod(self.shape(value))
                    scales = f"{zero}, {multiplier}, {shift}, {it.zero}"
                    calls.append(f"rescale({length}, {scales}, {place}, {out} + {done})")
                    done += length
                call = ";\n    ".join(calls)
            case ProductOf(multiplier=multiplier, shift=shift):
                self.needs |= {"scaled", "multiply", "stored"}
                both = ", ".join(f"{i}, {z}" for i, z in zip(ins, zeros, strict=True))
                scales = f"{multiplier}, {shift}, {it.zero}"
                call = f"multiply({channels}, {height * width}, {both}, {scales}, {out})"
            case never:
                assert_never(never)
        if is_last:
            return f"    {call};\n" + _each(f"({out})[at] - {it.zero}", channels)
        return f"    {call};\n"

    def pool(self, op: LargestOf | MeanOf, before: Shape) -> str:
        """The name of the constant that says what a pool sees."""
        text = self.window(before, op.shape, op.size, op.stride, op.sides)
        return self.struct("window", text)

    def convolution(self, op: IntegerConvolution, before: Shape, zero: int) -> str:
        """The name of the constant that describes it."""
        self.needs.add("scaled")
        outputs, inputs = len(op.weight), op.weight.shape[1] * op.groups
        pointers = ", ".join(
            (
                self.weights(op),
                self.tables.name("int16_t", "biases", op.bias),
                self.tables.name("uint8_t", "multipliers", op.multiplier),
                self.tables.name("uint8_t", "lows", op.low),
            )
        )
        sizes = f"{inputs}, {outputs}, {op.groups}"
        slides = self.window(before, op.shape, op.kernel, op.stride, op.sides)
        scales = f"{zero}, {op.zero}, {op.bias_shift}, {op.shift}"
        text = f"{{ /* {op.place} */\n    {pointers},\n    {sizes}, {slides}, {scales}\n}}"
        return self.struct("convolution", text)

    def weights(self, op: IntegerConvolution) -> str:
        """The name of a table of weights."""
        if self.program.weight_bits == 8:
            return self.tables.name("int8_t", "weights", op.weight)
        halves = np.append(op.weight.ravel() + 8, 8)[: op.weight.size + op.weight.size % 2]
        low, high = halves.reshape(-1, 2).astype(np.uint8).T
        return self.tables.name("uint8_t", "weights", low | high << 4)

    def kernels(self) -> str:
        """The functions that are called."""
        at = "first + input * taps + tap"
        is_whole = self.program.weight_bits == 8
        weight = f"it->weights[{at}]" if is_whole else f"weight_at(it->weights, {at})"
        if not is_whole and self.needs & {"sum_row", "sum_row_with_border"}:
            self.needs.add("weight")
        row = {**_ROW, "@WEIGHT@": weight}
        zeros, border = (row_of_sums(row, repeats_border=it) for it in (False, True))
        texts = {
            "scaled": _ROUNDED,
            "stored": _CUT,
            "weight": _WEIGHT,
            "sum_row": filled(_SUM_ROW, {"@SUFFIX@": "", "@KERNEL@": KERNEL, "@ROW@": zeros}),
            "convolve": _CONVOLVE.replace("@SUFFIX@", ""),
            "sum_row_with_border": NEAREST
            + filled(_SUM_ROW, {"@SUFFIX@": "_with_border", "@KERNEL@": KERNEL, "@ROW@": border}),
            "convolve_with_border": _CONVOLVE.replace("@SUFFIX@", "_with_border"),
            "look_up": _TABLE,
            "leaky": _LEAKY,
            "hard_swish": _HARD_SWISH,
            "largest": _LARGEST,
            "window_sum": _SUM,
            "average": _MEAN,
            "rescale": _RESCALE,
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
    writer = _Writer(shapes, places(shapes, uses, in_place), program=program)
    calls = "".join(writer.operation(number, it) for number, it in enumerate(operations))
    widths = [it.shape[2] for it in operations if isinstance(it, IntegerConvolution)]
    head = _HEAD.replace("@LONGEST@", str(max(widths))) if widths else ""
    head = head.replace("@NUMBER@", "int8_t" if program.weight_bits == 8 else "uint8_t")
    return writer.source(
        name,
        about=f"{about}\n\n{one_line(RULE)}",
        includes=["stddef.h"],
        value="uint8_t",
        logit="int32_t",
        said=one_line(SAID).format(scale=program.logit_scale),
        functions=head + writer.kernels(),
        body=f"    int32_t best = 0;\n    int found = 0;\n\n{calls}    return found;\n",
        data_bytes=program.stored_bytes,
    )


def uses_of(program: IntegerProgram) -> list[list[int]]:
    """Of each value, from the image on, the operations that take it."""
    found: list[list[int]] = [[] for _ in range(len(program.operations) + 1)]
    for number, operation in enumerate(program.operations):
        for value in operation.inputs:
            found[value].append(number)
    return found
