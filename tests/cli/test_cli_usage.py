"""Options and commands that people bring along from elsewhere: each is told what it is here."""

from __future__ import annotations

import json
import re
import shlex

import pytest
import typer
from typer.testing import CliRunner

from mnist_arch.spec.overrides import parse_override
from mnist_arch.spec.synonyms import KEYS
from mnist_arch_cli.app import app
from mnist_arch_cli.vocabulary import COMMANDS, OPTIONS


def hint_of(command: str) -> str:
    """The hint for a command line that is refused."""
    result = CliRunner().invoke(app, shlex.split(command))
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    lines = result.stderr.splitlines()
    assert lines[0].startswith("error: ")
    assert lines[-1].startswith("hint: ")
    return lines[-1].removeprefix("hint: ")


@pytest.mark.parametrize(
    ("command", "hint"),
    [
        ("train --lr 0.05", "--set recipe.schedule.peak=0.05"),
        ("train --lr=0.05", "--set recipe.schedule.peak=0.05"),
        ("train -lr 0.05", "--set recipe.schedule.peak=0.05"),
        ("train --learning-rate 0.05", "--set recipe.schedule.peak=0.05"),
        ("train --learning_rate 0.05 --epochs 3", "--set recipe.schedule.peak=0.05"),
        ("train --batch-size 32", "--set recipe.batch_size=32"),
        ("train --batch_size=32", "--set recipe.batch_size=32"),
        ("train --bs 32", "--set recipe.batch_size=32"),
        ("train --optimizer adam", "--set recipe.optimizer=adam"),
        ("train --optim SGD", "--set recipe.optimizer=sgd"),
        ("train --momentum 0.8", "--set recipe.optimizer.momentum=0.8"),
        ("train --nesterov", "--set recipe.optimizer.nesterov=true"),
        ("train --weight-decay 1e-3", "--set recipe.optimizer.weight_decay=0.001"),
        ("train --wd 0", "--set recipe.optimizer.weight_decay=0"),
        ("train --scheduler StepLR", "--set recipe.schedule=step"),
        ("train --ema 0.9", "--set recipe.ema=0.9"),
        ("train --no-such --lr 1", "mnist-arch train --help"),
        ("train --dropout 20%", "--set defaults.dropout=0.2"),
        ("train --classes 26", "--set classes=26"),
        ("summary --epochs 5", "--set recipe.epochs=5"),
        ("summary --kernel-size 5", "--set defaults.kernel=5"),
        ("summary --activation ReLU", "--set defaults.activation=relu"),
        ("summary --filters 16", "--set 'blocks.0.channels=[16]'"),
        ("summary --bn", "--set defaults.norm=batch"),
        ("sweep a.yaml --lr 0.05", "`base: {recipe: {schedule: {peak: 0.05}}}`"),
        ("sweep a.yaml --batch-size 8", "`base: {recipe: {batch_size: 8}}`"),
        ("eval --lr 0.05", "nothing is trained here; in `mnist-arch train`"),
    ],
)
def test_an_option_that_is_a_key_of_the_spec(command: str, hint: str) -> None:
    assert hint in hint_of(command)


@pytest.mark.parametrize(
    ("command", "hint"),
    [
        ("train --Epochs 3", "did you mean --epochs?"),
        ("train --n-epochs 3", "did you mean --epochs 3?"),
        ("train --num_epochs 3", "did you mean --epochs 3?"),
        ("train --data_dir x", "did you mean --data-dir?"),
        ("train --data-path x", "did you mean --data-dir x?"),
        ("train --output-dir x", "did you mean --out x?"),
        ("train --epochs 5.0", "a whole number is written without a point: --epochs 5"),
        ("train --seeds 1e1", "a whole number is written without a point: --seeds 10"),
        ("eval --threads 2.0", "a whole number is written without a point: --threads 2"),
        ("sweep x.yaml --workers 2.", "a whole number is written without a point: --workers 2"),
        ("train --epochs 5.5", "mnist-arch train --help"),
        ("eval --out x", "did you mean --runs x?"),
        ("train --gpu 0", "did you mean --device cuda?"),
        ("train --no-cuda", "did you mean --device cpu?"),
        ("train --n-seeds 3", "did you mean --seeds 3?"),
        ("train --random-seed 3", "did you mean --seed 3?"),
        ("train --val-split 0.1", "did you mean --holdout 5000?"),
        ("train --amp", "did you mean --engine fast?"),
        ("train --checkpoint x", "did you mean --resume latest?"),
        ("train --model mine.yaml", "without an option: mnist-arch train mine.yaml"),
        ("train --config mine.yaml", "without an option: mnist-arch train mine.yaml"),
        ("sweep a.yaml --n-jobs 3", "did you mean --workers 3?"),
        ("eval --test-time-augmentation", "did you mean --tta?"),
        ("summary --seeds 3", "another command: mnist-arch train --seeds 3"),
        ("train --csv", "another command: mnist-arch sweep --csv"),
    ],
)
def test_an_option_by_another_name(command: str, hint: str) -> None:
    assert hint in hint_of(command)


