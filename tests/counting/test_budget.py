"""The rules of the exercise, on their boundaries."""

from __future__ import annotations

import re
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnist_arch.counting.budget import check, counts_of, within
from mnist_arch.counting.plan import plan_network
from mnist_arch.data.catalog import DatasetName
from mnist_arch.errors import BudgetExceeded
from mnist_arch.network.build import build, count_parameters
from mnist_arch.spec.experiment import (
    Budget,
    Counts,
    Excess,
    Experiment,
    Headroom,
    Verdict,
    Verdicts,
)
from mnist_arch.spec.loading import load, loads
from mnist_arch.spec.overrides import parse_override

AT_THE_LIMIT, JUST_UNDER = "[26, 28, 50]", "[27, 28, 49]"
"""Channels of the network below with 20,000 and with 19,999 parameters."""


def plain(channels: str, more: str = "") -> Experiment:
    """Three bare convolutions and a reduction to ten classes."""
    text = (
        f"name: plain\ndefaults: {{norm: none}}\nblocks: [{{channels: {channels}, reduce: 10}}]\n"
    )
    return loads(text + more, source="plain.yaml").experiment


def s6(*overrides: str) -> Experiment:
    return load("s6", overrides=[parse_override(text) for text in overrides]).experiment


def refusal(experiment: Experiment) -> BudgetExceeded:
    assert not within(experiment, plan_network(experiment))
    with pytest.raises(BudgetExceeded) as caught:
        check(experiment, plan_network(experiment))
    return caught.value


# ------------------------------------------------------------------------------------ parameters


def test_20000_parameters_are_refused() -> None:
    experiment = plain(AT_THE_LIMIT)
    assert count_parameters(build(experiment)) == 20_000
    error = refusal(experiment)
    assert str(error) == (
        "plain: 20,000 parameters, 1 too many for fewer than 20,000; "
        "the largest layer is blocks[0].channels[2] (12,650)"
    )
    assert error.hint == "49 channels instead of 50 at blocks[0].channels[2] would fit (19,737)"


def test_19999_parameters_are_accepted() -> None:
    experiment = plain(JUST_UNDER)
    assert count_parameters(build(experiment)) == 19_999
    check(experiment, plan_network(experiment))
    assert within(experiment, plan_network(experiment))


def test_the_reference_network_is_accepted() -> None:
    check(s6(), plan_network(s6()))


def test_the_limit_is_the_specs_own() -> None:
    assert "8,668 too many for fewer than 9,999;" in str(
        refusal(s6("budget.parameters_below=9999"))
    )
    check(s6("budget.parameters_below=18667"), plan_network(s6()))
    assert "18,666 parameters, 1 too many" in str(refusal(s6("budget.parameters_below=18666")))


def test_a_much_too_large_network_is_scaled_as_a_whole() -> None:
    error = refusal(s6("blocks.2.channels=[160, 640]"))
    assert str(error) == (
        "s6: 954,362 parameters, 934,363 too many for fewer than 20,000; "
        "the largest layer is blocks[2].channels[1] (922,240)"
    )
    assert error.hint == "10 % of the channels in every block would fit (11,493)"


def test_a_largest_layer_that_is_no_convolution_scales_them_all() -> None:
    text = "head: {pool: flatten, linear: true}\n"
    experiment = loads(
        f"name: flat\nblocks: [{{channels: [8, 16], pool: max}}]\n{text}", source="flat.yaml"
    ).experiment
    error = refusal(experiment)
    assert "the largest layer is head" in str(error)
    assert "% of the channels in every block would fit" in error.hint


def test_where_no_scale_fits_the_hint_says_so() -> None:
    error = refusal(plain("[8]", "budget: {parameters_below: 20}\n"))
    assert error.hint == "use fewer or smaller layers"


