"""`export`: in Python and at the terminal, what is written, and when nothing is."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from tiny_runs import images, make_run, tiny
from trained import arrays
from typer.testing import CliRunner, Result

import mnist_arch as ma
from mnist_arch.counting.digest import digest
from mnist_arch.counting.plan import plan_network
from mnist_arch.data.catalog import INFO
from mnist_arch.exports import c_export, onnx_file
from mnist_arch.exports.c_run import CORTEX_M4, RV32IMC
from mnist_arch.exports.lowering import lower
from mnist_arch.network.build import build
from mnist_arch.network.weights import save_weights
from mnist_arch.spec.loading import loads
from mnist_arch_cli.app import app


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One run, of the sample, since tests have no MNIST."""
    monkeypatch.chdir(tmp_path)
    make_run(tmp_path / "runs", tiny(dataset="mnist-5k"), seed=3)
    return tmp_path / "runs"


def run(*arguments: object) -> Result:
    return CliRunner(env={"NO_COLOR": "1"}).invoke(app, ["export", *map(str, arguments)])


@pytest.mark.slow
@pytest.mark.parametrize("format", ["onnx", "torch", "js"])
def test_the_verb_writes_one_file_that_is_equal(runs: Path, format: Any) -> None:
    exported = ma.export("tiny", format=format, runs=runs)
    suffixes = {"onnx": ".onnx", "torch": ".pt2", "js": ".mjs"}
    assert exported.path == Path("tiny").with_suffix(suffixes[format])
    assert exported.bytes == exported.path.stat().st_size
    parity = exported.parity
    assert (parity.same, parity.images) == (1_000, 1_000)
    assert (parity.dataset, parity.split) == ("mnist-5k", "test")
    assert "1,000 of 1,000" in exported._repr_html_()
    assert "the same predictions on 1,000 of 1,000 images" in repr(exported)
    assert sorted(it.name for it in exported.path.parent.iterdir()) == [
        "runs",
        exported.path.name,
    ]


@pytest.mark.slow
@pytest.mark.parametrize("format", ["onnx", "torch", "js", "c"])
def test_images_are_normalised_as_the_recipe_has_it(runs: Path, format: Any) -> None:
    """The file is compared with the network in torch; that one is written down here."""
    experiment = tiny(dataset="mnist-5k", recipe={"normalize": "none"})
    model = build(experiment, seed=5).eval()
    save_weights(Path("bare.safetensors"), model, experiment)
    exported = ma.export("bare.safetensors", format=format, runs=runs)
    assert (exported.parity.same, exported.parity.images) == (1_000, 1_000)
    assert json.loads(exported.metadata["normalization"]) == {"mean": 0.0, "std": 1.0}
    found = ma.load_predictor("bare.safetensors").predict(images("mnist", "test").images[0].numpy())
    with torch.no_grad():
        right = model(torch.tensor(found.pixels)[None, None] / 255).softmax(1)[0]
    assert torch.allclose(torch.tensor(found.probabilities), right, atol=1e-5)


def test_the_file_says_what_it_is(runs: Path) -> None:
    exported = ma.export("tiny", runs=runs, out="net.onnx")
    props = {it.key: it.value for it in onnx.load("net.onnx").metadata_props}
    assert props == dict(exported.metadata)
    experiment = tiny(dataset="mnist-5k")
    assert loads(props["spec"], source="net.onnx").experiment == experiment
    assert props["digest"] == digest(experiment)
    assert props["parameters"] == str(ma.summary(next(runs.iterdir())).parameters)
    assert json.loads(props["normalization"]) == {"mean": 0.1307, "std": 0.3081}
    accuracy, result = json.loads(props["accuracy"]), exported.trained.result
    assert result is not None
    assert (accuracy["correct"], accuracy["images"]) == (result.correct, result.images)
    assert (accuracy["split"], accuracy["seed"]) == ("test", 3)


def test_the_command(runs: Path) -> None:
    done = run("tiny", "--runs", runs, "--out", "net.onnx")
    assert (done.exit_code, done.stderr) == (0, "")
    size = Path("net.onnx").stat().st_size
    assert done.stdout.startswith(
        "versus torch 1,000 of 1,000 predictions the same (mnist-5k, test), "
    )
    assert done.stdout.endswith(f"wrote        net.onnx, {size:,} bytes\n")
    found = json.loads(run("tiny", "--runs", runs, "--out", "net.onnx", "--json").stdout)
    assert (found["file"], found["bytes"], found["parity"]["same"]) == ("net.onnx", size, 1_000)


