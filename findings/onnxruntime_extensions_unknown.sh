#!/usr/bin/env bash
# onnxruntime-extensions: its BertTokenizer keeps the beginning of a word that it cannot cut to the end, where BERT has
# one [UNK] for the word.
#
# Version   onnxruntime-extensions 0.15.2, onnxruntime 1.32.0, onnx 1.23.2
# Seen      with the pieces snow, ##s, caf: "snowman" is snow, [UNK]; "café" without stripping is caf, [UNK].
# Expected  [UNK] for either: a word that cannot be cut whole is unknown whole (google-research/bert, tokenization.py,
#           WordpieceTokenizer: is_bad). One word is two tokens here, and the first of them looks known.
# Source    operators/tokenizer/bert_tokenizer.cc in the sources of onnxruntime-extensions.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip install -q --no-compile --disable-pip-version-check \
    onnxruntime-extensions==0.15.2 onnxruntime==1.32.0 onnx==1.23.2 numpy==2.4.6
venv/bin/python - <<'PY'
from pathlib import Path

from onnxruntime_extensions import OrtPyFunction

TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "snow", "##s", "caf"]
Path("vocab.txt").write_text("\n".join(TOKENS) + "\n", encoding="utf-8")
tokenize = OrtPyFunction.from_customop("BertTokenizer", vocab_file="vocab.txt", do_lower_case=1, strip_accents=0)
found = {text: [TOKENS[i] for i in tokenize([text])[0].ravel()][1:-1] for text in ("snows", "snowman", "café", "x")}
print(found)
assert found == {"snows": ["snow", "##s"], "snowman": ["snow", "[UNK]"], "café": ["caf", "[UNK]"], "x": ["[UNK]"]}
PY
echo "as described: the behaviour is still there"