@pytest.mark.parametrize(
    ("command", "hint"),
    [
        ("train --dilation 2", "convolutions are not dilated"),
        ("train --early-stop 3", "the final epoch"),
        ("sweep x.yaml --threads 2", "`resources: {cpus: N}` in a sweep's file"),
        ("train --num-workers 2", "no loader processes"),
        ("train --loss focal", "cross-entropy"),
        ("train --test-batch-size 100", "no result depends on"),
        ("train --log-interval 10", "each epoch is stored"),
    ],
)
def test_an_option_that_is_left_out(command: str, hint: str) -> None:
    assert hint in hint_of(command)


@pytest.mark.parametrize(
    ("command", "hint"),
    [
        ("fit", "mnist-arch train?"),
        ("Train", "mnist-arch train?"),
        ("trian", "mnist-arch train?"),
        ("test", "mnist-arch eval?"),
        ("evaluate", "mnist-arch eval?"),
        ("search", "mnist-arch sweep?"),
        ("info", "mnist-arch summary?"),
        ("frobnicate", "mnist-arch --help"),
    ],
)
def test_a_command_by_another_name(command: str, hint: str) -> None:
    assert hint_of(command).endswith(hint)


@pytest.mark.parametrize(
    ("command", "hint"),
    [
        ("train --device GPU", "did you mean cuda?"),
        ("train --device CPU", "did you mean cpu?"),
        ("train --engine Fast", "did you mean fast?"),
        ("train --dataset MNIST", "did you mean `mnist`? valid: mnist,"),
        ("train --dataset FashionMNIST", "did you mean `fashion-mnist`? valid: mnist,"),
        ("train S6", "did you mean `s6`?"),
        ("train lr=0.05", "--set recipe.schedule.peak=0.05"),
        ("train epochs=5", "--set recipe.epochs=5"),
        ("train --set recipe.epochs 5", "--set recipe.epochs=VALUE"),
    ],
)
def test_a_value_in_another_case_or_form(command: str, hint: str) -> None:
    assert hint in hint_of(command)


def test_an_option_is_told_the_same_in_json() -> None:
    result = CliRunner().invoke(app, ["train", "--lr", "0.05", "--json"])
    found = json.loads(result.stderr)
    assert (found["error"], found["exit_code"]) == ("UsageError", 2)
    (problem,) = found["problems"]
    assert problem["message"] == "No such option: --lr"
    assert "--set recipe.schedule.peak=0.05" in problem["hint"]


def test_tables_name_options_and_commands_that_there_are() -> None:
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    assert set(COMMANDS) == set(commands)
    flags = {name for it in commands.values() for option in it.params for name in option.opts}
    assert {entry.split()[0] for entry in OPTIONS} - {"SPEC"} <= flags


def test_every_word_for_a_key_of_the_recipe_is_known_as_an_option() -> None:
    for place, words in KEYS.items():
        if place.startswith("recipe.") and place.count(".") == 1:
            for word in words.split():
                hint = hint_of(f"train --{word.replace('_', '-')}")
                assert "mnist-arch train --help" not in hint, word
                if "--set " in hint:
                    change = shlex.split(hint.split("`")[-2] if "`" in hint else hint)[1]
                    assert parse_override(change).path


@pytest.mark.parametrize("columns", ["60", "79", "80", "120"])
@pytest.mark.parametrize("command", ["", "train", "eval", "sweep", "import", "check", "runs list"])
def test_no_word_of_help_is_cut_at_any_width(
    columns: str, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a terminal shows it, with Typer's frames where they have room."""
    monkeypatch.setattr("typer.core.HAS_RICH", True)
    wide, narrow = (
        CliRunner(env={"COLUMNS": width}).invoke(app, [*command.split(), "--help"]).stdout
        for width in ("200", columns)
    )
    assert "…" not in narrow
    named = re.findall(r"--[a-z][a-z-]+|MNIST_ARCH_[A-Z]+", wide)
    assert named
    assert set(named) <= set(re.findall(r"--[a-z][a-z-]+|MNIST_ARCH_[A-Z]+", narrow))
