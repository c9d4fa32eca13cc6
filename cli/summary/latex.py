"""A counted network as a table of LaTeX, with the rules of `booktabs`."""

from __future__ import annotations

import re
from typing import Final

from mnist_arch.counting.counted import CountedExperiment

_SIGNS: Final = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
}


def latex(counted: CountedExperiment) -> str:
    """Layers with shape, parameters and MACs, and their totals, in a `tabular`."""
    plan = counted.plan
    lines = [
        f"% {_one_line(counted.experiment.name)}; \\usepackage{{booktabs}}",
        r"\begin{tabular}{llrrr}",
        r"\toprule",
        r"place & layer & output & parameters & MACs \\",
        r"\midrule",
    ]
    for row in plan.rows:
        shape = r" $\times$ ".join(map(str, row.output_shape))
        counts = f"{row.parameters:,} & {row.macs:,}"
        lines.append(rf"{_escaped(row.place)} & {_escaped(row.layer)} & {shape} & {counts} \\")
    lines += [
        r"\midrule",
        rf"total & & & {plan.parameters:,} & {plan.macs:,} \\",
        r"\bottomrule",
        r"\end{tabular}",
    ]
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    return re.sub(r"[\\~^&%$#_{}]", lambda found: _SIGNS[found[0]], text)


def _one_line(text: str) -> str:
    return " ".join(text.split())
