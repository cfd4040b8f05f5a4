#!/usr/bin/env bash
# torchmetrics: Matthews' correlation of a binary model that always gives the same answer is anything from -1 to 1,
# where the definition has 0/0 and others say 0.
#
# Version   torchmetrics 1.9.0, torch 2.13.0, scikit-learn 1.9.1
# Seen      ten guesses "1": with nine right 0.84, with five right 0.0, with ten right 1.0, with none right -1.0. With
#           three classes a constant model has 0.0.
# Expected  0 in all: the guesses carry no information. scikit-learn returns 0.0.
# Source    torchmetrics/functional/classification/matthews_corrcoef.py, _matthews_corrcoef_reduce: sqrt(eps)·(tp - fp)
#           over the square root of a product with two factors eps.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip install -q --no-compile --disable-pip-version-check \
    torchmetrics==1.9.0 torch==2.13.0 numpy==2.4.6 scikit-learn==1.9.1
venv/bin/python - <<'PY'
import torch
from sklearn.metrics import matthews_corrcoef
from torchmetrics.functional.classification import binary_matthews_corrcoef, multiclass_matthews_corrcoef

seen = {}
for right in (0, 5, 9, 10):
    truth = torch.tensor([1] * right + [0] * (10 - right))
    guess = torch.ones(10, dtype=torch.int64)
    seen[right] = round(float(binary_matthews_corrcoef(guess, truth)), 2)
    print(f"always 1, {right} of 10 right: torchmetrics {seen[right]}, scikit-learn {matthews_corrcoef(truth, guess)}")
    assert matthews_corrcoef(truth, guess) == 0
assert seen == {0: -1.0, 5: 0.0, 9: 0.84, 10: 1.0}
three = torch.tensor([0] * 2 + [1] * 7 + [2])
assert float(multiclass_matthews_corrcoef(torch.ones(10, dtype=torch.int64), three, 3)) == 0
PY
echo "as described: the behaviour is still there"
