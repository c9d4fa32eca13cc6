"""Each remark stands beside a network that has the fault, and not beside one that has it not."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from mnist_arch.counting.advice import Advice, advise
from mnist_arch.counting.plan import plan_network
from mnist_arch.spec.loading import load, loads
from mnist_arch_cli.app import app

GOOD = """\
name: good
defaults: {bias: false, order: conv-norm-activation}
blocks:
  - {channels: [8, 8, 8], pool: max}
  - {channels: [12, 12, 12], pool: max}
  - {channels: [16, 16]}
head: {dropout: 0.1, linear: true}
"""


def advice(text: str) -> list[Advice]:
    experiment = loads(text, source="test").experiment
    return list(advise(experiment, plan_network(experiment)))


def changed(old: str, new: str) -> list[Advice]:
    """What is said of the good network with one thing changed."""
    assert GOOD.count(old) == 1
    return advice(GOOD.replace(old, new))


def but_for_export(found: list[Advice]) -> list[Advice]:
    """Without what is said of norms in an exported network."""
    return [it for it in found if "exported" not in it.message]


def only(found: list[Advice], words: str) -> Advice:
    (one,) = [remark for remark in found if words in remark.message]
    return one


def test_a_good_network_gets_no_advice() -> None:
    assert advice(GOOD) == []


def test_the_remarks_on_the_reference_network() -> None:
    experiment = load("s6").experiment
    assert [(one.place, one.message) for one in advise(experiment, plan_network(experiment))] == [
        ("blocks[2].dropout", "dropout of 0.2 on the logits"),
        ("blocks[2].pool", "7×7 pooled to 3×3 leaves out 1 row and column"),
        (
            "blocks[0].channels[2] and 2 more",
            "a batch norm that stays in an exported network if a scale of it gets below 0",
        ),
    ]


@pytest.mark.parametrize(
    ("convolution", "lines"),
    [
        (
            "kernel: [3, 5], stride: 4",
            "2 rows and 1 column",
        ),  # 30 - 3 = 6·4 + 3, one of them padding
        ("kernel: [5, 3], stride: 3, padding: valid", "2 rows and 1 column"),
        ("kernel: [3, 1], stride: 3, padding: valid", "1 row"),
        ("kernel: [1, 5], stride: 3, padding: valid", "2 columns"),
    ],
)
def test_rows_and_columns_that_are_left_out_are_counted_each(convolution: str, lines: str) -> None:
    text = (
        f"name: one\nblocks: [{{channels: [{{out: 8, {convolution}}}]}}]\nhead: {{linear: true}}\n"
    )
    assert only(advice(text), "leaves out").message.endswith(f"leaves out {lines}")


def test_what_pads_a_pool_is_left_out_first() -> None:
    pool = "pool: {kind: max, size: SIZE, stride: 3, padding: 1}"
    text = f"name: one\nblocks: [{{channels: [4], {pool}}}]\nhead: {{linear: true}}\n"
    found = advice(text.replace("SIZE", "4"))  # 28 + 2 - 4 = 8·3 + 2, one of them padding
    assert only(found, "leaves out").message.endswith("leaves out 1 row and column")
    assert not [it for it in advice(text.replace("SIZE", "3")) if "leaves out" in it.message]


# ------------------------------------------------------------------------------- dropout on logits

LOGITS = "\nhead: {dropout: 0.1, linear: true}"


@pytest.mark.parametrize(
    ("end", "place"),
    [
        ("\n  - {reduce: 10, dropout: 0.1}", "blocks[3].dropout"),
        ("\n  - {reduce: 10}\nhead: {dropout: 0.1}", "head.dropout"),
        ("\n  - {reduce: 10}\nhead: {dropout: {rate: 0.1, at: before}}", "head.dropout"),
        ("\nhead: {reduce: {out: 10, at: before}, dropout: 0.1}", "head.dropout"),
    ],
)
def test_dropout_on_the_logits(end: str, place: str) -> None:
    assert only(changed(LOGITS, end), "dropout of 0.1 on the logits").place == place


@pytest.mark.parametrize(
    "end",
    [
        "\n  - {reduce: 10}",
        "\nhead: {reduce: {out: 10, at: after}, dropout: 0.1}",
        "\nhead: {pool: flatten, linear: true, dropout: 0.1}",
        "\n  - {reduce: 10, dropout: 0.0}",
    ],
)
def test_dropout_before_the_last_convolution_is_none_on_the_logits(end: str) -> None:
    assert changed(LOGITS, end) == []


# --------------------------------------------------------------------------------- receptive field


def test_a_small_receptive_field() -> None:
    found = advice("name: a\nblocks: [{channels: [8, 10], pool: max}]\n")
    remark = only(found, "a receptive field of 6 pixels before the head")
    assert remark.place == "blocks[0].pool"


@pytest.mark.parametrize(("kernel", "remarks"), [(1, 1), (2, 0)])
def test_a_receptive_field_of_a_whole_digit_is_enough(kernel: int, remarks: int) -> None:
    found = advice(
        "name: a\ndefaults: {padding: valid}\nhead: {linear: true}\n"
        f"blocks: [{{channels: [8, 8], kernel: 10}}, {{channels: [8], kernel: {kernel}}}]\n"
    )
    assert len([one for one in found if "receptive field" in one.message]) == remarks


# ------------------------------------------------------------------------------------- large layer


def test_a_layer_with_most_of_the_parameters() -> None:
    remark = only(changed("{channels: [16, 16]}", "{channels: [16, 96]}"), "in one layer")
    assert remark.place == "blocks[2].channels[1]"
    assert remark.message == "64 % of all parameters in one layer"


@pytest.mark.parametrize(("classes", "remarks"), [(9, 0), (8, 1)])
def test_half_of_the_parameters_are_not_most(classes: int, remarks: int) -> None:
    """10 and 100 parameters, and 10 for each class."""
    found = advice(
        f"name: half\nclasses: {classes}\ndefaults: {{kernel: 1, bias: false, norm: none}}\n"
        f"blocks: [{{channels: [10, 10]}}]\nhead: {{reduce: {classes}}}\n"
    )
    assert len([one for one in found if "in one layer" in one.message]) == remarks


# ------------------------------------------------------------------------------------ useless bias


def test_a_bias_before_a_norm() -> None:
    remark = only(changed("bias: false", "bias: true"), "bias right before a norm")
    assert remark.place == "blocks[0].channels[0] and 7 more"
    assert "92 parameters" in remark.message


def test_one_bias_before_a_norm() -> None:
    found = changed("{channels: [16, 16]}", "{channels: [16, {out: 16, bias: true}]}")
    remark = only(found, "bias right before a norm")
    assert remark.place == "blocks[2].channels[1]"
    assert "16 parameters" in remark.message


def test_a_shared_bias_counts_once() -> None:
    found = changed("{channels: [16, 16]}", "{channels: [16], bias: true, repeat: 3, share: true}")
    remark = only(found, "bias right before a norm")
    assert "32 parameters" in remark.message  # 12 → 16, and 16 → 16 twice with one tensor


@pytest.mark.parametrize(
    "options",
    [
        "order: conv-activation-norm",
        "norm: none",
        "norm: group",
        "norm: {kind: group, groups: 2}",
        "order: conv-norm-activation, norm: group",
    ],
)
def test_a_bias_that_is_of_use(options: str) -> None:
    block = f"{{channels: [16, 16], bias: true, {options}}}"
    assert but_for_export(changed("{channels: [16, 16]}", block)) == []


@pytest.mark.parametrize("norm", ["instance", "{kind: group, groups: 16}"])
def test_other_norms_that_centre_each_channel(norm: str) -> None:
    block = f"{{channels: [16, 16], bias: true, norm: {norm}}}"
    assert only(changed("{channels: [16, 16]}", block), "bias right before a norm")


# ---------------------------------------------------------------------------------------- no norms


def test_no_normalisation() -> None:
    assert [one.place for one in changed("bias: false,", "norm: none,")] == ["blocks"]


def test_one_norm_is_some() -> None:
    found = changed("bias: false,", "bias: false, norm: none,")
    assert only(found, "no normalisation anywhere")
    text = GOOD.replace("bias: false,", "bias: false, norm: none,")
    assert advice(text.replace("{channels: [16, 16]}", "{channels: [16, 16], norm: batch}")) == []


# ------------------------------------------------------------------------------------- lost pixels


@pytest.mark.parametrize(
    ("block", "place", "lost"),
    [
        ("{channels: [16], pool: {kind: max, size: 3}}", "blocks[2].pool", "1 row and column"),
        (
            "{channels: [16], pool: {kind: average, size: 4}}",
            "blocks[2].pool",
            "3 rows and columns",
        ),
        ("{channels: [16], pool: convolution}", "blocks[2].pool", "1 row and column"),
        (
            "{channels: [{out: 16, stride: 2, padding: valid, kernel: 2}]}",
            "blocks[2].channels[0]",
            "1 row and column",
        ),
    ],
)
def test_pixels_that_never_reach_the_output(block: str, place: str, lost: str) -> None:
    remark = only(changed("{channels: [16, 16]}", block), f"leaves out {lost}")
    assert remark.place == place
    assert ("pooled to" in remark.message, "with a stride of 2 to" in remark.message) in (
        ("kind" in block, False),
        (False, "kind" not in block),
    )


@pytest.mark.parametrize(
    "block",
    [
        "{channels: [16], pool: {kind: max, size: 7}}",
        "{channels: [16], pool: {kind: convolution, size: 3}}",
        "{channels: [{out: 16, stride: 2}]}",
    ],
)
def test_windows_that_reach_every_pixel(block: str) -> None:
    assert changed("{channels: [16, 16]}", block) == []


# -------------------------------------------------------------------------------- nothing is shared


def test_sharing_that_shares_nothing() -> None:
    remark = only(
        changed("{channels: [16, 16]}", "{channels: [16], share: true}"), "shares nothing"
    )
    assert remark.place == "blocks[2]"


def test_sharing_that_shares() -> None:
    found = changed("{channels: [16, 16]}", "{channels: [16], repeat: 3, share: true}")
    assert but_for_export(found) == []


# -------------------------------------------------------------------------------------- no obstacle


def test_advice_blocks_nothing() -> None:
    result = CliRunner().invoke(app, ["train", "s6", "--dry-run"])
    assert result.exit_code == 0
    assert CliRunner().invoke(app, ["summary", "s6"]).exit_code == 0


# ------------------------------------------------------------------------ norms in an exported file


def test_a_norm_that_stays_in_an_exported_network() -> None:
    words = "a batch norm that stays"
    found = changed("[12, 12, 12]", "[12, 12, 12], order: conv-activation-norm, activation: gelu")
    assert only(found, words).place == "blocks[1].channels[0] and 2 more"
    found = changed("{channels: [16, 16]}", "{channels: [16], repeat: 3, share: true}")
    assert only(found, words).place == "blocks[2].channels[0] and 1 more"
    for options in ("activation: gelu", "order: conv-activation-norm", "share: true, repeat: 1"):
        found = changed("{channels: [16, 16]}", f"{{channels: [16, 16], {options}}}")
        assert found == but_for_export(found)


def test_a_norm_of_each_image_stays() -> None:
    found = changed("{channels: [16, 16]}", "{channels: [16, 16], norm: instance}")
    assert only(found, "a norm of each image").place == "blocks[2].channels[0] and 1 more"
