"""Printed tables become networks that print the same table, or the import says why not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mnist_arch.convert.importing import Imported, Request, import_network, import_source
from mnist_arch.convert.source import Source, places
from mnist_arch.convert.tables import as_torchsummary, find_tables, leaves
from mnist_arch.counting.plan import plan_network
from mnist_arch.errors import SpecError
from mnist_arch.spec.loading import load, loads
from mnist_arch.spec.network import Defaults

ROOT = Path(__file__).parents[2]
SMALL = ROOT / "tests/fixtures/tables/small.torchsummary.txt"
SHARED = ROOT.parent / "shared"
HANDED = SHARED / "cases/tables"


def of_text(text: str, **request: object) -> Imported:
    """The import of a printed text."""
    source = Source("it.txt", (), (places("it.txt", text),))
    return import_source(source, Request(**request))  # type: ignore[arg-type]


def refused(text: str, **request: object) -> str:
    """Messages and hints of an import that cannot be."""
    with pytest.raises(SpecError) as caught:
        of_text(text, **request)
    return "\n".join(f"{it.message} | {it.hint}" for it in caught.value.problems)


def rows(*lines: str) -> str:
    """A table of torchsummary from `Conv2d 8 28 28 80`."""
    printed = []
    for number, line in enumerate(lines, 1):
        layer, *sides, count = line.split()
        printed.append(f"{layer}-{number}  {[-1, *map(int, sides)]}  {int(count):,}")
    return "\n".join(printed)


def printed_again(imported: Imported) -> list[object]:
    (table,) = find_tables(places("again", as_torchsummary(plan_network(loaded(imported)))))
    return list(leaves(table))


def loaded(imported: Imported):  # type: ignore[no-untyped-def]
    return loads(imported.text, source="it.yaml").experiment


def test_a_table_printed_again_from_the_spec_is_the_same() -> None:
    imported = import_network(str(SMALL), Request(dropout=0.05))
    (table,) = find_tables(places("it", SMALL.read_text()))
    assert printed_again(imported) == list(leaves(table))
    assert imported.tree["defaults"] == {
        "padding": "valid",
        "bias": False,
        "dropout": {"rate": 0.05, "after": "each"},
    }
    assert imported.tree["head"] == {"pool": "average", "size": 10, "reduce": 10}
    assert imported.text.startswith("# Imported from ")


@pytest.mark.skipif(not SHARED.exists(), reason="the handed tables are not there")
def test_the_reference_table_is_the_network_s6() -> None:
    path = SHARED / "reference/s6_table.txt"
    imported = import_network(str(path), Request(dropout=0.2))
    (table,) = find_tables(places("it", path.read_text()))
    assert printed_again(imported) == list(leaves(table))
    assert plan_network(loaded(imported)).layers == plan_network(load("s6").experiment).layers


@pytest.mark.skipif(not SHARED.exists(), reason="the handed tables are not there")
@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("plain.torchsummary", 5670),
        ("plain.torchinfo", 5670),
        ("plain.torchinfo-columns", 5670),
        ("gap.torchsummary", 7842),
        ("gap.torchinfo", 7842),
        ("gap.torchinfo-columns", 7842),
        ("gap.keras", 7842),
    ],
)
def test_handed_tables_come_out(name: str, parameters: int) -> None:
    imported = import_network(str(HANDED / f"{name}.txt"), Request(dropout=0.1))
    assert plan_network(loaded(imported)).parameters == imported.parameters == parameters


@pytest.mark.skipif(not SHARED.exists(), reason="the handed tables are not there")
def test_what_a_handed_table_does_not_say_is_asked_and_decided() -> None:
    path = str(HANDED / "separable.torchsummary.txt")
    with pytest.raises(SpecError) as caught:
        import_network(path)
    messages = "\n".join(f"{it.message} {it.hint}" for it in caught.value.problems)
    assert "choose={'Linear-25': 'global-average'}" in messages
    assert "choose={'DepthwiseSeparable-24': 'chain'}" in messages
    choose = {"Conv2d": "stride-2", "DepthwiseSeparable": "chain", "Linear-25": "global-average"}
    imported = import_network(path, Request(choose))
    assert plan_network(loaded(imported)).parameters == 3750


@pytest.mark.skipif(not SHARED.exists(), reason="the handed tables are not there")
def test_what_the_language_lacks_is_named_with_its_row() -> None:
    path = HANDED / "residual.keras.txt"
    with pytest.raises(SpecError) as caught:
        import_network(str(path))
    (problem,) = caught.value.problems
    assert problem.message == "the language lacks an activation after the sum of a residual"
    assert problem.origin == f"{path}:38"
    partial = import_network(str(path), Request(is_partial=True))
    assert not partial.is_exact
    assert "# Missing: the language lacks an activation after the sum" in partial.text
    assert loaded(partial).blocks[1].residual


def test_a_rate_that_no_table_says_is_asked_for() -> None:
    text = SMALL.read_text()
    assert "dropout=RATE" in refused(text)
    assert "Dropout-4, Dropout-8, Dropout-14" in refused(text)
    one = {"Dropout-4": "0.1", "Dropout-8": "0.2", "Dropout-14": "0.3"}
    imported = of_text(text, choose=one)
    assert loaded(imported).blocks[0].channels[1].dropout.rate == 0.2
    partial = of_text(text, is_partial=True)
    assert "the rate of Dropout-4, which no table says: 0.1 is written" in partial.text
    assert not partial.is_exact


@pytest.mark.parametrize("rate", ["often", "1", "-0.1"])
def test_a_rate_that_is_none_is_refused(rate: str) -> None:
    table = rows("Conv2d 8 28 28 80", "Dropout 8 28 28 0", "AvgPool2d 8 1 1 0", "Linear 10 90")
    assert "is no rate | choose={'Dropout-2': '0.1'}" in refused(table, choose={"Dropout-2": rate})


def test_kernels_of_which_two_fit_are_asked_for() -> None:
    table = rows("Conv2d 9 28 28 90", "Conv2d 9 28 28 90", "ReLU 9 28 28 0", "Conv2d 10 28 28 100")
    table += "\nAdaptiveAvgPool2d-5 [-1, 10, 1, 1] 0"
    message = refused(table)
    assert "1x1-s1-p0-bias: a kernel of 1×1, stride 1, padding 0, 90 parameters" in message
    assert "3x3-g9-s1-p1-bias: a kernel of 3×3 in 9 groups" in message
    imported = of_text(table, choose={"Conv2d-2": "3x3-g9-s1-p1-bias"})
    assert plan_network(loaded(imported)).rows[1].kind == "depthwise"
    assert "not one of the answers" in refused(table, choose={"Conv2d-2": "5x5"})


def test_an_answer_that_nobody_asks_for_is_refused() -> None:
    assert "nobody asks for this" in refused(SMALL.read_text(), dropout=0.1, choose={"x": "1"})


def test_windows_of_which_two_fit_are_asked_for() -> None:
    table = rows("Conv2d 10 28 28 100", "ReLU 10 28 28 0", "MaxPool2d 10 11 11 0")
    message = refused(table + "\nAvgPool2d-4 [-1, 10, 2, 2] 0\nLinear-5 [-1, 10] 410")
    assert "AvgPool2d-4: several windows fit: 4: a window of 4×4" in message
    assert "choose={'AvgPool2d-4': '5'}" in message


def test_a_table_without_activations_is_asked_about() -> None:
    table = rows("Conv2d 8 28 28 80", "Conv2d 10 28 28 730", "AdaptiveAvgPool2d 10 1 1 0")
    assert "choose={'activations': 'none'}" in refused(table)
    imported = of_text(table, choose={"activations": "conv-norm-activation"})
    names = [row.layer for row in plan_network(loaded(imported)).rows]
    assert names == ["Conv2d", "ReLU", "Conv2d", "AdaptiveAvgPool2d"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("GroupNorm 8 28 28 16", "choose={'GroupNorm-2': '4'}"),
        ("ReLU6 8 28 28 0", "the activation relu6"),
        ("GhostBatchNorm 8 28 28 16", "GhostBatchNorm is no layer that a table explains"),
        ("BatchNorm2d 8 28 28 17", "17 parameters are no norm of 8 channels"),
        ("ReLU 8 27 27 0", "which does not follow from 8×28×28"),
        ("Conv2d 8 27 27 77", "fit no convolution"),
        ("Conv2d 5 10", "Conv2d-2: a convolution of 8×28×28"),
        ("MaxPool2d 5 0", "MaxPool2d-2: a pool of 8×28×28"),
        ("MaxPool2d 8 40 40 0", "no window leads from 8×28×28 to 8×40×40"),
        ("AdaptiveAvgPool2d 8 5 5 0", "windows of several sizes from 8×28×28"),
        ("Linear 10 93", "93 parameters do not give 10"),
        ("Linear 10 120", "120 parameters fit no layer of 6,272 values to 10"),
        ("Sequential 8 28 28 584", "Sequential-2 has 584 parameters, and no row says of what"),
        ("Block 8 14 14 0", "Block-2 gives 8×14×14, but its rows end in 8×28×28"),
    ],
)
def test_what_cannot_be_said_is_refused(line: str, message: str) -> None:
    table = rows("Conv2d 8 28 28 80", line, "ReLU 8 28 28 0", "AvgPool2d 8 1 1 0", "Linear 10 90")
    assert message in refused(table)


@pytest.mark.parametrize(
    ("line", "option"),
    [
        ("PReLU 8 28 28 8", {"activation": {"kind": "prelu", "slopes": "channel"}}),
        ("LayerNorm 8 28 28 2", {"norm": {"kind": "layer", "affine": "one"}}),
        ("LayerNorm 8 28 28 12544", {"norm": {"kind": "layer", "affine": "value"}}),
        ("BatchNorm2d 8 28 28 0", {"norm": {"affine": "none"}}),
        ("InstanceNorm2d 8 28 28 0", {"norm": {"kind": "instance", "affine": "none"}}),
    ],
)
def test_what_a_row_says_by_its_count_is_carried_over(line: str, option: dict[str, Any]) -> None:
    is_norm = "norm" in option
    after = "ReLU 8 28 28 0" if is_norm else "BatchNorm2d 8 28 28 16"
    table = rows("Conv2d 8 28 28 80", line, after, "AvgPool2d 8 1 1 0", "Linear 10 90")
    defaults = loaded(of_text(table)).defaults
    whole = Defaults.model_validate(option)
    name = "norm" if is_norm else "activation"
    assert getattr(defaults, name) == getattr(whole, name)


def test_a_table_that_is_damaged_is_refused() -> None:
    text = SMALL.read_text()
    assert "the table says 2,416" in refused(text.replace("1,152", "1,153"), dropout=0.1)
    lines = text.splitlines()
    assert "numbered up to 4, then 6" in refused("\n".join(lines[:7] + lines[8:]), dropout=0.1)


KERAS_2 = """
Layer (type)                 Output Shape              Param #
=================================================================
conv2d (Conv2D)              (None, 26, 26, 8)         80
_________________________________________________________________
flatten (Flatten)            (None, 5408)              0
_________________________________________________________________
dense (Dense)                (None, 10)                54090
=================================================================
Total params: 54170
"""
KERAS_3 = """
┏━━━━━━━━━━━━━━━━━━━┳━━━━━━━━━━━━━━━━━━━┳━━━━━━━━━┓
┃ Layer (type)      ┃ Output Shape      ┃ Param # ┃
┡━━━━━━━━━━━━━━━━━━━╇━━━━━━━━━━━━━━━━━━━╇━━━━━━━━━┩
│ conv2d (Conv2D)   │ (None, 26, 26, 8) │      80 │
├───────────────────┼───────────────────┼─────────┤
│ flatten (Flatten) │ (None, 5408)      │       0 │
├───────────────────┼───────────────────┼─────────┤
│ dense (Dense)     │ (None, 10)        │  54,090 │
└───────────────────┴───────────────────┴─────────┘
 Total params: 54,170
