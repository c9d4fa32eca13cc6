"""What a table does not say: it follows from shapes and counts, or is asked for, or is refused."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from mnist_arch.convert.importing import Imported, Request, import_source
from mnist_arch.convert.source import Source, places
from mnist_arch.counting.plan import plan_network
from mnist_arch.errors import SpecError


def of_text(text: str, **request: object) -> Imported:
    source = Source("it.txt", (), (places("it.txt", text),))
    return import_source(source, Request(**request))  # type: ignore[arg-type]


def refused(text: str, **request: object) -> str:
    """Messages and hints of an import that cannot be."""
    with pytest.raises(SpecError) as caught:
        of_text(text, **request)
    return "\n".join(f"{it.message} | {it.hint}" for it in caught.value.problems)


def kinds(imported: Imported) -> list[str]:
    return [row.layer for row in plan_network(imported.experiment).rows]


def keras(*rows: str) -> str:
    """A table of Keras of `a Conv2D 26,26,8 80 image`: name, class, sides, count, inputs."""
    cut = [it.split() for it in rows]
    wide = any(len(it) > 4 for it in cut)
    titles = ["Layer (type)", "Output Shape", "Param #", *["Connected to"] * wide]
    lines = [titles]
    for name, layer, sides, count, *inputs in cut:
        shape = f"(None, {sides.replace(',', ', ')})"
        lines.append([f"{name} ({layer})", shape, count, *[", ".join(inputs) or "-"] * wide])
    ruler = "├" + "┼".join(["──"] * len(titles)) + "┤"
    return "\n".join(part for it in lines for part in (f"│ {' │ '.join(it)} │", ruler))


def torchinfo(*rows: str) -> str:
    """A table of torchinfo of `1 Conv2d: 1-1 8,26,26 80`: depth, name, sides, count."""
    lines = ["Layer (type:depth-idx)                   Output Shape              Param #", "=" * 80]
    for row in rows:
        depth, name, *rest = row.replace(": ", ":").split()
        shape = f"[1, {rest[0].replace(',', ', ')}]" if rest[0] != "--" else "--"
        tree = "│    " * (int(depth) - 1) + "├─" if int(depth) else ""
        counted = rest[1] if rest[1] != "again" else "(recursive)"
        lines.append(f"{tree}{name.replace(':', ': ')}   {shape}   {counted}")
    return "\n".join([*lines, "=" * 80])


IMAGE = "image InputLayer 28,28,1 0"
FIRST = "a Conv2D 26,26,8 80 image"
LAST = ("p GlobalAveragePooling2D 8 0 {}", "d Dense 10 90 p")


def after_first(*rows: str, before_last: str) -> str:
    """The rows of a table of Keras with connections, after a convolution to 26×26×8."""
    return keras(IMAGE, FIRST, *rows, *(it.format(before_last) for it in LAST))


HEAD = ["AdaptiveAvgPool2d", "Flatten", "Linear"]


@pytest.mark.parametrize(
    ("rows", "choose", "layers"),
    [
        (["b SeparableConv2D 24,24,8 144 a[0][0]"], {}, ["Conv2d", "Conv2d"]),
        (["b DepthwiseConv2D 24,24,8 80 a"], {}, ["Conv2d"]),
        (
            ["long_name_o… Conv2D 26,26,8 584 a", "b ReLU 26,26,8 0 long_name_of_it"],
            {},
            ["Conv2d", "ReLU"],
        ),
        (["b LeakyReLU 26,26,8 0 a"], {}, ["LeakyReLU"]),
        (["b Activation 26,26,8 0 a"], {"b": "silu"}, ["SiLU"]),
        (["b BatchNormalization 26,26,8 32 a"], {}, ["BatchNorm2d"]),
        (["long_one Conv2D 26,26,8 584 a", "b Add 26,26,8 0 a long_…"], {}, ["Conv2d"]),
        (
            ["c Conv2D 26,26,8 584 a", "j Concatenate 26,26,16 0 a c", "b Conv2D 26,26,8 136 j"],
            {},
            ["Conv2d", "Conv2d"],
        ),
    ],
)
def test_rows_of_keras(rows: list[str], choose: Mapping[str, str], layers: list[str]) -> None:
    imported = of_text(after_first(*rows, before_last="b"), choose=choose)
    assert kinds(imported) == ["Conv2d", *layers, *HEAD]


def test_the_name_and_the_class_of_keras_may_be_cut_short() -> None:
    name = "global_average_pooling2d"
    imported = of_text(keras(IMAGE, FIRST, f"{name} Glo… 8 0 a", f"d Dense 10 90 {name}"))
    assert kinds(imported) == ["Conv2d", *HEAD]


def test_a_first_row_without_a_connection_is_on_the_image() -> None:
    imported = of_text(keras("a Conv2D 26,26,8 80", *(it.format("a") for it in LAST)))
    assert kinds(imported) == ["Conv2d", *HEAD]


def test_a_connection_that_is_cut_short_is_asked_for_in_a_place_of_its_own() -> None:
    rows = [f"long_{n} Conv2D 26,26,8 584 a" for n in (1, 2)]
    table = after_first(*rows, "b Add 26,26,8 0 long_… long_…", before_last="b")
    assert "b-input-1: the name long_… is cut short" in refused(table)
    imported = of_text(table, choose={"b-input-1": "long_2"})
    assert kinds(imported) == ["Conv2d"] * 3 + HEAD


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["b SeparableConv2D 24,24,8 145 a"], "145 parameters fit no separable convolution"),
        (["f Flatten 5408 0 a", "b SeparableConv2D 24,24,8 145 f"], "a convolution of 5408"),
        (["b Activation 26,26,8 0 a"], "choose={'b': 'silu'}"),
        (["b BatchNormalization 26,26,8 33 a"], "33 parameters are no norm of 8 channels"),
        (["b ReLU 26,26,8 0 q"], "b is connected to q, which is no row above it"),
        (["c ReLU 26,26,8 0 a", "b ReLU 26,26,8 0 a c"], "b has 2 inputs"),
        (["b Multiply 26,26,8 0 a a"], "the language lacks a product that is no squeeze"),
        (["b Lambda 26,26,8 0 a"], "Lambda is no layer that a table explains"),
    ],
)
def test_rows_of_keras_that_do_not_fit_are_refused(rows: list[str], message: str) -> None:
    assert message in refused(after_first(*rows, before_last="b"))


def test_a_layer_that_nothing_explains_is_left_out_of_a_part() -> None:
    table = after_first("b Lambda 26,26,8 0 a", before_last="b")
    imported = of_text(table, is_partial=True)
    assert [it.text for it in imported.missing] == ["the language lacks the layer Lambda"]
    assert kinds(imported) == ["Conv2d", *HEAD]


def test_a_table_of_other_images_or_of_none_is_refused() -> None:
    other = keras("image InputLayer 32,32,1 0", FIRST, *(it.format("a") for it in LAST))
    assert "the input is 1×32×32; here it is 1×28×28" in refused(other)
    assert "the table has no layer" in refused(keras(IMAGE))


ROOT = "0 Net 10 --"
CONV = "1 Conv2d:1-1 8,26,26 80"
RELU = "1 ReLU:1-2 8,26,26 --"
END = ("1 AdaptiveAvgPool2d:1-8 8,1,1 --", "1 Linear:1-9 10 90")
BLOCK = (CONV, "1 Block:1-2 8,26,26 --", "2 Conv2d:2-1 8,26,26 584", "2 ReLU:2-2 8,26,26 --")
AGAIN = "1 Conv2d:1-5 8,26,26 again"


@pytest.mark.parametrize(
    ("rows", "choose", "layers"),
    [
        ((CONV, RELU, "1 Conv2d:1-3 8,26,26 584", AGAIN), {}, ["ReLU", "Conv2d", "Conv2d"]),
        ((CONV, "1 Identity:1-2 -- --", RELU), {}, ["ReLU"]),
        ((CONV, RELU, "1 AdaptiveMaxPool2d:1-3 8,13,13 --"), {}, ["ReLU", "MaxPool2d"]),
        (BLOCK, {"Block-1-2": "chain"}, ["Conv2d", "ReLU"]),
        (
            (CONV, RELU, "1 Conv2d:1-3 8,11,11 584"),
            {"Conv2d-1-3": "max-pool"},
            ["ReLU", "MaxPool2d", "Conv2d"],
        ),
    ],
)
def test_rows_of_torchinfo(
    rows: tuple[str, ...], choose: Mapping[str, str], layers: list[str]
) -> None:
    imported = of_text(torchinfo(ROOT, *rows, *END), choose=choose)
    assert kinds(imported) == ["Conv2d", *layers, *HEAD]


@pytest.mark.parametrize(
    ("rows", "choose", "message"),
    [
        (("1 Conv2d:1-1 -- 80", RELU), {}, "the shape of its output is not printed"),
        (("1 Conv2d:1-1 8,26,26 --", RELU), {}, "its parameters are not printed"),
        ((CONV, RELU, AGAIN), {}, "is a layer again, and none above fits it"),
        (
            (CONV, RELU, *(f"1 Conv2d:1-{n} 8,26,26 584" for n in (3, 4)), AGAIN),
            {},
            "choose={'Conv2d-1-5': 'Conv2d-1-3'} or choose={'Conv2d-1-5': 'Conv2d-1-4'}",
        ),
        (
            (CONV, "1 BatchNorm2d:1-3 8,26,26 16", RELU, "1 BatchNorm2d:1-4 8,26,26 again"),
            {},
            "the language lacks a batch norm that is used again",
        ),
        (BLOCK, {}, "choose={'Block-1-2': 'chain'} or choose={'Block-1-2': 'residual'}"),
        (BLOCK, {"Block-1-2": "residual"}, "a residual cannot be read from a table of torch"),
        ((CONV, RELU, "1 MaxPool2d:1-3 8,13,26 --"), {}, "the language lacks a pool of 2×1"),
        ((CONV, RELU, "1 AlphaDropout:1-3 8,26,26 --"), {}, "the dropout AlphaDropout"),
    ],
)
def test_rows_of_torchinfo_that_do_not_fit_are_refused(
    rows: tuple[str, ...], choose: Mapping[str, str], message: str
) -> None:
    assert message in refused(torchinfo(ROOT, *rows, *END), choose=choose, dropout=0.1)


@pytest.mark.parametrize(
    ("answer", "layers"),
    [
        ("none", ["Conv2d", "BatchNorm2d"]),
        ("conv-norm-activation", ["Conv2d", "BatchNorm2d", "ReLU"]),
        ("conv-activation-norm", ["Conv2d", "ReLU", "BatchNorm2d"]),
    ],
)
def test_activations_that_are_calls_stand_where_one_says(answer: str, layers: list[str]) -> None:
    rows = [CONV, "1 BatchNorm2d:1-2 8,26,26 16", "1 Conv2d:1-3 8,24,24 584"]
    table = torchinfo(ROOT, *rows, "1 BatchNorm2d:1-4 8,24,24 16", *END)
    imported = of_text(table, choose={"activations": answer})
    assert kinds(imported) == layers * 2 + HEAD


def test_a_pool_that_is_a_call_before_the_last_layer_is_chosen() -> None:
    table = torchinfo(ROOT, CONV, RELU, END[1])
    assert "choose={'Linear-1-9': 'global-max'}" in refused(table)
    imported = of_text(table, choose={"Linear-1-9": "global-max"})
    assert kinds(imported) == ["Conv2d", "ReLU", "AdaptiveMaxPool2d", "Flatten", "Linear"]


@pytest.mark.parametrize("size", [5, 9])
def test_a_window_that_a_table_prints_decides(size: int) -> None:
    lines = [
        "Layer (type:depth-idx)   Kernel Shape   Output Shape     Param #",
        "Conv2d: 1-1              [3, 3]         [1, 8, 26, 26]   80",
        "ReLU: 1-2                --             [1, 8, 26, 26]   --",
        f"MaxPool2d: 1-3           [{size}, {size}]         [1, 8, 5, 5]     --",
        "AdaptiveAvgPool2d: 1-4   --             [1, 8, 1, 1]     --",
        "Linear: 1-5              --             [1, 10]          90",
    ]
    (pool,) = [it.pool for it in of_text("\n".join(lines)).experiment.blocks]
    assert getattr(pool, "size", None) == size


def test_a_module_of_torchsummary_with_a_convolution_beside_is_asked_about() -> None:
    lines = [
        "Conv2d-1 [-1, 8, 28, 28] 80",
        "ReLU-2 [-1, 8, 28, 28] 0",
        "Conv2d-3 [-1, 16, 28, 28] 1,168",
        "Conv2d-4 [-1, 16, 28, 28] 144",
        "Block-5 [-1, 16, 28, 28] 0",
        "AvgPool2d-6 [-1, 16, 1, 1] 0",
        "Linear-7 [-1, 10] 170",
    ]
    table = "\n".join(lines)
    assert "choose={'Block-5': 'chain'} or choose={'Block-5': 'residual'}" in refused(table)
    imported = of_text(table, choose={"Block-5": "chain"})
    assert kinds(imported)[:4] == ["Conv2d", "ReLU", "Conv2d", "Conv2d"]


@pytest.mark.parametrize("tool", ["torchsummary", "Keras"])
def test_a_table_of_too_many_rows_is_refused(tool: str) -> None:
    if tool == "Keras":
        text = keras(*(f"r{number} ReLU 26,26,8 0" for number in range(1100)))
    else:
        text = "\n".join(f"ReLU-{number} [-1, 8, 26, 26] 0" for number in range(1, 1101))
    assert "a table of more than 1,000 rows" in refused(text)


@pytest.mark.parametrize("shape", ["[[-1, 8, 26, 26], [-1, 8]]", "[-1, 8, -1, -1]"])
def test_a_row_of_several_or_of_unknown_sides_has_no_shape(shape: str) -> None:
    text = f"Conv2d-1 {shape} 80\nLinear-2 [-1, 10] 90"
    assert "Conv2d-1: the shape of its output is not printed" in refused(text)


@pytest.mark.parametrize("text", [torchinfo(), keras()])
def test_the_head_of_a_table_without_rows_is_no_network(text: str) -> None:
    assert "has no network" in refused(text)
