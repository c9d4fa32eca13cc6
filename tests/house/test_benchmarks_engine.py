"""What the benchmarks of the training engine compute from what they measure."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import runpy
import statistics
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))

import first_step
import linear
import peer
import report
import step

from mnist_arch import build, load
from mnist_arch.counting.plan import plan_network
from mnist_arch.training.engine import Engine

ROOT = Path(__file__).parents[2]

# ------------------------------------------------------------------------------------ every report


@pytest.mark.parametrize(
    ("argument", "shown"),
    [
        ("--pairs", "--pairs"),
        ("3", "3"),
        ("benchmarks/results/peer.json", "benchmarks/results/peer.json"),
        ("/data/mnist", "mnist"),
        ("../peers/plain.py", "plain.py"),
        ("--root=/data/mnist", "--root=mnist"),
        ("--out=results/peer.json", "--out=results/peer.json"),
    ],
)
def test_a_report_names_no_folder_of_the_machine(argument: str, shown: str) -> None:
    assert report.portable(argument) == shown


def test_a_report_says_where_it_comes_from(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["benchmarks/peer.py", "/data/plain.py"])
    origin = report.origin()
    assert origin["command"] == ["python", "benchmarks/peer.py", "plain.py"]
    assert set(origin["versions"]) == {"python", "mnist-arch", "torch"}
    assert origin["machine"].endswith(" cores")
    assert origin["commit"] is None or re.fullmatch(r"[0-9a-f]{40}\+?", origin["commit"])


def test_columns_stand_under_their_headings() -> None:
    text = report.table(["", "seconds"], [["peer", "75.1"], ["mnist-arch", "4"]])
    assert text == "            seconds\npeer           75.1\nmnist-arch        4\n"


def test_a_report_is_printed_and_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report.publish("a table\n", {"ratio": report.spread([3, 1, 2.5])}, tmp_path / "out.json")
    assert capsys.readouterr().out == "a table\n"
    kept = json.loads((tmp_path / "out.json").read_text())
    assert kept == {"ratio": {"median": 2.5, "min": 1, "max": 3}}


# ---------------------------------------------------------------------------------------- the peer

LAST = '{"seconds": 71.5, "epochs": 1, "seed": 3, "parameters": 18666, "final": 98.1, "best": 98.2}'
SAID = peer.Reported(seconds=71.5, epochs=1, parameters=18_666, accuracy_percent=98.1)


def test_a_peer_is_judged_by_its_last_line_and_final_epoch() -> None:
    assert peer.read_peer(f"epoch 1: test accuracy 98.10 %\n{LAST}\n") == SAID


@pytest.mark.parametrize("output", ["", "epoch 1\n", "[1, 2]", '{"seconds": 1}', f"{LAST}\nbye"])
def test_a_peer_that_says_too_little_is_refused(output: str) -> None:
    with pytest.raises(ValueError, match="no JSON object of a peer"):
        peer.read_peer(output)


def test_ours_is_read_from_its_json() -> None:
    result = {"seconds": 43.0, "epochs": 2, "parameters": 5, "accuracy_percent": 99.0, "macs": 1}
    assert peer.read_ours(json.dumps(result, indent=2)) == peer.Reported(43.0, 2, 5, 99.0)


def side(name: str, *seconds: float) -> peer.Side:
    outcomes = [peer.Outcome(it, 10**6, SAID) for it in seconds]
    return peer.Side(name, 60_000, lambda seed: [], peer.read_peer, outcomes)


def test_the_ratio_is_against_the_faster_peer_pair_by_pair() -> None:
    slow, fast = side("slow", 10.0, 90.0, 95.0), side("fast", 80.0, 88.0, 99.0)
    faster, ratios = peer.pair_ratios([slow, fast], side("ours", 40.0, 44.0, 33.0))
    assert faster.name == "fast"  # by the median, though the least is the other's
    assert ratios == [2.0, 2.0, 3.0]


def test_a_row_has_medians_and_images_a_second() -> None:
    cells = peer.row(side("ours", 30.0, 50.0, 40.0), epochs=2)
    assert cells == ["ours", "40.0", "71.5", "3,000", "1", "18,666", "98.10 98.10 98.10"]


def printing(text: str) -> list[str]:
    return [sys.executable, "-c", f"print({text!r})"]


@pytest.mark.slow
def test_a_process_is_measured_and_read() -> None:
    one = peer.Side("peer", 60_000, lambda seed: printing(LAST), peer.read_peer)
    peer.run(one, seed=0, epochs=1)
    (outcome,) = one.outcomes
    assert outcome.said == SAID
    assert 0 < outcome.seconds < 60
    assert 10**6 < outcome.peak_bytes < 10**11  # bytes, not their thousands


@pytest.mark.slow
def test_a_side_that_trained_another_number_of_epochs_is_refused() -> None:
    one = peer.Side("peer", 60_000, lambda seed: printing(LAST), peer.read_peer)
    with pytest.raises(ValueError, match="peer ended after 1 of 2 epochs"):
        peer.run(one, seed=0, epochs=2)


@pytest.mark.slow
def test_a_process_that_fails_is_no_measurement() -> None:
    with pytest.raises(subprocess.CalledProcessError):
        peer.measured([sys.executable, "-c", "raise SystemExit(3)"])


@pytest.mark.slow
def test_the_plain_script_that_ships_is_a_peer_of_s6() -> None:
    """Both sides are the same network."""
    found = runpy.run_path(str(ROOT / "benchmarks" / "plain_script.py"))
    network = found["network"](0.2)
    own = build(load("s6").experiment)
    assert [tensor.shape for tensor in network.parameters()] == [
        tensor.shape for tensor in own.parameters()
    ]
    shared = ROOT.parent / "shared" / "peers" / "plain_script.py"
    if shared.exists():
        assert shared.read_bytes() == (ROOT / "benchmarks" / "plain_script.py").read_bytes()


# ---------------------------------------------------------------------------------------- the step


def test_a_step_is_three_products_of_two_operations() -> None:
    assert step.step_gflops(1_000.0, macs=6_000_000) == pytest.approx(36.0)


@pytest.mark.parametrize(
    ("path", "group"),
    [
        (["aten::conv2d", "aten::convolution", "aten::empty"], "convolution"),
        (
            ["autograd::engine::evaluate_function: ConvolutionBackward0", "aten::mul"],
            "convolution, backward",
        ),
        (["aten::batch_norm", "aten::native_batch_norm"], "norm"),
        (["autograd::engine::evaluate_function: NativeBatchNormBackward0"], "norm, backward"),
        (["aten::relu", "aten::clamp_min"], "activation"),
        (["autograd::engine::evaluate_function: ReluBackward0"], "activation"),
        (["autograd::engine::evaluate_function: AvgPool2DBackward0"], "pooling"),
        (["aten::dropout", "aten::div_"], "dropout"),
        (["Optimizer.step#SGD.step", "aten::mul"], "optimizer and average"),
        (["aten::grid_sampler"], "augmentation and data"),
        (["aten::something_new", "aten::empty"], "rest"),
    ],
)
def test_an_operator_counts_for_what_called_it(path: list[str], group: str) -> None:
    assert step.group_of(path) == group


def test_shares_drop_nothing() -> None:
    operators = [
        step.Operator(("aten::conv2d", "aten::empty"), 1.0),
        step.Operator(("aten::conv2d",), 2.0),
        step.Operator(("aten::new", "aten::empty"), 0.5),
        step.Operator(("aten::new",), 0.5),
    ]
    groups, rest = step.shares(operators)
    assert groups == {"convolution": 0.75, "rest": 0.25}
    assert rest == {"aten::new": 0.25}


def test_a_study_is_printed_and_kept_alike() -> None:
    engine = Engine(device="cpu", threads=2, precision="bfloat16")
    operators = [step.Operator(("aten::conv2d",), 3.0), step.Operator(("aten::new",), 1.0)]
    ceilings, speeds = [90.0, 100.0, 60.0], [1e3, 1.2e3, 8e2]
    study = step.Study(engine, 5_000_000, ceilings, [900.0, 800.0, 700.0], speeds, operators, 5.0)
    report, text = study.report(), study.text()
    assert report["step_gflops"] == pytest.approx([30.0, 36.0, 24.0])
    assert report["share_of_ceiling"] == pytest.approx([1 / 3, 0.36, 0.4])
    assert report["profile"]["groups"] == {"convolution": 0.75, "rest": 0.25}
    assert re.search(r"share of the ceiling +36\.0% +33\.3% +40\.0%", text)
    assert re.search(r"ceiling in float32, GFLOP/s +90 +60 +100", text)
    assert re.search(r"a product in bfloat16, GFLOP/s +800 +700 +900", text)
    assert re.search(r"convolution +75\.0%", text)
    assert "operators take 4.0 s of 5.0 s" in text


def test_the_path_of_an_operator_begins_outside() -> None:
    outer = SimpleNamespace(name="aten::conv2d", cpu_parent=None)
    inner = SimpleNamespace(name="aten::empty", cpu_parent=outer)
    assert step.path_of(inner) == ("aten::conv2d", "aten::empty")


# -------------------------------------------------------------------------------- data and networks


def points() -> list[linear.Point]:
    """Two networks by two numbers of images, exactly as the fit has it."""
    return [
        linear.Point(channels, macs, images, images * (80e-12 * macs + 300e-6))
        for channels, macs in (("8,16", 1_500_000), ("8,16,32", 6_000_000))
        for images in (5_000, 10_000)
    ]


def test_the_fit_finds_what_the_points_were_made_of() -> None:
    fit = linear.fitted(points())
    assert fit.per_image_and_mac == pytest.approx(80e-12)
    assert fit.per_image == pytest.approx(300e-6)
    assert fit.r2 == pytest.approx(1.0)
    assert fit.largest_error == pytest.approx(0.0, abs=1e-9)


def test_a_point_off_the_line_shows() -> None:
    first, *others = points()
    fit = linear.fitted([dataclasses.replace(first, seconds=first.seconds * 1.5), *others])
    assert fit.r2 < 0.99
    assert fit.largest_error > 0.1


def test_a_line_and_what_it_leaves() -> None:
    line = linear.line_through([1.0, 2.0, 3.0], [3.0, 5.0, 7.0])
    assert (line.slope, line.start, line.r2) == pytest.approx((2.0, 1.0, 1.0))
    x, bent = [1.0, 2.0, 3.0, 4.0], [1.0, 4.0, 9.0, 16.0]
    correlation = statistics.correlation(x, bent)
    assert linear.line_through(x, bent).r2 == pytest.approx(correlation**2)


def test_series_differ_in_one_thing_alone() -> None:
    by_images, by_macs = linear.by_images(points()), linear.by_macs(points())
    assert [one.x for one in by_images] == [(5_000, 10_000)] * 2
    assert [one.x for one in by_macs] == [(1.5, 6.0)] * 2
    for series, seconds in ((by_images, (2.1, 4.2, 3.9, 7.8)), (by_macs, (2.1, 3.9, 4.2, 7.8))):
        assert sum((one.seconds for one in series), ()) == pytest.approx(seconds)


def test_a_network_differs_from_s6_in_its_first_block_alone() -> None:
    small, s6 = (linear.network(it, "mnist-5k", epochs=2) for it in ("8,16", "8,16,32"))
    assert [conv.out for conv in small.blocks[0].channels] == [8, 16]
    assert small.blocks[1:] == s6.blocks[1:]
    assert plan_network(small).macs < plan_network(s6).macs / 2
    assert plan_network(s6).parameters == 18_666


# ----------------------------------------------------------------------------------- the first step

IMPORTS = """\
import time: self [us] | cumulative | imported package
import time:       100 |        100 |     torch._C
loading torch and the images
import time:        50 |        150 |   torch
import time:        30 |        180 | cli.app
"""


def test_time_of_imports_is_summed_by_package() -> None:
    assert first_step.import_microseconds(IMPORTS) == {"torch": 150, "cli": 30}


def test_what_is_imported_is_told_from_what_is_near_it() -> None:
    found = first_step.imported(["torchvision", "scipy", "torch._dynamo.config"])
    assert {name for name, there in found.items() if there} == {"torchvision"}


@pytest.mark.gate
@pytest.mark.slow
@pytest.mark.mnist
def test_a_training_reaches_its_first_step_without_what_it_does_not_need(tmp_path: Path) -> None:
    """The default one, which is long enough to be compiled later on."""
    root = Path(os.environ["MNIST_ARCH_DATA"])
    modules = first_step.timed(first_step.ours(root, str(tmp_path)))[1].splitlines()
    assert "mnist_arch.training.step" in modules
    assert not any(first_step.imported(modules).values())
