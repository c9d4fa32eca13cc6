#!/usr/bin/env bash
# PyYAML 6.0.4. JSON is meant to be YAML, and is where its lines are indented by spaces. PyYAML, which reads
# YAML 1.1, refuses the same text indented by tabs, as `json.dumps(..., indent="\t")` and many editors write
# it, so that a file is read or not by what nobody sees. Seen: "found character '\t' that cannot start any token".
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet pyyaml==6.0.4
cat > "$folder/look.py" <<'PYTHON'
import json

import yaml

values = {"blocks": [{"channels": [8, 16]}], "head": {"pool": "global-average"}}
for name, indent in (("one line", None), ("spaces", 2), ("tabs", "\t")):
    text = json.dumps(values, indent=indent)
    assert json.loads(text) == values
    try:
        found = yaml.safe_load(text)
    except yaml.YAMLError as error:
        print(f"{name}: {error.problem}, line {error.problem_mark.line + 1}")
        assert name == "tabs", "the behaviour has changed"
    else:
        print(f"{name}: read")
        assert name != "tabs", "the behaviour has changed: tabs are read"
        assert found == values
PYTHON
"$folder/venv/bin/python" "$folder/look.py"
echo "pyyaml 6.0.4: JSON that is indented by tabs is refused"
