#!/usr/bin/env bash
# repsim: the unbiased CKA of a representation with itself is far below 1, though the diagonal of the same table says 1.
#
# Version   repsim 0.1.5, numpy 2.4.6
# Seen      a layer of 20 examples and 100 features given twice, linear kernel: 0.16 with the estimator "song", 0.21
#           with "lange"; 1.0 with "gretton".
# Expected  1: CKA divides by the geometric mean of each side's own HSIC, which for equal sides is the numerator.
# Source    the package normalises the unbiased numerator by something larger than the unbiased HSIC of each side, and
#           writes the diagonal as 1 without computing it (the core is compiled; concluded from the numbers).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip install -q --no-compile --disable-pip-version-check repsim==0.1.5 numpy==2.4.6
venv/bin/python - <<'PY'
import numpy as np
import repsim

layer = np.random.default_rng(0).standard_normal((20, 100))
found = {estimator: repsim.cka([layer, layer], "linear", estimator).round(2).tolist()
         for estimator in ("gretton", "song", "lange")}
for estimator, table in found.items():
    print(estimator, table)
    assert table[0][0] == 1
assert found["gretton"][0][1] == 1
assert found["song"][0][1] < 0.3
assert found["lange"][0][1] < 0.3
PY
echo "as described: the behaviour is still there"
