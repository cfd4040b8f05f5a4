#!/usr/bin/env bash
# TensorFlow Text: a word's length is counted in bytes, so a Cyrillic word of 51 letters is [UNK] where the reference
# reads up to 200.
#
# Version   tensorflow-text 2.21.1
# Seen      50 letters "ж" are 50 pieces, 51 are one [UNK]; of Latin letters 100 are pieces and 101 are [UNK].
# Expected  one limit for all scripts: BERT's own tokenizer counts characters (max_input_chars_per_word 200, the common
#           libraries 100). With Chinese or Thai runs the limit is a third.
# Source    tensorflow_text/python/ops/wordpiece_tokenizer.py, max_bytes_per_word=100.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip install -q --no-compile --disable-pip-version-check tensorflow-text==2.21.1
venv/bin/python - <<'PY'
import tensorflow as tf
import tensorflow_text

TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "##a", "ж", "##ж"]
table = tf.lookup.StaticVocabularyTable(
    tf.lookup.KeyValueTensorInitializer(TOKENS, list(range(len(TOKENS))), tf.string, tf.int64), 1)
tokenizer = tensorflow_text.BertTokenizer(table, lower_case=True, token_out_type=tf.int64)
pieces = {(letter, n): [TOKENS[i] for i in tokenizer.tokenize([letter * n]).merge_dims(1, 2).to_list()[0]]
          for letter, n in (("a", 100), ("a", 101), ("ж", 50), ("ж", 51))}
for (letter, n), found in pieces.items():
    print(f"{n} times {letter}: {len(found)} pieces, the first {found[0]}")
assert pieces["a", 101] == pieces["ж", 51] == ["[UNK]"]
assert len(pieces["a", 100]) == 100 and len(pieces["ж", 50]) == 50
PY
echo "as described: the behaviour is still there"
