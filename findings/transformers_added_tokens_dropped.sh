#!/usr/bin/env bash
# An empty "added_tokens_decoder" in tokenizer_config.json makes transformers pass over added_tokens.json: the tokens that were
# added are cut to pieces or unknown, without a word.
#
# Version   transformers 5.24.0, tokenizers 0.23.3
# Seen      with {"[E1]": 7} in added_tokens.json, "[E1] the cat" is 2 7 5 6 3; with an empty added_tokens_decoder beside it
#           2 1 1 1 5 6 3: three unknown pieces.
# Expected  2 7 5 6 3 both times: an empty table adds nothing, and takes nothing away.
# Source    transformers/tokenization_utils_base.py, from_pretrained: the older files are read only where the key is not there.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip install -q --no-compile --disable-pip-version-check transformers==5.24.0 tokenizers==0.23.3
for name in without with; do
    mkdir "$name"
    printf '%s\n' '[PAD]' '[UNK]' '[CLS]' '[SEP]' '[MASK]' the cat > "$name/vocab.txt"
    echo '{"model_type": "bert"}' > "$name/config.json"
    echo '{"[E1]": 7}' > "$name/added_tokens.json"
done
echo '{"tokenizer_class": "BertTokenizer"}' > without/tokenizer_config.json
echo '{"tokenizer_class": "BertTokenizer", "added_tokens_decoder": {}}' > with/tokenizer_config.json
HF_HUB_OFFLINE=1 venv/bin/python - <<'PY'
from transformers import AutoTokenizer

without, ids = (AutoTokenizer.from_pretrained(name)("[E1] the cat")["input_ids"] for name in ("without", "with"))
print("without the key:", without, "with an empty one:", ids)
assert without == [2, 7, 5, 6, 3]
assert ids == [2, 1, 1, 1, 5, 6, 3]
PY
echo "as described: the behaviour is still there"
