"""What the program uses of libraries under names that these do not promise: each with its use.

Where one of these fails after an update, the library has moved or dropped the name; look for a
public way first, at the place in the code that the test names.
"""

from __future__ import annotations

import inspect

import pytest
import torch
import typer


@pytest.mark.parametrize(
    "name",
    ["_foreach_sub", "_foreach_mul_", "_foreach_add_", "_foreach_lerp_", "_foreach_copy_"],
)
def test_torch_averages_many_tensors_by_one_call(name: str) -> None:
    """`training/ema.py`: one kernel for all weights in place of one for each."""
    assert hasattr(torch, name), f"torch {torch.__version__} has no {name}; see training/ema.py"


def test_torch_keeps_the_hooks_of_a_module_under_these_names() -> None:
    """`convert/from_torch.py`: a module with hooks is refused, since they may change its output."""
    module = torch.nn.Identity()
    for name in ("_forward_hooks", "_forward_pre_hooks"):
        assert not getattr(module, name), f"nn.Module has no {name}; see convert/from_torch.py"
    module.register_forward_hook(lambda *_: None)
    assert module._forward_hooks


def test_typer_has_one_error_for_the_command_line() -> None:
    """`cli/errors.py`: Typer carries its own copy of Click, whose UsageError is not public."""
    usage = typer.BadParameter.__base__
    assert usage is not None
    assert usage.__name__ == "UsageError"
    error = usage("what is wrong")
    assert (error.format_message(), error.ctx) == ("what is wrong", None)


def test_optuna_has_the_number_by_which_a_running_trial_is_taken_up_again() -> None:
    """`sweeps/search/source.py`: a trial of a journal is judged by the process that resumes it."""
    import optuna

    trial = optuna.trial.create_trial(value=1.0)
    assert hasattr(trial, "_trial_id"), (
        f"optuna {optuna.__version__}: FrozenTrial has no _trial_id; see sweeps/search/source.py"
    )
    taken = list(inspect.signature(optuna.Trial).parameters)
    assert taken == ["study", "trial_id"], f"optuna.Trial takes {taken}"


def test_optuna_reads_the_older_form_of_constraints() -> None:
    """`sweeps/search/source.py`: optuna-dashboard reads this form alone, under this name."""
    import optuna

    attributes = {"constraints": [0.5]}
    trial = optuna.trial.create_trial(value=1.0, system_attrs=attributes)
    assert trial.constraints == {"0": 0.5}, (
        f"optuna {optuna.__version__} has {trial.constraints}; see sweeps/search/source.py"
    )


@pytest.mark.ray
def test_ray_can_be_told_not_to_print_what_workers_log() -> None:
    """`sweeps/execution/ray_cluster.py`: after ray.init, lines of workers would break a display."""
    worker = pytest.importorskip("ray._private.worker")
    assert hasattr(worker, "_worker_logs_enabled"), (
        "ray._private.worker has no _worker_logs_enabled; see sweeps/execution/ray_cluster.py"
    )