def what_is_said_to_fit(experiment: Experiment, hint: str) -> tuple[Experiment, int]:
    """The network with the change of the hint made, and the count that the hint promises."""
    promised = int(re.search(r"would fit \(([\d,]+)\)", hint)[1].replace(",", ""))  # type: ignore[index]
    blocks = [block.model_dump() for block in experiment.blocks]
    if one := re.match(
        r"(\d+) channels instead of (\d+) at blocks\[(\d+)\]\.channels\[(\d+)\]", hint
    ):
        out, was, block, index = map(int, one.groups())
        assert blocks[block]["channels"][index]["out"] == was
        blocks[block]["channels"][index]["out"] = out
    else:
        percent = int(re.match(r"(\d+) % of the channels in every block", hint)[1])  # type: ignore[index]
        for conv in [conv for block in blocks for conv in block["channels"]]:
            conv["out"] = max(1, conv["out"] * percent // 100)
    changed = {**experiment.model_dump(), "blocks": blocks}
    return Experiment.model_validate(changed), promised


@pytest.mark.parametrize(
    "overrides",
    [
        ("blocks.2.channels=[16, 64]",),
        ("blocks.0.channels=[8, 16, 320]",),
        ("blocks.1.channels=[400]",),
        ("blocks.0.residual=true", "blocks.0.channels=[40, 80]"),
        ("blocks.1.repeat=3", "blocks.1.channels=[24, 24]"),
        ("blocks.1={channels: [64, 128], kind: separable, pool: max, reduce: 12}",),
        ("blocks.2={channels: [64, 64], kind: grouped, groups: 2, reduce: 10}", "head.size=6"),
        ("defaults.kind=separable", "budget.parameters_below=2000"),
        ("budget.parameters_below=1500",),
    ],
)
def test_what_is_said_to_fit_does(overrides: tuple[str, ...]) -> None:
    experiment = s6(*overrides)
    error = refusal(experiment)
    fitting, promised = what_is_said_to_fit(experiment, error.hint)
    assert plan_network(fitting).parameters == promised < experiment.budget.parameters_below
    check(fitting, plan_network(fitting))


@pytest.mark.slow
@given(widths=st.lists(st.integers(1, 300), min_size=2, max_size=5), limit=st.integers(100, 30_000))
def test_whatever_is_refused_is_told_what_fits(widths: list[int], limit: int) -> None:
    experiment = plain(str(widths), f"budget: {{parameters_below: {limit}}}\n")
    count = plan_network(experiment).parameters
    if count < limit:
        check(experiment, plan_network(experiment))
        return
    error = refusal(experiment)
    assert f"{count:,} parameters, {count - limit + 1:,} too many" in str(error)
    if error.hint != "use fewer or smaller layers":
        fitting, promised = what_is_said_to_fit(experiment, error.hint)
        assert plan_network(fitting).parameters == promised < limit


# ---------------------------------------------------------------------------------------- epochs


def test_20_epochs_are_refused_and_19_are_not() -> None:
    error = refusal(s6("recipe.epochs=20"))
    assert str(error) == "s6: 20 epochs, 1 too many for fewer than 20"
    assert error.hint == "epochs=19 would fit"
    check(s6("recipe.epochs=19"), plan_network(s6()))


def test_both_rules_are_named_at_once() -> None:
    error = refusal(s6("recipe.epochs=30", "budget.parameters_below=18000"))
    assert "18,666 parameters, 667 too many" in str(error)
    assert str(error).endswith("; 30 epochs, 11 too many for fewer than 20")
    assert error.hint.endswith("; epochs=19 would fit")


def test_a_budget_without_any_epoch_has_no_way_out() -> None:
    assert refusal(s6("recipe.epochs=1", "budget.epochs_below=1")).hint == ""


# ------------------------------------------------------------------------------- fewer than so many


@pytest.mark.parametrize(
    ("counts", "headroom", "excess", "verdicts"),
    [
        ((19_999, 19), (0, 0), (0, 0), ("kept", "kept")),
        ((20_000, 20), (-1, -1), (1, 1), ("missed", "missed")),
        ((18_666, 30), (1_333, -11), (0, 11), ("kept", "missed")),
        ((0, 1), (19_999, 18), (0, 0), ("kept", "kept")),
    ],
)
def test_fewer_than_a_limit_leaves_it_out(
    counts: tuple[int, int],
    headroom: tuple[int, int],
    excess: tuple[int, int],
    verdicts: tuple[Verdict, Verdict],
) -> None:
    budget, found = Budget(), Counts(*counts, macs=10**9, bytes=10**9)
    assert budget.headroom(found) == Headroom(*headroom)
    assert budget.excess(found) == Excess(*excess)
    parameters, epochs = verdicts
    expected = Verdicts(parameters=parameters, epochs=epochs, accuracy="none")
    assert budget.verdicts(found) == expected
    assert budget.verdicts(found, accuracy="kept") == expected.model_copy(
        update={"accuracy": "kept"}
    )


def test_a_plan_and_a_recipe_have_what_a_budget_limits() -> None:
    assert counts_of(s6(), plan_network(s6())) == Counts(
        parameters=18_666, epochs=19, macs=6_049_088, bytes=S6_BYTES
    )


S6_BYTES = plan_network(s6()).sizes.inference_bytes
LIMITS = [("macs", "MACs", 6_049_088), ("bytes", "bytes", S6_BYTES)]


@pytest.mark.parametrize(("key", "unit", "count"), LIMITS)
def test_macs_and_bytes_are_limited_where_the_budget_says_so(
    key: str, unit: str, count: int
) -> None:
    """Fewer than the limit, as parameters; what is written is what would fit."""
    assert within(s6(), plan_network(s6()))
    assert within(s6(f"budget.{key}_below={count + 1}"), plan_network(s6()))
    over = s6(f"budget.{key}_below={count}")
    assert not within(over, plan_network(over))
    error = refusal(over)
    assert f"{count:,} {unit}, 1 too many for fewer than {count:,}" in str(error)
    assert "would fit" in error.hint
    assert unit in error.hint


def test_of_a_rule_that_is_not_asked_for_there_is_no_verdict() -> None:
    counts = Counts(1, 1, 1, 1)
    assert Budget().verdicts(counts).asked().keys() == {"parameters", "epochs", "accuracy"}
    assert Budget().verdicts(counts).model_dump().keys() == Budget().verdicts(counts).asked().keys()
    asked = Budget(macs_below=1, bytes_below=2)
    found = asked.verdicts(counts, accuracy="kept")
    assert (found.macs, found.bytes, found.overall) == ("missed", "kept", "missed")
    unknown = asked.verdicts(Counts(1, 1, 0, None), accuracy="kept")
    assert (unknown.macs, unknown.bytes, unknown.overall) == ("kept", "none", "none")


# -------------------------------------------------------------------------------------- accuracy


def verdict(correct: int, images: int = 10_000, *, percent: float = 99.4) -> str:
    budget = Budget(accuracy_percent=percent)
    return budget.accuracy_verdict(correct=correct, images=images, dataset="mnist", split="test")


def test_9940_of_10000_keep_the_rule_and_9939_miss_it() -> None:
    assert verdict(9_940) == "kept"
    assert verdict(9_939) == "missed"
    assert Budget().needed_correct(10_000) == 9_940


@pytest.mark.parametrize("percent", [99.4, 99.1, 98.7, 0.7, 57.3, 33.33, 1e-7])
def test_the_rule_is_exact_where_binary_numbers_are_not(percent: float) -> None:
    images = 10_000 * 10**9
    needed = Fraction(str(percent)) / 100 * images
    assert needed.denominator == 1
    assert verdict(int(needed), images, percent=percent) == "kept"
    assert verdict(int(needed) - 1, images, percent=percent) == "missed"
    assert Budget(accuracy_percent=percent).needed_correct(images) == needed


def test_the_needed_count_is_rounded_up() -> None:
    assert Budget().needed_correct(1_000) == 994
    assert Budget().needed_correct(333) == 332  # 331.002
    assert Budget(accuracy_percent=100.0).needed_correct(7) == 7
    assert Budget(accuracy_percent=0.0).needed_correct(7) == 0


@given(images=st.integers(1, 60_000), percent=st.floats(0, 100), correct=st.integers(0, 60_000))
def test_the_verdict_is_that_of_the_needed_count(images: int, percent: float, correct: int) -> None:
    needed = Budget(accuracy_percent=percent).needed_correct(images)
    assert (verdict(correct, images, percent=percent) == "kept") == (correct >= needed)


@pytest.mark.parametrize(
    ("dataset", "split"),
    [
        ("mnist", "validation"),
        ("mnist", "train"),
        ("mnist-5k", "test"),
        ("fashion-mnist", "test"),
        ("qmnist", "test"),
    ],
)
def test_there_is_no_verdict_elsewhere(dataset: DatasetName, split: str) -> None:
    found = Budget().accuracy_verdict(correct=10, images=10, dataset=dataset, split=split)
    assert found == "none"


def test_a_budget_may_be_about_another_dataset() -> None:
    budget = Budget(dataset="kmnist")
    judged = {
        name: budget.accuracy_verdict(correct=9_940, images=10_000, dataset=name, split="test")
        for name in ("kmnist", "mnist")
    }
    assert judged == {"kmnist": "kept", "mnist": "none"}
