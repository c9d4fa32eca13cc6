"""The resolved experiment with the origin of every value, before anything is done."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from rich.markup import escape

from mnist_arch.counting.budget import counts_of, within
from mnist_arch.counting.plan import Plan
from mnist_arch.data.catalog import DatasetName
from mnist_arch.files import to_json
from mnist_arch.spec.experiment import Experiment
from mnist_arch.spec.loading import Loaded
from mnist_arch.verbs.datasets import auto_text, dataset_now

from ..consoles import stdout, write_json
from ..prose import say
from ..tables import Column, print_tables

_SHORT: Final = {
    "channels": "out",
    "dropout": "rate",
    "norm": "kind",
    "activation": "kind",
    "pool": "kind",
    "reduce": "out",
    "hidden": "out",
}
"""What may be written as the bare value of one field, and the field."""
_LISTED: Final = re.compile(r"(branches\[\d+\])\.channels")
"""Of a branch that is the list of its convolutions."""


def show_dry_run(
    loaded: Loaded,
    plan: Plan,
    *,
    seeds: tuple[int, ...],
    data_dir: Path | None,
    as_json: bool,
) -> None:
    """Prints every value with its origin, the network's cost, and the budget's answer.

    Says what the dataset `auto` means, by what is on this machine.
    """
    experiment = loaded.experiment
    dataset = dataset_now(experiment.dataset, data_dir)
    values = experiment.model_dump(mode="json")
    if as_json:
        content = {
            "format": 1,
            "experiment": values,
            "origins": loaded.origins,
            "dataset": dataset,
            "seeds": list(seeds),
            "parameters": plan.parameters,
            "macs": plan.macs,
            "within_budget": within(experiment, plan),
        }
        write_json(to_json(content))
        return
    leaves = list(_leaves(values, ""))
    origins = [escape(_origin(loaded.origins, path)) for path, _ in leaves]
    columns = [
        Column("path", [escape(path) for path, _ in leaves], words=True, is_whole=True),
        Column("value", [escape(_text(value)) for _, value in leaves], words=True),
        Column("origin", origins, words=True),
    ]
    console = stdout()
    print_tables(columns, console)
    console.print()
    for label, text in _lines(experiment, plan, dataset, seeds):
        say(console, text, label=f"{label:<12}")


def _lines(
    experiment: Experiment, plan: Plan, dataset: DatasetName, seeds: tuple[int, ...]
) -> Iterator[tuple[str, str]]:
    if experiment.dataset == "auto":
        yield "dataset", auto_text(dataset)
    yield "seeds", ", ".join(map(str, seeds))
    counts = counts_of(experiment, plan)
    for what, limit in experiment.budget.limits().items():
        if what != "epochs":
            yield what, f"{getattr(counts, what.lower()):,} (asked: fewer than {limit:,})"
    fits = within(experiment, plan)
    yield "budget", "kept" if fits else "broken: train would refuse this"


def _leaves(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    match value:
        case dict():
            for key, inner in value.items():
                yield from _leaves(inner, f"{path}.{key}" if path else key)
        case list() if value:
            for index, inner in enumerate(value):
                yield from _leaves(inner, f"{path}[{index}]")
        case None if not path.startswith("recipe"):
            return  # an option that is inherited or absent
        case _:
            yield path, value


def _text(value: Any) -> str:
    """As one would write it in YAML."""
    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case _:
            return str(value)


def _origin(origins: Mapping[str, str], path: str) -> str:
    """The value's own origin, or that of its short form: `…channels[0]` for `…channels[0].out`.

    One alone may stand in the place of a list: `head.hidden` for `head.hidden[0].out`.
    """
    if path in origins:
        return origins[path]
    parent, _, field = path.rpartition(".")
    name = parent.rpartition(".")[2].partition("[")[0]
    if _SHORT.get(name) == field:
        for short in (parent, parent.rpartition("[")[0], _LISTED.sub(r"\1", parent)):
            if short in origins:
                return origins[short]
    return origins.get(_LISTED.sub(r"\1", path), "default")
