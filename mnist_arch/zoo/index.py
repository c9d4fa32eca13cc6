"""The networks that ship with the package: a folder each. Nothing here imports torch.

zoo/<name>/
    spec.yaml             the network and its recipe
    weights.safetensors   of a training by that recipe, where they ship
    evidence.json         what trainings by that recipe reached, where it ships
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ZOO: Final = Path(__file__).parent
_IN_ZOO: Final = re.compile(r"zoo/([^/\\]+)")


@dataclass(frozen=True)
class Shipped:
    """The folder of one network."""

    folder: Path

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def spec_path(self) -> Path:
        return self.folder / "spec.yaml"

    @property
    def weights_path(self) -> Path:
        return self.folder / "weights.safetensors"

    @property
    def evidence_path(self) -> Path:
        return self.folder / "evidence.json"


def zoo() -> dict[str, Shipped]:
    """Every network that ships, by its name, in the order of the names."""
    folders = sorted(path.parent for path in ZOO.glob("*/spec.yaml"))
    return {folder.name: Shipped(folder) for folder in folders}


def zoo_names() -> tuple[str, ...]:
    """Names of the networks that ship, sorted."""
    return tuple(zoo())


def name_in_zoo(what: str) -> str | None:
    """NAME of `zoo/NAME`, which always is the network that ships; None for anything else.

    `zoo/mine.yaml` is the path of a file, and so is `./zoo/mine`.
    """
    match = _IN_ZOO.fullmatch(what)
    if match is None or (Path(what).suffix and match[1] not in zoo_names()):
        return None
    return match[1]
