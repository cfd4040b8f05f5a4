#!/usr/bin/env bash
# flash-tokenizer: punctuation of Latin-1 (guillemets, ¿, ¡, §) is not cut off the word, so "«bonjour»" becomes other
# tokens than in BERT.
#
# Version   flash-tokenizer 1.2.0
# Seen      "«bonjour»": «, ##bon, ##jour, ##»; "¿que?": ¿, ##que, ?
# Expected  «, bonjour, » and ¿, que, ?, each sign a word of its own, as BERT cuts by Unicode's categories of
#           punctuation. French, Spanish and German text is full of them.
# Source    flash-tokenizer's table of punctuation knows ASCII and U+2000 and above (concluded from what it cuts).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip install -q --no-compile --disable-pip-version-check flash-tokenizer==1.2.0 numpy==2.4.6
venv/bin/python - <<'PY'
from pathlib import Path

from flash_tokenizer import BertTokenizerFlash

TOKENS = "[PAD] [UNK] [CLS] [SEP] [MASK] « » ¿ ? “ ” bonjour bon que ##bonjour ##bon ##jour ##que ##» ##”".split()
Path("vocab.txt").write_text("\n".join(TOKENS) + "\n", encoding="utf-8")
tokenizer = BertTokenizerFlash("vocab.txt", do_lower_case=True)
found = {text: [TOKENS[i] for i in tokenizer(text, "longest", 50).input_ids[0]][1:-1]
         for text in ("«bonjour»", "¿que?", "“bon”")}
print(found)
assert found["“bon”"] == ["“", "bon", "”"]
assert found["«bonjour»"] == ["«", "##bonjour", "##»"]
assert found["¿que?"] == ["¿", "##que", "?"]
PY
echo "as described: the behaviour is still there"
