#!/usr/bin/env bash
# uncertainty-calibration: the calibration error of up to fifteen guesses is 0.00, however wrong they are.
#
# Version   uncertainty-calibration 0.1.4, numpy 2.4.6
# Seen      fifteen guesses with confidences from 0.55 to 0.95, none of them right: get_calibration_error and
#           get_top_calibration_error 0.0; thirty such guesses: 0.76.
# Expected  0.75, the mean confidence of what is never right; its own get_ece says so.
# Source    calibration/utils.py, unbiased_square_ce: a bin with fewer than two guesses counts as 0, and bins of equal
#           mass hold one guess each.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip install -q --no-compile --disable-pip-version-check uncertainty-calibration==0.1.4 numpy==2.4.6
venv/bin/python - <<'PY'
import calibration
import numpy as np

for count, expected in ((15, 0.0), (30, 0.76)):
    sure = np.linspace(0.55, 0.95, count)
    guesses, truth = np.stack([sure, 1 - sure], 1), np.ones(count, int)  # always the first class, never right
    found = [round(float(error(guesses, truth)), 2)
             for error in (calibration.get_calibration_error, calibration.get_top_calibration_error)]
    ece = round(float(calibration.get_ece(guesses, truth)), 2)
    print(f"{count} guesses, all wrong: {found}, get_ece {ece}")
    assert found == [expected] * 2
    assert ece == 0.75
PY
echo "as described: the behaviour is still there"
