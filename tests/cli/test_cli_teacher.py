"""What commands say of a teacher."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from tiny_runs import made_up_result, make_run, tiny
from typer.testing import CliRunner

from mnist_arch.runs.evidence import Evidence, evidence_beside
from mnist_arch.runs.manifest import TeacherRecord
from mnist_arch.runs.teachers import Teachers
from mnist_arch.spec.experiment import Budget
from mnist_arch.spec.loading import Loaded
from mnist_arch.verbs.train import TrainedRun
from mnist_arch.zoo import index
from mnist_arch_cli.app import app
from mnist_arch_cli.train.tables import show_results

RUN = CliRunner()
RECORD = TeacherRecord(name="s6", sha256="0" * 64, parameters=18_666, macs=1, seconds=3_912.0)


def taught(tmp_path: Path, *, seeds: int = 1) -> list[TrainedRun]:
    """Finished runs that have a teacher."""
    make_run(tmp_path, tiny("master"))
    loaded = Teachers(tmp_path).known(Loaded(tiny(recipe={"teacher": "master"}), {}))
    found = []
    for seed in range(seeds):
        run = make_run(tmp_path, loaded.experiment, seed=seed)
        manifest = run.manifest().model_copy(update={"teacher": RECORD})
        run.manifest_path.write_text(manifest.json_text())
        found.append(TrainedRun(run, made_up_result(loaded.experiment, seed)))
    return found


@pytest.mark.parametrize("seeds", [1, 3])
def test_a_result_names_its_teacher(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], seeds: int
) -> None:
    runs = taught(tmp_path, seeds=seeds)
    show_results(runs, Budget(), as_json=False, as_score=seeds > 1, note=print)
    said = capsys.readouterr().out
    assert "teacher        s6: 18,666 parameters, trained in 1:05:12" in said


def test_a_summary_names_it_and_asks_for_no_weights(tmp_path: Path) -> None:
    mine = tmp_path / "mine.yaml"
    mine.write_text("extends: tiny\nrecipe: {teacher: {network: nobody, weight: 0.7}}\n")
    said = RUN.invoke(app, ["summary", str(mine)]).stdout
    assert "nobody, weight 0.7, temperature 2" in said
    both = RUN.invoke(app, ["summary", "s6", str(mine)]).stdout
    (line,) = (it for it in both.splitlines() if "teacher" in it)
    assert line.split() == ["teacher", "–", "nobody"]
    assert "teacher" not in RUN.invoke(app, ["summary", "s6", "tiny"]).stdout
    found = json.loads(RUN.invoke(app, ["summary", str(mine), "--json"]).stdout)
    assert found["teacher"] == {
        "network": "nobody", "weight": 0.7, "temperature": 2.0, "sha256": None
    }  # fmt: skip
    result = RUN.invoke(app, ["train", str(mine), "--dry-run"])
    assert result.exit_code == 2
    assert "no run and no network is named 'nobody'" in result.stderr
    assert f"{mine}:2" in result.stderr


@pytest.mark.slow
def test_the_zoo_has_it_in_a_column_and_its_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shipped, record = index.zoo()["s6"], RECORD.model_copy(update={"name": "master"})
    shutil.copytree(shipped.folder, tmp_path / "s6")
    evidence = evidence_beside(shipped.weights_path)
    assert evidence is not None
    monkeypatch.setattr(index, "ZOO", tmp_path)
    (alone,) = json.loads(RUN.invoke(app, ["zoo", "--json"]).stdout)["networks"]
    assert alone["teacher"] is None
    assert "master" not in RUN.invoke(app, ["zoo"]).stdout
    with_teacher = evidence.model_copy(update={"teacher": record})
    assert isinstance(with_teacher, Evidence)
    (tmp_path / "s6" / "evidence.json").write_text(with_teacher.json_text())
    (found,) = json.loads(RUN.invoke(app, ["zoo", "--json"]).stdout)["networks"]
    assert found["teacher"] == record.model_dump(mode="json")
    assert found["seconds"] == pytest.approx(alone["seconds"] + 3_912)
    said = RUN.invoke(app, ["zoo"]).stdout
    assert "teacher" in said.splitlines()[1]
    assert "master" in said
