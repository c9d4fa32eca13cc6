"""A trained network says what is on a picture: in Python, and at the terminal."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from PIL import Image
from tiny_runs import make_run, tiny
from typer.testing import CliRunner, Result

import mnist_arch as ma
from mnist_arch.data.catalog import INFO
from mnist_arch.data.load import load_split
from mnist_arch.evaluation.metrics import predict as logits_of
from mnist_arch.network.build import build
from mnist_arch.network.weights import save_weights
from mnist_arch_cli.app import app


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    make_run(tmp_path / "runs", tiny(), seed=3)
    return tmp_path / "runs"


def seven(path: Path) -> Path:
    """A 7 in black on a white page."""
    page = np.full((300, 200), 255, np.uint8)
    page[60:80, 50:140] = 0
    for row in range(80, 200):
        left = 140 - (row - 60) // 2
        page[row, left - 20 : left] = 0
    Image.fromarray(page).save(path)
    return path


@pytest.mark.slow
def test_images_of_the_dataset_are_judged_as_eval_judges_them(runs: Path) -> None:
    predictor = ma.load_predictor("tiny", runs=runs)
    images = load_split("mnist-5k", "test").images[:50]
    wanted = logits_of(build(tiny(), seed=3), images, INFO["mnist"]).double().softmax(1)
    for given in (images, images.numpy(), images[:, 0], list(images[:, 0].numpy())):
        found = predictor.predict_all(given)
        assert [it.label for it in found] == wanted.argmax(1).tolist()
        shares = torch.tensor([it.probabilities for it in found])
        torch.testing.assert_close(shares, wanted, rtol=1e-5, atol=1e-6, check_dtype=False)
        assert all(it.done == () for it in found)
    one = predictor.predict(images[7])
    assert one.label == found[7].label
    assert one.probability == max(one.probabilities)
    assert predictor.predict_all([]) == []


def test_a_file_a_picture_and_its_pixels_are_the_same(runs: Path, tmp_path: Path) -> None:
    path = seven(tmp_path / "seven.png")
    predictor = ma.load_predictor(runs=runs)
    one, *others = predictor.predict_all(
        [path, str(path), Image.open(path), np.asarray(Image.open(path))]
    )
    assert all(it.probabilities == one.probabilities for it in others)
    assert one.done[0] == "inverted, as the background is light"
    assert one.pixels.shape == (28, 28)
    assert "inverted" in one._repr_html_()
    assert repr(predictor).startswith("Predictor(tiny, trained on mnist, ")


def test_what_is_no_image_and_what_has_no_weights_are_refused(runs: Path) -> None:
    with pytest.raises(ma.ImageError, match="is no image"):
        ma.load_predictor(runs=runs).predict(3)
    with pytest.raises(ma.RunError, match="no run and no network is named"):
        ma.load_predictor("nothing", runs=runs)


def test_a_network_that_diverged_is_not_believed(tmp_path: Path) -> None:
    model = build(tiny())
    with torch.no_grad():
        next(iter(model.parameters())).fill_(float("nan"))
    path = tmp_path / "nan.safetensors"
    save_weights(path, model, tiny())
    with pytest.raises(ma.WeightsError, match="not finite"):
        ma.load_predictor(path).predict(load_split("mnist-5k", "test").images[0])


# ------------------------------------------------------------------------------------- the terminal


def run(runs: Path, *arguments: object) -> Result:
    command = ["predict", *map(str, arguments), "--runs", str(runs)]
    return CliRunner(env={"NO_COLOR": "1"}).invoke(app, command)


def test_the_command_says_the_digit_and_what_it_did(runs: Path, tmp_path: Path) -> None:
    path = seven(tmp_path / "seven.png")
    said = ma.load_predictor(runs=runs).predict(path)
    done = run(runs, path, path)
    assert done.exit_code == 0, done.stderr
    first, second = done.stdout.replace(",\n", ", ").strip().split(f"{path}: ")[1:]
    assert first.split() == second.split()
    assert f"{said.label}, {100 * said.probability:.2f} %" in " ".join(first.split())
    assert "inverted, as the background is light" in " ".join(first.split())


def test_the_command_as_json(runs: Path, tmp_path: Path) -> None:
    path = seven(tmp_path / "seven.png")
    done = run(runs, path, "--run", "tiny", "--json")
    assert (done.exit_code, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    assert (found["name"], found["seed"], found["trained_on"]) == ("tiny", 3, "mnist")
    (one,) = found["predictions"]
    said = ma.load_predictor(runs=runs).predict(path)
    assert one["probabilities"] == list(said.probabilities)
    assert (one["file"], one["label"], one["done"]) == (str(path), said.label, list(said.done))


def test_one_file_that_cannot_be_read_is_named_and_nothing_printed(
    runs: Path, tmp_path: Path
) -> None:
    path, other = seven(tmp_path / "seven.png"), tmp_path / "other.png"
    other.write_text("no picture")
    done = run(runs, path, other)
    assert (done.exit_code, done.stdout) == (2, "")
    assert f"error: {other} cannot be read as a picture" in done.stderr
    assert run(runs, tmp_path / "nowhere.png").exit_code == 2


def test_weights_that_do_not_name_their_network(runs: Path, tmp_path: Path) -> None:
    bare, path = tmp_path / "bare.safetensors", seven(tmp_path / "seven.png")
    safetensors.torch.save_file(dict(build(tiny()).state_dict()), bare)
    assert "--spec" in run(runs, path, "--run", bare).stderr
    assert run(runs, path, "--run", bare, "--spec", next(runs.iterdir())).exit_code == 0
