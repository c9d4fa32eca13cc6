#!/usr/bin/env bash
# optuna-dashboard 0.21.0 beside Optuna 5.0.0. Optuna 5 has `Trial.set_constraint(NAME, VALUE)`, and writes each
# constraint as an attribute of its own, `constraints:NAME`. The dashboard reads one list, `constraints`, as samplers
# with a `constraints_func` write it. So a trial that breaks its constraint is shown as one that has none, and counts
# as the best. Seen: `constraints: []` for a trial whose constraint is 5.0, where 0 or less is feasible.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet optuna==5.0.0 optuna-dashboard==0.21.0
cat > "$folder/look.py" <<'PYTHON'
import optuna
from optuna_dashboard._serializer import serialize_frozen_trial

optuna.logging.set_verbosity(optuna.logging.ERROR)
study = optuna.create_study(direction="maximize")


def objective(trial: optuna.Trial) -> float:
    x = trial.suggest_float("x", 0.0, 1.0)
    trial.set_constraint("size", 5.0 if trial.number == 0 else -1.0)  # 0 or less is feasible
    return 2.0 if trial.number == 0 else x


study.optimize(objective, n_trials=2)
trial = study.trials[0]
shown = serialize_frozen_trial(study._study_id, trial, {})
print("stored:", {k: v for k, v in trial.system_attrs.items() if "constraint" in k})
print("shown: ", shown["constraints"])
assert shown["constraints"] == [], "the behaviour has changed"
PYTHON
"$folder/venv/bin/python" "$folder/look.py"
echo "optuna-dashboard 0.21.0: constraints set by Optuna 5's own call are not shown"
