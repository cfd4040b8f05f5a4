#!/usr/bin/env bash
# PyTorch: GELU of the same float32 number depends on how it lies in memory; at -5 the two answers differ by a fifth.
#
# Version   torch 2.13.0, CPU
# Seen      gelu(-5.0) is -1.192e-06 in a contiguous vector of eight or more, -1.490e-06 alone or in a transposed
#           matrix; the right value is -1.433e-06. Absolutely the two are 3e-7 apart.
# Expected  one number, one answer. Compare float32 GELUs absolutely.
# Source    ATen/native/cpu/Activation.cpp, GeluKernelImpl: contiguous runs take a vectorised erf, the rest
#           another; both compute 1 + erf(x/√2), which cancels.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip install -q --no-compile --disable-pip-version-check torch==2.13.0 numpy==2.4.6
venv/bin/python - <<'PY'
import torch
from torch.nn.functional import gelu

[vector] = gelu(torch.full((64,), -5.0)).unique().tolist()
[transposed] = gelu(torch.full((6, 64), -5.0).T).unique().tolist()
right = float(gelu(torch.tensor(-5.0, dtype=torch.float64)))
print(f"contiguous {vector:.4g}, transposed {transposed:.4g}, in float64 {right:.4g}")
assert vector != transposed
assert abs(vector - right) > 0.1 * abs(right)
assert abs(vector - transposed) < 1e-6
PY
echo "as described: the behaviour is still there"
