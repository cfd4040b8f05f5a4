#!/usr/bin/env bash
# transformers: two of MobileBERT's layer norms do not take layer_norm_eps from the configuration, but PyTorch's 1e-5.
#
# Version   transformers 5.24.0, torch 2.13.0
# Seen      with normalization_type="layer_norm" and layer_norm_eps=1e-12 the norm of the embeddings and that of every
#           block's last feed-forward layer have eps 1e-05; all others have 1e-12.
# Expected  one epsilon for all, as in the original (google-research/mobilebert, modeling.py, layer_norm) and as the
#           configuration says.
# Source    transformers/models/mobilebert/modeling_mobilebert.py, MobileBertEmbeddings.__init__ and
#           MobileBertOutput.__init__: NORM2FN[...](size) without eps.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip install -q --no-compile --disable-pip-version-check torch==2.13.0 transformers==5.24.0
venv/bin/python - <<'PY'
import torch
from transformers import MobileBertConfig, MobileBertModel

model = MobileBertModel(MobileBertConfig(vocab_size=30, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=12,
                                         intra_bottleneck_size=8, embedding_size=4, normalization_type="layer_norm", layer_norm_eps=1e-12))
eps = {name: module.eps for name, module in model.named_modules() if isinstance(module, torch.nn.LayerNorm)}
other = sorted(name for name, value in eps.items() if value == 1e-5)
print(f"{len(eps)} layer norms, of which {len(other)} have 1e-05:", ", ".join(other))
assert other == ["embeddings.LayerNorm", "encoder.layer.0.output.LayerNorm", "encoder.layer.1.output.LayerNorm"]
assert {value for name, value in eps.items() if name not in other} == {1e-12}
PY
echo "as described: the behaviour is still there"
