"""The networks that ship, with what each has reached."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from mnist_arch.errors import SpecError
from mnist_arch.runs.entries import entries, entry_named
from mnist_arch.zoo import index


def test_every_network_that_ships_is_an_entry() -> None:
    assert [it.name for it in entries()] == list(index.zoo_names())


def test_an_entry_is_named_with_and_without_the_zoo() -> None:
    assert entry_named("s6").shipped == entry_named("zoo/s6").shipped
    assert entry_named("s6").yaml.startswith("# The reference network")
    with pytest.raises(SpecError) as refused:
        entry_named("zoo/s6x")
    assert "`zoo/s6`" in refused.value.problems[0].hint


def test_an_entry_is_judged_by_the_rules_of_its_spec(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the mean of all seeds, in whole images: 49,813 of 50,000 are 99.626 %."""
    shipped = index.zoo()["s6"]
    monkeypatch.setattr(index, "ZOO", tmp_path)
    for name, rule in {"kept": 99.626, "missed": 99.6261}.items():
        folder = tmp_path / name
        shutil.copytree(shipped.folder, folder)
        spec = shipped.spec_path.read_text().replace(": 99.4,", f": {rule},")
        (folder / "spec.yaml").write_text(spec)
        entry = entry_named(name)
        assert (entry.verdicts.accuracy, entry.verdicts.overall) == (name, name)


def test_without_weights_there_is_no_evidence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shipped = index.zoo()["s6"]
    monkeypatch.setattr(index, "ZOO", tmp_path)
    (tmp_path / "bare").mkdir()
    for path in (shipped.spec_path, shipped.evidence_path):
        shutil.copy(path, tmp_path / "bare")
    (entry,) = entries()
    assert (entry.evidence, entry.seconds, entry.verdicts.overall) == (None, None, "none")
