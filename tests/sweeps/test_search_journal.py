"""The journal of a search: written whole, read by others, and put right where it is not whole."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path

import pytest
from optuna.trial import TrialState
from searching import RATE, Process, planned, states

from mnist_arch.errors import RunCorrupt, StorageError
from mnist_arch.runs.events import Started
from mnist_arch.runs.result import Result
from mnist_arch.sweeps.ledger import Ledger
from mnist_arch.sweeps.search import journal as journal_module
from mnist_arch.sweeps.search.source import SearchSource, searched_arms
from mnist_arch.training.events import EpochRecord


def journal(folder: Path) -> Path:
    return folder / "runs/tiny/study.jsonl"


def test_a_proposal_is_written_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With all its values, and with what is known of it: a rejected one costs one write."""
    written: list[list[int]] = []
    append = journal_module.append_line

    def noted(path: Path, text: str) -> None:
        written.append([json.loads(line)["op_code"] for line in text.splitlines()])
        append(path, text)

    monkeypatch.setattr(journal_module, "append_line", noted)
    plan = planned(tmp_path, sampler="random", top={"budget": {"parameters_below": 452}}, trials=3)
    process = Process(tmp_path, plan)
    process.finish()
    made, proposed, told = [0], [4, 5, 5, 8, 8, 8], [6]
    rejected = [4, 5, 5, 8, 8, 9, 6]
    assert written[0] == made
    assert [it for it in written if it not in (proposed, rejected, told)] == [made]
    assert written.count(rejected) == len(process.search.proposals.rejections) > 0
    assert written.count(proposed) == written.count(told) == 3


def test_reading_makes_no_files_and_changes_none(tmp_path: Path) -> None:
    plan = planned(tmp_path, trials=4)
    ledger = Ledger(tmp_path / "runs/tiny")
    assert searched_arms(plan, ledger) == []
    assert not ledger.folder.exists()
    process = Process(tmp_path, plan).die_after(EpochRecord, 3)
    journal(tmp_path).chmod(0o444)
    files = written(tmp_path)
    found = searched_arms(plan, ledger)
    assert found == process.search.arms
    assert len(found) == 2
    assert written(tmp_path) == files


def written(folder: Path) -> dict[Path, tuple[int, int, int]]:
    """What writing changes of everything in a folder; reading changes the time of access."""
    found = {path: path.stat() for path in folder.rglob("*")}
    return {path: (it.st_mode, it.st_size, it.st_mtime_ns) for path, it in found.items()}


def test_a_torn_line_is_put_right(tmp_path: Path) -> None:
    plan = planned(tmp_path, trials=6)
    first = Process(tmp_path, plan).die_after(Result, 3)
    whole = journal(tmp_path).read_bytes()
    journal(tmp_path).write_bytes(whole + b'{"op_code":6,"worker_id":"0","tri')
    assert searched_arms(plan, first.ledger) == first.search.arms
    process = Process(tmp_path, plan, before=first)
    process.finish()
    assert process.trained == [4, 5, 6]
    assert states(tmp_path) == [TrialState.COMPLETE] * 6
    assert journal(tmp_path).read_bytes().startswith(whole)


def test_half_a_proposal_is_no_proposal(tmp_path: Path) -> None:
    """As a machine that went down may leave it, between two lines of what was written at once."""
    one, other = tmp_path / "one", tmp_path / "other"
    whole = Process(one, planned(one, trials=4))
    whole.finish()
    plan = planned(other, trials=4)
    first = Process(other, plan).die_after(Started, 3)
    lines = journal(other).read_text().splitlines(keepends=True)
    (cut,) = [
        index
        for index, line in enumerate(map(json.loads, lines))
        if line.get("trial_id") == 2 and line.get("param_name") == RATE
    ]
    journal(other).write_text("".join(lines[:cut]))
    process = Process(other, plan, before=first)
    assert len(process.search.arms) == 2
    process.finish()
    assert process.proposed == whole.proposed


def test_the_lock_of_a_process_that_was_killed_holds_nobody_up(tmp_path: Path) -> None:
    """Optuna's own lock is a link beside the file, which it waits half a minute for."""
    plan = planned(tmp_path, trials=2)
    Process(tmp_path, plan).die_after(Started, 1)
    os.symlink(journal(tmp_path), f"{journal(tmp_path)}.lock")
    Process(tmp_path, plan).finish()
    assert states(tmp_path) == [TrialState.COMPLETE] * 2


@pytest.mark.parametrize("line", ["not JSON", "[1]", '{"op_code": 99}', '{"op_code": 4}'])
def test_a_damaged_journal_is_refused(tmp_path: Path, line: str) -> None:
    plan = planned(tmp_path, trials=2)
    first = Process(tmp_path, plan)
    first.finish()
    text = journal(tmp_path).read_text()
    journal(tmp_path).write_text(f"{line}\n{text}")
    for read in (SearchSource, searched_arms):
        with pytest.raises(RunCorrupt, match=r"study\.jsonl is damaged") as caught:
            read(plan, first.ledger)
        assert caught.value.hint.startswith("remove it: ")
    journal(tmp_path).unlink()  # as the hint says: nothing has to be trained again
    second = Process(tmp_path, plan)
    assert second.finish() == []
    assert second.proposed == first.proposed


def test_a_full_disk_is_said(tmp_path: Path, small_disk: Path) -> None:
    plan = planned(tmp_path)
    ledger = Ledger(small_disk / "tiny")
    search = SearchSource(plan, ledger)
    assert search.next() is not None
    filling = small_disk / "filling"
    fill(filling)
    with pytest.raises(StorageError, match=r"cannot write .*study\.jsonl"):
        all_of(search)
    filling.unlink()
    assert searched_arms(plan, ledger) == search.arms[:-1]


def fill(path: Path) -> None:
    with contextlib.suppress(OSError), path.open("wb", buffering=0) as file:
        while file.write(bytes(512)) == 512:
            pass


def all_of(search: SearchSource) -> None:
    while search.next() is not None:
        pass
