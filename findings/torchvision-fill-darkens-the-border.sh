#!/usr/bin/env bash
# torchvision 0.29.1. A tensor that is turned or sheared with bilinear interpolation and a `fill`: at its border each
# value is mixed with 0, and the result with the fill, so what is beside the image counts twice, once as black. An image
# of 100 everywhere that is filled with 100 gets border pixels of 75, and a fill of 0 is not what no fill gives, though
# that is 0, too. A PIL image keeps its 100. One expects 100 everywhere, and the same for 0 and none.
# Seen: least value 75 of the tensor, 100 of the PIL image; 21 with a fill of 0 where there is 45 without.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torchvision==0.29.1 torch==2.14.1 numpy==2.4.6
cat > "$folder/look.py" <<'PYTHON'
from typing import Any

import torch
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as F

image = torch.full((1, 8, 8), 100, dtype=torch.uint8)
picture = F.to_pil_image(image)
how = {"interpolation": InterpolationMode.BILINEAR}
shear: dict[str, Any] = {"angle": 0, "translate": [0, 0], "scale": 1.0, "shear": [20.0, 0.0], **how}
sheared = F.affine(image, fill=[100.0], **shear)
as_picture = F.pil_to_tensor(F.affine(picture, fill=[100], **shear))
rotated = F.rotate(image, 10.0, fill=[100.0], **how)
print("100 everywhere, filled with 100:")
print("  tensor, sheared: least", int(sheared.min()), "- turned: least", int(rotated.min()))
print("  PIL, sheared:    least", int(as_picture.min()))
zero, none = (F.affine(image, fill=fill, **shear)[0, 2, 0].item() for fill in ([0.0], None))
print("one pixel of the border with a fill of 0:", zero, "- without a fill:", none)
assert (int(sheared.min()), int(rotated.min())) == (75, 75), "the behaviour has changed"
assert int(as_picture.min()) == 100, "the behaviour has changed"
assert (zero, none) == (21, 45), "the behaviour has changed"
PYTHON
"$folder/venv/bin/python" -W ignore "$folder/look.py"
echo "torchvision 0.29.1: a fill is mixed with black at the border of a tensor"
