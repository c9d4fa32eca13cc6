#!/usr/bin/env bash
# matplotlib 3.11.2. A Jupyter kernel exports MPLBACKEND=module://matplotlib_inline.backend_inline, and its
# `!commands` inherit that. In an environment without matplotlib-inline `import matplotlib` itself raises
# ValueError, although nothing is drawn on a screen and no backend is chosen. Seen: "Key backend: ... is not a
# valid value for backend".
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet matplotlib==3.11.2
cat > "$folder/look.py" <<'PYTHON'
try:
    import matplotlib
except ValueError as error:
    print(f"import matplotlib: ValueError: {error}")
else:
    raise SystemExit(f"the behaviour has changed: matplotlib {matplotlib.__version__} is imported")
PYTHON
cd "$folder"
MPLBACKEND=module://matplotlib_inline.backend_inline "$folder/venv/bin/python" look.py
MPLBACKEND= "$folder/venv/bin/python" -c "import matplotlib; print('without it:', matplotlib.__version__)"
echo "matplotlib 3.11.2: the variable that every notebook exports makes the import fail"
