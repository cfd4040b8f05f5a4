#!/usr/bin/env bash
# A RoBERTa folder of vocab.json and merges.txt alone, as older models have it: from transformers 5 on the blank before <mask> is a
# token of its own, which stands before no <mask> that RoBERTa was trained with.
#
# Version   transformers 5.24.0, tokenizers 0.23.3; beside it transformers 4.57.1, tokenizers 0.22.1
# Seen      "the <mask>" is the Ġ <mask> in 5.24.0, and the <mask> in 4.57.1
# Expected  the <mask>: the mask takes the blank before it, as in fairseq (which strips what stands before one).
# Source    transformers/models/roberta/tokenization_roberta.py: version 4 made mask_token an AddedToken with lstrip=True where it
#           was a string; version 5 does not. A folder that says so itself, in tokenizer.json or in its settings, is read alike.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

mkdir model
echo '{"model_type": "roberta"}' > model/config.json
printf '#version: 0.2\nt h\nth e\n' > model/merges.txt
"${PYTHON:-python3}" - <<'PY'
import json

seen = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
hidden = [byte for byte in range(256) if byte not in seen]
characters = [chr(byte if byte in seen else 0x100 + hidden.index(byte)) for byte in range(256)]
tokens = ["<s>", "<pad>", "</s>", "<unk>", *characters, "th", "the", "<mask>"]
with open("model/vocab.json", "w", encoding="utf-8") as file:
    json.dump({token: number for number, token in enumerate(tokens)}, file)
PY
for version in 5.24.0:0.23.3 4.57.1:0.22.1; do
    "${PYTHON:-python3}" -m venv "venv-${version%%:*}"
    "venv-${version%%:*}/bin/python" -m pip install -q --no-compile --disable-pip-version-check \
        "transformers==${version%%:*}" "tokenizers==${version##*:}"
    HF_HUB_OFFLINE=1 "venv-${version%%:*}/bin/python" - <<'PY'
import transformers

tokenizer = transformers.AutoTokenizer.from_pretrained("model")
found = tokenizer.convert_ids_to_tokens(tokenizer("the <mask>", add_special_tokens=False)["input_ids"])
print(transformers.__version__, found)
assert found == (["the", "Ġ", "<mask>"] if transformers.__version__.startswith("5") else ["the", "<mask>"])
PY
done
echo "as described: the behaviour is still there"
