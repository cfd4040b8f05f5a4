#!/usr/bin/env bash
# sentence-transformers: CosineSimilarityLoss rounds the scores to float32, whatever the model's precision.
#
# Version   sentence-transformers 6.2.0, torch 2.13.0, transformers 5.24.0
# Seen      vectors and scores in float64: a score of 0.1 against a cosine of 0 costs 0.010000000298, the square of float32's 0.1.
#           The loss says that it is float64.
# Expected  0.01. A check of gradients by differences finds an error of 1e-8 there.
# Source    sentence_transformers/sentence_transformer/losses/cosine_similarity.py, compute_loss_from_embeddings: labels.float()
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip install -q --no-compile --disable-pip-version-check torch==2.13.0 transformers==5.24.0 sentence-transformers==6.2.0
TRANSFORMERS_VERBOSITY=error venv/bin/python - <<'PY'
import numpy as np
import torch
from sentence_transformers.sentence_transformer.losses import CosineSimilarityLoss

first, second = torch.eye(2, dtype=torch.float64).split(1)
loss = CosineSimilarityLoss(None).compute_loss_from_embeddings([first, second], torch.tensor([0.1], dtype=torch.float64))
print(f"{loss.dtype} {float(loss)!r}, float32's 0.1 squared is {float(np.float32(0.1)) ** 2!r}")
assert loss.dtype == torch.float64
assert float(loss) == float(np.float32(0.1)) ** 2 != 0.1 ** 2
PY
echo "as described: the behaviour is still there"
