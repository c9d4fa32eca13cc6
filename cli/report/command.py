"""`mnist-arch report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mnist_arch.drawing import format_of
from mnist_arch.files import write_whole
from mnist_arch.runs.folder import runs_folder

from .. import heavy_imports
from ..consoles import stdout
from ..options import DataDir, Runs, at_home, complete_spec
from ..prose import say

What = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="WHAT",
        help="Runs, sweeps and networks, by name or folder; zoo/NAME is the network that ships. "
        "The latest finished run unless given.",
        autocompletion=complete_spec,
    ),
]
Out = Annotated[
    Path,
    typer.Option(
        "--out",
        metavar="FILE",
        callback=at_home,
        help="The page to be written; .svg, .pdf or .png is the curves of a run, or the picture "
        "of a sweep, alone.",
    ),
]


def report(
    what: What = None,
    out: Out = Path("report.html"),
    runs: Runs = None,
    data_dir: DataDir = None,
) -> None:
    """Write a page about runs, sweeps and networks, which stands alone.

    One file without any request to elsewhere. What needs weights and images, such
    as the confusion, is left out where these are not there.

    Examples:

      mnist-arch report s6 --out report.html

      mnist-arch report s6 mine experiments

      mnist-arch report experiments --out front.pdf
    """
    if format_of(out) is None and out.suffix.lower() not in (".html", ".htm", ""):
        raise typer.BadParameter(f"{out.name} is no page and no picture: .html, .svg, .pdf, .png")
    with heavy_imports():
        from mnist_arch.report.content import content_of, picture_of
        from mnist_arch.report.page import page

        words, folder = what or (), runs_folder(runs)
        if (kind := format_of(out)) is not None:
            text = picture_of(words, kind, runs=folder)
        else:
            text = page(content_of(words, runs=folder, data_dir=data_dir)).encode()
    write_whole(out, text)
    say(stdout(), f"{out}, {len(text):,} bytes", label="wrote        ")
