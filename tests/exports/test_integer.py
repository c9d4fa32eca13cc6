"""Networks of whole numbers: near to the floats, and in C bit for bit what they are in Python."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from every_option import experiment_of
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from trained import arrays, trained

from mnist_arch.counting.plan import plan_network
from mnist_arch.data.catalog import INFO
from mnist_arch.exports import integer, reference
from mnist_arch.exports.arena import Lifetime, arena_of
from mnist_arch.exports.c_float import float_source
from mnist_arch.exports.c_integer import integer_source
from mnist_arch.exports.c_run import (
    BOARDS,
    Board,
    footprint,
    host_compiler,
    run_here,
)
from mnist_arch.exports.c_text import comment, prefix_of
from mnist_arch.exports.exporting import whole_numbers
from mnist_arch.exports.integer import IntegerConvolution, IntegerProgram
from mnist_arch.exports.lowering import lower
from mnist_arch.exports.program import Convolution, LeakyRelu, Pixels, Pool, Program
from mnist_arch.exports.quantization import quantized, range_of
from mnist_arch.network.rounded import RoundedNetwork
from mnist_arch.network.weights import build_with, read_weights
from mnist_arch.runs.find import find

pytestmark = pytest.mark.slow

NETWORKS = {
    "norm last, which leaves floors": """
        defaults: {order: conv-activation-norm, dropout: 0.2}
        blocks:
          - {channels: [4, 6], pool: max, reduce: 4}
          - {channels: [6], pool: max, reduce: 10}
        head: {pool: average, size: 7}""",
    "separable residuals": """
        defaults: {order: conv-norm-activation, bias: false, kind: separable}
        blocks:
          - {channels: [{out: 4, kind: ordinary}], pool: max}
          - {channels: [6, 5], residual: true, repeat: 2, share: true}
          - {channels: [{out: 5, stride: 2}, 5], kind: depthwise, padding: valid}
        head: {linear: true}""",
    "a border that is repeated, and a gate": """
        defaults: {order: conv-norm-activation, padding_mode: replicate, activation: hardswish}
        blocks:
          - {channels: [{out: 4, kernel: 5, stride: 2}], squeeze_excitation: 2}
          - {channels: [6], kind: grouped, groups: 2, pool: convolution, activation: leaky_relu}
        head: {pool: flatten, reduce: {out: 3, activation: gelu}, linear: true}""",
    "a pool and a curve that come last": """
        blocks:
          - {channels: [4], pool: {kind: max, size: 3, stride: 2}, activation: prelu}
          - {channels: [{out: 10, padding: valid}], activation: silu, norm: none}
        head: {pool: global-max}""",
    "images that are pooled, and a mean that comes last": """
        blocks:
          - {pool: average, reduce: 6}
          - {channels: [10], norm: none, activation: none}
        head: {pool: global-average}""",
}
LEAST_ALIKE = 0.97
"""Correlation of logits; the worst of the above has 0.98."""


def program(text: str) -> Program:
    experiment = experiment_of(text)
    tensors = arrays(trained(experiment))
    return lower(plan_network(experiment).layers, tensors, INFO["mnist"])


def images(count: int = 24, *, seed: int = 0) -> NDArray[np.uint8]:
    """(N, 28, 28): smooth spots and noise, as bright at the border as anywhere."""
    rng = np.random.default_rng(seed)
    spots = np.kron(rng.integers(0, 2, (count, 7, 7)), np.ones((4, 4))) * 200
    return (spots + rng.integers(0, 56, (count, 28, 28))).astype(np.uint8)


@pytest.fixture(params=NETWORKS, scope="module")
def both(request: pytest.FixtureRequest) -> tuple[Program, IntegerProgram]:
    floats = program(NETWORKS[request.param])
    return floats, quantized(floats, images())


def test_whole_numbers_are_near_the_floats(both: tuple[Program, IntegerProgram]) -> None:
    floats, whole = both
    right = reference.logits(floats, images(seed=1)).ravel()
    found = integer.logits(whole, images(seed=1)).ravel() * whole.logit_scale
    assert np.corrcoef(right, found)[0, 1] > LEAST_ALIKE
    assert found.std() == pytest.approx(right.std(), rel=0.1)


def test_c_is_the_reference_bit_for_bit(both: tuple[Program, IntegerProgram]) -> None:
    _, whole = both
    right = integer.logits(whole, images(seed=1))
    labels, logits = run_here(
        integer_source(whole, name="net", about="A test."),
        images(seed=1),
        compiler=_compiler(),
        flags=("-O1",),
    )
    np.testing.assert_array_equal(logits, right)
    np.testing.assert_array_equal(labels, right.argmax(1))


def test_c_of_floats_is_the_reference(both: tuple[Program, IntegerProgram]) -> None:
    floats, _ = both
    right = reference.logits(floats, images(seed=1))
    source = float_source(floats, name="net", about="A test.")
    labels, logits = run_here(source, images(seed=1), compiler=_compiler(), flags=("-O1",))
    np.testing.assert_allclose(logits, right, rtol=1e-4, atol=1e-4 * np.abs(right).max())
    np.testing.assert_array_equal(labels, logits.argmax(1))


@pytest.mark.parametrize("highest", [0.5, 2.0, 9.0, 60.0])
def test_hardswish_is_within_a_step_of_the_real_one(highest: float) -> None:
    """It needs six bytes where a table of it has 256."""
    given, made = range_of(np.array([-3.3, highest])), range_of(np.array([-0.375, highest]))
    stored = np.arange(256, dtype=np.uint8)
    three = round(3 / given.scale)
    ratio = given.scale / (2 * three * made.scale)
    operation = integer.HardSwish(
        inputs=(0,),
        shape=(1, 1, 256),
        place="here",
        zero=made.zero,
        three=three,
        multiplier=round(ratio * 2**20),
        shift=20,
    )
    found = integer.computed(operation, [stored], [given.zero], is_last=False).astype(int)
    x = given.real(stored)
    right = made.stored(x * np.clip(x + 3, 0, 6) / 6).astype(int)
    assert np.abs(found - right).max() <= 1


@pytest.mark.parametrize("slope", [0.01, 0.125, 1.5, -0.25])
def test_a_leaky_relu_is_the_real_one_to_rounding(slope: float) -> None:
    """Learned slopes may be above 1, or negative."""
    floats = Program(
        (
            Pixels(
                inputs=(0,),
                shape=(1, 28, 28),
                place="input",
                scale=1 / 255,
                shift=-102 / 255,
                mean=0.4,
                std=1.0,
            ),
            LeakyRelu(inputs=(1,), shape=(1, 28, 28), place="here", slope=np.array([slope])),
            Pool(
                inputs=(2,), shape=(1, 1, 1), place="head", kind="average", size=(28, 28), stride=1
            ),
        )
    )
    whole = quantized(floats, images())
    operation = whole.operations[0]
    stored = np.arange(256, dtype=np.uint8)
    found = integer.computed(operation, [stored], [whole.zero(0)], is_last=False).astype(int)
    x = (stored - 102.0) / 255
    real = np.where(x >= 0, x, x * slope)
    right = range_of(reference.values(floats, images())[2]).stored(real).astype(int)
    assert isinstance(operation, integer.Leaky)
    assert np.abs(found - right).max() <= 1


def test_hardswish_is_computed_and_another_curve_is_looked_up() -> None:
    kinds = {
        name: {type(it).__name__ for it in quantized(program(NETWORKS[name]), images()).operations}
        for name in ("a border that is repeated, and a gate", "a pool and a curve that come last")
    }
    assert [{"HardSwish", "Leaky"} <= found for found in kinds.values()] == [True, False]
    assert all("Table" in found for found in kinds.values())


def test_floats_have_norms_of_each_image() -> None:
    text = """
        blocks: [{channels: [4], norm: group, activation: gelu, pool: {kind: max, size: 4}}]
        head: {pool: flatten, linear: true}"""
    floats = program(text)
    right = reference.logits(floats, images())
    source = float_source(floats, name="net", about="")
    _, logits = run_here(source, images(), compiler=_compiler(), flags=("-O1",))
    np.testing.assert_allclose(logits, right, rtol=1e-4, atol=1e-4 * np.abs(right).max())


@pytest.mark.parametrize(("repeat", "kind"), [(1, "uint8_t"), (2, "uint16_t")])
def test_maps_are_as_wide_as_their_padding_makes_them(repeat: int, kind: str) -> None:
    """28, 92 and 156 pixels fit into the numbers of a byte, and 284 do not."""
    pads = "{channels: [2], kernel: 1, padding: 32, kind: depthwise, repeat: 2, norm: none}"
    whole = quantized(
        program(f"""
        blocks: [{", ".join([pads] * repeat)}]
        head: {{pool: global-average, linear: true}}"""),
        images(2),
    )
    source = integer_source(whole, name="net", about="")
    assert f"{kind} rows" in source.source
    _, logits = run_here(source, images(2), compiler=_compiler(), flags=("-O1",))
    np.testing.assert_array_equal(logits, integer.logits(whole, images(2)))


STRICTLY = {
    "gcc": ("-O2", "-Wconversion", "-Wshadow"),
    "clang": ("-O1", "-Wconversion", "-fsanitize=address,undefined", "-fno-sanitize-recover"),
}


@pytest.mark.parametrize("compiler", STRICTLY)
def test_compilers_and_sanitizers_find_nothing(compiler: str) -> None:
    if shutil.which(compiler) is None:
        pytest.skip(f"there is no {compiler} here")
    floats = program(NETWORKS["separable residuals"])
    whole = quantized(floats, images())
    for source in (
        integer_source(whole, name="net", about="*/ a comment /* that must not end"),
        float_source(floats, name="net", about="Zw\u00f6lf"),
    ):
        labels, _ = run_here(source, images(4), compiler=compiler, flags=STRICTLY[compiler])
        assert len(labels) == 4


@pytest.mark.parametrize("board", BOARDS, ids=lambda it: it.name)
def test_what_it_takes_on_a_microcontroller(board: Board) -> None:
    whole = quantized(program(NETWORKS["separable residuals"]), images())
    source = integer_source(whole, name="net", about="")
    found = footprint(source, board, images(1)[0])
    if found is None:
        pytest.skip(f"there is no {board.compiler} here")
    assert whole.stored_bytes < found.flash_bytes < whole.stored_bytes + 8_000
    assert found.ram_bytes == source.buffer_bytes
    assert found.instructions is None or found.instructions > 100_000


def test_where_there_is_no_compiler_nothing_is_said_of_a_board() -> None:
    whole = quantized(program(NETWORKS["a pool and a curve that come last"]), images(4))
    source = integer_source(whole, name="net", about="")
    board = Board("none", "no-such-gcc", "no-such-size", (), "", (), "", "", (), None)
    assert footprint(source, board, images(1)[0]) is None


# ------------------------------------------------------------------------------------ whole numbers


def test_only_weights_scales_and_biases_are_counted() -> None:
    """Of a linear layer: weights of a byte, biases of two, multipliers of one, and four numbers."""
    text = """
        blocks: [{pool: {kind: max, size: 14}}]
        head: {pool: flatten, linear: true}"""
    whole = quantized(program(text), images())
    assert whole.stored_bytes == 40 + 20 + 10 + 3 + 1 + 1  # and a zero point of pool and of image


def test_weights_of_four_bits_are_those_of_the_training_and_take_half_a_byte() -> None:
    """Each is a whole number from -7 to 7 times the scale of its channel."""
    experiment = experiment_of(NETWORKS["norm last, which leaves floors"])
    layers = plan_network(experiment).layers
    stored = RoundedNetwork(trained(experiment, signs=1), layers, quantize="int4").stored()
    floats = lower(layers, arrays(stored), INFO["mnist"])
    whole = quantized(floats, images(), weight_bits=4)
    taken = [it for it in whole.operations if isinstance(it, IntegerConvolution)]
    given = [it for it in floats.operations if isinstance(it, Convolution)]
    for one, real in zip(taken, given, strict=True):
        rows = real.weight.reshape(len(real.weight), -1)
        grid = np.abs(rows).max(1, keepdims=True) / 7
        np.testing.assert_allclose(one.weight.reshape(rows.shape) * grid, rows, atol=1e-6)
    weights = sum(it.weight.size for it in taken)
    assert whole.stored_bytes == replace(whole, weight_bits=8).stored_bytes - weights // 2
    right = integer.logits(whole, images(seed=1)).ravel() * whole.logit_scale
    found = reference.logits(floats, images(seed=1)).ravel()
    assert np.corrcoef(right, found)[0, 1] > LEAST_ALIKE


@pytest.mark.gate
@pytest.mark.mnist
@pytest.mark.parametrize("name", ["int8", "tiny"])
def test_every_logit_of_c_is_the_reference_on_all_10000_images(name: str) -> None:
    """One compiled program answers all of them."""
    known = find(f"zoo/{name}", runs=Path("none"))
    tensors, _ = read_weights(known.weights)
    model = build_with(known.experiment, tensors, known.weights)
    whole, judged = whole_numbers(known, model, None)
    pixels = np.ascontiguousarray(judged.images[:, 0].numpy())
    source = integer_source(whole, name=name, about="A test.")
    labels, logits = run_here(source, pixels, compiler=_compiler())
    right = integer.logits(whole, pixels)
    assert right.shape == (10_000, 10)
    np.testing.assert_array_equal(logits, right)
    np.testing.assert_array_equal(labels, right.argmax(1))


def test_scaling_is_exact_for_the_scale_of_the_weights() -> None:
    """What a sum stands for is the scale of its channel, and no rounding of it."""
    whole = quantized(program(NETWORKS["separable residuals"]), images())
    for it in whole.operations:
        if isinstance(it, IntegerConvolution):
            assert it.weight.dtype == np.int8
            assert it.multiplier.dtype == np.uint8
            assert int(it.multiplier.max()) > 127  # no binary digit of it is left unused
            assert np.abs(it.weight.astype(int)).max() > 100


def test_negative_sums_are_rounded_down_as_the_rule_says() -> None:
    whole = np.array([-3, -2, -1, 0, 1, 2, 3])
    np.testing.assert_array_equal(integer._scaled(whole, 1, 1), [-1, -1, 0, 0, 1, 1, 2])
    np.testing.assert_array_equal(integer._scaled(whole, 5, 0), whole * 5)


@given(st.lists(st.floats(-100, 100, width=32), min_size=1, max_size=50))
def test_a_range_stores_zero_exactly(numbers: list[float]) -> None:
    found = range_of(np.array(numbers))
    assert 0 <= found.zero <= 255
    assert found.real(np.array([found.zero])).item() == 0


SPANS = st.builds(
    lambda size, first, length: Lifetime(size, first, first + length),
    st.integers(0, 50),
    st.integers(0, 20),
    st.integers(0, 8),
)


@given(st.lists(SPANS, max_size=15))
def test_values_that_are_needed_together_do_not_overlap(spans: list[Lifetime]) -> None:
    arena = arena_of(spans)
    taken: list[set[int]] = [
        set(range(at, at + it.size)) for at, it in zip(arena.offsets, spans, strict=True)
    ]
    for number, one in enumerate(spans):
        for other in range(number):
            assert not (one.meets(spans[other]) and taken[number] & taken[other])
    assert arena.size == max((max(it, default=-1) + 1 for it in taken), default=0)


def test_memory_is_used_again() -> None:
    """Two maps of 6 channels are all that lives at a time."""
    whole = quantized(program(NETWORKS["norm last, which leaves floors"]), images(4))
    source = integer_source(whole, name="net", about="")
    assert source.buffer_bytes == 2 * 6 * 28 * 28


@pytest.mark.parametrize(
    ("name", "right"), [("s6", "s6"), ("My-net.2", "my_net_2"), ("5k", "net_5k"), ("--", "net")]
)
def test_every_name_of_a_network_gives_a_name_of_c(name: str, right: str) -> None:
    assert prefix_of(name) == right


def test_a_comment_cannot_be_ended_from_inside() -> None:
    text = comment("a */ b\n/* c")
    assert text.count("*/") == text.count("/*") == 1


def _compiler() -> str:
    found = host_compiler()
    if found is None:
        pytest.skip("there is no C compiler here")
    return found
