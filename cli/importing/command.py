"""`mnist-arch import`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mnist_arch.errors import Problem, SpecError
from mnist_arch.files import is_there, read, shown, to_json, write_whole

from ..consoles import stderr, write_data, write_json
from ..options import Json, at_home
from ..prose import say
from ..quoting import printable

if TYPE_CHECKING:
    from mnist_arch.convert.importing import Imported, Note


Dropout = Annotated[
    float | None,
    typer.Option(
        "--dropout",
        metavar="RATE",
        min=0.0,
        max=0.99,
        help="Rate of every dropout whose rate the source does not say.",
    ),
]
Choose = Annotated[
    list[str] | None,
    typer.Option(
        "--choose",
        metavar="PLACE=VALUE",
        help="Decide what the source leaves open; the error that asks for it says how.",
    ),
]
Weights = Annotated[
    Path | None,
    typer.Option(
        "--weights",
        metavar="FILE",
        callback=at_home,
        help="Its weights, of torch.save or safetensors; they are written next to --out.",
    ),
]
OutFile = Annotated[
    Path | None,
    typer.Option(
        "--out",
        metavar="FILE",
        callback=at_home,
        help="File to write the spec to; stdout unless given.",
    ),
]


def import_(
    what: Annotated[
        str,
        typer.Argument(
            metavar="WHAT",
            help="Code of torch or Keras, a notebook, or a text with a table of torchsummary, "
            "torchinfo or Keras; - reads stdin.",
        ),
    ],
    out: OutFile = None,
    dropout: Dropout = None,
    choose: Choose = None,
    partial: Annotated[
        bool,
        typer.Option(
            "--partial", help="Write what there is, with a comment where something is missing."
        ),
    ] = False,
    weights: Weights = None,
    as_json: Json = False,
) -> None:
    """Write the network of somebody else as a spec.

    It is carried over exactly, or the command ends with 2 and says what cannot be.
    What the source does not say is listed as assumed. No code of it is run.

    Examples:

      mnist-arch import summary.txt --dropout 0.1 --out mine.yaml

      mnist-arch import notebook.ipynb --choose network=Net
    """
    from mnist_arch.convert.importing import Request, import_network

    request = Request(_answers(choose or ()), dropout, partial)
    if weights is not None and out is None:
        hint = "--out mine.yaml, next to which they are written as mine.safetensors"
        raise SpecError((Problem("--weights needs a file to write to", hint=hint),))
    imported = import_network(what, request)
    if out is not None:
        _check(out)
        carried = None if weights is None else _carry(imported, weights, out)
        write_whole(out, imported.text.encode())
        if carried is not None:
            say(stderr(), carried)
    _notes(imported)
    if as_json:
        write_json(to_json(_as_object(imported)))
    elif out is None:
        write_data(imported.text)
    if out is not None:
        say(stderr(), f"wrote {shown(out)}; next: mnist-arch summary {shown(out)}")


def _answers(given: Sequence[str]) -> dict[str, str]:
    answers = {}
    for text in given:
        place, equals, value = text.rpartition("=")
        if not equals or not place or not value:
            hint = "--choose PLACE=VALUE, such as --choose Dropout-12=0.1"
            raise SpecError((Problem(f"--choose {text} is no answer", hint=hint),))
        answers[place] = value
    return answers


def _carry(imported: Imported, weights: Path, out: Path) -> str:
    """Writes the weights next to the spec, and says how far their logits differ."""
    from mnist_arch.convert.weights import IMAGES, carry_weights, write_weights

    carried = carry_weights(imported, weights)
    beside = out.with_suffix(".safetensors")
    write_weights(carried, imported, beside)
    largest = carried.largest_difference
    return f"wrote {shown(beside)}: logits of {IMAGES:,} images differ by at most {largest:.2g}"


def _check(out: Path) -> None:
    """Raises SpecError where a spec would be overwritten that somebody has written."""
    if is_there(out) and not read(out).startswith(b"# Imported from "):
        message = f"{shown(out)} is there, and was not written by an import"
        raise SpecError((Problem(message, hint="name another file, or remove it"),))


def _notes(imported: Imported) -> None:
    console = stderr()
    for label, notes, style in (
        ("missing", imported.missing, "bold red"),
        ("not carried over", imported.dropped, "yellow"),
        ("assumed", imported.assumed, "dim"),
    ):
        for note in notes:
            where = f" ({note.place})" if note.place else ""
            say(console, printable(f"{label}: {note.text}{where}"), style=style)


def _as_object(imported: Imported) -> dict[str, object]:
    def listed(notes: Sequence[Note]) -> list[dict[str, str]]:
        return [{"text": note.text, "where": str(note.place)} for note in notes]

    return {
        "format": 1,
        "spec": dict(imported.tree),
        "text": imported.text,
        "origin": imported.origin,
        "parameters": imported.parameters,
        "exact": imported.is_exact,
        "assumed": listed(imported.assumed),
        "missing": listed(imported.missing),
        "not_carried_over": listed(imported.dropped),
    }
