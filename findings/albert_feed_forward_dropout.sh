#!/usr/bin/env bash
# transformers: ALBERT's feed-forward has a dropout module that nothing calls, so hidden_dropout_prob does not reach
# half of each layer.
#
# Version   transformers 5.24.0, torch 2.13.0
# Seen      in training mode with hidden_dropout_prob 0.5 and attention switched to evaluation, a layer gives the same
#           numbers twice; a layer of BERT does not.
# Expected  another draw each time: the reference drops what comes out of the feed-forward.
# Source    transformers/models/albert/modeling_albert.py, AlbertLayer.ff_chunk never uses self.dropout; google-
#           research/albert, modeling.py, attention_ffn_block: ffn_output = dropout(ffn_output, hidden_dropout_prob).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip install -q --no-compile --disable-pip-version-check torch==2.13.0 transformers==5.24.0
venv/bin/python - <<'PY'
import torch
from transformers import AlbertConfig, AlbertModel, BertConfig, BertModel, logging

logging.set_verbosity_error()
torch.manual_seed(0)
SIZES = {"vocab_size": 30, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32,
         "hidden_dropout_prob": 0.5, "attention_probs_dropout_prob": 0.0}
albert = AlbertModel(AlbertConfig(embedding_size=8, **SIZES)).train().encoder.albert_layer_groups[0].albert_layers[0]
bert = BertModel(BertConfig(**SIZES)).train().encoder.layer[0]
x, repeats = torch.randn(2, 5, 16), {}
for name, layer in (("ALBERT", albert), ("BERT", bert)):
    layer.attention.eval()  # its own dropout is off: what is left is the feed-forward's
    repeats[name] = torch.equal(layer(x), layer(x))
    print(f"{name}: the same twice in training: {repeats[name]}")
assert albert.training and albert.dropout.p == 0.5
assert repeats == {"ALBERT": True, "BERT": False}
PY
echo "as described: the behaviour is still there"
