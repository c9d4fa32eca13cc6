"""What an audit finds, as a table with its findings below."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.markup import escape

from ..consoles import stdout
from ..prose import say
from ..quoting import printable
from ..tables import Column, print_tables

if TYPE_CHECKING:
    from mnist_arch.claims.audit import Audit
    from mnist_arch.verbs.defend import Defence


def show_audits(both: Sequence[tuple[Audit, Defence | None]]) -> None:
    found, defences = [it for it, _ in both], [it for _, it in both]

    def cells(values: list[object]) -> list[str]:
        return ["–" if it is None else f"{it:,}" if isinstance(it, int) else str(it)
                for it in values]  # fmt: skip

    columns = [
        Column("file", [escape(printable(it.name)) for it in found], words=True, is_key=True),
        Column("verdict", [it.verdict for it in found], words=True),
        Column("parameters", cells([it.parameters for it in found]), goes=3),
        Column("MACs", cells([it.macs for it in found]), goes=3),
        Column("bytes", cells([it.bytes for it in found]), goes=3),
        Column("epochs", cells([it.epochs for it in found]), goes=4),
        Column("seeds", cells([it.seeds for it in found]), goes=5),
        Column("best %", cells([it.best_percent for it in found]), goes=2),
        Column("final %", cells([it.final_percent for it in found]), goes=1),
    ]
    columns = [it for it in columns if it.name not in ("MACs", "bytes") or {*it.cells} != {"–"}]
    if any(defences):
        columns += [
            Column("defended", [it.outcome if it else "–" for it in defences], words=True),
            Column("over seeds", [_percent(it) for it in defences]),
        ]
    print_tables(columns, stdout())
    for it, defence in both:
        for one in it.findings:
            say(stdout(), printable(f"{one.line}: {one.reason}"))
        if it.reason:
            say(stdout(), printable(f"{it.name}: {it.reason}"))
        if defence is not None:
            _show_defence(it.name, defence)


def _percent(it: Defence | None) -> str:
    if it is None or it.score is None:
        return "–"
    bound = it.score.bound_percent
    return str(it.score) + ("" if bound is None else f", at least {bound:.3f} %")


def _show_defence(name: str, defence: Defence) -> None:
    for label, notes in (("left out", defence.left_out), ("assumed", defence.assumed)):
        for note in notes:
            say(stdout(), printable(f"{note.place or name}: {label}: {note.text}"))
    if defence.reason:
        say(stdout(), printable(f"{name}: not trained: {defence.reason}"))
