#!/usr/bin/env bash
# transformers: BertLayer returns a tensor and no tuple any more, so output[0] in a hook, right for years, is the first
# sentence of the batch.
#
# Version   transformers 5.24.0, torch 2.13.0
# Seen      a hook on bert.encoder.layer[0] that keeps output[0] keeps (T, H) of the first sentence.
# Expected  (B, T, H), as in transformers 4, where a layer returned (hidden_states, …); such a hook is in many
#           tutorials on probing. Nothing raises: mean and cosine go on working.
# Source    transformers/models/bert/modeling_bert.py, BertLayer.forward: return layer_output.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip install -q --no-compile --disable-pip-version-check torch==2.13.0 transformers==5.24.0
venv/bin/python - <<'PY'
import torch
from transformers import BertConfig, BertModel, logging

logging.set_verbosity_error()
torch.manual_seed(0)
model = BertModel(BertConfig(vocab_size=30, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32))
model.eval()
kept = []
model.encoder.layer[0].register_forward_hook(lambda module, given, output: kept.append(output[0]))
with torch.no_grad():
    states = model(torch.arange(1, 13).reshape(3, 4), output_hidden_states=True).hidden_states
print("three sentences of four tokens; the hook keeps", tuple(kept[0].shape), "where the hidden state is", tuple(states[1].shape))
assert kept[0].shape == (4, 16)
assert torch.equal(kept[0], states[1][0])
PY
echo "as described: the behaviour is still there"