"""


@pytest.mark.parametrize(
    ("printed", "width", "message"),
    [
        (KERAS_2, 59, "the lines of the table are cut off or wrapped: it has no column `Param #`"),
        (KERAS_2, 40, "the lines of the table are cut off or wrapped: it has no column `Param #`"),
        (KERAS_2, 22, "the lines of the table are cut off or wrapped: it has no column `Param #`"),
        (KERAS_3, 40, "the lines of the table are cut off or wrapped: it has no column `Param #`"),
        (KERAS_3, 50, "a row of the table cannot be read | its lines may be cut off"),
    ],
)
def test_a_table_whose_lines_are_cut_off_is_told(printed: str, width: int, message: str) -> None:
    assert of_text(printed).parameters == 54_170
    cut = "\n".join(line[:width] for line in printed.splitlines())
    assert message in refused(cut)
    wrapped = printed.replace("Param #", "\n   Param #")
    assert "cut off or wrapped" in refused(wrapped)


def test_tables_of_other_networks_are_told_apart() -> None:
    text = SMALL.read_text()
    both = text + rows("Conv2d 10 28 28 100", "ReLU 10 28 28 0", "AvgPool2d 10 1 1 0")
    assert "2: torchsummary at it.txt:25, 100 parameters" in refused(both, dropout=0.1)
    assert of_text(both, choose={"table": "2"}).parameters == 100
    assert of_text(text + "\n" + text, dropout=0.1).parameters == 2416


@pytest.mark.parametrize("form", ["notebook", "page", "escapes"])
def test_tables_are_found_where_people_keep_them(form: str, tmp_path: Path) -> None:
    text = SMALL.read_text()
    if form == "notebook":
        path = tmp_path / "it.ipynb"
        output = {"output_type": "stream", "text": text.splitlines(keepends=True)}
        cell = {"cell_type": "code", "source": ["!pip install torchsummary"], "outputs": [output]}
        path.write_text(json.dumps({"cells": [cell], "nbformat": 4}))
    elif form == "page":
        path = tmp_path / "README.md"
        path.write_text(f"# Mine\n\n```\n{text}\n```\n")
    else:
        path = tmp_path / "log.txt"
        path.write_text(text.replace("Conv2d", "\x1b[1mConv2d\x1b[0m"))
    assert import_network(str(path), Request(dropout=0.1)).parameters == 2416


def test_a_text_without_a_table_is_refused() -> None:
    assert "has no network" in refused("nothing")


def test_what_is_written_after_the_rows_is_no_part_of_them() -> None:
    rows = SMALL.read_text().splitlines()
    more = [f"{it}   28x28    3x3" if "Conv2d-" in it else it for it in rows]
    tables = [find_tables(places("it", "\n".join(lines))) for lines in (rows, more)]
    assert [[*leaves(it)] for it in tables[0]] == [[*leaves(it)] for it in tables[1]]
