#!/usr/bin/env bash
# safetensors writes the memory of a NumPy array, not the array: a transposed matrix comes back scrambled, in the right
# shape, without a word.
#
# Version   safetensors 0.8.0, numpy 2.4.6
# Seen      a matrix (3, 2) that is the transpose of 0…5 comes back as 0, 1 / 2, 3 / 4, 5.
# Expected  0, 3 / 1, 4 / 2, 5; or an error, as the same library raises for a tensor of PyTorch that is not contiguous.
# Source    safetensors/numpy.py, _flatten: data_ptr=tensor.ctypes.data, data_len=tensor.nbytes, and the strides are not
#           asked. Its docstring wants arrays "contiguous and dense".
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip install -q --no-compile --disable-pip-version-check safetensors==0.8.0 numpy==2.4.6
venv/bin/python - <<'PY'
import numpy as np
from safetensors.numpy import load, save

kernel = np.arange(6, dtype=np.float32).reshape(2, 3).T  # as anyone transposes a kernel of TensorFlow
back = load(save({"kernel": kernel}))["kernel"]
print("saved:", kernel.tolist(), "read:", back.tolist())
assert back.shape == kernel.shape
assert back.tolist() == [[0, 1], [2, 3], [4, 5]] != kernel.tolist()
PY
echo "as described: the behaviour is still there"
