"""What a network takes as C, and who says so."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mnist_arch.errors import ExportDiffers, ExtraMissing
from mnist_arch.exports.c_run import (
    BOARDS,
    STRICT,
    Footprint,
    footprint,
    host_compiler,
    run_here,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mnist_arch.exports.c_text import CSource


@dataclass(frozen=True)
class CFigures:
    """What C takes, and who compiled it."""

    compiler: str
    """That it was compiled with here, and its flags."""
    data_bytes: int
    """Of weights, biases and scales."""
    buffer_bytes: int
    """Of static memory, in which values lie while they are needed."""
    boards: tuple[Footprint, ...]
    """Of each microcontroller whose compiler is here."""
    missing: tuple[str, ...]
    """What is not known of a microcontroller, and why, a line each."""


def need_compiler() -> str:
    """The C compiler of this machine. Raises ExtraMissing."""
    compiler = host_compiler()
    if compiler is None:
        message = "C is compiled and tried before it is written, which needs a C compiler"
        raise ExtraMissing(message, hint="install gcc or clang")
    return compiler


def logits_here(source: CSource, pixels_NHW: NDArray[Any]) -> NDArray[Any]:
    """Logits (N, classes) of the compiled C of images, (N, 28, 28) uint8. Raises ExportDiffers."""
    labels_N, logits_NK = run_here(source, pixels_NHW, compiler=need_compiler())
    if (labels_N != logits_NK.argmax(1)).any():
        raise ExportDiffers("the C does not return the place of the largest logit")
    return logits_NK


def figures_of(source: CSource, image_HW: NDArray[Any]) -> CFigures:
    """What it takes; instructions are those of this image, (28, 28) uint8."""
    boards, missing = _on_boards(source, image_HW)
    return CFigures(
        compiler=" ".join((need_compiler(), *STRICT, "-O2")),
        data_bytes=source.data_bytes,
        buffer_bytes=source.buffer_bytes,
        boards=boards,
        missing=missing,
    )


def about(metadata: Mapping[str, str], numbers: str) -> str:
    """The comment at the beginning of the source."""
    lines = [
        f"{metadata['name']}: a network of {int(metadata['parameters']):,} parameters for "
        f"{metadata['dataset']}, in {numbers}; written by mnist-arch.",
        f"Digest of the experiment: {metadata['digest']}",
    ]
    if "accuracy" in metadata:
        known = json.loads(metadata["accuracy"])
        lines.append(
            f"In floats it is right about {known['correct']:,} of {known['images']:,} images "
            f"({known['dataset']}, {known['split']})."
        )
    return "\n".join(lines)


def _on_boards(
    source: CSource, image_HW: NDArray[Any]
) -> tuple[tuple[Footprint, ...], tuple[str, ...]]:
    """What it takes on each, and why that is not known of some."""
    found, missing = [], []
    for board in BOARDS:
        try:
            one = footprint(source, board, image_HW)
        except ExportDiffers as error:  # a compiler without its library, say
            missing.append(f"{board.name}: not known, {error}")
            continue
        if one is None:
            missing.append(f"{board.name}: not known, there is no {board.compiler} here")
        else:
            found.append(one)
            if one.instructions is None:
                missing.append(f"{board.name}: instructions not counted without {board.emulator}")
    return tuple(found), tuple(missing)
