#!/usr/bin/env bash
# transformers: ALBERT's tokenizer keeps the token types of a pair to itself, so the model reads both texts as the first one.
#
# Version   transformers 5.24.0, tokenizers 0.23.3
# Seen      tokenizer("a", "b") has input_ids and attention_mask; asked with return_token_type_ids=True it gives 0 0 0 1 1.
#           BertTokenizer gives them unasked. A model that is called with **encoding takes 0 everywhere for what is missing.
# Expected  token_type_ids, as ALBERT was trained (google-research/albert, create_pretraining_data.py: segment_ids).
# Source    transformers/models/albert/tokenization_albert.py: model_input_names = ["input_ids", "attention_mask"], although the
#           post-processor beside it numbers the texts.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip install -q --no-compile --disable-pip-version-check transformers==5.24.0 tokenizers==0.23.3
HF_HUB_OFFLINE=1 TRANSFORMERS_VERBOSITY=error venv/bin/python - <<'PY'
from transformers import AlbertTokenizer, AutoTokenizer, BertTokenizer

pieces = ["<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]", "\u2581a", "\u2581b"]
AlbertTokenizer(vocab=[(piece, -float(i)) for i, piece in enumerate(pieces)]).save_pretrained("albert")
albert = AutoTokenizer.from_pretrained("albert")
bert = BertTokenizer(vocab={piece: i for i, piece in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b"])})
for tokenizer in (bert, albert):
    print(type(tokenizer).__name__, dict(tokenizer("a", "b")))
    assert tokenizer("a", "b")["input_ids"] == [2, 5, 3, 6, 3]
    assert tokenizer("a", "b", return_token_type_ids=True)["token_type_ids"] == [0, 0, 0, 1, 1]
assert bert("a", "b")["token_type_ids"] == [0, 0, 0, 1, 1]
assert "token_type_ids" not in albert("a", "b")
PY
echo "as described: the behaviour is still there"
