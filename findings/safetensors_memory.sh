#!/usr/bin/env bash
# safetensors: reading a file takes twice its size at the peak, as the system counts it: the copies, and the pages of the file
# that they were copied from, which stay mapped until the file is closed.
#
# Version   safetensors 0.8.0, numpy 2.4.6, Linux
# Seen      a file of 64 MiB: load_file's peak of resident memory (VmHWM) is 128 MiB above what was there before, and 64 MiB are
#           left. With backend="pread" the peak is 64 MiB. safe_open and get_tensor for every name is load_file, and like it.
# Expected  64 MiB and one array, as "pread" takes. The system may take mapped pages back, so that it works with less, but a
#           figure of resident memory, and a limit that is set by it, has them.
# Source    safetensors/numpy.py, load_file: backend="mmap" is the default; one file is open for all its arrays.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip install -q --no-compile --disable-pip-version-check safetensors==0.8.0 numpy==2.4.6
cat > read.py <<'PY'
import sys

import safetensors.numpy


def resident(key):
    """MiB of this process."""
    with open("/proc/self/status", encoding="utf-8") as file:
        return next(int(line.split()[1]) / 1024 for line in file if line.startswith(key))


before = resident("VmRSS")
kept = safetensors.numpy.load_file("model.safetensors", backend=sys.argv[1])
print(resident("VmHWM") - before, resident("VmRSS") - before)
PY
venv/bin/python - <<'PY'
import subprocess
import sys

import numpy as np
from safetensors.numpy import save_file

save_file({f"w{i}": np.ones((1024, 1024), np.float32) for i in range(16)}, "model.safetensors")
for backend, times in (("mmap", 2), ("pread", 1)):
    said = subprocess.run([sys.executable, "read.py", backend], capture_output=True, text=True, check=True).stdout
    peak, left = map(float, said.split())
    print(f"{backend}: at the peak {peak:.0f} MiB, left {left:.0f} MiB, of a file of 64")
    assert abs(peak - 64 * times) < 16 and abs(left - 64) < 16
PY
echo "as described: the behaviour is still there"
