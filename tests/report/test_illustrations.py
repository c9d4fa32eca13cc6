"""What a report shows of a run where its weights and its images are there."""

from __future__ import annotations

from pathlib import Path

import pytest
from train_command import Terminal
from train_command import mnist_arch as mnist_arch
from typer.testing import CliRunner

from mnist_arch.report.illustrations import SHOWN, illustrate
from mnist_arch_cli.app import app

PNG = "data:image/png;base64,"


@pytest.mark.slow
@pytest.mark.parametrize(("holdout", "images"), [(0, 50), (20, 20)])
def test_a_run_is_shown_on_the_images_that_it_was_judged_on(
    mnist_arch: Terminal, holdout: int, images: int
) -> None:
    mnist_arch("small.yaml", "--epochs", "1", "--holdout", str(holdout))
    mnist_arch.opened.clear()
    found = illustrate(mnist_arch.run.folder, data_dir=None)
    assert mnist_arch.opened == [("mnist", "train" if holdout else "test")]
    assert found.evaluation.images == images
    wrong = images - found.evaluation.correct
    assert len(found.mistakes) == min(wrong, SHOWN)
    assert len(found.filters) == 4  # of the first convolution
    ((layer, maps),) = found.activations
    assert layer.endswith("MaxPool2d")
    assert len(maps) == 4
    for picture in (*(it for it, _ in found.mistakes), *found.filters, *maps):
        assert picture.startswith(PNG)


@pytest.mark.slow
def test_the_command_writes_a_page_and_a_picture(mnist_arch: Terminal) -> None:
    mnist_arch("small.yaml", "--epochs", "1")
    for name, begins in (("page.html", b"<!doctype html>"), ("curve.svg", b"<?xml")):
        result = CliRunner().invoke(app, ["report", "small", "--out", name])
        assert result.exit_code == 0, result.output
        content = Path(name).read_bytes()
        assert content.lower().startswith(begins)
        assert f"{name}, {len(content):,} bytes" in result.stdout
    assert Path("page.html").read_text().count(PNG) > 8
    result = CliRunner().invoke(app, ["report", "small", "--out", "page.docx"])
    assert result.exit_code == 2
    assert "page.docx is no page and no picture" in result.stderr
