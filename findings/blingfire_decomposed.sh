#!/usr/bin/env bash
# BlingFire: its uncased BERT model reads "café" with a composed é as cafe, and with e and a combining accent, the same
# text to the eye, as unknown.
#
# Version   blingfire 0.1.8
# Seen      text_to_ids("café", unk=100): 7668 composed, 100 decomposed.
# Expected  7668 for both: BERT decomposes (NFD) and drops the accents. Text from macOS and from PDF files is often
#           decomposed.
# Source    the model bert_base_tok.bin maps composed letters one by one; combining marks have no mapping.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip install -q --no-compile --disable-pip-version-check blingfire==0.1.8 numpy==2.4.6
venv/bin/python - <<'PY'
import os

import blingfire

model = blingfire.load_model(os.path.join(os.path.dirname(blingfire.__file__), "bert_base_tok.bin"))
found = {name: int(blingfire.text_to_ids(model, text, 4, unk=100)[0])
         for name, text in (("composed", "caf\u00e9"), ("decomposed", "cafe\u0301"), ("plain", "cafe"))}
print(found)
assert found == {"composed": 7668, "decomposed": 100, "plain": 7668}
PY
echo "as described: the behaviour is still there"
