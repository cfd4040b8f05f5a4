#!/usr/bin/env bash
# transformers: a 4-D attention mask of True and False is a mask under the attention "sdpa", and is added to the scores
# as 0 and 1 under "eager".
#
# Version   transformers 5.24.0, torch 2.13.0
# Seen      bool: right under sdpa, the padding is read under eager. Numbers 1.0 and 0.0: the padding is read under
#           both. Whole numbers: the padding is read under eager, an error under sdpa.
# Expected  what the same mask means as (B, T), which is right everywhere, in every type; or an error.
# Source    transformers/models/bert/modeling_bert.py, eager_attention_forward: attn_weights + attention_mask; masks of
#           four dimensions are passed on as they are.
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
ids = torch.arange(1, 9).reshape(2, 4)
seen = torch.tensor([[1, 1, 1, 0], [1, 1, 0, 0]])
masks = {"bool": seen.bool(), "numbers": seen.float(), "whole numbers": seen}
results = {}
for attention in ("eager", "sdpa"):
    torch.manual_seed(0)
    model = BertModel(BertConfig(vocab_size=30, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32))
    model.eval()
    model.set_attn_implementation(attention)
    for p in model.parameters():
        p.data.normal_(0, 0.5)
    with torch.no_grad():
        expected = model(ids, attention_mask=seen).last_hidden_state[seen.bool()]
        for kind, mask in masks.items():
            try:
                got = model(ids, attention_mask=mask[:, None, None, :].expand(2, 1, 4, 4)).last_hidden_state[seen.bool()]
                results[attention, kind] = "right" if torch.allclose(got, expected, atol=1e-5) else "padding is read"
            except RuntimeError:
                results[attention, kind] = "error"
            print(attention, kind, results[attention, kind])
assert results == {("eager", "bool"): "padding is read", ("eager", "numbers"): "padding is read",
                   ("eager", "whole numbers"): "padding is read", ("sdpa", "bool"): "right",
                   ("sdpa", "numbers"): "padding is read", ("sdpa", "whole numbers"): "error"}
PY
echo "as described: the behaviour is still there"
