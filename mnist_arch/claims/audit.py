"""Does the claim of a notebook hold? By its code and what it printed; nothing is run."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, Literal

from mnist_arch.claims.accuracies import Printed, read_accuracies
from mnist_arch.claims.habits.cells import Cell
from mnist_arch.claims.habits.choices import STOPS
from mnist_arch.claims.habits.code import Finding
from mnist_arch.claims.habits.reading import Habits, read_habits
from mnist_arch.convert.code import read_code
from mnist_arch.convert.graph import Graph
from mnist_arch.convert.importing import Request, finish
from mnist_arch.convert.questions import Choices
from mnist_arch.convert.source import Source, read_source
from mnist_arch.convert.tables import Table, find_tables
from mnist_arch.counting.plan import Plan, plan_network
from mnist_arch.errors import MnistArchError, Origin, SpecError
from mnist_arch.files import is_folder, shown
from mnist_arch.spec.experiment import Budget

Verdict = Literal[
    "holds on one seed",
    "holds on several seeds",
    "rests on the best epoch",
    "test was used to choose",
    "missed",
    "exceeds",
    "cannot be read",
]
_WORDS: Final = {"macs": "MACs", "bytes": "bytes"}
_TOTAL: Final = re.compile(
    r"(?i)^(?!.*non-?trainable).{0,60}\b(?:total|trainable|number of)\b[\w ]{0,40}\bparam\w*"
    r"[^\d\n]{0,40}(\d{1,3}(?:,\d{3})+|\d{1,9})(?![\d.])(?!\s?[KM]\b)"
)
_TRAINED: Final = re.compile(r"^\s*Trainable params:\s*([\d,]{1,15})")
_BARE: Final = re.compile(
    r"(?i)^\s*(?:model\s+)?(?:params|parameters)(?:\s+count)?\s*[:=]\s*"
    r"(\d{1,3}(?:,\d{3})+|\d{1,9})(?:\s*(?:params|parameters))?\s*$"
)
_ROUNDED: Final = re.compile(r"^\s*(\d{1,6}(?:\.\d+)?)\s+([KM])\s+(?:Total|Trainable) params\s*$")


@dataclass(frozen=True)
class Audit:
    """One notebook."""

    name: str
    verdict: Verdict
    parameters: int | None = None
    """Counted from the code, else as printed."""
    printed_parameters: int | None = None
    macs: int | None = None
    """Of one image; this and the next are counted where the budget limits them."""
    bytes: int | None = None
    """To classify one image, in float32."""
    epochs: int | None = None
    best_percent: float | None = None
    final_percent: float | None = None
    seeds: int = 1
    """That the code loops over."""
    trainings: int = 1
    """That printed test accuracies; the row is of the one that stands best, else of the last."""
    findings: tuple[Finding, ...] = ()
    reason: str = ""

    @property
    def fails(self) -> bool:
        """Whether its claim does not stand as it is."""
        return not self.verdict.startswith("holds")


def audit(path: str, budget: Budget) -> Audit:
    """Reads a notebook or a script, and holds it against a budget. Raises StorageError."""
    name = shown(Path(path))
    if Path(path).is_symlink():
        reason = "it is a link, which is not followed: name what it leads to"
        return Audit(name, "cannot be read", reason=reason)
    try:
        source = read_source(path)
    except MnistArchError as error:
        if error.kind.exit_code != 2 or not Path(path).exists():
            raise
        if is_folder(Path(path)):
            return Audit(name, "cannot be read", reason=f"a folder: name its files, {name}/*.ipynb")
        return Audit(name, "cannot be read", reason=error.sentence.removeprefix(f"{name} "))
    try:
        habits = read_habits(source)
    except (RecursionError, MemoryError):
        return Audit(name, "cannot be read", reason="its code is nested too deep")
    printed = read_accuracies(
        source, fitting=habits.fitting, judging=habits.judging, validates_on=habits.validates_on
    )
    trainings = _trainings(printed, habits)
    asked = _FAMILY.get(budget.dataset, budget.dataset)
    counts = [it for it in trainings if it.dataset in ("", asked)]
    if trainings and not counts:
        others = ", ".join(sorted({it.dataset for it in trainings}))
        reason = f"it is trained on {others}, and the rules ask for {asked}"
        return Audit(name, "cannot be read", reason=reason)
    try:
        given: list[_Training | None] = [*counts] or [None]
        rows = [_row(name, source, habits, it, budget) for it in given]
    except (RecursionError, MemoryError):
        return Audit(name, "cannot be read", reason="its code is nested too deep")
    best = min(reversed(rows), key=lambda it: _RANK[it.verdict])
    if len(trainings) > 1:
        claimed = counts[len(rows) - 1 - [*reversed(rows)].index(best)]
        said = f"{len(trainings)} trainings printed accuracies; the row is of {claimed.place}"
        best = replace(best, reason=f"{said}; {best.reason}" if best.reason else said)
    return replace(best, trainings=max(len(trainings), 1))


_FAMILY: Final[dict[str, str]] = {
    "mnist-5k": "mnist",
    "emnist-digits": "emnist",
    "emnist-letters": "emnist",
    "emnist-balanced": "emnist",
}
"""Datasets by the name of what loads them, where that is another."""
_RANK: Final[dict[Verdict, int]] = {
    "holds on several seeds": 0,
    "holds on one seed": 0,
    "rests on the best epoch": 1,
    "test was used to choose": 1,
    "missed": 2,
    "exceeds": 3,
    "cannot be read": 4,
}
"""Of several trainings the claim is the one that stands best, and of equals the last."""


@dataclass(frozen=True)
class _Training:
    """One of the trainings that printed accuracies, with what belongs to it."""

    printed: Printed
    cells: tuple[Cell, ...]
    """From after the training before it to where its last accuracy is."""
    others: frozenset[str]
    """Cells that printed the accuracies of other trainings."""
    network: str
    """The class that it trains; empty where that cannot be followed."""
    dataset: str
    """What it loads; empty where that cannot be followed."""
    is_alone: bool
    is_first: bool

    @property
    def place(self) -> str:
        """Its cells, in words."""
        numbers = [it.rpartition(" ")[2] for it in self.printed.cells]
        return f"cell {numbers[0]}" + (f" to {numbers[-1]}" if len(numbers) > 1 else "")

    def is_about(self, finding: Finding, parts: dict[str, frozenset[str]]) -> bool:
        """Whether a finding is not about another network, or in the cell of another training."""
        if finding.habit == "one-seed":
            return self.is_alone or not self.is_first  # about what comes after a training
        inside = parts.get(self.network, frozenset({finding.network}))
        is_of_others = finding.cell in self.others and finding.cell not in self.printed.cells
        return not is_of_others and finding.network in ("", *inside)


def _trainings(printed: tuple[Printed, ...], habits: Habits) -> list[_Training]:
    found: list[_Training] = []
    order = {it.place: at for at, it in enumerate(habits.by_cell)}
    start, dataset, last_made = 0, "", ""
    held: dict[str, str] = {}
    every = {cell for it in printed for cell in it.cells}
    for one in printed:
        end = max((order[cell] + 1 for cell in one.cells if cell in order), default=start)
        cells = habits.by_cell[start:end]
        for cell in cells:
            held |= dict(cell.networks)
            last_made = cell.networks[-1][1] if cell.networks else last_made
        loaded = frozenset[str]().union(*(it.datasets for it in cells))
        if loaded:
            dataset = next(iter(loaded)) if len(loaded) == 1 else ""
        reads = frozenset[str]().union(*(it.reads for it in cells if it.place in one.cells))
        classes = {held[name] for name in reads & held.keys()}
        network = last_made if not classes else next(iter(classes)) if len(classes) == 1 else ""
        others = frozenset(every - set(one.cells))
        found.append(_Training(one, cells, others, network, dataset, len(printed) == 1, not found))
        start = end
    return found


def _row(
    name: str, source: Source, habits: Habits, training: _Training | None, budget: Budget
) -> Audit:
    """What the notebook says of one training; of None where none printed an accuracy."""
    findings, epochs_at = list(habits.findings), habits.epochs
    best = final = None
    graph: Graph | None
    if training is not None:
        findings = [it for it in findings if training.is_about(it, habits.parts)]
        best, final = training.printed.best, training.printed.final
    if training is None or training.is_alone:
        graph, printed = _graph(source), _printed_parameters(source)
    else:
        graph, printed = _of_several(source, habits, training)
        named = [it.epochs for it in training.cells if it.epochs is not None]
        epochs_at = max(named, key=lambda it: it[0]) if named else epochs_at
    stops = any(it.reason == STOPS for it in findings)
    if training is not None and epochs_at is not None and stops:
        epochs_at = min(epochs_at[0], training.printed.count), epochs_at[1]  # it ended before
    epochs = None if epochs_at is None else epochs_at[0]
    if not habits.has_one_network and printed.is_table:
        graph = None  # which of them is meant, the table says
    counted = None if graph is None else graph.parameters
    parameters = printed.parameters if counted is None else counted
    if counted is not None and printed.is_table and counted not in printed.either:
        reason = f"the table printed has {printed.parameters:,} parameters, the code {counted:,}"
        findings.append(Finding("other-table", printed.place, reason))
    if parameters is not None and parameters >= budget.parameters_below:
        limit = f"fewer than {budget.parameters_below:,} are asked"
        where = printed.place or _network_line(source)
        findings.append(Finding("parameters", where, f"{parameters:,} parameters; {limit}"))
    plan = None
    if budget.macs_below is not None or budget.bytes_below is not None:
        plan = _plan(graph, source.name)
    macs, in_bytes = (None, None) if plan is None else (plan.macs, plan.sizes.inference_bytes)
    limited = (("macs", macs, budget.macs_below), ("bytes", in_bytes, budget.bytes_below))
    for habit, count, below in limited:
        if count is not None and below is not None and count >= below:
            reason = f"{count:,} {_WORDS[habit]} an image; fewer than {below:,} are asked"
            findings.append(Finding(habit, _network_line(source), reason))
    if epochs_at is not None and epochs_at[0] >= budget.epochs_below:
        reason = f"{epochs:,} epochs; fewer than {budget.epochs_below:,} are asked"
        findings.append(Finding("epochs", epochs_at[1], reason))
    verdict = _verdict(findings, best, final, budget)
    reason = "it printed no test accuracy: run it, and save it with its outputs"
    reason = reason if final is None else ""
    if verdict == "cannot be read" and any(it.habit == "test-is-training" for it in findings):
        reason = "what it calls test are training images"
    if verdict == "holds on one seed" and parameters is None:
        verdict, reason = (
            "cannot be read",
            "it does not say how many parameters it has: print a table",
        )
    for habit, count, below in limited:
        if verdict == "holds on one seed" and count is None and below is not None:
            verdict = "cannot be read"
            reason = f"how many {_WORDS[habit]} its network takes cannot be counted from its code"
    if verdict == "holds on one seed" and habits.seeds > 1:
        verdict = "holds on several seeds"
    if not habits.is_code:
        verdict, reason = "cannot be read", _why_no_code(source)
    return Audit(
        name,
        verdict,
        parameters,
        printed.parameters,
        macs,
        in_bytes,
        epochs,
        best,
        final,
        habits.seeds,
        findings=tuple(findings),
        reason=reason,
    )


def _of_several(
    source: Source, habits: Habits, training: _Training
) -> tuple[Graph | None, _Parameters]:
    """The network of one of several trainings, and what was printed of its parameters."""
    if habits.has_one_network:
        return _graph(source), _printed_parameters(source)
    places = {it.place for it in training.cells}
    last = training.cells[-1].place if training.cells else ""
    until = [it.place for it in habits.by_cell]
    known = set(until[: until.index(last) + 1]) if last else set()
    own = [lines for lines in source.printed if lines and _cell(lines[0]) in places]
    code = [it for it in source.code if it[0].rpartition(":")[0] in known]
    graph = None
    if training.network:
        graph = _graph(Source(source.name, tuple(code)), training.network)
    return graph, _printed_parameters(Source(source.name, (), tuple(own)))


def _cell(line: Origin) -> str:
    """The cell whose output has a line."""
    return line.rpartition(":")[0].removesuffix(" output")


def _verdict(
    findings: list[Finding], best: float | None, final: float | None, budget: Budget
) -> Verdict:
    habits = {it.habit for it in findings}
    if habits & {"parameters", "epochs", "macs", "bytes"}:
        return "exceeds"
    if final is None or best is None or "test-is-training" in habits:
        return "cannot be read"
    if best < budget.accuracy_percent:
        return "missed"
    if "test-chooses" in habits:
        return "test was used to choose"
    if final < budget.accuracy_percent or "best" in habits:
        return "rests on the best epoch"
    return "holds on one seed"


def _graph(source: Source, network: str = "") -> Graph | None:
    """The network in the code, where one network is meant and can be read."""
    try:
        read = read_code(source, Choices({"network": network} if network else {}))
    except MnistArchError:
        return None
    return None if read is None else read.graph


def _why_no_code(source: Source) -> str:
    """Why no code of it can be read: its first fault, and where."""
    try:
        read_code(source, Choices({}))
    except SpecError as error:
        fault = error.problems[0]
        return f"{fault.message}, in {fault.origin}"
    return "there is no code in it that can be read"


def _plan(graph: Graph | None, name: str) -> Plan | None:
    """What a network costs, where the block language has it."""
    if graph is None:
        return None
    try:
        return plan_network(finish(graph, name, Request(), origin="its code").experiment)
    except MnistArchError:
        return None


def _network_line(source: Source) -> Origin:
    """The first line of the code that begins a network."""
    for origin, text in source.code:
        for number, line in enumerate(text.split("\n")):
            if re.search(r"\bModule\)|\bSequential\(", line):
                start = str(origin).rpartition(":")[0]
                return Origin(f"{start}:{origin.line + number}", line=origin.line + number)
    return Origin(source.name)


@dataclass(frozen=True)
class _Parameters:
    """What was printed last of the number of parameters."""

    parameters: int | None = None
    either: tuple[int, ...] = ()
    """What the same network may have: Keras counts in the statistics of batch norm."""
    place: Origin = field(default_factory=lambda: Origin(""))
    is_table: bool = False


def _tables(lines: Sequence[Origin]) -> list[Table]:
    try:
        return find_tables(lines)
    except MnistArchError:
        return []  # a damaged one says nothing


def _printed_parameters(source: Source) -> _Parameters:
    """Of the last table, less what is not trained; else of a line that says a total."""
    for lines in reversed(source.printed):
        for table in reversed(_tables(lines)):
            total = table.total or sum(row.parameters or 0 for row in table.rows)
            if not total:
                continue
            trained = total
            if table.tool == "Keras":
                after = [it for it in lines if it.line > table.rows[-1].origin.line]
                said = next((it for line in after if (it := _TRAINED.match(line.quoted))), None)
                trained = total if said is None else int(said[1].replace(",", ""))
            return _Parameters(trained, (trained, total), table.origin, is_table=True)
    for lines in reversed(source.printed):
        for line in reversed(lines):
            if " output:" not in str(line):
                continue
            text = line.quoted[:500]
            if said := _TOTAL.match(text) or _BARE.match(text):
                number = int(said[1].replace(",", ""))
                return _Parameters(number, (number,), line)
            if rounded := _ROUNDED.match(text):
                number = round(float(rounded[1]) * {"K": 1_000, "M": 1_000_000}[rounded[2]])
                return _Parameters(number, (number,), line)
    return _Parameters()
