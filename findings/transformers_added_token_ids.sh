#!/usr/bin/env bash
# transformers reads the tokens of added_tokens.json and not their ids: a token that the file gives the id 9 gets the first
# id behind the vocabulary, and the model looks up another row for it than the one that was trained.
#
# Version   transformers 5.24.0, tokenizers 0.23.3
# Seen      seven tokens in vocab.txt and {"[E1]": 9} beside it: "[E1] the cat" is 2 7 5 6 3.
# Expected  2 9 5 6 3, as the file says; or an error, since it cannot be obeyed.
# Source    transformers/tokenization_utils_tokenizers.py, TokenizersBackend.__init__: the added tokens are sorted by their ids
#           and handed on without them; the tokenizers library numbers them on from its vocabulary.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip install -q --no-compile --disable-pip-version-check transformers==5.24.0 tokenizers==0.23.3
mkdir bert
printf '%s\n' '[PAD]' '[UNK]' '[CLS]' '[SEP]' '[MASK]' the cat > bert/vocab.txt
echo '{"model_type": "bert"}' > bert/config.json
echo '{"tokenizer_class": "BertTokenizer"}' > bert/tokenizer_config.json
echo '{"[E1]": 9}' > bert/added_tokens.json
HF_HUB_OFFLINE=1 venv/bin/python - <<'PY'
from transformers import AutoTokenizer

ids = AutoTokenizer.from_pretrained("bert")("[E1] the cat")["input_ids"]
print("added_tokens.json says 9, the ids are", ids)
assert ids == [2, 7, 5, 6, 3]
PY
echo "as described: the behaviour is still there"
