"""The rooms of the library: arrows only lead downward, and what is torch-free stays so.

`python tests/house/test_rooms.py` draws the graph.
"""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import mnist_arch as ma

ROOT = Path(__file__).parents[2]
LIBRARY = ROOT / "mnist_arch"

ROOMS = (
    "errors",
    "files",
    "failures",
    "machine",
    "seeds",
    "values",
    "html",
    "pages",
    "drawing",
    "data",
    "zoo",
    "spec",
    "counting",
    "evaluation",
    "network",
    "native",
    "training",
    "runs",
    "sweeps",
    "report",
    "convert",
    "claims",
    "verbs",
    "predict",
    "exports",
    "play",
    "api",
    "__init__",
    "__main__",
)
"""From the ground up: a room imports only what stands before it."""

TORCH_FREE = (
    "api",
    "html",
    "pages",
    "drawing",
    "errors",
    "failures",
    "files",
    "machine",
    "seeds",
    "values",
    "zoo",
    "data.catalog",
    "data.download",
    "data.folders",
    "data.framing",
    "data.idx",
    "spec",
    "counting",
    "claims.audit",
    "claims.habits",
    "claims.handed_in",
    "claims.rules",
    "claims.stated",
    "exports.exporting",
    "exports.javascript",
    "exports.lowering",
    "exports.onnx_file",
    "exports.onnx_integer",
    "exports.parity",
    "exports.program",
    "exports.reference",
    "play",
    "predict",
    "convert.blocks",
    "convert.code",
    "convert.graph",
    "convert.importing",
    "convert.inference",
    "convert.interpreter",
    "convert.keras_layers",
    "convert.libraries",
    "convert.lowering",
    "convert.modules",
    "convert.questions",
    "convert.source",
    "convert.tables",
    "convert.training",
    "convert.writing",
    "evaluation.comparison",
    "evaluation.crossed",
    "evaluation.effects",
    "evaluation.judgement",
    "training.engine",
    "training.events",
    "training.memory",
    "training.pace",
    "training.thread_choice",
    "runs.agreement",
    "training.work",
    "runs.events",
    "runs.entries",
    "runs.evidence",
    "runs.find",
    "runs.finished",
    "runs.curves",
    "runs.score",
    "runs.stored",
    "runs.teachers",
    "runs.tensorboard",
    "report.content",
    "report.diagram",
    "report.page",
    "report.svg",
    "runs.comparing",
    "runs.folder",
    "runs.keeping",
    "runs.listing",
    "runs.manifest",
    "runs.provenance",
    "runs.resolve",
    "runs.result",
    "sweeps.execution.worker_count",
    "sweeps.extras",
    "sweeps.leaderboard",
    "sweeps.ledger",
    "sweeps.loading",
    "sweeps.planning",
    "sweeps.stages",
    "sweeps.search.proposals",
    "sweeps.search.race",
    "verbs",
)
"""What answers at once: each of them, or all modules of the room, can be imported without torch."""

Graph = dict[str, set[str]]


def modules(library: Path = LIBRARY) -> dict[str, Path]:
    """Every module by its name in the library, such as `spec.loading`; an empty one has no name."""
    found = {}
    for path in sorted(library.rglob("*.py")):
        *rooms, name = path.relative_to(library).with_suffix("").parts
        if path.read_text("utf-8").strip():
            found[".".join([*rooms, name] if name != "__init__" or not rooms else rooms)] = path
    return found


@cache
def imports(library: Path = LIBRARY) -> Graph:
    """Which modules of the library each module imports, wherever in its file."""
    known = modules(library)
    return {name: _imported(path, known) - {name} for name, path in known.items()}


def _imported(path: Path, known: dict[str, Path]) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "mnist_arch":
            module = (node.module or "").partition(".")[2]
            names = [f"{module}.{alias.name}".strip(".") for alias in node.names]
            found |= {name if name in known else module or "__init__" for name in names}
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names if alias.name.startswith("mnist_arch.")]
            found |= {name.partition(".")[2] for name in names}
    return found & known.keys()


def by_room(graph: Graph) -> Graph:
    rooms: Graph = {}
    for name, targets in graph.items():
        room = name.split(".")[0]
        rooms.setdefault(room, set()).update(target.split(".")[0] for target in targets)
    return {room: targets - {room} for room, targets in rooms.items()}


def upward(rooms: Graph, order: tuple[str, ...] = ROOMS) -> list[str]:
    """Arrows that do not lead to a room that stands before."""
    floor = {room: number for number, room in enumerate(order)}
    return [
        f"{room} -> {target}"
        for room, targets in sorted(rooms.items())
        for target in sorted(targets)
        if floor[target] >= floor[room]
    ]


@pytest.mark.slow
def test_arrows_between_rooms_lead_downward() -> None:
    rooms = by_room(imports())
    assert rooms.keys() == set(ROOMS)
    assert upward(rooms) == []


@pytest.mark.slow
def test_there_is_no_circle_inside_a_room() -> None:
    TopologicalSorter(imports()).prepare()


def test_no_room_hides_a_public_name() -> None:
    """A room that is imported is an attribute of the package, in place of what is found lazily."""
    assert not set(ma.__all__) & set(ROOMS)


def test_a_wrong_arrow_and_a_circle_are_found(tmp_path: Path) -> None:
    for name, text in {
        "errors.py": "from mnist_arch.spec.loading import load\n",
        "spec/loading.py": "def f():\n    from mnist_arch.spec import network\n",
        "spec/network.py": "import mnist_arch.spec.loading\n",
    }.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    graph = imports(tmp_path)
    assert upward(by_room(graph)) == ["errors -> spec"]
    with pytest.raises(CycleError):
        TopologicalSorter(graph).prepare()


IMPORTED = """
import importlib, json, sys
sys.modules["torch"] = None  # every import of it fails
for name in json.loads(sys.argv[1]):
    importlib.import_module(name)
"""


def imported_without_torch(names: list[str]) -> str:
    """What importing modules says on stderr where there is no torch; empty if all is well."""
    command = [sys.executable, "-c", IMPORTED, json.dumps(names)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True).stderr


@pytest.mark.slow
def test_torch_free_rooms_are_imported_without_torch() -> None:
    names = [
        f"mnist_arch.{name}"
        for name in modules()
        if any(name == free or name.startswith(f"{free}.") for free in TORCH_FREE)
    ]
    assert len(names) >= len(TORCH_FREE)
    assert imported_without_torch(names) == ""


@pytest.mark.slow
def test_what_needs_torch_is_noticed() -> None:
    assert "torch" in imported_without_torch(["mnist_arch.training.loop"])


if __name__ == "__main__":
    for room, targets in sorted(by_room(imports()).items(), key=lambda it: -ROOMS.index(it[0])):
        print(f"{room:12} -> {', '.join(sorted(targets, key=ROOMS.index, reverse=True))}")
