#!/usr/bin/env bash
# matplotlib 3.11.2. `Figure.set_layout_engine("none")` after a constrained layout leaves an engine that does nothing
# in its place, and `savefig` draws a figure that has any engine twice: once with nothing shown, to lay it out. One
# expects a figure without layout to be drawn once, as after `set_layout_engine(None)`. A program that draws many small
# pictures waits for it at each.
# Seen: constrained 2 draws, "none" 2 draws, None 1 draw.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet matplotlib==3.11.2 numpy==2.4.6
cat > "$folder/look.py" <<'PYTHON'
import io

from matplotlib.figure import Figure


class Counted(Figure):
    draws = 0

    def draw(self, renderer):
        self.draws += 1
        super().draw(renderer)


def draws_with(engine: str | None) -> int:
    figure = Counted(layout="constrained")
    figure.set_layout_engine(engine)
    figure.subplots(1, 3)
    figure.savefig(io.BytesIO(), format="png")
    return figure.draws


found = {engine: draws_with(engine) for engine in ("constrained", "none", None)}
print(found)
assert found == {"constrained": 2, "none": 2, None: 1}, "the behaviour has changed"
PYTHON
MATPLOTLIBRC=/dev/null "$folder/venv/bin/python" "$folder/look.py"
echo "matplotlib 3.11.2: a figure with the layout \"none\" is drawn twice"
