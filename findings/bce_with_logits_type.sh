#!/usr/bin/env bash
# PyTorch: binary_cross_entropy_with_logits is as precise as its targets, not as its logits. So the loss of transformers'
# ElectraForPreTraining is float32 in a model in float64.
#
# Version   torch 2.13.0, transformers 5.24.0
# Seen      logits in float64 with targets in float32: a loss in float32, 0.69314718246 for ln 2 = 0.69314718056. Logits in
#           float32 with targets in bfloat16: in bfloat16, 0.69140625. With ELECTRA float32 even for labels in float64.
# Expected  the wider of the two types, as of mse_loss and of every sum of two tensors; and a model in float64 whose loss is.
# Source    torch: aten/src/ATen/native/Loss.cpp, binary_cross_entropy_with_logits: (1 - target).mul_(input), in place;
#           transformers/models/electra/modeling_electra.py, ElectraForPreTraining.forward: labels.float().
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip install -q --no-compile --disable-pip-version-check torch==2.13.0 transformers==5.24.0
HF_HUB_OFFLINE=1 TRANSFORMERS_VERBOSITY=error venv/bin/python - <<'PY'
import math

import torch
from torch.nn.functional import binary_cross_entropy_with_logits, mse_loss
from transformers import ElectraConfig, ElectraForPreTraining

for logits, targets in ((torch.float64, torch.float32), (torch.float32, torch.bfloat16)):
    pair = torch.zeros(4, dtype=logits), torch.ones(4, dtype=targets)
    loss = binary_cross_entropy_with_logits(*pair)
    print(f"logits {logits}, targets {targets}: {float(loss)!r} in {loss.dtype}; mse_loss in {mse_loss(*pair).dtype}")
    assert loss.dtype == targets and mse_loss(*pair).dtype == logits
    assert abs(float(loss) - math.log(2)) > 1e-9

torch.manual_seed(0)
model = ElectraForPreTraining(ElectraConfig(vocab_size=30, hidden_size=16, embedding_size=8, num_hidden_layers=1,
                                            num_attention_heads=2, intermediate_size=32)).double().eval()
out = model(torch.tensor([[2, 7, 8, 3]]), labels=torch.tensor([[0, 1, 0, 0]], dtype=torch.float64))
print("ELECTRA: logits", out.logits.dtype, "loss", out.loss.dtype)
assert out.logits.dtype == torch.float64 and out.loss.dtype == torch.float32
PY
echo "as described: the behaviour is still there"
