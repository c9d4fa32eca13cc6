"""`mnist-arch export`."""

from __future__ import annotations

from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mnist_arch.files import shown, to_json
from mnist_arch.runs.folder import runs_folder

from .. import heavy_imports
from ..consoles import stderr, stdout, write_json
from ..options import DataDir, Json, Runs, WeightsSpec, at_home, complete_spec
from ..prose import say

if TYPE_CHECKING:
    from mnist_arch.exports.c_export import CFigures
    from mnist_arch.exports.exporting import Exported, Int8


class FormatChoice(StrEnum):
    """What is written."""

    ONNX = "onnx"
    TORCH = "torch"
    C = "c"
    JS = "js"


What = Annotated[
    str | None,
    typer.Argument(
        metavar="RUN",
        help="A run's folder, a .safetensors file, or the name of a network, as eval finds it; the "
        "latest finished run of all unless given.",
        autocompletion=complete_spec,
    ),
]
Format = Annotated[
    FormatChoice,
    typer.Option(
        "--format",
        help="onnx is read by most other programs, and needs the extra `export`; torch is a file "
        "of torch.export; c is a folder with one C99 file and its header, for a microcontroller; "
        "js is a module for a page of one's own, or for Node.",
    ),
]
Out = Annotated[
    Path | None,
    typer.Option(
        "--out",
        metavar="PATH",
        callback=at_home,
        help="The file to be written, of C the folder; the network's name with .onnx, .pt2, .mjs "
        "or -c unless given.",
    ),
]


IntegerOption = Annotated[
    bool,
    typer.Option(
        "--int8",
        help="In whole numbers, calibrated on training images; of onnx and c. What that costs is "
        "said.",
    ),
]


def export(
    what: What = None,
    format: Format = FormatChoice.ONNX,
    out: Out = None,
    int8: IntegerOption = False,
    spec: WeightsSpec = None,
    data_dir: DataDir = None,
    runs: Runs = None,
    as_json: Json = False,
) -> None:
    """Write a trained network as a file that other programs run.

    It takes images as bytes, uint8 (N, 28, 28), since the normalisation is inside,
    and gives logits. Before it is written it is held against torch on every test
    image: a prediction that differs is an error, and then there is no file.

    Examples:

      mnist-arch export s6 --out s6.onnx

      mnist-arch export s6 --int8 --out s6-int8.onnx

      mnist-arch export s6 --format c --int8 --out firmware

      mnist-arch export runs/mine-1a2b3c4d-seed-0 --format torch
    """
    from mnist_arch.exports.exporting import ExportRequest
    from mnist_arch.exports.exporting import export as write

    request = ExportRequest.of(
        what,
        runs=runs_folder(runs),
        format=format.value,
        out=out,
        int8=int8,
        spec=spec,
        data_dir=data_dir,
    )
    with heavy_imports():
        import torch  # noqa: F401
    exported = write(request)
    for note in exported.notes:
        say(stderr(), note, label="note: ")
    if as_json:
        write_json(to_json(_as_object(exported)))
    else:
        _show(exported)


def _show(it: Exported) -> None:
    console, parity = stdout(), it.parity
    is_exact = it.c is not None and it.int8 is not None
    apart = "all logits equal" if is_exact else f"logits at most {parity.largest:.2g} apart"
    say(
        console,
        f"{parity.same:,} of {parity.images:,} predictions the same "
        f"({parity.dataset}, {parity.split}), {apart}",
        label="versus NumPy " if is_exact else "versus torch ",
    )
    if it.int8 is not None:
        _show_int8(it.int8, it.bytes if it.c is None else it.c.data_bytes)
    if it.c is not None:
        _show_c(it.c)
    say(console, f"{shown(it.path)}, {it.bytes:,} bytes", label="wrote        ")


def _show_int8(it: Int8, size: int) -> None:
    console = stdout()
    shares = [f"{100 * correct / it.images:.2f} %" for correct in (it.correct, it.float_correct)]
    say(
        console,
        f"{shares[0]} in whole numbers, {shares[1]} in floats ({it.split}, {it.images:,} images: "
        f"{it.correct - it.float_correct:+,} correct)",
        label="accuracy     ",
    )
    share = f"{100 * size / it.float_bytes:.0f} % of the float file, {it.float_bytes:,} bytes"
    larger = "; nodes and names take more than the weights save" if size > it.float_bytes else ""
    say(console, share + larger, label="size         ")


def _show_c(it: CFigures) -> None:
    console = stdout()
    say(
        console,
        f"{it.data_bytes:,} bytes of weights, biases and scales; {it.buffer_bytes:,} bytes of "
        "static memory",
        label="network      ",
    )
    for board in it.boards:
        found = f"flash {board.flash_bytes:,} bytes, RAM {board.ram_bytes:,} bytes"
        if board.instructions is not None:
            found += f", {board.instructions:,} instructions an image (QEMU)"
        if board.cycles is not None:
            found += f", about {board.cycles:,} cycles at {board.cycles_per_instruction} each"
        say(console, f"{board.board}: {found}", label="on           ")
    for line in it.missing:
        say(stderr(), line, label="note: ")
    say(console, it.compiler, label="compiled by  ")


def _as_object(it: Exported) -> dict[str, object]:
    trained = it.trained
    return {
        "format": 1,
        "name": trained.experiment.name,
        "seed": trained.seed,
        "run": None if trained.run is None else shown(trained.run.folder),
        "weights": shown(trained.weights),
        "written_as": it.format,
        "file": shown(it.path),
        "bytes": it.bytes,
        "parity": asdict(it.parity),
        "c": None if it.c is None else asdict(it.c),
        "int8": None if it.int8 is None else asdict(it.int8),
        "metadata": dict(it.metadata),
    }
