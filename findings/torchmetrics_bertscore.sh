#!/usr/bin/env bash
# torchmetrics: BERTScore of three or more pairs scores other pairs than it was given: texts are sorted by length and
# put back in the wrong order.
#
# Version   torchmetrics 1.9.0, transformers 5.24.0, torch 2.13.0
# Seen      of three pairs only the second is twice the same text; the score of 1.0 is reported for the third.
# Expected  1.0 for the second. With one or two pairs it is right: a swap is its own inverse, a cycle of three is not.
# Source    torchmetrics/functional/text/bert.py: embeddings[loader.dataset.sorting_indices], where the inverse
#           permutation is needed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip install -q --no-compile --disable-pip-version-check \
    torchmetrics==1.9.0 torch==2.13.0 numpy==2.4.6 transformers==5.24.0
venv/bin/python - <<'PY'
import torch
from torchmetrics.functional.text.bert import bert_score
from transformers import BertConfig, BertModel, BertTokenizer, logging

logging.set_verbosity_error()
torch.manual_seed(0)
TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefghij"]
model = BertModel(BertConfig(vocab_size=len(TOKENS), hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
                             intermediate_size=32, max_position_embeddings=32))
for p in model.parameters():
    p.data.normal_(0, 0.5)
model.save_pretrained("model")
BertTokenizer(vocab={token: i for i, token in enumerate(TOKENS)}).save_pretrained("model")
texts = ["a b", "c d e f", "g"]


def score(guesses, truths):
    f1 = bert_score(guesses, truths, model_name_or_path="model", num_layers=2)["f1"]
    return [round(float(x), 5) for x in torch.atleast_1d(f1)]


together = score(texts, texts[::-1])
alone = [score([a], [b])[0] for a, b in zip(texts, texts[::-1])]
print("together:", together, " one by one:", alone)
assert alone[1] == 1 and alone[2] < 1
assert together[1] < 1 and together[2] == 1
PY
echo "as described: the behaviour is still there"
