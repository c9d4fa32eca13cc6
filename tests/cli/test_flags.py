"""What the library says of its arguments is said in flags at the terminal."""

from __future__ import annotations

import inspect

import pytest
import typer

import mnist_arch as ma
from mnist_arch_cli.app import app
from mnist_arch_cli.flags import ARGUMENTS, VERBS, in_flags


@pytest.mark.parametrize(
    ("said", "here"),
    [
        (
            "start from scratch with again=True; its folder",
            "start from scratch with --again; its folder",
        ),
        ("device='cpu' or device='mps'", "--device cpu or --device mps"),
        (
            "name it with data_dir= or $MNIST_ARCH_DATA",
            "name it with --data-dir or $MNIST_ARCH_DATA",
        ),
        ("epochs=19 would fit", "--epochs 19 would fit"),
        ("dropout=RATE for all", "--dropout RATE for all"),
        ("where=", "--where"),
        ("did you mean `set={'recipe.epochs': 5}`?", "did you mean `--set recipe.epochs=5`?"),
        ("set={'blocks.0.pool': {'kind': 'max'}}", "--set 'blocks.0.pool={kind: max}'"),
        ("set={'recipe.ema': None} or not", "--set recipe.ema=null or not"),
        ("choose={'read': 'table'} reads it", "--choose read=table reads it"),
        ("train it: train('s6')", "train it: mnist-arch train s6"),
        (
            "resume: train(resume='my runs/a'); or",
            "resume: mnist-arch train --resume 'my runs/a'; or",
        ),
        ("`evaluate()` judges weights", "`mnist-arch eval` judges weights"),
        ("sweep('FILE', show=True)", "mnist-arch sweep FILE --show"),
        ("recipe.epochs=5 and 'epochs=5' stay", "recipe.epochs=5 and 'epochs=5' stay"),
        ("set={'a': is no mapping", "set={'a': is no mapping"),
        ("--set dropout=VALUE, such as", "--set dropout=VALUE, such as"),
        ("call train(loader) or set={x: 1}", "call train(loader) or set={x: 1}"),
        ("summary(" * 99, "summary(" * 99),
        ("train(" + "(" * 900 + ")" * 901, "train(" + "(" * 900 + ")" * 901),
        ("a word - and a dash", "a word - and a dash"),
    ],
)
def test_arguments_are_said_as_flags(said: str, here: str) -> None:
    assert in_flags(said) == here


def test_every_argument_of_a_verb_is_known() -> None:
    """Beside what it is about, and what the terminal has as other flags."""
    said = {name for verb in VERBS for name in inspect.signature(getattr(ma, verb)).parameters}
    assert said - {"what", "file", "set", "progress"} <= set(ARGUMENTS)


def test_every_argument_is_a_flag() -> None:
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    flags = {flag for command in commands.values() for it in command.params for flag in it.opts}
    flags |= {
        flag
        for group in commands.values()
        for command in getattr(group, "commands", {}).values()
        for it in command.params
        for flag in it.opts
    }
    assert {f"--{name.replace('_', '-')}" for name in ARGUMENTS} <= flags
