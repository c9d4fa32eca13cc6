"""Does the claim of a notebook hold? By its code and what it printed; nothing is run."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from mnist_arch.claims.accuracies import Printed, read_accuracies
from mnist_arch.claims.habits import Finding, read_habits
from mnist_arch.convert.code import read_code
from mnist_arch.convert.graph import Graph
from mnist_arch.convert.importing import Request, finish
from mnist_arch.convert.questions import Choices
from mnist_arch.convert.source import Source, read_source
from mnist_arch.convert.tables import Table, find_tables
from mnist_arch.counting.plan import Plan, plan_network
from mnist_arch.errors import MnistArchError, Origin
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
    """Cells that trained, and printed test accuracies; the row is of the last."""
    findings: tuple[Finding, ...] = ()
    reason: str = ""

    @property
    def fails(self) -> bool:
        """Whether its claim does not stand as it is."""
        return not self.verdict.startswith("holds")


def audit(path: str, budget: Budget) -> Audit:
    """Reads a notebook or a script, and holds it against a budget. Raises StorageError."""
    name = shown(Path(path))
    try:
        source = read_source(path)
    except MnistArchError as error:
        if error.kind.exit_code != 2 or not Path(path).exists():
            raise
        if is_folder(Path(path)):
            return Audit(name, "cannot be read", reason=f"a folder: name its files, {name}/*.ipynb")
        return Audit(name, "cannot be read", reason=str(error))
    try:
        habits = read_habits(source)
        graph = _graph(source)
    except (RecursionError, MemoryError):
        return Audit(name, "cannot be read", reason="its code is nested too deep")
    findings, training = habits.findings, habits.epochs
    epochs = None if training is None else training[0]
    printed = _printed_parameters(source)
    accuracies = read_accuracies(
        source, fitting=habits.fitting, judging=habits.judging, validates_on=habits.validates_on
    )
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
    if training is not None and training[0] >= budget.epochs_below:
        reason = f"{epochs:,} epochs; fewer than {budget.epochs_below:,} are asked"
        findings.append(Finding("epochs", training[1], reason))
    best, final = accuracies.best, accuracies.final
    verdict = _verdict(findings, best, final, budget)
    reason = _reason(accuracies)
    if verdict == "holds on one seed" and parameters is None:
        verdict, reason = "cannot be read", "it does not say how many parameters it has"
    for habit, count, below in limited:
        if verdict == "holds on one seed" and count is None and below is not None:
            verdict = "cannot be read"
            reason = f"how many {_WORDS[habit]} its network takes cannot be counted from its code"
    if verdict == "holds on one seed" and habits.seeds > 1:
        verdict = "holds on several seeds"
    if not habits.is_code:
        verdict = "cannot be read"
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
        max(accuracies.trainings, 1),
        tuple(findings),
        reason=reason,
    )


def _reason(accuracies: Printed) -> str:
    if accuracies.final is None:
        return "it printed no test accuracy"
    if accuracies.trainings > 1:
        return f"{accuracies.trainings} trainings printed accuracies; the row is of the last"
    return ""


def _verdict(
    findings: list[Finding], best: float | None, final: float | None, budget: Budget
) -> Verdict:
    habits = {it.habit for it in findings}
    if habits & {"parameters", "epochs", "macs", "bytes"}:
        return "exceeds"
    if final is None or best is None:
        return "cannot be read"
    if best < budget.accuracy_percent:
        return "missed"
    if "test-chooses" in habits:
        return "test was used to choose"
    if final < budget.accuracy_percent or "best" in habits:
        return "rests on the best epoch"
    return "holds on one seed"


def _graph(source: Source) -> Graph | None:
    """The network in the code, where one network is meant and can be read."""
    try:
        read = read_code(source, Choices({}))
    except MnistArchError:
        return None
    return None if read is None else read.graph


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
            if said := _TOTAL.match(text):
                number = int(said[1].replace(",", ""))
                return _Parameters(number, (number,), line)
            if rounded := _ROUNDED.match(text):
                number = round(float(rounded[1]) * {"K": 1_000, "M": 1_000_000}[rounded[2]])
                return _Parameters(number, (number,), line)
    return _Parameters()
