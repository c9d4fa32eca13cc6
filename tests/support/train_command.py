"""`mnist-arch train` in a folder of its own, on few images that are easy to tell apart."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest
import small
from typer.testing import CliRunner

from mnist_arch.data.catalog import DatasetSplit
from mnist_arch.data.load import Loader
from mnist_arch.data.split import Split
from mnist_arch.runs import execute as running
from mnist_arch.runs.folder import Run
from mnist_arch.training.events import EpochRecord
from mnist_arch.training.loop import train
from mnist_arch_cli.app import app

PNG = b"\x89PNG\r\n\x1a\n"
SPEC = small.TEXT.replace("name: small\n", "").replace("mnist-5k", "mnist")


class Terminal:
    """Commands in a folder of their own; the images of MNIST are others, and few."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.encoding = "utf-8"
        """Of stdout and stderr."""
        self.opened: list[tuple[str, str]] = []

    def __call__(self, *arguments: str, exit_code: int = 0) -> Any:
        result = CliRunner(charset=self.encoding).invoke(app, ["train", *arguments])
        assert result.exit_code == exit_code, result.stderr + result.stdout
        return result

    @property
    def folders(self) -> list[str]:
        return sorted(os.listdir(self.folder / "runs")) if (self.folder / "runs").exists() else []

    @property
    def run(self) -> Run:
        (name,) = (name for name in self.folders if Path(name).suffix == "")
        return Run(self.folder / "runs" / name)

    def load_split(self, name: str, split: DatasetSplit, **_: Any) -> Split:
        self.opened.append((name, split))
        return small.synthetic(96 if split == "train" else 50, seed=len(split), name=split)


@pytest.fixture
def mnist_arch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, images_are: Callable[[Loader], None]
) -> Terminal:
    terminal = Terminal(tmp_path)
    monkeypatch.chdir(tmp_path)
    images_are(terminal.load_split)
    monkeypatch.setattr("mnist_arch.runs.finished.draw_curves", lambda *_, **__: PNG)
    Path("small.yaml").write_text(SPEC)
    return terminal


def interrupt(monkeypatch: pytest.MonkeyPatch, *, after: int) -> None:
    """Ctrl-C during the epoch that follows `after`."""

    def interrupted(*args: Any, **options: Any) -> Any:
        for event in train(*args, **options):
            yield event
            if isinstance(event, EpochRecord) and event.epoch == after:
                raise KeyboardInterrupt

    monkeypatch.setattr(running, "train", interrupted)


def no_training(*_: Any, **__: Any) -> NoReturn:
    pytest.fail("this trains")


def error_of(result: Any) -> dict[str, Any]:
    """The one object on stderr."""
    assert result.stdout == ""
    found: dict[str, Any] = json.loads(result.stderr)
    assert found["exit_code"] == result.exit_code
    return found
