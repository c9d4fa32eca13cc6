"""`mnist-arch sweep` in a folder of its own, on few images that are easy to tell apart."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest
import small
from tiny_sweeps import HereExecutor, blocks, write_sweep
from typer.testing import CliRunner, Result

from mnist_arch.data.catalog import DatasetSplit
from mnist_arch.data.load import Loader
from mnist_arch.data.split import Split
from mnist_arch.errors import NonFiniteLoss
from mnist_arch.sweeps import front as picture
from mnist_arch.sweeps.execution import local
from mnist_arch_cli.app import app

PNG = b"\x89PNG\r\n\x1a\n"
SMALL = {"name": "small", **blocks(4)}
OTHER = {"name": "other", **blocks(6)}
FAT = {"name": "fat", **blocks(1_000)}
TOP = {
    "base": {"extends": "s6", **blocks(4), "recipe": {"epochs": 2, "batch_size": 16}},
    "holdout": 16,
    "seeds": 2,
}


class Terminal:
    """Sweeps in a folder of their own; the images are others, and few, and all is one process."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.opened: list[tuple[str, str]] = []

    def write(self, *arms: dict[str, Any], **top: Any) -> None:
        write_sweep(self.folder / "tiny.yaml", *arms, **{**TOP, **top})

    def __call__(self, *arguments: str, exit_code: int = 0) -> Result:
        result = CliRunner().invoke(app, ["sweep", *(arguments or ("tiny.yaml",))])
        assert result.exit_code == exit_code, result.stderr + result.stdout
        return result

    @property
    def sweep(self) -> Path:
        return self.folder / "runs/tiny"

    @property
    def trials(self) -> dict[str, int]:
        """Names of trials with the time of their manifests; what began them has that, too."""
        found = self.sweep.glob("*/manifest.json")
        return {path.parent.name: path.stat().st_mtime_ns for path in found}

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
    monkeypatch.setattr(picture, "draw_front", lambda _: PNG)
    monkeypatch.setattr(local, "LocalExecutor", HereExecutor)
    terminal.write(SMALL, OTHER)
    return terminal


def no_training(*_: Any, **__: Any) -> NoReturn:
    pytest.fail("this trains")


def diverges(*_: Any, **__: Any) -> NoReturn:
    raise NonFiniteLoss(epoch=1, step=2, rate=0.1)


def below(text: str) -> dict[str, str]:
    """The lines below a table, by their labels."""
    lines = text.partition("\n\n")[2] or text
    found = re.findall(r"^([a-z ]{13})(.*)$", lines, re.MULTILINE)
    return {label.rstrip(): line for label, line in found}
