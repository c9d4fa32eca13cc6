"""The journal of a search: what Optuna remembers of its studies, one JSON object a line."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from mnist_arch.errors import RunCorrupt
from mnist_arch.files import append_line, is_there, make_folder, read, storage_errors

PROPOSED_AGAIN: Final = "remove it: what has been trained is kept, and is proposed again"
"""The way out of a damaged journal."""


class Journal:
    """A backend for Optuna's JournalStorage; the sweep's lock keeps all other writers away.

    Optuna's own, whose format this is, writes each field of a proposal by itself, waits half a
    minute for the lock of a process that was killed, and cannot read a line after a torn one.
    """

    def __init__(self, path: Path) -> None:
        """Reads the file, which need not be there. Raises RunCorrupt or StorageError."""
        self.path = path
        self._unwritten: list[str] = []
        self._holding = False
        content = read(path) if is_there(path) else b""
        whole, newline, torn = content.rpartition(b"\n")
        self._torn_from = len(whole + newline) if torn else None
        try:
            self._logs: list[dict[str, Any]] = [json.loads(line) for line in whole.splitlines()]
        except ValueError:
            raise damaged(path) from None

    def read_logs(self, log_number_from: int) -> list[dict[str, Any]]:
        """All entries from this one on, counted from 0."""
        return self._logs[log_number_from:]

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Takes entries, and writes them unless `at_once` does. Raises StorageError."""
        lines = [json.dumps(log, separators=(",", ":")) for log in logs]
        self._logs += (json.loads(line) for line in lines)
        self._unwritten += lines
        if not self._holding:
            self._write()

    @contextlib.contextmanager
    def at_once(self) -> Iterator[None]:
        """Writes what is appended inside together, at the end; after an error nothing of it.

        Raises StorageError.
        """
        self._holding = True
        yield
        self._holding = False
        self._write()

    def _write(self) -> None:
        if not self._unwritten:
            return
        make_folder(self.path.parent)
        if self._torn_from is not None:  # of a process that was killed while it wrote
            with storage_errors(self.path), self.path.open("r+b") as file:
                file.truncate(self._torn_from)
            self._torn_from = None
        append_line(self.path, "\n".join(self._unwritten))
        self._unwritten = []


def damaged(path: Path) -> RunCorrupt:
    """The refusal of a journal that does not hold what Optuna wrote."""
    return RunCorrupt(f"{path} is damaged", hint=PROPOSED_AGAIN)
