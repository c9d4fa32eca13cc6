"""`mnist-arch summary`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from mnist_arch.counting.counted import CountedExperiment, count
from mnist_arch.files import to_json
from mnist_arch.runs.folder import runs_folder
from mnist_arch.runs.resolve import find_spec
from mnist_arch.spec.loading import json_schema
from mnist_arch.spec.overrides import parse_override

from .. import errors
from ..consoles import write_data, write_json
from ..options import Json, Runs, Set, complete_spec
from .json import as_object
from .latex import latex as latex_text
from .tables import show_comparison, show_markdown, show_one, show_verification

if TYPE_CHECKING:
    from mnist_arch.network.verify import Verification

Specs = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="SPEC",
        help="Names in the zoo or of runs, or paths of YAML files or runs; s6 unless given. "
        "Several stand side by side.",
        autocompletion=complete_spec,
    ),
]
Blocks = Annotated[bool, typer.Option("--blocks", help="One row a block, not one a layer.")]
Verify = Annotated[
    bool,
    typer.Option("--verify", help="Build the module, and compare plan, torch and torchinfo."),
]
Markdown = Annotated[bool, typer.Option("--markdown", help="Print Markdown, for a README.")]
Svg = Annotated[bool, typer.Option("--svg", help="Print a diagram of the layers, as SVG.")]
Latex = Annotated[bool, typer.Option("--latex", help="Print a table of the layers for a paper.")]
Schema = Annotated[
    bool, typer.Option("--schema", help="Print the JSON Schema of spec files, for editors.")
]


def summary(
    specs: Specs = None,
    blocks: Blocks = False,
    verify: Verify = False,
    markdown: Markdown = False,
    svg: Svg = False,
    latex: Latex = False,
    schema: Schema = False,
    set_: Set = None,
    runs: Runs = None,
    as_json: Json = False,
) -> None:
    """Count a network layer by layer, and hold it against its budget.

    Shapes, parameters, MACs, receptive field, memory and advice. Nothing is built,
    unless --verify asks for it. A network over its budget is shown, too.

    Examples:

      mnist-arch summary

      mnist-arch summary s6 mine.yaml --set defaults.dropout=0.1

      mnist-arch summary mine.yaml --verify
    """
    if schema:
        write_json(to_json(json_schema()))
        return
    overrides = [parse_override(text) for text in set_ or ()]
    where = runs_folder(runs)
    loaded = [find_spec(spec, runs=where, overrides=overrides) for spec in specs or ["s6"]]
    counted = [count(one) for one in loaded]
    verified: Sequence[Verification] | None = _verify(counted) if verify else None
    if as_json:
        checks: Sequence[Verification | None] = verified or [None] * len(counted)
        objects = [as_object(one, check) for one, check in zip(counted, checks, strict=True)]
        content = objects[0] if len(objects) == 1 else {"format": 1, "networks": objects}
        write_json(to_json(content))
    elif svg:
        _print_svg(counted)
    elif latex:
        write_data("\n".join(map(latex_text, counted)))
    elif markdown:
        show_markdown(counted, by_block=blocks)
    elif len(counted) > 1:
        show_comparison(counted)
    else:
        show_one(counted[0], by_block=blocks)
    if verified is not None:
        if not as_json:
            for one, verification in zip(counted, verified, strict=True):
                show_verification(one.experiment.name, verification)
        if not all(verification.agrees for verification in verified):
            raise typer.Exit(errors.OUR_BUG)


def _print_svg(counted: Sequence[CountedExperiment]) -> None:
    """The diagram of one network, in colours of its own."""
    from mnist_arch.report.diagram import standalone

    if len(counted) != 1:
        raise typer.BadParameter("--svg draws one network")
    (one,) = counted
    write_data(f"{standalone(one.plan, one.experiment.name)}\n")


def _verify(counted: Sequence[CountedExperiment]) -> list[Verification]:
    from mnist_arch.network.verify import verify

    return [verify(one.experiment) for one in counted]
