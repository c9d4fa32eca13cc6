#!/usr/bin/env bash
# Optuna 5.0.0. A study with constraints: its best value is that of a trial that breaks one. `study.best_trial` passes
# it over, as documented. `optuna.get_all_study_summaries`, which says it has the best trial of each study, does not:
# it names the trial that is not allowed. One expects the same trial of both. Seen: 2.0 and 1.0.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet optuna==5.0.0
cat > "$folder/look.py" <<'PYTHON'
import optuna

optuna.logging.set_verbosity(optuna.logging.ERROR)
storage = "sqlite:///study.db"
study = optuna.create_study(storage=storage, study_name="sizes")
for value, excess in ((1.0, 500.0), (2.0, -500.0), (3.0, -900.0)):  # parameters above the budget
    trial = study.ask()
    trial.set_constraint("parameters", excess)
    study.tell(trial, value)
(summary,) = optuna.get_all_study_summaries(storage)
print("study.best_trial:         ", study.best_trial.value)
print("the summary's best trial: ", summary.best_trial.value)
assert study.best_trial.value == 2.0, "the behaviour has changed"
assert summary.best_trial.value == 1.0, "the behaviour has changed"
PYTHON
cd "$folder"
"$folder/venv/bin/python" look.py
echo "optuna 5.0.0: the summary of a study names a best trial that breaks a constraint"
