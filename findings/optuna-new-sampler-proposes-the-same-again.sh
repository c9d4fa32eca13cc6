#!/usr/bin/env bash
# Optuna 5.0.0. A study is resumed by a new process with a sampler of the same seed. The sampler begins its
# random numbers again, so the first proposals of the resumed study repeat those of the first process: the
# trials are spent twice. Seen: 0.549, 0.715 and 0.603, and then the same three values again.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet optuna==5.0.0
cat > "$folder/look.py" <<'PYTHON'
import optuna

optuna.logging.set_verbosity(optuna.logging.ERROR)
storage = "sqlite:///study.db"


def proposals() -> list[float]:
    """What one process proposes, which resumes the study or begins it."""
    sampler = optuna.samplers.RandomSampler(seed=0)
    study = optuna.create_study(
        study_name="rates", storage=storage, sampler=sampler, load_if_exists=True
    )
    found = []
    for _ in range(3):
        trial = study.ask()
        found.append(trial.suggest_float("rate", 0.0, 1.0))
        study.tell(trial, found[-1])
    return found


first, resumed = proposals(), proposals()
print("the first process: ", first)
print("the one that resumes:", resumed)
assert first == resumed, "the behaviour has changed: a new sampler does not repeat itself"
PYTHON
cd "$folder"
"$folder/venv/bin/python" look.py
echo "optuna 5.0.0: a sampler of the same seed proposes the same points again in a resumed study"