def test_a_file_that_differs_is_not_written(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    right = onnx_file.onnx_bytes
    wrong = tiny()

    def other(program: Any, **options: Any) -> bytes:
        bad = lower(plan_network(wrong).layers, arrays(build(wrong, seed=9)), INFO["mnist"])
        return right(bad, **options)

    monkeypatch.setattr(onnx_file, "onnx_bytes", other)
    Path("net.onnx").write_text("as it was")
    done = run("tiny", "--runs", runs, "--out", "net.onnx")
    assert (done.exit_code, done.stdout) == (1, "")
    assert "the onnx file is not equal to the network" in done.stderr
    assert " of 1,000 images" in done.stderr
    assert Path("net.onnx").read_text() == "as it was"


def test_without_the_extra_it_says_the_way_out(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for package in ("onnx", "onnxruntime"):
        monkeypatch.setitem(sys.modules, package, None)
        done = run("tiny", "--runs", runs)
        assert done.exit_code == 3
        assert "an ONNX file needs onnx" in done.stderr
        assert "pip install 'mnist-arch[export]'" in done.stderr
        monkeypatch.delitem(sys.modules, package)
        assert not Path("tiny.onnx").exists()


def test_what_cannot_be_written_is_refused_before_the_work(runs: Path) -> None:
    done = run("tiny", "--runs", runs, "--out", "nowhere/net.onnx")
    assert (done.exit_code, done.stdout) == (2, "")
    assert "there is no folder 'nowhere'" in done.stderr
    assert run("tiny", "--runs", runs, "--out", runs).exit_code == 2
    done = run("tiny", "--runs", runs, "--out", runs, "--format", "js")
    assert done.stderr.endswith("hint: such as net.mjs\n")
    assert run("nothing", "--runs", runs).exit_code == 2
    done = run("tiny", "--runs", runs, "--format", "js", "--int8")
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.endswith("  --> --int8\nhint: --format onnx or --format c\n")
    with pytest.raises(ma.SpecError, match="'tflite' is not one"):
        ma.export("tiny", format="tflite", runs=runs)  # type: ignore[arg-type]  # is refused


@pytest.mark.slow
def test_without_mnist_the_sample_stands_in(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_network(*_: object, **__: object) -> None:
        raise OSError(101, "Network is unreachable")

    monkeypatch.setattr(socket.socket, "connect", no_network)
    monkeypatch.setattr(socket, "getaddrinfo", no_network)
    make_run(runs, tiny("digits"))
    done = run("digits", "--runs", runs, "--data-dir", runs)
    assert done.exit_code == 0
    assert "1,000 of 1,000 predictions the same (mnist-5k, test)" in done.stdout
    assert "note: compared on the 1,000 test images of mnist-5k instead, since" in done.stderr
    make_run(runs, tiny("clothes", dataset="fashion-mnist"))
    done = run("clothes", "--runs", runs, "--data-dir", runs)
    assert (done.exit_code, done.stdout) == (3, "")
    assert "fashion-mnist is not in " in done.stderr


def test_a_network_that_diverged_is_not_exported(runs: Path) -> None:
    model = build(tiny(dataset="mnist-5k"))
    with torch.no_grad():
        next(iter(model.parameters())).fill_(float("nan"))
    path = Path("nan.safetensors")
    save_weights(path, model, tiny(dataset="mnist-5k"))
    with pytest.raises(ma.WeightsError, match="not finite"):
        ma.export(path, out="net.onnx")
    assert not Path("net.onnx").exists()


@pytest.mark.mnist
@pytest.mark.slow
def test_the_zoo_ships_its_accuracy_with_the_weights(runs: Path) -> None:
    exported = ma.export("zoo/s6", out="s6.onnx")
    accuracy = json.loads(exported.metadata["accuracy"])
    assert (accuracy["correct"], accuracy["images"], accuracy["seed"]) == (9963, 10_000, 0)


@pytest.mark.gate
@pytest.mark.mnist
@pytest.mark.slow
def test_s6_is_equal_on_all_10000_images(tmp_path: Path) -> None:
    exported = ma.export("zoo/s6", out=tmp_path / "s6.onnx")
    assert (exported.parity.same, exported.parity.images) == (10_000, 10_000)
    assert exported.parity.largest < 5e-5
    assert exported.bytes < 78_000
    assert np.isfinite(exported.parity.largest)


# --------------------------------------------------------------------------------------------- C99


@pytest.mark.slow
@pytest.mark.parametrize("int8", [False, True])
def test_c_is_a_folder_of_two_files(runs: Path, int8: bool) -> None:
    found = run("tiny", "--format", "c", "--out", "here", *(["--int8"] if int8 else []))
    assert found.exit_code == 0, found.output
    assert sorted(it.name for it in Path("here").iterdir()) == ["tiny.c", "tiny.h"]
    assert "bytes of weights, biases and scales" in found.stdout
    assert "1,000 of 1,000 predictions the same" in found.stdout
    assert ("all logits equal" in found.stdout) == int8
    assert ("in whole numbers" in found.stdout) == int8
    number = "int32_t" if int8 else "float"
    said = f"int tiny_predict(const uint8_t image[784], {number} logits[TINY_CLASSES]);"
    assert said in Path("here/tiny.h").read_text()
    text = Path("here/tiny.c").read_text()
    assert "malloc" not in text
    assert ("float " in text.replace("float network", "")) != int8


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("gcc") is None, reason="there is no gcc")
def test_the_program_of_the_documentation_asks_the_c(runs: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "export.md").read_text("utf-8")
    following = page.split("A program that asks it")[1].replace("s6", "tiny")
    (_, program), (_, commands) = re.findall(r"```(\w+)\n(.*?)```", following, re.DOTALL)[:2]
    ma.export("tiny", format="c", int8=True, runs=runs, out="firmware")
    Path("main.c").write_text(program)
    subprocess.run(shlex.split(commands.splitlines()[0]), check=True)
    pixels = images("mnist", "test").images[:5].numpy().tobytes()
    done = subprocess.run("./tiny", input=pixels, capture_output=True, check=True)
    assert [int(it) in range(10) for it in done.stdout.split()] == [True] * 5


@pytest.mark.slow
def test_what_c_takes_is_in_the_object(runs: Path) -> None:
    found = ma.export("tiny", format="c", int8=True, runs=runs)
    assert found.path == Path("tiny-c")
    assert found.c is not None
    assert found.int8 is not None
    assert found.parity.largest == 0
    assert found.c.data_bytes < found.int8.float_bytes / 2
    again = ma.export("tiny", format="c", int8=True, runs=runs, out="again")
    texts = [(it.path / "tiny.c").read_bytes() for it in (found, again)]
    assert texts[0] == texts[1]


@pytest.mark.slow
def test_a_microcontroller_that_cannot_be_asked_keeps_nobody_from_the_c(
    runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its compiler is not here, or has no library."""
    boards = [
        replace(CORTEX_M4, compiler="no-such-gcc"),
        replace(RV32IMC, compiler="false", size="true"),
    ]
    monkeypatch.setattr(c_export, "BOARDS", boards)
    found = run("tiny", "--format", "c", "--int8")
    assert found.exit_code == 0, found.output
    assert "note: Arm Cortex-M4F: not known, there is no no-such-gcc here" in found.stderr
    assert "note: RISC-V RV32IMC: not known, false ends with 1" in found.stderr
    assert Path("tiny-c/tiny.c").exists()


def test_without_a_compiler_there_is_no_c(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    found = run("tiny", "--format", "c")
    assert found.exit_code == 3
    assert "needs a C compiler" in found.stderr
    assert "install gcc or clang" in found.stderr
    assert not Path("tiny-c").exists()


@pytest.mark.parametrize(
    ("out", "said"), [("file", "file is a file"), ("no/where", "there is no folder 'no'")]
)
def test_a_folder_that_cannot_be_is_refused_first(runs: Path, out: str, said: str) -> None:
    Path("file").touch()
    found = run("tiny", "--format", "c", "--out", out)
    assert found.exit_code == 2
    assert said in found.stderr
