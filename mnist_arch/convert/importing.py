"""A network of somebody else as a spec: exact, or said not to be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from mnist_arch.convert.blocks.lacks import AGAIN, stuck
from mnist_arch.convert.blocks.network import MAX_OPERATIONS, Stuck, write
from mnist_arch.convert.code import Read, read_code
from mnist_arch.convert.graph import Graph, Norm, parameters, text
from mnist_arch.convert.inference import NO_RATE, infer
from mnist_arch.convert.keras_layers import POINTWISE
from mnist_arch.convert.lowering import Item, Lack, Lowered, linked, lower, unshared
from mnist_arch.convert.questions import Answer, Choices, refusal
from mnist_arch.convert.source import IS_TEXT, Source, read_source
from mnist_arch.convert.tables import Table, TableRow, find_tables, leaves
from mnist_arch.convert.training import read_training
from mnist_arch.convert.writing import spec_text
from mnist_arch.errors import Problem, SpecError
from mnist_arch.spec.experiment import Experiment
from mnist_arch.spec.loading import validated
from mnist_arch.spec.sources import name_from, with_whole_recipe
from mnist_arch.spec.strict_yaml import Node

PARTIAL: Final = "partial=True writes what there is, with a comment where something is missing"


@dataclass(frozen=True)
class Note:
    """Something to know about an import."""

    text: str
    place: str = ""
    """Where it was written in the source; empty where it is of the whole."""


@dataclass(frozen=True)
class Imported:
    """A spec, and how it came about."""

    text: str
    """The spec file."""
    tree: Mapping[str, Any]
    origin: str
    """What it was read from, in a few words."""
    parameters: int
    """Of the network that was read."""
    assumed: tuple[Note, ...] = ()
    """What the source does not say."""
    missing: tuple[Note, ...] = ()
    """Parts of the network that the spec has not; none unless a partial one was asked for."""
    source: Graphed | None = None
    """What was read, for its weights."""
    dropped: tuple[Note, ...] = ()
    """Parts of the recipe that the spec has not, with what they would have done."""

    @property
    def is_exact(self) -> bool:
        return not self.missing

    @property
    def experiment(self) -> Experiment:
        """The spec, validated."""
        tree = with_whole_recipe(Node.of(dict(self.tree), self.origin))
        return validated(tree, self.origin)


@dataclass(frozen=True)
class Graphed:
    """A network in a graph, before it is a spec."""

    graph: Graph
    items: tuple[Item, ...]
    names: Mapping[str, str]
    """Of its tensors, as code calls them, by the name that the graph has."""


@dataclass(frozen=True)
class Request:
    """How to read a source."""

    choose: Mapping[str, str] = field(default_factory=dict)
    """Answers by place, of what the source leaves open."""
    dropout: float | None = None
    """Rate of every dropout whose rate nothing says."""
    is_partial: bool = False
    """Whether to write what there is where something is missing."""
    name: str = ""
    """Name of the network; that of the file unless given."""


def import_network(what: str, request: Request | None = None) -> Imported:
    """The network of a file, or of stdin for `-`, as a spec.

    Raises SpecError, with every place at which it cannot be carried over exactly, and StorageError.
    """
    try:
        source = read_source(what)
    except SpecError as error:
        raise SpecError(tuple(map(_with_weights, error.problems))) from None
    return import_source(source, request or Request())


def _with_weights(problem: Problem) -> Problem:
    """With the way out for weights, which `import` takes apart from the code."""
    is_binary = problem.hint == IS_TEXT
    return replace(problem, hint=f"{IS_TEXT}; weights= takes the weights") if is_binary else problem


def import_source(source: Source, request: Request) -> Imported:
    """As `import_network`, of a source that has been read."""
    choices = Choices(request.choose)
    choices.asked.add("read")
    if choices.given.get("read") == "table":
        choices.used.add("read")
        return _of_table(source, choices, request)
    try:
        read = read_code(source, choices, is_partial=request.is_partial)
    except SpecError as error:
        if any(find_tables(lines) for lines in source.printed):
            raise _with_way_out(error) from None
        raise
    if read is None:
        return _of_table(source, choices, request)
    return _of_code(read, source, choices, request)


def _with_way_out(error: SpecError) -> SpecError:
    """The same, with the way to the table that was printed with the code."""
    way_out = "choose={'read': 'table'} reads the table that was printed with it"
    return SpecError(
        tuple(
            replace(it, hint=f"{it.hint}; or {way_out}" if it.hint else way_out)
            for it in error.problems
        )
    )


def _of_code(read: Read, source: Source, choices: Choices, request: Request) -> Imported:
    choices.settle()
    tables = [table for lines in source.printed for table in find_tables(lines)]
    if tables and not any(_agree(table, read.graph) for table in tables):
        counts = ", ".join(f"{_count(it):,} at {it.origin}" for it in tables[:4])
        message = f"the code of {read.name} has {read.graph.parameters:,} parameters"
        hint = (
            "the notebook was changed after it was run: choose={'read': 'table'}, or run it again"
        )
        raise refusal(f"{message}, and what it printed has {counts}", tables[0].origin, hint)
    made = finish(read.graph, source.name, request, origin=f"the code of {read.name}")
    training = read_training(read)
    dropped = tuple(Note(*it) for it in training.dropped)
    assumed = [*made.assumed, *map(Note, choices.assumed)]
    assumed += [Note(*it) for it in training.assumed]
    tree = dict(made.tree)
    if made.source is not None:
        made = replace(made, source=replace(made.source, names=read.names))
    if training.recipe:
        tree["recipe"] = training.recipe
        for key, value in (("dataset", training.dataset), ("holdout", training.holdout)):
            if value:
                tree[key] = value
    else:
        assumed.append(Note("no recipe is found: the defaults of this program stand in its place"))
    return with_comments(replace(made, tree=tree, dropped=dropped, assumed=tuple(assumed)))


def _agree(table: Table, graph: Graph) -> bool:
    """Whether a table that was printed with the code is of the same network."""
    theirs = sorted(
        (row.parameters, _flat(row.shape, last=table.tool == "Keras"))
        for row in table.rows
        if row.parameters and row.shape and not row.recursive and _is_leaf(table, row)
    )
    factor = 2 if table.tool == "Keras" else 1
    ours: list[tuple[int, tuple[int, ...]]] = []
    seen: set[str] = set()
    for node in graph.nodes:
        count = parameters(node.op, node.in_shape) * (factor if isinstance(node.op, Norm) else 1)
        if count and (table.tool == "torchsummary" or node.weights not in seen):
            if node.weights.endswith(POINTWISE):  # of a layer of Keras, which is one row
                count += ours.pop()[0]
            ours.append((count, node.shape))
            seen.add(node.weights)
    return theirs == sorted(ours)


def _is_leaf(table: Table, row: TableRow) -> bool:
    index = table.rows.index(row)
    after = table.rows[index + 1 : index + 2]
    return not after or after[0].depth <= row.depth


def _flat(shape: tuple[int, ...], *, last: bool) -> tuple[int, ...]:
    return (shape[-1], *shape[:-1]) if last else shape


def _of_table(source: Source, choices: Choices, request: Request) -> Imported:
    table = _the_table(source, choices)
    if table is None:
        raise refusal(
            f"{source.name} has no network: neither code that makes one, nor a printed table",
            hint="name the file with the class, or print summary(model, (1, 28, 28))",
        )
    inferred = infer(table, choices, dropout=request.dropout, is_partial=request.is_partial)
    choices.settle()
    origin = f"a table of {table.tool}, {len(table.rows)} rows"
    made = finish(inferred.graph, source.name, request, origin=origin)
    notes = [Note(it) for it in choices.assumed]
    missing = list(made.missing)
    if request.is_partial and request.dropout is None:
        missing += [
            Note(f"the rate of {node_name}, which no table says: {NO_RATE} is written", node.place)
            for node_name, node in zip(inferred.names, inferred.graph.nodes, strict=True)
            if _is_dropout(node_name) and node_name not in request.choose
        ]
    assumed = (*made.assumed, *notes)
    return with_comments(replace(made, assumed=assumed, missing=tuple(missing)))


def _is_dropout(name: str) -> bool:
    return name.lower().startswith(("dropout", "spatial_dropout"))


def _the_table(source: Source, choices: Choices) -> Table | None:
    """The table of a source; where there are several of other networks, the one that was chosen."""
    tables = [table for lines in source.printed for table in find_tables(lines)]
    different: dict[Any, Table] = {}
    for table in tables:
        different.setdefault(tuple(leaves(table)), table)
    if not different:
        return None
    answers = [
        Answer(
            str(number),
            f"{table.tool} at {table.origin}, {_count(table):,} parameters",
            table,
        )
        for number, table in enumerate(different.values(), 1)
    ]
    chosen = choices.decide(("table",), "several tables", answers, answers[0].value.origin)
    choices.settle_now()
    return chosen


def _count(table: Table) -> int:
    return table.total or sum(row.parameters or 0 for row in table.rows)


# ---------------------------------------------------------------------------------- graph to a spec


def finish(graph: Graph, name: str, request: Request, *, origin: str) -> Imported:
    """The spec of a graph. Raises SpecError with what the language lacks, unless it may be."""
    lowered = lower(graph)
    items, lacks = lowered.items, list(lowered.lacks)
    classes = _classes(items, lacks)
    tree = _tree(lowered, lacks, classes, is_partial=request.is_partial)
    if lacks and not request.is_partial:
        raise SpecError(tuple(_lacking(lack) for lack in lacks))
    named = request.name or name_from(Path(name).stem) or "imported"
    whole = {"name": named, **tree}
    return Imported(
        text="",
        tree=whole,
        origin=f"{name} ({origin})",
        parameters=graph.parameters,
        assumed=tuple(Note(note) for note in lowered.notes),
        missing=tuple(Note(f"the language lacks {lack.what}", lack.place) for lack in lacks),
        source=Graphed(graph, tuple(items), {}),
    )


def _lacking(lack: Lack) -> Problem:
    return Problem(f"the language lacks {lack.what}", "", lack.place, PARTIAL)


def _classes(items: list[Item], lacks: list[Lack]) -> int:
    if not items:
        raise refusal("no layer of the network can be said")
    shape = items[-1].out_shape
    if shape[1:] != (1, 1) and not lacks:
        ends = f"the network ends in {text(shape)}, not in one number a class"
        raise refusal(ends, items[-1].place, "a flatten or a pool may be missing at its end")
    return min(shape[0], 4096)


def _tree(lowered: Lowered, lacks: list[Lack], classes: int, *, is_partial: bool) -> dict[str, Any]:
    """Blocks that say the row; what they cannot say is left out and added to `lacks`."""
    items = lowered.items
    if len(items) > MAX_OPERATIONS:
        message = f"{len(items):,} operations are more than {MAX_OPERATIONS:,}"
        raise refusal(message, items[-1].place)
    connects = all(one.out_shape == two.in_shape for one, two in pairwise(items))
    if lacks and not is_partial and not connects:
        raise SpecError(tuple(_lacking(lack) for lack in lacks))
    while items:
        if lacks and is_partial:
            items = linked(items)
            classes = _classes(items, lacks)
        written = write(items, classes)
        if not isinstance(written, Stuck):
            return written
        at = min(written.index, len(items) - 1)
        if written.index < len(items) or not lacks:  # else what is lacking is all there is to say
            lacks.append(stuck(items, at))
        if not is_partial:
            raise SpecError(tuple(_lacking(lack) for lack in lacks))
        if lacks[-1].what == AGAIN and items != (apart := unshared(items)):
            items = apart
        else:
            items = [*items[:at], *items[at + 1 :]]
    raise refusal("no layer of the network can be said", hint="write the spec by hand")


def with_comments(imported: Imported) -> Imported:
    """The same with its text, which begins with where it came from."""
    assert imported.experiment
    comments = [f"Imported from {imported.origin}: {imported.parameters:,} parameters."]
    for title, notes in (
        ("Missing", imported.missing),
        ("Not carried over", imported.dropped),
        ("Assumed", imported.assumed),
    ):
        lines = [_line(note) for note in notes]
        if title == "Assumed" and lines:
            lines = ["; ".join(lines)]
        comments += [f"{title}: {line}." for line in lines]
    return replace(imported, text=spec_text(dict(imported.tree), comments))


def _line(note: Note) -> str:
    return f"{note.text} ({note.place})" if note.place else note.text
