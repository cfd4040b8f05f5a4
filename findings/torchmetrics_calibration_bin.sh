#!/usr/bin/env bash
# torchmetrics: in the expected calibration error a confidence of exactly 1.0 has a bin to itself, beyond the last of
# the n_bins asked for.
#
# Version   torchmetrics 1.9.0, torch 2.13.0
# Seen      ten guesses of 0.95, all right, and ten of 1.0, nine right, in 10 bins: 0.075; with 0.999999 in the place of
#           1.0, 0.025.
# Expected  0.025 for both, as netcal 1.4.0 has it: the last of 10 bins is [0.9, 1.0]. Saturated float32 models have
#           many confidences of exactly 1.0.
# Source    torchmetrics/functional/classification/calibration_error.py, _binning_bucketize: bucketize(confidences,
#           boundaries, right=True) - 1 gives 1.0 the index n_bins.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip install -q --no-compile --disable-pip-version-check torchmetrics==1.9.0 torch==2.13.0 numpy==2.4.6
venv/bin/python - <<'PY'
import torch
from torchmetrics.functional.classification import binary_calibration_error

confidence = torch.tensor([0.95] * 10 + [1.0] * 10)
truth = torch.tensor([1] * 10 + [1] * 9 + [0])
theirs = float(binary_calibration_error(confidence, truth, n_bins=10, norm="l1"))
nearly = float(binary_calibration_error(confidence.clamp(max=1 - 1e-6), truth, n_bins=10, norm="l1"))
print(f"with 1.0 {theirs:.3f}, with 0.999999 in its place {nearly:.3f}")
assert abs(theirs - 0.075) < 1e-4
assert abs(nearly - 0.025) < 1e-4
PY
echo "as described: the behaviour is still there"
